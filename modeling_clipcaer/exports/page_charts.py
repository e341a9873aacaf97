"""Geometry of the page's charts, in percent of a recording's length."""

import itertools
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from modeling_clipcaer.common.progress import show_clock
from modeling_clipcaer.exports.look import show_percent
from modeling_clipcaer.recordings.timeline import NO_FACE, TimelineSegment, TimelineWindow


# Labelled ticks of an axis at its narrowest, on a phone, and when it is widened.
FEW_TICKS, MANY_TICKS = 6, 28
TICK_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
# Units of the paths of face strips and confidence across a chart.
PATH_WIDTH, PATH_HEIGHT = 1000, 100
MOST_POINTS = 360
# Percent of a lane below which no word fits, however wide the lane is drawn.
SPOKEN_WIDTH = 0.8


class Span(NamedTuple):
    """A stretch of time of one kind: a label, or a face status."""

    start: float
    end: float
    kind: str
    score: float = 1.0


class Cell(NamedTuple):
    """A coloured stretch of a lane: `x` and `width` in percent, what it stands for, and what it says when asked."""

    x: str
    width: str
    kind: str
    title: str

    @property
    def is_wide(self) -> bool:
        """Whether a word may fit into it."""
        return float(self.width) >= SPOKEN_WIDTH


class Tick(NamedTuple):
    """A mark of the axis: `x` in percent; `is_wide` if it only fits a widened chart."""

    x: str
    text: str
    is_wide: bool


def _percent(time: float, duration: float) -> str:
    return f"{100 * min(max(time / duration, 0), 1):.2f}".rstrip("0").rstrip(".")


def join_equal(spans: Sequence[Span]) -> list[Span]:
    """Touching spans of one kind as one, with their mean score."""
    joined: list[Span] = []
    for span in spans:
        before = joined[-1] if joined else None
        if before and before.kind == span.kind and abs(before.end - span.start) < 1e-6:
            length = span.end - before.start
            total = before.score * (before.end - before.start) + span.score * (span.end - span.start)
            joined[-1] = Span(before.start, span.end, span.kind, total / length if length else span.score)
        else:
            joined.append(span)
    return joined


def coarsen(spans: Sequence[Span], duration: float, limit: int) -> list[Span]:
    """At most `limit` spans: of each of as many equal parts of the recording the kind that fills most of it."""
    if len(spans) <= limit:
        return list(spans)
    bounds = np.linspace(0, duration, limit + 1)
    starts, ends = (np.array([getattr(span, side) for span in spans]) for side in ("start", "end"))
    coarse = []
    for low, high in itertools.pairwise(bounds):
        first, stop = np.searchsorted(ends, low, side="right"), np.searchsorted(starts, high, side="left")
        seconds: Counter[str] = Counter()
        scores: Counter[str] = Counter()
        for span in spans[first:stop]:
            shared = min(span.end, high) - max(span.start, low)
            seconds[span.kind] += shared
            scores[span.kind] += shared * span.score
        if seconds and (kind := max(seconds, key=seconds.__getitem__)) and seconds[kind] > 0:
            coarse.append(Span(float(low), float(high), kind, scores[kind] / seconds[kind]))
    return join_equal(coarse)


def draw_lane(segments: Sequence[TimelineSegment], duration: float, limit: int) -> list[Cell]:
    """The labels of a person over time, in at most `limit` cells."""
    spans = [Span(segment.start, segment.end, segment.label, segment.score) for segment in segments]
    shown = coarsen(spans, duration, limit)
    often = "mostly " if len(shown) < len(spans) else ""
    return [_draw_cell(span, duration, f"{often}{span.kind} {show_percent(span.score)}") for span in shown]


def _draw_cell(span: Span, duration: float, text: str) -> Cell:
    """A span where it lies, with what it says and from when to when."""
    times = f"{show_clock(span.start)}–{show_clock(span.end)}"
    return Cell(
        _percent(span.start, duration), _percent(span.end - span.start, duration), span.kind, f"{text}, {times}"
    )


def draw_blanks(spans: Sequence[Span], duration: float, limit: int) -> list[Cell]:
    """The stretches in which the recording shows no picture, in at most `limit` cells."""
    return [_draw_cell(span, duration, "no picture") for span in coarsen(spans, duration, limit)]


def mean_score(windows: Sequence[TimelineWindow]) -> float:
    """The mean score of windows that have a picture."""
    return fmean(window.score for window in windows if window.score is not None)


def part_at_absences(windows: Sequence[TimelineWindow]) -> list[list[TimelineWindow]]:
    """A person's windows, parted where the person was away."""
    parts = itertools.groupby(enumerate(windows), key=lambda item: item[1].window - item[0])
    return [[window for _, window in part] for _, part in parts]


def list_face_spans(windows: Sequence[TimelineWindow]) -> list[Span]:
    """A person's face status over time; a window owns the time up to the middle between it and the next one."""
    spans = []
    for stretch in part_at_absences(windows):
        centres = [(window.start + window.end) / 2 for window in stretch]
        middles = [(before + after) / 2 for before, after in itertools.pairwise(centres)]
        bounds = itertools.pairwise([stretch[0].start, *middles, stretch[-1].end])
        spans += [Span(start, end, window.face_status) for (start, end), window in zip(bounds, stretch, strict=True)]
    return join_equal(spans)


def draw_missing_faces(windows: Sequence[TimelineWindow], duration: float) -> str:
    """A path of strokes, `PATH_WIDTH` long, where no face of the person was seen."""
    path = ""
    for span in list_face_spans(windows):
        start, end = (round(PATH_WIDTH * time / duration) for time in (span.start, span.end))
        if span.kind == NO_FACE and end > start:
            path += f"M{start} 0h{end - start}"
    return path


def draw_confidence(windows: Sequence[TimelineWindow], duration: float) -> str:
    """The area under a person's scores, `PATH_WIDTH` by `PATH_HEIGHT`, 1 at the top; about `MOST_POINTS` means of
    them, with gaps where the person was away."""
    step = -(-len(windows) // MOST_POINTS)
    path = ""
    for stretch in part_at_absences(windows):
        points = []
        for place in range(0, len(stretch), step):
            part = stretch[place : place + step]
            points.append(((part[0].start + part[-1].end) / 2, mean_score(part)))
        # The first and last window speak for their outer halves, too.
        points = [(stretch[0].start, points[0][1]), *points, (stretch[-1].end, points[-1][1])]
        drawn = [(round(PATH_WIDTH * time / duration), round(PATH_HEIGHT * (1 - score))) for time, score in points]
        moves = " ".join(f"{after[0] - old[0]} {after[1] - old[1]}" for old, after in itertools.pairwise(drawn))
        path += f"M{drawn[0][0]} {PATH_HEIGHT}V{drawn[0][1]}l{moves}V{PATH_HEIGHT}z"
    return path


def place_ticks(duration: float) -> list[Tick]:
    """Ticks at round times: a few, and more for a widened chart."""
    few, many = (
        next((step for step in TICK_STEPS if duration / step <= count), duration) for count in (FEW_TICKS, MANY_TICKS)
    )
    coarse = {round(few * place, 1) for place in range(int(duration / few) + 1)}
    fine = {round(many * place, 1) for place in range(int(duration / many) + 1)}
    show = show_clock if many >= 1 else lambda time: f"{time:.1f} s"
    return [Tick(_percent(time, duration), show(time), time not in coarse) for time in sorted(coarse | fine)]
