"""From frames to squares of pixels: crop, resize, letterbox, augment. Pixels stay uint8 from end to end."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .errors import InputError


Box = Sequence[float]


def crop_box(frames: torch.Tensor, box: Box | None) -> torch.Tensor:
    """Cut `box` out of `frames`; a view, nothing is copied.

    Args:
        frames (`torch.Tensor` of shape `(..., height, width)`).
        box (`Sequence[float]`, *optional*): left, top, right, bottom in pixels, corners in any order, clamped to the
            frame; fractions are truncated. `None` or an empty sequence is the whole frame.

    Raises:
        InputError: the box is not four finite numbers, has no area, or lies wholly outside the frame.
    """
    return crop_face(frames, box, margin=0)


def crop_face(frames: torch.Tensor, box: Box | None, margin: float) -> torch.Tensor:
    """Cut `box`, grown by `margin` pixels on every side, out of `frames`; otherwise as [`crop_box`]."""
    if box is None or len(box) == 0:
        return frames
    height, width = frames.shape[-2:]
    left, top, right, bottom = _sorted_corners(box, height, width)
    left, top = max(int(left - margin), 0), max(int(top - margin), 0)
    # Keep: at least one pixel; a box of a fraction of a pixel without margin truncates to nothing.
    right, bottom = max(min(int(right + margin), width), left + 1), max(min(int(bottom + margin), height), top + 1)
    return frames[..., top:bottom, left:right]


def _sorted_corners(box: Box, height: int, width: int) -> tuple[float, float, float, float]:
    shown = f"box {[round(float(number), 2) for number in box]} in a frame of {width}x{height} pixels"
    if len(box) != 4 or not all(math.isfinite(number) for number in box):
        raise InputError(f"{shown}: expected four finite numbers (left, top, right, bottom)")
    left, right = sorted((float(box[0]), float(box[2])))
    top, bottom = sorted((float(box[1]), float(box[3])))
    if left == right or top == bottom:
        raise InputError(f"{shown}: expected a box with an area")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise InputError(f"{shown}: expected a box that overlaps the frame")
    return left, top, right, bottom


def resize(frames: torch.Tensor, height: int, width: int, resample: str) -> torch.Tensor:
    """Resize uint8 `frames` (num_frames, 3, *, *) to (num_frames, 3, height, width) as Pillow would, within one level.

    `resample` is "bicubic" or "bilinear", both antialiased.
    """
    # Keep: channels_last takes torch's uint8 path for interleaved pixels, some six times faster, and a decoded frame
    # already lies that way; float input would round differently from Pillow.
    frames = frames.contiguous(memory_format=torch.channels_last)
    return F.interpolate(frames, (height, width), mode=resample, antialias=True, align_corners=False)


def _resize_as_opencv(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear resize that reads two pixels a side however much it shrinks and rounds halves up, as OpenCV's does."""
    # Keep: float pixels; torch's uint8 path without antialias is one level too bright in a third of the pixels.
    pixels = F.interpolate(frames.float(), (height, width), mode="bilinear", align_corners=False)
    return pixels.add_(0.5).to(torch.uint8)


def resize_to_square(frames: torch.Tensor, size: int, resample: str) -> torch.Tensor:
    """Squeeze `frames` (num_frames, 3, height, width) into (num_frames, 3, size, size), whatever their aspect."""
    return resize(frames, size, size, resample)


def letterbox(frames: torch.Tensor, size: int, resample: str, reference: bool = False) -> torch.Tensor:
    """Fit `frames` (num_frames, 3, height, width) into (num_frames, 3, size, size), aspect kept, centred on black.

    The public research code truncates the fitted size (1280x720 gives 125 rows of 224, not 126) and resizes bilinearly
    without antialiasing; `reference=True` does the same, whatever `resample` says.
    """
    height, width = frames.shape[-2:]
    scale = size / max(height, width)
    whole = int if reference else round
    height, width = max(1, whole(height * scale)), max(1, whole(width * scale))
    fitted = _resize_as_opencv(frames, height, width) if reference else resize(frames, height, width, resample)
    top, left = (size - height) // 2, (size - width) // 2
    canvas = frames.new_zeros((frames.shape[0], frames.shape[1], size, size))
    canvas[..., top : top + height, left : left + width] = fitted
    return canvas


class Augmentation(NamedTuple):
    """One draw of the training augmentation, applied alike to every frame of a clip."""

    flip: bool
    degrees: float
    brightness: float
    contrast: float


def draw_augmentation(
    flip_prob: float, rotation_degrees: float, color_jitter: float, generator: torch.Generator | None = None
) -> Augmentation:
    """Draw a horizontal flip with `flip_prob`, an angle within ±`rotation_degrees`, factors within 1 ± `color_jitter`.

    Four numbers are drawn whatever the settings, so that one setting does not shift the draws of another.
    """
    flip, angle, brightness, contrast = torch.rand(4, generator=generator).tolist()
    return Augmentation(
        flip=flip < flip_prob,
        degrees=(2 * angle - 1) * rotation_degrees,
        brightness=1 + (2 * brightness - 1) * color_jitter,
        contrast=1 + (2 * contrast - 1) * color_jitter,
    )


def augment(frames: torch.Tensor, draw: Augmentation) -> torch.Tensor:
    """Apply `draw` to uint8 `frames` (num_frames, 3, size, size); what turns in from outside is black."""
    if draw.flip:
        frames = frames.flip(-1)
    if draw.degrees:
        frames = _rotate(frames, draw.degrees)
    if (draw.brightness, draw.contrast) != (1.0, 1.0):
        bright = frames.float() * draw.brightness
        mean = bright.mean()
        frames = ((bright - mean) * draw.contrast + mean).round_().clamp_(0, 255).to(torch.uint8)
    return frames


def _rotate(frames: torch.Tensor, degrees: float) -> torch.Tensor:
    size = frames.shape[-1]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    grid = F.affine_grid(torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]), [1, 1, size, size], align_corners=False)
    turned = frames.new_empty(frames.shape)
    # Keep: one frame at a time; its floats stay in the cache, those of a whole clip take twice as long or more.
    for frame, target in zip(frames.split(1), turned.split(1), strict=True):
        pixels = F.grid_sample(frame.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        target.copy_(pixels.round_())
    return turned
