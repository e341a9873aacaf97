"""What can be wrong with a clip: one table of corruptions, each a function at several strengths.

A corruption changes which frames of a clip are looked at, their pixels or the boxes on them, before the processor cuts
anything. What it draws depends on the seed, its name and the clip alone, and is the same at every strength: of two
strengths the greater is more of the same (after Hendrycks and Dietterich, 2019).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from modeling_clipcaer.data.boxes import Box, fill_face_boxes
from modeling_clipcaer.frames import FrameSource, sample_frame_indices


Draw = Callable[..., torch.Generator]  # the generator of a clip, or of what else is named


@dataclass(frozen=True)
class Look:
    """What of a clip is looked at.

    Args:
        frames: of the clip.
        face_boxes: left, top, right, bottom of each frame, `None` for the whole frame.
        body_boxes: the same of the body.
        indices: numbers of the frames that are looked at, in order, int64 of shape (num_frames,).
        streams: "both", "face" or "context".
    """

    frames: FrameSource
    face_boxes: Sequence[Box | None]
    body_boxes: Sequence[Box | None]
    indices: torch.Tensor
    streams: str = "both"


@dataclass(frozen=True)
class Corruption:
    """A row of the table.

    Args:
        name: what it is called.
        function: of a look, a strength and the clip's generators, to another look.
        strengths: weakest first.
        meaning: of a strength.
        needs_both: it takes a stream away, and of one alone nothing would be left.
    """

    name: str
    function: Callable[[Look, float, Draw], Look]
    strengths: tuple[float, ...]
    meaning: str
    needs_both: bool = False


class AlteredFrames:
    """Frames with other pixels.

    Args:
        frames: those that are altered.
        alter: of a frame, uint8 (3, height, width), and its number, to another frame.
    """

    def __init__(self, frames: FrameSource, alter: Callable[[torch.Tensor, int], torch.Tensor]):
        self.frames, self.alter = frames, alter

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices`, altered."""
        return (self.alter(frame, index) for frame, index in zip(self.frames.read(indices), indices, strict=True))


def leave(look: Look, strength: float, draw: Draw) -> Look:
    """The clip as it is."""
    return look


# Streams


def keep_one_stream(look: Look, strength: float, draw: Draw, stream: str) -> Look:
    """The other stream is not built, as with `--streams`: see [`keep_stream`]."""
    return replace(look, streams=stream)


# Which frames


def lose_frames(look: Look, strength: float, draw: Draw) -> Look:
    """That share of the clip's frames is lost; the last one before stands still in its place."""
    total = len(look.frames)
    kept = torch.rand(total, generator=draw()) >= strength
    kept[0] = True
    last_kept = torch.where(kept, torch.arange(total), 0).cummax(dim=0).values
    return replace(look, indices=last_kept[look.indices])


def keep_few_frames(look: Look, strength: float, draw: Draw) -> Look:
    """Of the frames looked at that many are left, evenly spaced, and repeated as those of a short clip are."""
    total = len(look.indices)
    few = min(int(strength), total)
    kept = look.indices[sample_frame_indices(total, few, "eval")]
    return replace(look, indices=kept[sample_frame_indices(few, total, "eval")])


def shuffle_frames(look: Look, strength: float, draw: Draw) -> Look:
    """That share of the frames looked at changes places among itself."""
    generator, total = draw(), len(look.indices)
    places = torch.randperm(total, generator=generator)[: round(strength * total)]
    indices = look.indices.clone()
    indices[places] = indices[places.roll(1)]
    return replace(look, indices=indices)


def reverse_frames(look: Look, strength: float, draw: Draw) -> Look:
    """The last share of the frames looked at is seen backwards."""
    first = len(look.indices) - round(strength * len(look.indices))
    return replace(look, indices=torch.cat([look.indices[:first], look.indices[first:].flip(0)]))


# Their pixels


def add_noise(look: Look, strength: float, draw: Draw) -> Look:
    """Gaussian noise of that deviation, in levels of 255, on every pixel and channel."""

    def alter(frame: torch.Tensor, index: int) -> torch.Tensor:
        noise = torch.randn(frame.shape, generator=draw(index))
        return (frame + strength * noise).round_().clamp_(0, 255).to(torch.uint8)

    return replace(look, frames=AlteredFrames(look.frames, alter))


def blur(look: Look, strength: float, draw: Draw) -> Look:
    """Gaussian blur whose deviation is that percentage of a frame's height."""

    def alter(frame: torch.Tensor, index: int) -> torch.Tensor:
        radius = strength / 100 * frame.shape[1]
        return _from_picture(_to_picture(frame).filter(ImageFilter.GaussianBlur(radius)))

    return replace(look, frames=AlteredFrames(look.frames, alter))


def darken(look: Look, strength: float, draw: Draw) -> Look:
    """That share of every pixel's level is gone; what is left is rounded to whole levels, as a camera does."""

    def alter(frame: torch.Tensor, index: int) -> torch.Tensor:
        return (frame * (1 - strength)).round_().to(torch.uint8)

    return replace(look, frames=AlteredFrames(look.frames, alter))


def compress(look: Look, strength: float, draw: Draw) -> Look:
    """Each frame goes through JPEG of that quality, with the colours at half the size."""

    def alter(frame: torch.Tensor, index: int) -> torch.Tensor:
        file = BytesIO()
        _to_picture(frame).save(file, "JPEG", quality=int(strength), subsampling="4:2:0")
        return _from_picture(Image.open(file))

    return replace(look, frames=AlteredFrames(look.frames, alter))


def _to_picture(frame: torch.Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()))


def _from_picture(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


# The boxes on them


def shift_boxes(look: Look, strength: float, draw: Draw, boxes: str) -> Look:
    """The boxes of a clip lie off by that share of their width and height, in one direction that is drawn."""
    angle = 2 * np.pi * float(torch.rand((), generator=draw(), dtype=torch.float64))
    across, down = strength * np.cos(angle), strength * np.sin(angle)

    def move(left: float, top: float, right: float, bottom: float) -> Box:
        x, y = across * (right - left), down * (bottom - top)
        return left + x, top + y, right + x, bottom + y

    return _change_boxes(look, boxes, move)


def scale_boxes(look: Look, strength: float, draw: Draw, boxes: str) -> Look:
    """The boxes have that many times their width and height, about their middle."""

    def grow(left: float, top: float, right: float, bottom: float) -> Box:
        x, y = (strength - 1) / 2 * (right - left), (strength - 1) / 2 * (bottom - top)
        return left - x, top - y, right + x, bottom + y

    return _change_boxes(look, boxes, grow)


def miss_boxes(look: Look, strength: float, draw: Draw, boxes: str) -> Look:
    """That share of the frames has no such box. A face box is then found as the build finds it: from the frames beside
    it, of a clip without any from the body; without a body box the whole frame is shown."""
    found = torch.rand(len(look.frames), generator=draw()) >= strength
    left = [box if is_found else None for box, is_found in zip(getattr(look, boxes), found.tolist(), strict=True)]
    return _with_boxes(look, boxes, fill_face_boxes(left, list(look.body_boxes))[0] if boxes == "face_boxes" else left)


def _change_boxes(look: Look, boxes: str, change: Callable[..., Box]) -> Look:
    """The boxes on the frames looked at, changed, and moved in where they would lie outside the frame."""
    changed: dict[int, Box | None] = dict(enumerate(getattr(look, boxes)))
    looked_at = look.indices.unique().tolist()
    for index, frame in zip(looked_at, look.frames.read(looked_at), strict=True):
        if (box := changed[index]) is None:
            continue
        left, top, right, bottom = change(*box)
        x, y = (
            min(max(0, 1 - high), size - 1 - low) if high < 1 or low > size - 1 else 0
            for low, high, size in ((left, right, frame.shape[2]), (top, bottom, frame.shape[1]))
        )
        changed[index] = (left + x, top + y, right + x, bottom + y)
    return _with_boxes(look, boxes, list(changed.values()))


def _with_boxes(look: Look, boxes: str, changed: list[Box | None]) -> Look:
    return replace(look, face_boxes=changed) if boxes == "face_boxes" else replace(look, body_boxes=changed)


FACE: Any = {"boxes": "face_boxes"}
BODY: Any = {"boxes": "body_boxes"}
UNTOUCHED = Corruption("untouched", leave, (0,), "as the clips are")
CORRUPTIONS = (
    Corruption("face removed", partial(keep_one_stream, stream="context"), (1,), "the context answers alone", True),
    Corruption("context removed", partial(keep_one_stream, stream="face"), (1,), "the face answers alone", True),
    Corruption("frames lost", lose_frames, (0.25, 0.5, 0.75, 0.9), "share of frames that show the one before"),
    Corruption("fewer frames", keep_few_frames, (4, 2, 1), "frames left, repeated"),
    Corruption("frames shuffled", shuffle_frames, (0.25, 0.5, 1), "share of frames that change places"),
    Corruption("frames reversed", reverse_frames, (0.5, 1), "share of frames seen backwards"),
    Corruption("noise", add_noise, (10, 25, 50, 100), "deviation in levels of 255"),
    Corruption("blur", blur, (0.5, 1, 2, 4), "deviation in % of the frame's height"),
    Corruption("darkness", darken, (0.5, 0.75, 0.9, 0.97), "share of the light that is missing"),
    Corruption("JPEG", compress, (30, 10, 5, 1), "quality"),
    Corruption("face box shifted", partial(shift_boxes, **FACE), (0.1, 0.25, 0.5, 1), "share of its sides"),
    Corruption("face box too small", partial(scale_boxes, **FACE), (0.75, 0.5, 0.25), "times its sides"),
    Corruption("face box too large", partial(scale_boxes, **FACE), (1.5, 2, 4), "times its sides"),
    Corruption("face box missing", partial(miss_boxes, **FACE), (0.33, 0.67, 1), "share of frames"),
    Corruption("body box shifted", partial(shift_boxes, **BODY), (0.1, 0.25, 0.5, 1), "share of its sides"),
    Corruption("body box too small", partial(scale_boxes, **BODY), (0.75, 0.5, 0.25), "times its sides"),
    Corruption("body box too large", partial(scale_boxes, **BODY), (1.5, 2, 4), "times its sides"),
    Corruption("body box missing", partial(miss_boxes, **BODY), (0.33, 0.67, 1), "share of frames"),
)
