"""Where the frames of a dataset's row are: in image files, in a stretch of a video, or in the row itself.

A row names its frames in one of four ways:

- `frame_dir` and `frame_names`: image files in a folder, in their order;
- `video`, `first_frame` and `num_frames`: so many frames of a video file, counted in the order they are shown;
- `video` alone: the whole of a video, which is a file or, as `datasets` keeps videos, its bytes too;
- `frames` and `frame_names`: the bytes of image files, and what they were called.

Of a dataset elsewhere, bytes are fetched when a row is opened.

Boxes go by frame: `face_boxes` and `body_boxes` hold one box for each, or one for all, or none for whole frames.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.data.fetching import fetch_pictures
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frames import FrameSource, ImageFrames
from modeling_clipcaer.video_frames import VideoFrames


if TYPE_CHECKING:
    import torch


FORMS = (
    ("frame_dir", "frame_names"),
    ("video", "first_frame", "num_frames"),
    ("video",),
    ("frames", "frame_names"),
)
BOX_COLUMNS = ("face_boxes", "body_boxes")


class VideoStretch:
    """Some consecutive frames of a video.

    Args:
        video: the whole of it.
        first_frame (`int`): place of the first one, in the order they are shown.
        num_frames (`int`): how many.

    Raises:
        InputError: the video has not so many frames.
    """

    def __init__(self, video: VideoFrames, first_frame: int, num_frames: int):
        if first_frame < 0 or num_frames < 1 or first_frame + num_frames > len(video):
            raise InputError(
                f"{video.path}: expected {num_frames} frames from number {first_frame} on, the video has {len(video)}"
            )
        self.video, self.first_frame, self.num_frames = video, first_frame, num_frames

    def __len__(self) -> int:
        return self.num_frames

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices` of the stretch."""
        return self.video.read([self.first_frame + index for index in indices])


def find_form(columns: Collection[str]) -> tuple[str, ...] | None:
    """The columns by which rows with these `columns` name their frames; `None` where they do not."""
    return next((form for form in FORMS if set(form) <= set(columns)), None)


def require_form(columns: Collection[str]) -> tuple[str, ...]:
    """The columns by which rows with these `columns` name their frames.

    Raises:
        InputError: they do not.
    """
    form = find_form(columns)
    if form is None:
        raise InputError(f"row with {', '.join(columns)}: expected {describe_forms()}")
    return form


def describe_forms() -> str:
    """The columns that a row needs, in words."""
    return f"the columns {', or '.join(map(' and '.join, FORMS))}"


def open_row(row: Mapping[str, Any]) -> FrameSource:
    """The frames of a row, decoded on demand.

    Raises:
        InputError: the row names no frames, or such as lie elsewhere than in its folder; or its video cannot be read.
    """
    row, form = fetch_pictures(row), require_form(row)
    if "frames" in form:
        return ImageFrames(row["frames"], row["frame_names"])
    if "video" in form:
        path, content = locate_video(row["video"])
        # Keep: an address becomes a path to nothing. Whoever wrote the rows does not decide what is fetched.
        video = open_video(os.path.abspath(path)) if content is None else VideoFrames(path, content)
        first, total = row.get("first_frame") or 0, row.get("num_frames")
        return VideoStretch(video, first, len(video) - first if total is None else total)
    check_frame_folder(row)
    return ImageFrames([Path(row["frame_dir"], name) for name in row["frame_names"]])


def locate_video(video: str | Mapping[str, Any]) -> tuple[str, bytes | None]:
    """The path of a row's video, and its content where the row holds that."""
    if isinstance(video, str):
        return video, None
    return video["path"] or "a video without a name", video["bytes"]


def find_foreign_frame(row: Mapping[str, Any]) -> str | None:
    """The first of a row's frames that its name puts into another folder than the row's; `None` without one."""
    return next(filter(is_elsewhere, row["frame_names"]), None)


def is_elsewhere(name: str) -> bool:
    """Whether the name of a file leads out of the folder that it is said to be in."""
    return os.path.basename(name) != name or name in ("", ".", "..")


def check_frame_folder(row: Mapping[str, Any]) -> None:
    """Refuse frames in other folders than the row's.

    Raises:
        InputError: there is one.
    """
    foreign = find_foreign_frame(row)
    if foreign is not None:
        raise InputError(f"{row['frame_dir']}: the frame '{foreign}' lies elsewhere; expected names of its files")


@lru_cache(maxsize=4)
def open_video(path: str) -> VideoFrames:
    # Keep: the clips of a lesson are often stretches of one long file, whose packets take seconds to go through.
    return VideoFrames(path)
