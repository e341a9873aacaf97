"""The arithmetic of timelines: one grid of sampled times, windows on it, smoothing, hysteresis, segments."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from modeling_clipcaer.recordings.timeline import NO_PICTURE, UNCERTAIN, Timeline, TimelineSegment, TimelineWindow


@dataclass(frozen=True)
class Grid:
    """The sampled times of a stretch of a recording, and its windows on them.

    Attributes:
        step (`float`): seconds between two sampled times; each lies in the middle of its step.
        places (`int`): sampled times of a window.
        stride (`int`): sampled times from the start of one window to that of the next.
        window (`float`): seconds of a window.
    """

    step: float
    places: int
    stride: int
    window: float

    def times(self, length: float | None = None) -> Iterator[float]:
        """The sampled times, in seconds from the start of the stretch, up to its end where that is known."""
        for place in itertools.count():
            time = (place + 0.5) * self.step
            # Keep: the tolerance. A length of whole steps must not gain or lose a time to rounding.
            if length is not None and time > length - 1e-6 * self.step:
                return
            yield time

    def starts(self, total: int) -> list[int]:
        """Places at which the windows of `total` sampled times start.

        Where they leave times at the end, one last window ends with them. Fewer times than a window's are one window.
        """
        if total <= self.places:
            return [0] if total else []
        starts = list(range(0, total - self.places + 1, self.stride))
        return starts if starts[-1] + self.places == total else [*starts, total - self.places]

    def covered(self, total: int, length: float | None = None) -> float:
        """Where `total` sampled times end: with the stretch, unless they stop more than a time before."""
        covered = total * self.step
        return length if length is not None and length <= covered + 0.51 * self.step else covered


def plan_grid(window: float, stride: float, num_frames: int, length: float | None = None) -> Grid:
    """Sampled times of which a window holds at least `num_frames`, such that windows start at whole strides.

    Args:
        window, stride: seconds.
        num_frames: frames that a window is answered from.
        length: seconds of the stretch; a shorter one than a window is one window. `None` while it is recorded.
    """
    if length is not None and length <= window:
        return Grid(length / num_frames, num_frames, num_frames, length)
    # Keep: the tolerance. 5 / 0.625 must not become 9 steps.
    steps = math.ceil(stride * num_frames / window - 1e-6)
    step = stride / steps
    return Grid(step, math.ceil(window / step - 0.5 - 1e-6), steps, window)


def smooth(probabilities: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` (odd) neighbouring windows of probabilities (num_windows, num_labels); at both ends over those
    that there are, so that every row still sums to 1."""
    half, total = width // 2, len(probabilities)
    rows = [probabilities[max(place - half, 0) : place + half + 1].mean(axis=0) for place in range(total)]
    return np.array(rows).reshape(probabilities.shape)


def hold_labels(probabilities: np.ndarray, hysteresis: float) -> list[int]:
    """The label of each row of probabilities (num_windows, num_labels): the one before, until another leads it by
    `hysteresis`. Without hysteresis the likeliest."""
    labels: list[int] = []
    for row in probabilities:
        best = int(row.argmax())
        current = labels[-1] if labels else best
        lead = row[best] - row[current]
        labels.append(best if lead > 0 and lead >= hysteresis else current)
    return labels


def build_segments(
    windows: Sequence[TimelineWindow], smoothing: int = 3, hysteresis: float = 0.1, threshold: float = 0.0
) -> list[TimelineSegment]:
    """Segments of the windows of one recording, in order of time, of each person and of the room.

    A person's windows are smoothed where they follow each other; a window of the person's absence parts them. Each
    owns the time around its centre, up to the middle between neighbouring centres; equal neighbours join. Below
    `threshold`, and where a window says that nothing is known, the label is "uncertain". Stretches without a picture
    have no segment.
    """
    by_person: dict[str, list[TimelineWindow]] = {}
    for window in windows:
        if window.face_status != NO_PICTURE:
            by_person.setdefault(window.person, []).append(window)
    segments = [
        segment
        for rows in by_person.values()
        for stretch, start, end in _bounded(list(_stretches(rows)))
        for segment in _join(stretch, start, end, smoothing, hysteresis, threshold)
    ]
    return sorted(segments, key=lambda segment: segment.start)


def set_threshold(timeline: Timeline, threshold: float) -> Timeline:
    """The timeline that an analysis with this threshold makes of a recording. `timeline`, which was analysed without a
    threshold, stays as it is."""
    windows = [
        replace(row, label=UNCERTAIN) if row.score is not None and row.score < threshold else row
        for row in timeline.windows
    ]
    settings = timeline.settings | {"threshold": threshold}
    segments = build_segments(windows, settings["smoothing"], settings["hysteresis"], threshold)
    return replace(timeline, windows=windows, segments=segments, settings=settings)


def _stretches(rows: Sequence[TimelineWindow]) -> Iterator[list[TimelineWindow]]:
    """Runs of windows that follow each other."""
    stretch = [rows[0]]
    for row in rows[1:]:
        if row.window != stretch[-1].window + 1:
            yield stretch
            stretch = []
        stretch.append(row)
    yield stretch


def _centre(row: TimelineWindow) -> float:
    return (row.start + row.end) / 2


def _bounded(stretches: Sequence[list[TimelineWindow]]) -> Iterator[tuple[list[TimelineWindow], float, float]]:
    """Each stretch with the time that is its own: the one before it may end after it has begun."""
    bounds = [(stretch[0].start, stretch[-1].end) for stretch in stretches]
    for place, (before, after) in enumerate(itertools.pairwise(stretches)):
        if before[-1].end > after[0].start:
            middle = (_centre(before[-1]) + _centre(after[0])) / 2
            bounds[place], bounds[place + 1] = (bounds[place][0], middle), (middle, bounds[place + 1][1])
    for stretch, (start, end) in zip(stretches, bounds, strict=True):
        yield stretch, start, end


def _join(
    rows: Sequence[TimelineWindow], start: float, end: float, smoothing: int, hysteresis: float, threshold: float
) -> Iterator[TimelineSegment]:
    names = list(rows[0].probabilities)
    smoothed = smooth(np.array([[row.probabilities[name] for name in names] for row in rows]), smoothing)
    held = hold_labels(smoothed, hysteresis)
    scores = smoothed[np.arange(len(rows)), held]
    # Keep: a window of which nothing is known is uncertain at any score. Its neighbours' label is not to be taken.
    unknown = np.array([row.label == UNCERTAIN and (row.score or 0.0) >= threshold for row in rows])
    labels = np.where(unknown | (scores < threshold), UNCERTAIN, np.array(names, dtype=object)[held]).tolist()
    middles = [(before + after) / 2 for before, after in itertools.pairwise(map(_centre, rows))]
    bounds = [start, *middles, end]
    for label, run in itertools.groupby(range(len(rows)), key=labels.__getitem__):
        places = list(run)
        yield TimelineSegment(
            source=rows[0].source,
            person=rows[0].person,
            start=bounds[places[0]],
            end=bounds[places[-1] + 1],
            label=label,
            score=float(scores[places].mean()),
            num_windows=len(places),
        )
