"""Frames of different sizes as a recording shows them: all in its largest size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_fitting import Size, fit_size, largest_size, put_on_canvas
from modeling_clipcaer.frames import FrameSource, ImageFrames, ListedFrames
from modeling_clipcaer.image_files import read_image_size
from modeling_clipcaer.pixels import resize
from modeling_clipcaer.scene_cuts import CELLS


class FittedFrames:
    """The frames of `source`, each enlarged to the largest of `sizes`, on black where its shape is another.

    Args:
        source: the frames.
        sizes: width and height of each.
    """

    def __init__(self, source: FrameSource, sizes: Sequence[Size]):
        self.source, self.sizes = source, sizes
        self.size = largest_size(sizes)

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices`."""
        for frame in self.source.read(indices):
            width, height = fit_size((frame.shape[2], frame.shape[1]), self.size)
            yield put_on_canvas(resize(frame[None], height, width, "bicubic")[0], self.size)

    def fit_boxes(self, boxes: Sequence[Sequence[float] | None]) -> list[list[float] | None]:
        """Boxes, one for each frame in pixels of its own, in pixels of the largest size."""
        return [self._fit_box(box, size) for box, size in zip(boxes, self.sizes, strict=True)]

    def _fit_box(self, box: Sequence[float] | None, size: Size) -> list[float] | None:
        if box is None or len(box) != 4:
            return box if box is None else list(box)
        fitted = fit_size(size, self.size)
        margins = [(whole - part) // 2 for whole, part in zip(self.size, fitted, strict=True)]
        return [float(side) * fitted[axis % 2] / size[axis % 2] + margins[axis % 2] for axis, side in enumerate(box)]


def find_sizes(source: FrameSource) -> list[Size]:
    """Width and height of each frame of pictures that lie there one by one; of others, which share one, nothing.

    Pictures whose header cannot be read are left to whoever reads them.
    """
    if not isinstance(source, ImageFrames | ListedFrames):
        return []
    sizes = [_read_size(frame) for frame in (source.images if isinstance(source, ImageFrames) else source.frames)]
    known = [size for size in sizes if size is not None]
    return [size or known[0] for size in sizes] if known else []


def make_thumbnail(frame: torch.Tensor) -> np.ndarray:
    """A frame (3, height, width) as a picture of the size that cuts are looked for in, (rows, columns, 3)."""
    return resize(frame[None], *CELLS, "bilinear")[0].permute(1, 2, 0).numpy()


def _read_size(frame: str | Path | bytes | Image.Image | np.ndarray | torch.Tensor) -> Size | None:
    if isinstance(frame, np.ndarray | torch.Tensor):
        height, width = frame.shape[1:] if frame.shape[0] == 3 else frame.shape[:2]
        return width, height
    try:
        return read_image_size(frame)
    except InputError:
        return None
