"""Subtitles of a recording, as WebVTT."""

import html
from pathlib import Path

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.look import describe_marks, milliseconds
from modeling_clipcaer.names import printable
from modeling_clipcaer.recordings.timeline import ROOM, Timeline


def write_vtt(timeline: Timeline, path: Path) -> None:
    """One WebVTT track for everybody: a cue for each segment, in order of time, spoken by its person."""
    notes = [RESPONSIBLE_USE, describe_marks(timeline.settings), f"recording: {timeline.source}"]
    blocks = ["WEBVTT", *(f"NOTE {_text(note)}" for note in notes)]
    for segment in sorted(timeline.segments, key=lambda segment: (segment.start, segment.person != ROOM)):
        times = f"{_time(segment.start)} --> {_time(segment.end)}"
        label, person = _text(segment.label), _text(segment.person)
        blocks.append(f"{times}\n<v {person}>{person}: {label} {segment.score:.0%}")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _time(seconds: float) -> str:
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _text(text: str) -> str:
    """On one line, and with nothing that a player would take for markup or for the arrow between two times."""
    return html.escape(printable(" ".join(text.split())), quote=False)
