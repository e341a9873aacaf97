"""Which frames of a clip are looked at, and where they come from: a folder, image files, a video, an array."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

import numpy as np
from PIL import Image

from .errors import InputError
from .frame_files import IMAGE_SUFFIXES, list_frame_names
from .image_files import read_image
from .video_frames import VideoFrames


if TYPE_CHECKING:
    import torch


def sample_frame_indices(
    total: int,
    num_frames: int,
    mode: str = "train",
    generator: torch.Generator | None = None,
    sampling: str = "segments",
) -> torch.Tensor:
    """Choose `num_frames` of `total` frames, in order and over the whole clip.

    The clip is cut into `num_frames` equal segments with float bounds. Training takes a random frame of each,
    evaluation the middle one. A clip with fewer frames repeats them by rounding, every frame at least once.

    Args:
        total (`int`): frames in the clip.
        num_frames (`int`): frames to choose.
        mode (`str`): "train" or "eval".
        generator (`torch.Generator`, *optional*): of the training draws.
        sampling (`str`): "segments", or "reference" for the public research code's rule: segments of whole frames,
            counted from the start, so that training never sees the last `total % num_frames` frames (of 31 frames only
            the first 16); a short clip repeats its last frame.

    Returns:
        int64 tensor of shape `(num_frames,)`, not decreasing.
    """
    import torch  # Keep: here and below. A clip is described without it.

    if total < 1 or num_frames < 1:
        raise InputError(f"`total` and `num_frames` must be at least 1, got {total} and {num_frames}")
    if mode not in ("train", "eval") or sampling not in ("segments", "reference"):
        raise InputError(
            f"`mode` must be 'train' or 'eval' and `sampling` 'segments' or 'reference', got {mode!r} and {sampling!r}"
        )
    places = torch.arange(num_frames)
    if total < num_frames and sampling == "reference":
        return places.clamp(max=total - 1)
    if mode == "eval" or total <= num_frames:
        return (2 * places + 1) * total // (2 * num_frames)
    draws = torch.rand(num_frames, dtype=torch.float64, generator=generator)
    if sampling == "reference":
        length = total // num_frames
        return places * length + (draws * length).long()
    # Keep: the clamp; the last place plus a draw just below 1 rounds up to the end of the clip.
    return ((places + draws) * total / num_frames).long().clamp(max=total - 1)


@runtime_checkable
class FrameSource(Protocol):
    """A clip whose frames are decoded on demand."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices` (increasing, distinct), each a uint8 tensor (3, height, width), RGB."""


class ImageFrames:
    """Frames kept as image files, in the order given. The files may differ in size.

    Args:
        images: the files, or their bytes.
        names (*optional*): what they are called; the last part of their paths by default.
        upright (`bool`): turn them as their EXIF orientation says.
    """

    def __init__(self, images: Sequence[str | Path | bytes], names: Sequence[str] | None = None, upright: bool = True):
        self.images, self.upright = images, upright
        self.names = [Path(str(path)).name for path in images] if names is None else list(names)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int], min_sides: Sequence[int] | None = None) -> Iterator[torch.Tensor]:
        """Decode the files at `indices`, each once, with a `min_side` of [`read_image`] for each."""
        for index, min_side in zip(indices, min_sides or [0] * len(indices), strict=True):
            image = self.images[index]
            name = self.names[index] if isinstance(image, bytes) else None
            yield read_image(image, min_side, name, self.upright)

    def as_stored(self) -> ImageFrames:
        """The same frames, not turned upright."""
        return ImageFrames(self.images, self.names, upright=False)


class ArrayFrames:
    """Frames already in memory: uint8, (num_frames, height, width, 3) or (num_frames, 3, height, width)."""

    def __init__(self, frames: np.ndarray | torch.Tensor):
        import torch

        # Keep: torch refuses the negative strides of arrays turned from BGR.
        frames = frames if isinstance(frames, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(frames))
        if frames.dtype != torch.uint8 or frames.dim() != 4 or 3 not in (frames.shape[1], frames.shape[3]):
            raise InputError(
                f"frames of shape {tuple(frames.shape)} and type {frames.dtype}: expected uint8 frames of shape "
                "(num_frames, height, width, 3) or (num_frames, 3, height, width)"
            )
        self.frames = frames if frames.shape[1] == 3 else frames.permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices`."""
        for index in indices:
            yield self.frames[index]


class ListedFrames:
    """Frames in memory one by one: Pillow's images, or uint8, (height, width, 3) or (3, height, width). As in a
    folder, they may differ in size, and Pillow's are turned upright, unless `upright` is `False`."""

    def __init__(self, frames: Sequence[Image.Image | np.ndarray | torch.Tensor], upright: bool = True):
        self.frames, self.upright = frames, upright

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices`; no other one is decoded or copied."""
        for index in indices:
            frame = self.frames[index]
            try:
                if isinstance(frame, Image.Image):
                    pixels = read_image(frame, upright=self.upright)
                else:
                    pixels = ArrayFrames(frame[None]).frames[0]
            except InputError as error:
                raise InputError(f"frame {index}: {error}") from error
            yield pixels

    def as_stored(self) -> ListedFrames:
        """The same frames, not turned upright."""
        return ListedFrames(self.frames, upright=False)


def is_image_path(path: object) -> bool:
    """Whether `path` is named like an image file."""
    return isinstance(path, str | Path) and str(path).lower().endswith(IMAGE_SUFFIXES)


def is_loaded_frame(frame: object) -> bool:
    """Whether `frame` is one of Pillow's images, or an array of three dimensions."""
    return isinstance(frame, Image.Image) or (is_array(frame) and frame.ndim == 3)


def is_array(clip: object) -> TypeGuard[np.ndarray | torch.Tensor]:
    """Whether `clip` is an array or a tensor."""
    import torch

    return isinstance(clip, np.ndarray | torch.Tensor)


def open_clip(clip) -> FrameSource:
    """The frames of `clip`: the path of a video or of a folder of frames, an http(s) address of a video, an array of
    frames, a list, in order, of image files or of frames in memory, or a [`FrameSource`], which stays as it is.

    Raises:
        InputError: there is no such clip, or it has no frames.
    """
    source: FrameSource
    if isinstance(clip, FrameSource):
        source = clip
    elif isinstance(clip, str | Path) and os.path.isdir(clip):
        source = ImageFrames([Path(clip, name) for name in list_frame_names(clip)])
    elif isinstance(clip, str | Path):
        source = VideoFrames(clip)
    elif is_array(clip):
        source = ArrayFrames(clip)
    elif isinstance(clip, Sequence) and all(map(is_image_path, clip)):
        source = ImageFrames(clip)
    elif isinstance(clip, Sequence) and all(map(is_loaded_frame, clip)):
        source = ListedFrames(clip)
    else:
        raise InputError(
            f"clip of type {type(clip).__name__}: expected a path, an array of frames, or a list of image files or of "
            "frames (images of Pillow's, arrays of three dimensions)"
        )
    if len(source) == 0:
        raise InputError(f"{clip if isinstance(clip, str | Path) else 'clip'}: expected frames, found none")
    return source
