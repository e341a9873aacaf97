"""Segments as people correct them in the app, and the files that `clipcaer import` takes back."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.look import milliseconds
from modeling_clipcaer.exports.tables import segment_columns, segment_rows, write_table
from modeling_clipcaer.exports.timeline_json import RECORDING, save_timeline
from modeling_clipcaer.prediction.inputs import describe_file
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline, TimelineSegment


SEGMENTS = "segments.csv"
ROUNDING = 0.001  # seconds, to which tables are exact
Rows = Sequence[Sequence[Any]]


def list_segments(timeline: Timeline) -> list[list[Any]]:
    """Person, start, end and label of each segment, in milliseconds exact."""
    return [
        [segment.person, milliseconds(segment.start) / 1000, milliseconds(segment.end) / 1000, segment.label]
        for segment in timeline.segments
    ]


def read_segments(rows: Rows, timeline: Timeline) -> list[TimelineSegment]:
    """The segments of a table. Those that somebody changed join no windows.

    Raises:
        InputError: a row is no segment of this recording, or two of one person overlap.
    """
    answered = dict(zip(map(tuple, list_segments(timeline)), timeline.segments, strict=True))
    found = [answered.get(tuple(row)) or read_segment(number, row, timeline) for number, row in enumerate(rows, 1)]
    refuse_overlaps(found)
    return found


def read_segment(number: int, row: Sequence[Any], timeline: Timeline) -> TimelineSegment:
    """The segment that somebody wrote in this row of the table.

    Raises:
        InputError: it is none of this recording.
    """
    person, label = (str(row[place] or "").strip() for place in (0, 3))
    for found, kind, known in (
        (person, "person", [ROOM, *timeline.persons]),
        (label, "label", [*timeline.labels, UNCERTAIN]),
    ):
        if found not in known:
            raise InputError(f"row {number}: expected a {kind} of {', '.join(known)}, found {found!r}")
    try:
        start, end = float(row[1]), float(row[2])
    except (TypeError, ValueError):
        raise InputError(f"row {number}: expected seconds as start and end, found {row[1]!r} and {row[2]!r}") from None
    if not 0 <= start < end <= timeline.duration + ROUNDING:
        length = f"{timeline.duration:g} s"
        raise InputError(
            f"row {number}: expected a start before the end, within {length}, found {start:g} and {end:g}"
        )
    return TimelineSegment(timeline.source, person, start, end, label, score=0.0, num_windows=0)


def refuse_overlaps(segments: Sequence[TimelineSegment]) -> None:
    """Refuse two labels of one person at one time.

    Raises:
        InputError: there are some.
    """
    for first, second in pairwise(sorted(segments, key=lambda segment: (segment.person, segment.start))):
        if first.person == second.person and second.start < first.end - ROUNDING:
            raise InputError(
                f"{first.person} is {first.label} until {first.end:g} s, and {second.label} from {second.start:g} s "
                "on: expected one label at a time"
            )


def write_corrected(segments: list[TimelineSegment], timeline: Timeline, recording: Path, folder: Path) -> None:
    """Write the table of `segments`, and beside it the timeline as it was answered, into a new folder. What somebody
    wrote has no score, since no model answered it."""
    folder.mkdir()
    rows = segment_rows(replace(timeline, segments=segments))
    scored = ({**row, "score": row["score"] if row["num_windows"] else None} for row in rows)
    write_table(scored, segment_columns(), folder / SEGMENTS)
    # Keep: the name alone. Where the recording lies on the visitor's machine is not known here.
    made_from = {"path": timeline.source, "file": describe_file(str(recording))}
    save_timeline(timeline, folder / RECORDING, made_from=made_from, outputs=["csv"])
