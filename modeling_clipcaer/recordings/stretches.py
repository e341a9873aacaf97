"""What a recording shows, and when: the stretches in which there is a picture."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple, Protocol

import numpy as np
import torch

from modeling_clipcaer.recordings.windows import Grid


# Containers round times to milliseconds: a frame that is due at 0.04 may be stamped 0.0404.
ROUNDING = 1e-3
# How many times as long as usual a frame stands where the rate is so low that it stands for long anyway, and the
# seconds after which it does not stand any more at the lowest rate.
SLOW = 3
LONGEST = 10.0


class Shown(NamedTuple):
    """What a recording shows at `time`: frame `number`, uint8 (3, height, width), RGB, upright, and the cells that
    were cut since the time before, a map as of [`~scene_cuts.find_cuts`]."""

    time: float
    number: int
    frame: torch.Tensor
    cuts: np.ndarray | None = None


class Stretch(NamedTuple):
    """A part of a recording with a picture at every moment, from `start` to `end` seconds (`None` while it is being
    recorded): its grid, and what it shows at the grid's times, to be gone through before the next stretch. `is_last`
    says that nothing with a picture follows, as far as that is known."""

    start: float
    end: float | None
    grid: Grid
    shown: Iterator[Shown]
    is_last: bool = False


class Recording(Protocol):
    """Frames in time.

    Attributes:
        name: how the recording was named.
        duration: seconds, `None` while it is being recorded.
        notes: what a reader must know, one sentence each; complete once the frames have been read.
        watches_cuts: whether what is shown tells cuts, which takes a look at every frame of a video.
        face_boxes: boxes known beforehand, by person: one for all frames, or one or `None` (unseen) for each.
        body_boxes: boxes of the context, by person; of "room" for everybody else.
    """

    name: str
    notes: list[str]
    watches_cuts: bool
    face_boxes: dict[str, Sequence[Sequence[float] | None]]
    body_boxes: dict[str, Sequence[float]]

    @property
    def duration(self) -> float | None:
        """Seconds until the end of the last frame; `None` while it is being recorded."""

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """The frame shown at each of `times` (increasing): the last one not after it, or the first. Each frame is
        decoded once and stays the same tensor while it is shown. Ends where frames cannot be read, with a note."""

    def stretches(self, plan: Callable[[float | None], Grid], hold: float) -> Iterator[Stretch]:
        """The parts of the recording that have a picture. What lies between them, before the first or after the last
        one has none.

        Args:
            plan: the grid of a stretch of so many seconds.
            hold: seconds for which a frame may stand still and still be what is seen.
        """


def find_stretches(seconds: Sequence[float], duration: float, hold: float) -> list[tuple[float, float]]:
    """From when to when there is a picture.

    Args:
        seconds: the time of each frame, not decreasing.
        duration: seconds until the end of the recording.
        hold: no picture stands for longer, unless the recording has hardly a frame in that time.
    """
    seconds = [second for second in seconds if second < duration]
    if not seconds:
        return []
    steps = [after - before for before, after in itertools.pairwise(seconds) if after > before]
    # Keep: two frames far apart have no rate.
    usual = median(steps) if len(steps) > 1 else min([*steps, hold / SLOW])
    longest = max(hold, min(SLOW * usual, LONGEST))
    step = min(usual, longest)
    starts = [0.0 if seconds[0] <= longest else seconds[0]]
    ends = []
    for before, after in itertools.pairwise(seconds):
        if after - before > longest:
            ends.append(before + step)
            starts.append(after)
    last = seconds[-1] + step
    ends.append(last if duration - last > longest else duration)
    return list(zip(starts, ends, strict=True))
