"""Who is who over time: boxes of faces joined into tracks by geometry alone, no identity features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import Box


# Keep: frames are some 0.6 s apart, in which a face moves by its own width, and bare faces no longer overlap. Of 8,156
# simulated sightings of eight seated people 551 changed their number with bare boxes, 43 with boxes grown threefold.
# Fourfold, people who walk fast keep theirs, but seated neighbours are taken for one another four times as often.
GROWTH = 3.0
# For so many seconds after a sighting a face keeps its motion; then it stands still, since people who are found again
# after long mostly sit where they sat.
MOVING = 2.0
# Keep: what a lost track must overlap more; else the neighbour who looks up takes the number of who looks down.
LOST_PENALTY = 0.3


@dataclass
class _FaceTrack:
    number: int
    box: np.ndarray  # (4,)
    time: float
    velocity: np.ndarray  # (2,) pixels a second, between the last two sightings
    steady: np.ndarray  # (2,) the part of it that the two sightings before had too

    def predict(self, time: float) -> np.ndarray:
        """Where the face should be, a box (4,)."""
        gap = time - self.time
        return self.box + np.tile(self.steady * gap, 2) if gap <= MOVING else self.box

    def see(self, time: float, box: np.ndarray) -> None:
        velocity = (_centre(box) - _centre(self.box)) / (time - self.time)
        # Keep: both steps must agree. With the last one alone whoever leans over is expected to fly on: 295 numbers
        # changed instead of 43. Without motion half of the people who walk past each other swap theirs.
        agree = velocity * self.velocity > 0
        slower = np.minimum(np.abs(velocity), np.abs(self.velocity))
        self.steady = np.where(agree, np.sign(velocity) * slower, 0.0)
        self.box, self.time, self.velocity = box, time, velocity


class FaceTracker:
    """Gives the boxes of sampled frames stable numbers: 1, 2, ... in order of appearance.

    Each frame's boxes are matched to the tracks at once, so that the overlaps sum to the most (Kuhn, 1955). Boxes are
    grown about their centres first, since frames are sparse in time; a track in motion is expected further on. Where a
    person leaves and another sits down at the same place within `max_gap`, they share a number: geometry cannot tell.

    Args:
        max_gap (`float`): seconds without a sighting after which a track is closed. It never comes back: a face at
            the same place is a new person.
        min_iou (`float`, *optional*, defaults to 0.1): overlap (intersection over union) of grown boxes from which
            they may be the same face. At 0.1 a face may have moved by 2.4 of its widths to the side.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, max_gap: float, min_iou: float = 0.1):
        if not (math.isfinite(max_gap) and max_gap > 0):
            raise InputError(f"`max_gap` must be a positive number of seconds, got {max_gap}")
        if not 0 < min_iou < 1:
            raise InputError(f"`min_iou` must lie between 0 and 1, got {min_iou}")
        self.max_gap, self.min_iou = max_gap, min_iou
        self._tracks: list[_FaceTrack] = []
        self._count = 0
        self._time = -math.inf

    def close(self, number: int | str) -> None:
        """Close the track `number`: whoever is seen there next is somebody new."""
        self._tracks = [track for track in self._tracks if track.number != number]

    def restart(self, number: int) -> int:
        """Begin a new track at the last box of track `number`, which ends before it; returns its number."""
        (track,) = (track for track in self._tracks if track.number == number)
        self._count += 1
        track.number, track.velocity, track.steady = self._count, np.zeros(2), np.zeros(2)
        return self._count

    def update(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """Number the boxes (left, top, right, bottom) of the frame at `time`, which is later than the one before.

        Returns:
            `list[int]`: the number of each box, in their order; no two are equal.

        Raises:
            InputError: time does not increase, or a box is not four finite numbers.
        """
        if not time > self._time:
            raise InputError(f"the tracker was at {self._time} s: expected a later frame, got one at {time} s")
        if any(len(box) != 4 or not all(map(math.isfinite, box)) for box in boxes):
            raise InputError(f"the frame at {time} s: expected boxes of four finite numbers, got {list(boxes)}")
        found, self._time = np.array(boxes, dtype=float).reshape(-1, 4), time
        self._tracks = [track for track in self._tracks if time - track.time <= self.max_gap]
        matched = self._match(time, found) if len(boxes) and self._tracks else {}
        return [self._number(time, box, matched.get(place)) for place, box in enumerate(found)]

    def _match(self, time: float, boxes: np.ndarray) -> dict[int, _FaceTrack]:
        """The track of each box that has one, by the box's place."""
        expected = np.stack([track.predict(time) for track in self._tracks])
        overlap = _iou(_grow(expected), _grow(boxes))
        overlap -= LOST_PENALTY * np.array([[time - track.time > MOVING] for track in self._tracks])
        allowed = overlap >= self.min_iou
        # Keep: one more for every allowed pair. As many faces as can be are matched before the overlaps are weighed.
        rows, columns = linear_sum_assignment(np.where(allowed, overlap + 1, 0), maximize=True)
        return {
            int(column): self._tracks[row] for row, column in zip(rows, columns, strict=True) if allowed[row, column]
        }

    def _number(self, time: float, box: np.ndarray, track: _FaceTrack | None) -> int:
        if track is None:
            self._count += 1
            track = _FaceTrack(self._count, box, time, np.zeros(2), np.zeros(2))
            self._tracks.append(track)
        else:
            track.see(time, box)
        return track.number


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[..., :2] + box[..., 2:]) / 2


def _grow(boxes: np.ndarray) -> np.ndarray:
    centre, half = _centre(boxes), (boxes[:, 2:] - boxes[:, :2]) * GROWTH / 2
    return np.hstack([centre - half, centre + half])


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every one of `boxes` (n, 4) with every one of `others` (m, 4): (n, m)."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    sides = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner
    shared = sides.clip(min=0).prod(axis=2)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    return shared / np.maximum(areas[:, None] + other_areas[None] - shared, 1e-9)
