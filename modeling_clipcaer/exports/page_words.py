"""What the page about recordings says in words: what stands out, what to check, how it was made."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from modeling_clipcaer.exports.look import show_length, show_percent, show_person
from modeling_clipcaer.exports.page_charts import mean_score
from modeling_clipcaer.models.measurement import is_trustworthy
from modeling_clipcaer.recordings.timeline import (
    NO_FACE,
    NO_PICTURE,
    ROOM,
    UNCERTAIN,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


FEWEST_WINDOWS = 3
# Shorter side of a face in pixels; the model sees it enlarged to some 200.
SMALLEST_FACE = 40
# From this share of the time on, a reader should look.
LARGEST_SHARE = 0.2
# Stretches that are told before the timeline.
TOLD_STRETCHES = 3
# Persons that one sentence names.
TOLD_PERSONS = 4
# What settings are called on the page, by group. What stands in none is told under its own name.
SETTINGS = {
    "Checkpoint": {
        "model": "folder or name",
        "model_revision": "weights",
        "streams": "looks at",
        "num_frames": "frames of a window",
        "zero_shot": "zero-shot",
        "calibrated": "calibrated confidence",
        "calibration_temperature": "temperature",
    },
    "Windows": {"window": "seconds of each", "stride": "seconds from one to the next", "context": "context"},
    "Stretches": {"smoothing": "windows smoothed over", "hysteresis": "hysteresis", "threshold": "uncertain below"},
    "Faces": {"face_detector": "found by", "max_gap": "carried over gaps up to (s)", "body_boxes": "body boxes"},
    "Machine": {"device": "device", "tower_dtype": "type of numbers", "batch_size": "windows at once"},
}


class Commonest(NamedTuple):
    """The label that fills most of the time in which `who` was followed, and its share of that time."""

    who: str
    label: str
    share: float


@dataclass
class Findings:
    """What stands out: the `commonest` label of those followed, the share of the time that is uncertain, and the
    longest `stretches` of anything else. `commonest` is `None` without an answer."""

    commonest: Commonest | None
    uncertain: float
    stretches: list[TimelineSegment]


def find_findings(timeline: Timeline) -> Findings:
    """What stands out of a timeline: of the persons together, or of the room where nobody was followed."""
    persons = timeline.persons
    segments = [segment for segment in timeline.segments if not persons or segment.person != ROOM]
    seconds = sum_seconds(segments)
    total = sum(seconds.values())
    seconds.pop(UNCERTAIN, None)
    if not total:
        return Findings(None, 0.0, [])
    who = show_person(persons[0] if persons else ROOM) if len(persons) < 2 else f"the {len(persons)} people"
    label, most = max(seconds.items(), key=lambda item: item[1], default=(UNCERTAIN, total))
    others = [segment for segment in segments if segment.label not in (label, UNCERTAIN)]
    longest = sorted(others, key=lambda segment: segment.start - segment.end)[:TOLD_STRETCHES]
    uncertain = total - sum(seconds.values())
    return Findings(Commonest(who, label, most / total), uncertain / total, sorted(longest, key=lambda row: row.start))


def sum_seconds(segments: Sequence[TimelineSegment]) -> dict[str, float]:
    """How many seconds each label fills."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for segment in segments:
        seconds[segment.label] += segment.end - segment.start
    return seconds


def with_picture(timeline: Timeline) -> list[TimelineWindow]:
    """The windows that have an answer."""
    return [window for window in timeline.windows if window.face_status != NO_PICTURE]


def without_picture(timeline: Timeline) -> list[TimelineWindow]:
    """The stretches in which the recording shows nothing."""
    return [window for window in timeline.windows if window.face_status == NO_PICTURE]


def find_doubts(timeline: Timeline) -> list[str]:
    """What a reader should check before believing a timeline, one sentence each; nothing of what is fine."""
    return [*_doubt_measurement(timeline), *_doubt_answers(timeline), *timeline.notes]


def _doubt_measurement(timeline: Timeline) -> Iterator[str]:
    measured = timeline.settings.get("measured")
    if measured is None:
        yield "The checkpoint is not yet measured: how often it is right is not known."
    elif not is_trustworthy(measured):
        yield "That does not show that it does better than guessing or a simple baseline, or not exactly enough."
    if timeline.settings.get("zero_shot"):
        yield "Zero-shot: a plain CLIP model answered by the words of the labels. It was not trained for them."
    elif not timeline.settings.get("calibrated"):
        yield "Confidence is uncalibrated: it orders answers, and is no frequency of being right."


def _doubt_answers(timeline: Timeline) -> Iterator[str]:
    windows, persons = with_picture(timeline), timeline.persons
    if blank := sum(window.end - window.start for window in without_picture(timeline)):
        yield f"The picture is missing for {show_length(blank)} of {show_length(timeline.duration)}."
    if not windows:
        yield "Nothing could be answered."
        return
    if not persons:
        yield "Nobody was followed: the context of the whole picture decides alone."
    own = {person: [window for window in windows if window.person == person] for person in persons}
    for what, status in (
        ("No face in many windows, where the context decides alone", NO_FACE),
        ("The face is carried over gaps in many windows", "bridged"),
    ):
        shares = {person: sum(row.face_status == status for row in rows) / len(rows) for person, rows in own.items()}
        yield from _tell_large(what, shares)
    shares = {}
    for person in [*persons, *([] if is_copy(timeline) else [ROOM])]:
        seconds = sum_seconds([segment for segment in timeline.segments if segment.person == person])
        shares[person] = seconds.get(UNCERTAIN, 0) / (sum(seconds.values()) or 1)
    yield from _tell_large("Much of the time is uncertain", shares)
    count, end = len({window.window for window in windows}), max(window.end for window in timeline.windows)
    if count < FEWEST_WINDOWS:
        yield f"It is short: {count} {'window' if count == 1 else 'windows'} in all."
    if end < timeline.duration - 1:
        yield f"Answers end at {show_length(end)} of {show_length(timeline.duration)}."
    boxes = [seen.box for seen in timeline.sightings if seen.person in persons and seen.status != "bridged"]
    if boxes and (side := median(min(box[2] - box[0], box[3] - box[1]) for box in boxes)) < SMALLEST_FACE:
        yield f"Faces measure {side:.0f} pixels in the median; below {SMALLEST_FACE} they show little."
    mean, chance = mean_score(windows), 1 / len(timeline.labels)
    if mean < 1.5 * chance:
        yield f"Mean confidence of all answers is {show_percent(mean)}; guessing has {show_percent(chance)}."


def _tell_large(what: str, shares: dict[str, float]) -> Iterator[str]:
    """`Much of the time is uncertain: Person 1 (41 %).`, of the shares that are large."""
    large = [
        f"{show_person(person)} ({show_percent(share)})" for person, share in shares.items() if share >= LARGEST_SHARE
    ]
    if large:
        more = f" and {len(large) - TOLD_PERSONS} more" if len(large) > TOLD_PERSONS else ""
        yield f"{what}: {', '.join(large[:TOLD_PERSONS])}{more}."


def is_copy(timeline: Timeline) -> bool:
    """Whether the room's answers are those of the only person."""
    persons = timeline.persons
    answers = {
        person: [(row.window, row.score, row.label) for row in with_picture(timeline) if row.person == person]
        for person in (ROOM, *persons)
    }
    return len(persons) == 1 and answers[ROOM] == answers[persons[0]]


def group_settings(settings: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Settings in words, by group: `{"Windows": {"seconds of each": "10.0"}, "Versions": {"torch": "2.13"}}`."""
    told = {name for names in SETTINGS.values() for name in names} | {"versions", "measured"}
    groups = {
        group: {words: show_setting(settings[name]) for name, words in names.items() if name in settings}
        for group, names in SETTINGS.items()
    }
    groups["Further"] = {name: show_setting(value) for name, value in settings.items() if name not in told}
    groups["Versions"] = {name: str(value) for name, value in settings.get("versions", {}).items()}
    return {group: values for group, values in groups.items() if values}


def show_setting(value: Any) -> str:
    """A setting as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else str(value)
