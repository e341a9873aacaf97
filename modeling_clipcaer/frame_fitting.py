"""Frames of a video as they are shown: square pixels, upright, and all of one size."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorTrc, Interpolation, VideoReformatter

from .scene_cuts import CELLS


if TYPE_CHECKING:
    import torch


# Without these flags the chroma of 4:2:0 video is repeated, not interpolated: up to 31 levels off, now at most 3.
INTERPOLATION = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
# Of a pixel, width over height. Beyond, it is a mistake in the header.
LARGEST_PIXEL_ASPECT = 4
# Sizes that a note names.
MOST_NAMED = 4
# How frames are told whose brightness is not that of usual screens.
HDR = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}

Size = tuple[int, int]


class FrameFitter:
    """Turns decoded frames into tensors of one size: pixels made square, upright, enlarged or shrunk to fit, on black
    where a frame's shape is another.

    Args:
        pixel_aspect (`float`): width of a pixel over its height, as it lies in the file.
        size (`tuple[int, int]`, *optional*): width and height; by default the first frame's own.
    """

    def __init__(self, pixel_aspect: float = 1.0, size: Size | None = None):
        self.pixel_aspect, self.size = pixel_aspect, size
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> torch.Tensor:
        """A frame as uint8 (3, height, width), RGB."""
        width, height = self.upright_size(frame)
        self.size = self.size or (width, height)
        fitted = fit_size((width, height), self.size)
        # Keep: FFmpeg's libraries leave the rotation of a phone's video to the player.
        turns = _quarter_turns(frame)
        stored = fitted[::-1] if turns % 2 else fitted
        pixels = self._reformatter.reformat(
            frame, width=stored[0], height=stored[1], format="rgb24", interpolation=INTERPOLATION
        ).to_ndarray()
        return put_on_canvas(_turn(pixels, turns), self.size)

    def make_thumbnail(self, frame: av.VideoFrame) -> np.ndarray:
        """A frame as it is shown, as a picture of the size that cuts are looked for in, uint8 (rows, columns, 3)."""
        turns = _quarter_turns(frame)
        own = self.upright_size(frame)
        canvas = self.size or own
        # Keep: on the same black as the frame. Boxes would else be looked up in other cells than theirs.
        part = [
            max(round(cells * side / whole), 1)
            for cells, side, whole in zip(CELLS[::-1], fit_size(own, canvas), canvas, strict=True)
        ]
        columns, rows = part[::-1] if turns % 2 else part
        small = self._reformatter.reformat(
            frame, width=columns, height=rows, format="rgb24", interpolation=Interpolation.AREA
        )
        return put_on_canvas(_turn(small.to_ndarray(), turns), CELLS[::-1]).permute(1, 2, 0).numpy()

    def upright_size(self, frame: av.VideoFrame) -> Size:
        """Width and height of a frame by itself, upright, in square pixels."""
        width, height = max(round(frame.width * self.pixel_aspect), 1), frame.height
        return (height, width) if _quarter_turns(frame) % 2 else (width, height)


class FrameLooks:
    """What the frames of a video look like, as far as they are looked through."""

    def __init__(self, fitter: FrameFitter):
        self._fitter = fitter
        self.sizes: dict[Size, None] = {}  # in order of appearance
        self.transfers: set[str] = set()
        self.aspects: dict[Fraction, None] = {}

    def add(self, frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> None:
        """Take a look at a frame, and at what the decoder says of the shape of its pixels."""
        if pixel_aspect:
            self.aspects[pixel_aspect] = None
        self.sizes[self._fitter.upright_size(frame)] = None
        if frame.color_trc in HDR:
            self.transfers.add(HDR[frame.color_trc])

    def describe(self) -> list[str]:
        """What a reader must know, a sentence each."""
        shown = "and are taken as they are, paler than a player shows them"
        hdr = [f"its pictures are HDR ({transfer}) {shown}" for transfer in sorted(self.transfers)]
        aspects = ", ".join(f"{aspect.numerator}:{aspect.denominator}" for aspect in self.aspects)
        shapes = [f"the shape of its pixels changes ({aspects}): all of it is shown in that of the header"]
        return describe_sizes(self.sizes) + hdr + (shapes if len(self.aspects) > 1 else [])


def find_pixel_aspect(stream: av.VideoStream) -> float:
    """Width over height of a pixel; 1 where the header says nothing, or what cannot be."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 1 / LARGEST_PIXEL_ASPECT <= aspect <= LARGEST_PIXEL_ASPECT else 1.0


def _quarter_turns(frame: av.VideoFrame) -> int:
    return round(frame.rotation / 90)


def _turn(pixels: np.ndarray, turns: int) -> torch.Tensor:
    """`pixels` (height, width, 3) by so many quarter turns, as (3, height, width)."""
    import torch  # Keep: here. Whoever asks for a video's times alone need not wait for it.

    return torch.from_numpy(pixels).rot90(turns).permute(2, 0, 1)


def largest_size(sizes: Iterable[Size]) -> Size:
    """Width and height of the largest of `sizes`."""
    return max(sizes, key=lambda size: (size[0] * size[1], size))


def fit_size(size: Size, canvas: Size) -> Size:
    """`size` enlarged or shrunk until it fills the width or the height of `canvas`; one that is the same stays."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def put_on_canvas(pixels: torch.Tensor, canvas: Size) -> torch.Tensor:
    """`pixels` (3, height, width) in the middle of a black picture; the same tensor where they fill it."""
    height, width = pixels.shape[-2:]
    if (width, height) == canvas:
        return pixels
    black = pixels.new_zeros((canvas[1], canvas[0], 3)).permute(2, 0, 1)
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    black[:, top : top + height, left : left + width] = pixels
    return black


def describe_sizes(sizes: Iterable[Size]) -> list[str]:
    """What a reader must know of pictures of several sizes, in no or one sentence."""
    distinct = [f"{width}x{height}" for width, height in dict.fromkeys(sizes)]
    named = ", ".join(distinct[:MOST_NAMED]) + (", ..." if len(distinct) > MOST_NAMED else "")
    changes = f"its picture changes its size ({named}): all of it is shown, and boxes are, in the largest"
    return [changes] if len(distinct) > 1 else []
