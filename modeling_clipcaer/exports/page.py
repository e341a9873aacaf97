"""The HTML page about recordings: what stands out, how far to trust it, a player, lanes, shares, every stretch."""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.pages import page_templates
from modeling_clipcaer.common.progress import show_clock
from modeling_clipcaer.explanations import page as explanations
from modeling_clipcaer.explanations.page import FOLDER
from modeling_clipcaer.exports import page_charts
from modeling_clipcaer.exports.look import (
    label_colours,
    name_caveats,
    show_length,
    show_percent,
    show_person,
    text_colour,
)
from modeling_clipcaer.exports.page_words import (
    Findings,
    find_doubts,
    find_findings,
    group_settings,
    is_copy,
    sum_seconds,
    with_picture,
    without_picture,
)
from modeling_clipcaer.exports.timeline_json import FinishedRecordings
from modeling_clipcaer.recordings.addresses import is_address, is_camera
from modeling_clipcaer.recordings.timeline import (
    NO_PICTURE,
    ROOM,
    SCHEMA_VERSION,
    UNCERTAIN,
    Timeline,
    TimelineSegment,
)


logger = logging.getLogger(__name__)

# Bytes of a page that opens at once and can be sent by mail.
LARGEST_PAGE = 1_000_000
# Of these, for what answers of all recordings rest on. With the segments it makes less than a page.
EXPLAINED = 300_000
# Segments that all recordings of a page share: what is drawn and listed of one takes some 260 bytes.
MOST_SEGMENTS, FEWEST_CELLS = 2400, 20
# Cells of a strip in the overview of many recordings.
MOST_STRIP_CELLS = 60
# Lanes beyond this number are all drawn flat, and open on demand.
MANY_LANES = 6
# Colours that anybody can tell apart; labels beyond them carry a pattern, too.
PLAIN_COLOURS = 8
OVERLAY = "overlay.mp4"


@dataclass
class Lane:
    """What a page shows of a person or of the room.

    Attributes:
        person: whose.
        segments: in order of time.
        shares: of the time that the person was followed, by label; 0 to 1.
        seconds: how long that is.
        missing_faces: path of the stretches without a face.
        confidence: path of the scores.
        mean_score: of the windows that have a picture; `None` without any.
    """

    person: str
    segments: list[TimelineSegment]
    shares: dict[str, float]
    seconds: float
    missing_faces: str
    confidence: str
    mean_score: float | None

    @property
    def summary(self) -> str:
        """The commonest label and its share of the time: `62 % Neutrality`."""
        label = max(self.shares, key=self.shares.__getitem__, default="")
        return f"{hold_percent(self.shares[label])} {label}" if self.seconds else "no answer"


@dataclass
class RecordingSummary:
    """What a page shows of a recording; much less than its timeline. For the `missing` seconds of the stretches
    `blanks` the recording shows no picture; `video` is the address to play it from, if there is one, and `explained`
    the folder that says what its answers rest on."""

    source: str
    duration: float
    num_persons: int
    missing: float
    blanks: list[page_charts.Span]
    lanes: list[Lane]
    findings: Findings
    doubts: list[str]
    caveats: list[str]
    labels: list[str]
    settings: dict[str, Any]
    video: str | None = None
    explained: Path | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.source if is_address(self.source) else Path(self.source).name or self.source

    @property
    def shown_labels(self) -> list[str]:
        """The labels, and "uncertain" where something is."""
        return [*self.labels, *([UNCERTAIN] if any(lane.shares[UNCERTAIN] for lane in self.lanes) else [])]

    @property
    def rows(self) -> list[tuple[int, TimelineSegment]]:
        """Every stretch, with its lane's number, in order of time."""
        rows = [(place, segment) for place, lane in enumerate(self.lanes) for segment in lane.segments]
        return sorted(rows, key=lambda row: (row[1].start, row[0]))


def write_joint_page(recordings: FinishedRecordings, path: Path) -> None:
    """[`write_report_page`] of recordings, played from their overlays, or from where they are."""
    # Keep: seen from beside the recordings' folders. While the page is written it lies in a folder of its own.
    videos = [
        find_video(source, folder, folder.parent)
        for source, folder in zip(recordings.sources, recordings.folders, strict=True)
    ]
    explained = [folder / FOLDER for folder in recordings.folders]
    write_report_page(recordings, path, videos, [folder if folder.is_dir() else None for folder in explained])


def find_video(source: str, folder: Path, home: Path) -> str | None:
    """The address, seen from the folder `home`, of what shows a recording: its overlay in `folder`, or its file, if
    that lies in `home` or beside it. Of one elsewhere the page would tell the folders of the machine."""
    if (folder / OVERLAY).is_file():
        shown = folder / OVERLAY
    elif is_address(source) or is_camera(source) or not Path(source).is_file():
        return None
    else:
        shown = Path(source)
    if not shown.resolve().is_relative_to(home.resolve().parent):
        return None
    return quote(os.path.relpath(shown.resolve(), home.resolve()).replace(os.sep, "/"))


def write_report_page(
    timelines: Iterable[Timeline],
    path: str | os.PathLike,
    videos: Sequence[str | None] = (),
    explained: Sequence[Path | None] = (),
) -> None:
    """Write one self-contained HTML page about recordings: below 1 MB, without the network, and without pictures but
    those of explanations.

    Args:
        timelines (iterable of `Timeline`): one for each recording; may be a generator, of which one is held at a time.
        path (`str` or path): the file to write. It appears when it is complete.
        videos (sequence of `str` or `None`): addresses relative to the page to play each recording from.
        explained (sequence of paths or `None`): folders, named as each recording's own, which `predict --explain`
            wrote of it.
    """
    recordings = [summarise(timeline) for timeline in timelines]
    for recording, video in zip(recordings, videos, strict=False):
        recording.video = video
    for recording, folder in zip(recordings, explained, strict=False):
        recording.explained = folder
    page = render_page(recordings)
    with complete_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def hold_percent(fraction: float) -> str:
    """`82 %`, which no line parts."""
    return show_percent(fraction).replace(" ", "\N{NO-BREAK SPACE}")


def summarise(timeline: Timeline) -> RecordingSummary:
    """What the page shows of `timeline`."""
    persons = [*timeline.persons, *([] if is_copy(timeline) else [ROOM])] if timeline.windows else []
    blanks = [page_charts.Span(window.start, window.end, NO_PICTURE) for window in without_picture(timeline)]
    return RecordingSummary(
        source=timeline.source,
        duration=timeline.duration,
        num_persons=len(timeline.persons),
        missing=sum(blank.end - blank.start for blank in blanks),
        blanks=blanks,
        lanes=[summarise_person(timeline, person) for person in persons],
        findings=find_findings(timeline),
        doubts=find_doubts(timeline),
        caveats=name_caveats(timeline.settings),
        labels=list(timeline.labels),
        settings=timeline.settings,
    )


def summarise_person(timeline: Timeline, person: str) -> Lane:
    """What the page shows of one person, or of the room."""
    windows = [window for window in with_picture(timeline) if window.person == person]
    segments = [segment for segment in timeline.segments if segment.person == person]
    seconds = dict.fromkeys([*timeline.labels, UNCERTAIN], 0.0) | sum_seconds(segments)
    total = sum(seconds.values())
    return Lane(
        person=person,
        segments=segments,
        shares={label: part / total if total else 0.0 for label, part in seconds.items()},
        seconds=total,
        missing_faces="" if person == ROOM else page_charts.draw_missing_faces(windows, timeline.duration),
        confidence=page_charts.draw_confidence(windows, timeline.duration),
        mean_score=page_charts.mean_score(windows) if windows else None,
    )


def render_page(recordings: Sequence[RecordingSummary]) -> str:
    """The page about `recordings`. Details of those that would make it too large are left out, and that is said."""
    from markupsafe import Markup

    templates = page_templates(Path(__file__).parent / "templates", explanations.TEMPLATES)
    templates.filters |= {
        **{"percent": lambda share: "–" if share is None else hold_percent(share), "person": show_person},
        **{"clock": show_clock, "length_of_time": show_length, "text_colour": text_colour},
    }
    labels = list(dict.fromkeys(label for recording in recordings for label in recording.labels))
    chosen: dict[str, str] = {}
    for recording in recordings:
        chosen |= recording.settings.get("label_colours") or {}
    lanes = sum(len(recording.lanes) for recording in recordings)
    common = {
        "colours": label_colours(labels, chosen),
        "places": {label: place for place, label in enumerate([*labels, UNCERTAIN])},
        "uncertain": UNCERTAIN,
        "charts": page_charts,
        "limit": max(FEWEST_CELLS, MOST_SEGMENTS // max(lanes, 1)),
        "many_lanes": MANY_LANES,
        "plain_colours": PLAIN_COLOURS,
        "is_alone": len(recordings) == 1,
        "explains": any(recording.explained for recording in recordings),
        "explain": partial(
            _explain, room=EXPLAINED // max(len(recordings), 1), level=2 if len(recordings) == 1 else 3
        ),
    }
    page = {
        "recordings": recordings,
        "shows_people": any(found.explained and explanations.shows_people(found.explained) for found in recordings),
        "shown_labels": list(dict.fromkeys(label for recording in recordings for label in recording.shown_labels)),
        "longest": max((recording.duration for recording in recordings), default=1.0),
        "strip_limit": max(1, min(MOST_STRIP_CELLS, MOST_SEGMENTS // max(len(recordings), 1))),
        "settings": _group_settings(recordings),
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


def _explain(folder: Path, number: int, room: int, level: int) -> str:
    """The section on what the answers of the recording of this number rest on."""
    return explanations.render_section(
        folder,
        link=quote(f"{folder.parent.name}/{folder.name}/{explanations.PAGE}"),
        room=room,
        lead="The surest answer of each label, of the commonest label first, then the least certain answers.",
        name=f"explained-{number}",
        level=level,
        title=lambda answer: (
            f"{show_person(answer['person'])}, {show_clock(answer['start'])} to {show_clock(answer['end'])}"
        ),
    )


def _group_settings(recordings: Sequence[RecordingSummary]) -> list[tuple[list[str], dict[str, dict[str, str]]]]:
    """Names of the recordings that share settings, and the settings in words."""
    groups: dict[str, tuple[list[str], dict[str, dict[str, str]]]] = {}
    for recording in recordings:
        key = json.dumps(recording.settings, default=str)
        names, _ = groups.setdefault(key, ([], group_settings(recording.settings)))
        names.append(recording.name)
    return list(groups.values())
