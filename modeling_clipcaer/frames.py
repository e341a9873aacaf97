"""Which frames of a clip are looked at, and where they come from: a folder, image files, a video, an array."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from .errors import InputError
from .frame_files import IMAGE_SUFFIXES, list_frame_names
from .video_frames import VideoFrames


try:
    from cv2 import IMREAD_COLOR_RGB, IMREAD_IGNORE_ORIENTATION, imdecode
except ImportError:  # the model's own files ask for Pillow only, whose pixels are the same
    imdecode = None  # type: ignore[assignment]


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
    """

    def __init__(self, images: Sequence[str | Path | bytes], names: Sequence[str] | None = None):
        self.images = images
        self.names = [Path(str(path)).name for path in images] if names is None else list(names)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int], min_sides: Sequence[int] | None = None) -> Iterator[torch.Tensor]:
        """Decode the files at `indices`, each once, with a `min_side` of [`read_image`] for each."""
        for index, min_side in zip(indices, min_sides or [0] * len(indices), strict=True):
            image = self.images[index]
            yield read_image(image, min_side, name=self.names[index] if isinstance(image, bytes) else None)


class ArrayFrames:
    """Frames already in memory: uint8, (num_frames, height, width, 3) or (num_frames, 3, height, width)."""

    def __init__(self, frames: np.ndarray | torch.Tensor):
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
    folder, they may differ in size."""

    def __init__(self, frames: Sequence[Image.Image | np.ndarray | torch.Tensor]):
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices`; no other one is decoded or copied."""
        for index in indices:
            frame = self.frames[index]
            try:
                pixels = read_image(frame) if isinstance(frame, Image.Image) else ArrayFrames(frame[None]).frames[0]
            except InputError as error:
                raise InputError(f"frame {index}: {error}") from error
            yield pixels


def read_image(image: str | Path | bytes | Image.Image, min_side: int = 0, name: str | None = None) -> torch.Tensor:
    """Decode an image, a file, a file's bytes or one that Pillow has opened, to a uint8 tensor (3, height, width),
    RGB; grey, palette, CMYK and alpha are converted. Errors call it `name`.

    With `min_side` a JPEG file is decoded at the smallest of an eighth, a quarter, a half and all of its size whose
    shorter side keeps so many pixels: most of the transform and of the memory is spared.

    The EXIF orientation is ignored, as the research code does: boxes are in pixels of the stored image.

    Raises:
        InputError: the file is missing, corrupt, truncated, or holds more than 8 bits a channel.
    """
    name = str(image) if name is None else name
    try:
        with _open_image(image) as opened:
            mode = opened.mode
            pixels = None if isinstance(image, Image.Image) else _decode_jpeg(image, opened, min_side)
            if pixels is None:
                pixels = np.array(opened if mode == "RGB" else opened.convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(f"{name}: expected an image file, found nothing") from error
    # Pillow's decoders report broken files by any of these.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: cannot be read as an image ({error})") from error
    if mode.startswith(("I", "F")):
        # Keep: Pillow cuts deeper images off at 255, which makes them white, instead of scaling them.
        raise InputError(f"{name}: expected an image of 8 bits a channel, found Pillow's mode {mode}")
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _open_image(image: str | Path | bytes | Image.Image) -> AbstractContextManager[Image.Image]:
    if isinstance(image, Image.Image):
        return nullcontext(image)  # Keep: what was opened elsewhere is closed elsewhere.
    return Image.open(BytesIO(image) if isinstance(image, bytes) else image)


def _decode_jpeg(image: str | Path | bytes, opened: Image.Image, min_side: int) -> np.ndarray | None:
    """The pixels of a colour JPEG file, the same as Pillow's in two thirds of the time, or `None` where Pillow is to
    decode the file, now perhaps at a smaller size, or to say what is wrong with it."""
    size = opened.size
    if min_side:
        opened.draft(None, (min_side, min_side))
    if imdecode is None or opened.size != size or (opened.format, opened.mode) != ("JPEG", "RGB"):
        return None
    encoded = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else np.fromfile(image, np.uint8)
    return imdecode(encoded, IMREAD_COLOR_RGB | IMREAD_IGNORE_ORIENTATION)


def is_image_path(path: object) -> bool:
    """Whether `path` is named like an image file."""
    return isinstance(path, str | Path) and str(path).lower().endswith(IMAGE_SUFFIXES)


def is_loaded_frame(frame: object) -> bool:
    """Whether `frame` is one of Pillow's images, or an array of three dimensions."""
    return isinstance(frame, Image.Image) or (isinstance(frame, np.ndarray | torch.Tensor) and frame.ndim == 3)


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
    elif isinstance(clip, np.ndarray | torch.Tensor):
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
