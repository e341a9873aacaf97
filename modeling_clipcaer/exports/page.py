"""The HTML page about recordings: timelines, shares, confidence, what to check, how they were made."""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.pages import load_templates
from modeling_clipcaer.exports import page_charts
from modeling_clipcaer.exports.look import label_colours, name_caveats, show_percent, show_time
from modeling_clipcaer.models.measurement import is_trustworthy, tell_measurement
from modeling_clipcaer.recordings.timeline import (
    NO_PICTURE,
    ROOM,
    SCHEMA_VERSION,
    UNCERTAIN,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


logger = logging.getLogger(__name__)

# Bytes of a page that opens at once and can be sent by mail.
LARGEST_PAGE = 1_000_000
# Segments that all recordings of a page share: what is drawn and listed of one takes some 200 bytes.
MOST_SEGMENTS, FEWEST_CELLS = 3000, 20
FEWEST_WINDOWS = 3
# Shorter side of a face in pixels; the model sees it enlarged to some 200.
SMALLEST_FACE = 40
# From this share of the windows on, a reader should look.
LARGEST_SHARE = 0.2


class Check(NamedTuple):
    """Something about the quality of a timeline, for a reader: `level` is "good" or "check"."""

    level: str
    text: str


@dataclass
class Lane:
    """What a page shows of a person or of the room.

    Attributes:
        person: whose.
        segments: in order of time.
        shares: of the time that the person was followed, by label; 0 to 1.
        seconds: how long that is.
        faces: paths of the face strip, by face status.
        confidence: path of the scores.
        mean_score: of the windows that have a picture; `None` without any.
    """

    person: str
    segments: list[TimelineSegment]
    shares: dict[str, float]
    seconds: float
    faces: dict[str, str]
    confidence: str
    mean_score: float | None

    @property
    def summary(self) -> str:
        """`most often Neutrality (62 %)`."""
        label = max(self.shares, key=self.shares.__getitem__, default="")
        return f"most often {label} ({show_percent(self.shares[label])})" if self.seconds else "no answer"


@dataclass
class RecordingSummary:
    """What a page shows of a recording; much less than its timeline. `num_windows` were answered, and for the
    `missing` seconds of the stretches `blanks` the recording shows no picture."""

    name: str
    duration: float
    picture: str
    num_windows: int
    missing: float
    blanks: list[page_charts.Span]
    lanes: list[Lane]
    checks: list[Check]
    caveats: list[str]
    labels: list[str]
    settings: dict[str, str]


def write_report_page(timelines: Iterable[Timeline], path: str | os.PathLike) -> None:
    """Write one self-contained HTML page about recordings: below 1 MB, without scripts, pictures or the network.

    Args:
        timelines (iterable of `Timeline`): one for each recording; may be a generator, of which one is held at a time.
        path (`str` or path): the file to write. It appears when it is complete.
    """
    page = render_page([summarise(timeline) for timeline in timelines])
    with complete_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def summarise(timeline: Timeline) -> RecordingSummary:
    """What the page shows of `timeline`."""
    persons = [ROOM, *timeline.persons] if timeline.windows else []
    blanks = [page_charts.Span(window.start, window.end, NO_PICTURE) for window in without_picture(timeline)]
    return RecordingSummary(
        name=timeline.source,
        duration=timeline.duration,
        picture=f"{timeline.width} × {timeline.height}",
        num_windows=len({window.window for window in with_picture(timeline)}),
        missing=sum(blank.end - blank.start for blank in blanks),
        blanks=blanks,
        lanes=[summarise_person(timeline, person) for person in persons],
        checks=[check_measurement(timeline), *check_quality(timeline)],
        caveats=name_caveats(timeline.settings),
        labels=list(timeline.labels),
        settings=flatten(timeline.settings),
    )


def with_picture(timeline: Timeline) -> list[TimelineWindow]:
    """The windows that have an answer."""
    return [window for window in timeline.windows if window.face_status != NO_PICTURE]


def without_picture(timeline: Timeline) -> list[TimelineWindow]:
    """The stretches in which the recording shows nothing."""
    return [window for window in timeline.windows if window.face_status == NO_PICTURE]


def summarise_person(timeline: Timeline, person: str) -> Lane:
    """What the page shows of one person, or of the room."""
    windows = [window for window in with_picture(timeline) if window.person == person]
    segments = [segment for segment in timeline.segments if segment.person == person]
    seconds = dict.fromkeys([*timeline.labels, UNCERTAIN], 0.0)
    for segment in segments:
        seconds[segment.label] += segment.end - segment.start
    total = sum(seconds.values())
    return Lane(
        person=person,
        segments=segments,
        shares={label: part / total if total else 0.0 for label, part in seconds.items()},
        seconds=total,
        faces=page_charts.draw_faces(windows, timeline.duration),
        confidence=page_charts.draw_confidence(windows, timeline.duration),
        mean_score=page_charts.mean_score(windows) if windows else None,
    )


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `{"versions.torch": "2.13"}`."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: str(value)}
    return flat


def check_measurement(timeline: Timeline) -> Check:
    """How often the checkpoint is right: no other check on this page knows it."""
    measured = timeline.settings.get("measured")
    if measured is None:
        return Check("check", "The checkpoint is not yet measured: how often it is right is not known.")
    level = "good" if is_trustworthy(measured) else "check"
    return Check(level, f"The checkpoint was measured: {tell_measurement(measured)}.")


def check_quality(timeline: Timeline) -> list[Check]:
    """What a reader should know before believing a timeline."""
    windows, missing = with_picture(timeline), _check_picture(timeline)
    if not windows:
        notes = (Check("check", note) for note in timeline.notes)
        return [Check("check", "Nothing could be answered."), *missing, *notes]
    people = [window for window in windows if window.person != ROOM]
    persons = len(timeline.persons)
    checks = [Check("good", f"{persons} {'person was' if persons == 1 else 'persons were'} followed.")]
    if not people:
        checks = [Check("check", "Nobody was followed: the context of the whole picture decides alone.")]
    checks += [
        _check_share("have no face: there the context decides alone", people or windows, face_status="none"),
        _check_share("have a face that was mostly carried over gaps", people or windows, face_status="bridged"),
        _check_share("are uncertain", windows, label=UNCERTAIN),
        *missing,
        *_check_length(timeline),
        *_check_faces(timeline),
        *_check_scores(timeline),
    ]
    return [*checks, *(Check("check", f"Note of the analysis: {note}") for note in timeline.notes)]


def _check_picture(timeline: Timeline) -> list[Check]:
    seconds = sum(window.end - window.start for window in without_picture(timeline))
    text = f"No picture for {show_time(seconds)} of {show_time(timeline.duration)}: there is nothing to answer."
    return [Check("check", text)] if seconds else []


def _check_share(what: str, windows: Sequence[TimelineWindow], **values: str) -> Check:
    share = fmean(all(getattr(window, name) == value for name, value in values.items()) for window in windows)
    return Check("check" if share >= LARGEST_SHARE else "good", f"{show_percent(share)} of the windows {what}.")


def _check_length(timeline: Timeline) -> list[Check]:
    count, end = (
        len({window.window for window in with_picture(timeline)}),
        max(window.end for window in timeline.windows),
    )
    checks = []
    if count < FEWEST_WINDOWS:
        checks.append(Check("check", f"Short: {count} {'window' if count == 1 else 'windows'} in all."))
    if end < timeline.duration - 1:
        checks.append(Check("check", f"Cut short: answered up to {show_time(end)} of {show_time(timeline.duration)}."))
    return checks


def _check_faces(timeline: Timeline) -> list[Check]:
    persons = set(timeline.persons)
    seen = [sighting for sighting in timeline.sightings if sighting.person in persons]
    boxes = [sighting.box for sighting in seen if sighting.status != "bridged"]
    if not boxes:
        return []
    side = median(min(right - left, bottom - top) for left, top, right, bottom in boxes)
    text = f"Faces measure {side:.0f} pixels in the median; below {SMALLEST_FACE} they show little."
    return [Check("check" if side < SMALLEST_FACE else "good", text)]


def _check_scores(timeline: Timeline) -> list[Check]:
    mean, chance = page_charts.mean_score(with_picture(timeline)), 1 / len(timeline.labels)
    text = f"Mean confidence is {show_percent(mean)}; guessing has {show_percent(chance)}."
    return [Check("check" if mean < 1.5 * chance else "good", text)]


def render_page(recordings: Sequence[RecordingSummary]) -> str:
    """The page about `recordings`. Details of those that would make it too large are left out, and that is said."""
    from markupsafe import Markup

    templates = load_templates(Path(__file__).parent / "templates")
    templates.filters |= {"percent": lambda share: "–" if share is None else show_percent(share), "time": show_time}
    labels = list(dict.fromkeys(label for recording in recordings for label in recording.labels))
    lanes = sum(len(recording.lanes) for recording in recordings)
    common = {
        "colours": label_colours(labels),
        "places": {label: place for place, label in enumerate([*labels, UNCERTAIN])},
        "uncertain": UNCERTAIN,
        "charts": page_charts,
        "limit": max(FEWEST_CELLS, MOST_SEGMENTS // max(lanes, 1)),
    }
    page = {
        "recordings": recordings,
        "has_blanks": any(recording.blanks for recording in recordings),
        "settings": _group_settings(recordings),
        "caveats": list(dict.fromkeys(caveat for recording in recordings for caveat in recording.caveats)),
        "notice": RESPONSIBLE_USE,
        "schema_version": SCHEMA_VERSION,
    }
    frame = templates.get_template("report.html.j2")
    section = templates.get_template("recording.html.j2")
    size, sections = len(frame.render(common, **page, sections=[]).encode()), []
    for number, recording in enumerate(recordings):
        details = section.render(common, recording=recording, number=number)
        size += len(details.encode())
        if size > LARGEST_PAGE - 1000:
            logger.warning("the page has room for the details of %s of %s recordings", number, len(recordings))
            break
        sections.append(Markup(details))
    return frame.render(common, **page, sections=sections)


def _group_settings(recordings: Sequence[RecordingSummary]) -> list[tuple[list[str], dict[str, str]]]:
    """Names of the recordings that share settings, and the settings."""
    groups: dict[str, tuple[list[str], dict[str, str]]] = {}
    for recording in recordings:
        names, _ = groups.setdefault(json.dumps(recording.settings), ([], recording.settings))
        names.append(recording.name)
    return list(groups.values())
