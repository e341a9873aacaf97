"""Clips in folders of frames and of videos, in whatever layout, and the one key of each."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from data_scripts.raer_annotations import clip_key
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, natural_key


# Of files that are looked for in folders; a file that is named itself may have any.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".mjpeg", ".mjpg", ".asf", ".vob", ".y4m"),
)


@dataclass(frozen=True)
class FoundClip:
    """A folder of frames or a video file.

    Args:
        key: what box files call it: its path relative to the input it was found in; in RAER's layout from `images/`
            on; the name alone of an input that is a clip itself.
        path: where it is, absolute.
    """

    key: str
    path: str


def find_clips(inputs: Iterable[str | Path]) -> list[FoundClip]:
    """Every clip that `inputs` name, once, in natural order of the keys: videos, and folders of videos and of frames.

    A folder with videos is no folder of frames: the images in it are their previews. Hidden files are left out.

    Raises:
        InputError: an input is not there or holds no clip, a folder cannot be listed, or two clips have one key.
    """
    found: dict[str, str] = {}
    for given in inputs:
        paths = list(_list_paths(Path(given)))
        if not paths:
            raise InputError(f"{given}: expected videos or folders of frames, found none")
        for path in paths:
            key, absolute = _make_key(path, Path(given)), os.path.abspath(path)
            if found.setdefault(key, absolute) != absolute:
                raise InputError(
                    f"clips {found[key]} and {absolute} are both called '{key}': give one folder above both"
                )
    return [FoundClip(key, found[key]) for key in sorted(found, key=lambda key: (natural_key(key), key))]


def _list_paths(root: Path) -> Iterator[Path]:
    check_readable(root, depth=0)
    if not root.exists():
        raise InputError(f"{root}: expected a video, or a folder of videos or of frames, found nothing")
    if root.is_file():
        yield root
        return
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_refuse):
        subfolders[:] = [name for name in subfolders if not (name.startswith(".") or _leads_back(folder, name))]
        shown = [name for name in names if not name.startswith(".")]
        videos = [name for name in shown if name.lower().endswith(VIDEO_SUFFIXES)]
        yield from (Path(folder, name) for name in videos)
        if not videos and any(name.lower().endswith(IMAGE_SUFFIXES) for name in shown):
            yield Path(folder)


def _refuse(error: OSError) -> NoReturn:
    # Keep: os.walk passes over folders that it may not list.
    raise InputError(f"{error.filename}: expected a readable folder, found: {error.strerror}") from error


def _leads_back(folder: str, name: str) -> bool:
    """Whether the subfolder `name` is a link to `folder` or to a folder above it."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(path))


def _make_key(path: Path, root: Path) -> str:
    name = Path(os.path.abspath(root)).name
    if path == root:
        return name
    relative = path.relative_to(root).as_posix()
    key = f"{name}/{relative}" if name == "images" else relative
    return clip_key(key) or key
