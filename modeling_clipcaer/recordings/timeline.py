"""What a recording is turned into: windows, segments, and where each face was seen. Plain data, in seconds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from modeling_clipcaer.common.progress import show_clock


# Of the rows written to files; docs/reference/timeline_files.md describes it.
SCHEMA_VERSION = "2.0"
# The status of a stretch in which the recording shows no picture: there is nothing to answer.
NO_PICTURE = "no_picture"
# The status of a window in which no face of the person was seen: the context decided alone.
NO_FACE = "none"
# How a window's face stream was fed: boxes found or given, carried over a gap of the track, no face at all, or no
# picture at all.
FACE_STATUSES = ("detected", "supplied", "bridged", NO_FACE, NO_PICTURE)
# The person of rows about everybody in the picture.
ROOM = "room"
# The label of windows and segments whose score is below the threshold.
UNCERTAIN = "uncertain"
# How many segments are shown where a timeline is looked at.
SHOWN_SEGMENTS = 20


def join_notes(notes: Iterable[str]) -> str:
    """Notes in one line, a sentence each: "the file is short. 3 frames cannot be decoded"; empty without any."""
    return ". ".join(note.strip().removesuffix(".") for note in notes)


@dataclass(frozen=True)
class TimelineWindow:
    """One answer: a person, or the room, over one window of a recording.

    Attributes:
        source: the recording, as it was named.
        person: "person-1", "person-2", ... in order of appearance, or "room".
        window: number of the window in the recording, from 0; the persons of one window share it.
        start, end: seconds of presentation time.
        face_status: one of `FACE_STATUSES`, that of most of its frames; "none" means the context decided alone,
            "no_picture" that the recording shows nothing between `start` and `end`, however long that is.
        face_frames: how many of `num_frames` show the person's face.
        num_frames: how many different frames the answer is drawn from.
        label: the likeliest label, or "uncertain"; `None` without a picture.
        score: probability of the likeliest label, whatever `label` says; `None` without a picture.
        probabilities: probability of every label; they sum to 1. Empty without a picture.
    """

    source: str
    person: str
    window: int
    start: float
    end: float
    face_status: str
    face_frames: int
    num_frames: int
    label: str | None
    score: float | None
    probabilities: dict[str, float]


@dataclass(frozen=True)
class TimelineSegment:
    """A stretch of one label: smoothed windows of a person, or of the room, joined.

    Attributes:
        source, person: as in [`TimelineWindow`].
        start, end: seconds of presentation time; a person's segments follow one another without a gap while the
            person is followed.
        label: a label or "uncertain".
        score: mean smoothed probability of the label over the segment's windows.
        num_windows: how many windows it joins.
    """

    source: str
    person: str
    start: float
    end: float
    label: str
    score: float
    num_windows: int


@dataclass(frozen=True)
class FaceSighting:
    """Where a person's face was at one sampled frame: `box` is left, top, right, bottom in pixels of the frame."""

    person: str
    time: float
    box: tuple[float, float, float, float]
    status: str


@dataclass
class Timeline:
    """All that is known of one recording.

    Attributes:
        source: the recording, as it was named.
        duration: seconds from the first frame to the end of the last one.
        width, height: pixels of a frame, upright.
        labels: every label, in the model's order.
        windows, segments, sightings: in order of time.
        settings: what the figures depend on: model, detector that ran, window, stride, thresholds, device, type of the
            tower, versions, zero_shot (bool), calibrated (bool).
        notes: what a reader must know, one sentence each: frames that could not be decoded, stretches without a face.
    """

    source: str
    duration: float
    width: int
    height: int
    labels: list[str]
    windows: list[TimelineWindow] = field(default_factory=list)
    segments: list[TimelineSegment] = field(default_factory=list)
    sightings: list[FaceSighting] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def persons(self) -> list[str]:
        """Everybody followed, in order of appearance, without the room."""
        return [name for name in dict.fromkeys(window.person for window in self.windows) if name != ROOM]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it, with the version of the schema."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def __repr__(self) -> str:
        counted = f"{len(self.persons)} persons, {len(self.windows)} rows, {len(self.segments)} segments"
        lines = [f"Timeline of {self.source!r}: {self.duration:.1f} s, {self.width}x{self.height}, {counted}"]
        rows = [
            (f"{show_clock(s.start)}–{show_clock(s.end)}", s.person, s.label, f"{100 * s.score:3.0f} %")
            for s in self.segments[:SHOWN_SEGMENTS]
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(map(str.ljust, row, widths)) for row in rows]
        if len(self.segments) > SHOWN_SEGMENTS:
            lines.append(f"... and {len(self.segments) - SHOWN_SEGMENTS} more segments")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])
