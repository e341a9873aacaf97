"""Places of faces between the frames in which they were looked for."""

from collections.abc import Sequence

import numpy as np

from modeling_clipcaer.faces.boxes import Box
from modeling_clipcaer.recordings.timeline import FaceSighting


# Seconds between two frames in which faces were looked for, where one alone shows any.
LONE_STEP = 1.0
# A face is hidden this long before it was first seen and after it was last seen: it may have been there unseen.
HIDDEN_STEPS = 2.0
HIDDEN_SECONDS = 1.0
# Keep: frames are sampled in the middle of a step, so that a recording begins half a step before the first sighting.
ROUNDING = 0.001


class FacePath:
    """A person's face over time.

    Args:
        sightings (sequence of `FaceSighting`): of one person, in order of time.
        step (`float`): seconds between two frames in which faces were looked for.
    """

    def __init__(self, sightings: Sequence[FaceSighting], step: float):
        self.times = np.array([sighting.time for sighting in sightings])
        self.boxes = np.array([sighting.box for sighting in sightings], dtype=float)
        self.found = [sighting.status in ("detected", "supplied") for sighting in sightings]
        self.step = step

    def box_at(self, time: float) -> Box | None:
        """The box at `time`, on the straight line between the sightings around it; None before and after them."""
        hold = self.step / 2 + ROUNDING
        if not self.times[0] - hold <= time <= self.times[-1] + hold:
            return None
        left, top, right, bottom = (float(np.interp(time, self.times, side)) for side in self.boxes.T)
        return left, top, right, bottom

    def is_found_at(self, time: float) -> bool:
        """Whether a face was found about `time`, and not carried over a gap."""
        around = self._around(time)
        nearest = min(around, key=lambda place: abs(self.times[place] - time))
        return self.found[nearest] and bool(abs(self.times[nearest] - time) <= self.step)

    def boxes_to_hide(self, time: float) -> np.ndarray:
        """The places between which the face is at `time`, (0, 1 or 2, 4): the sightings around it; before the first
        and after the last one, that one and where the face would be if it moved as it did beside it."""
        first, last = self.times[0], self.times[-1]
        hold = max(HIDDEN_SECONDS, HIDDEN_STEPS * self.step)
        if not first - hold <= time <= last + hold:
            return self.boxes[:0]
        if first <= time <= last or len(self.times) == 1:
            return self.boxes[self._around(time)]
        edge, inner = (0, 1) if time < first else (-1, -2)
        share = (time - self.times[edge]) / (self.times[edge] - self.times[inner])
        return self.boxes[edge] + np.outer((0, share), self.boxes[edge] - self.boxes[inner])

    def _around(self, time: float) -> list[int]:
        after = int(np.searchsorted(self.times, time, side="right"))
        return [place for place in (after - 1, after) if 0 <= place < len(self.times)]


def follow_faces(sightings: Sequence[FaceSighting]) -> dict[str, FacePath]:
    """The path of every person who was seen."""
    times = np.unique([sighting.time for sighting in sightings])
    step = float(np.median(np.diff(times))) if len(times) > 1 else LONE_STEP
    persons = dict.fromkeys(sighting.person for sighting in sightings)
    return {name: FacePath([seen for seen in sightings if seen.person == name], step) for name in persons}
