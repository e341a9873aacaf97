"""Clips in folders of frames and of videos, in whatever layout, and the one key of each."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image

from modeling_clipcaer.data.clip_keys import clip_key
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, natural_key
from modeling_clipcaer.names import printable


# Of files that are looked for in folders; a file that is named itself may have any.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".mk3d", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv", ".f4v"),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".m2p", ".vob", ".mod", ".ts", ".mts", ".m2t", ".m2ts", ".trp", ".tod"),
    *(".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".dv", ".rm", ".rmvb", ".wtv", ".nut", ".amv", ".mjpeg", ".mjpg"),
    *(".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".ivf", ".obu", ".av1", ".y4m", ".gif", ".apng"),
)
TEXT_HEAD = 4096  # bytes of a file by which a text is known
# Beside files whose name begins with a dot: what systems put into folders, and archives bring along.
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")


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


def is_video(path: str | Path) -> bool:
    """Whether a file of a folder is a video, by its suffix and, where that says too little, by what is in it.

    TypeScript has the suffix of MPEG-TS, and a GIF may be a single picture, which is neither a video nor a frame.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES or suffix not in (".ts", ".gif") or not os.path.isfile(path):
        return suffix in VIDEO_SUFFIXES
    try:
        if suffix == ".ts":
            with open(path, "rb") as file:
                return b"\0" in file.read(TEXT_HEAD)  # no text holds one, every MPEG-TS does
        with Image.open(path, formats=("GIF",)) as opened:
            return getattr(opened, "is_animated", False)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return True  # Keep: what is wrong with it is told by whoever reads it.


def say_passed_over(passed_over: Counter[str]) -> str:
    """In a line, how many files of which suffixes no clip was made of."""
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(passed_over.items()))
    return f"passed over, neither videos nor frames: {passed_over.total()} files ({counts})"


def name_suffix(name: str) -> str:
    """What `say_passed_over` calls a file's type."""
    return printable(os.path.splitext(name)[1].lower()) or "without suffix"


def find_clips(inputs: Iterable[str | Path], passed_over: Counter[str] | None = None) -> list[FoundClip]:
    """Every clip that `inputs` name, once, in natural order of the keys: videos, and folders of videos and of frames.

    A folder with videos is no folder of frames: the images in it are their previews. Hidden files are left out; of
    others that are no clip's the suffixes are counted in `passed_over`.

    Raises:
        InputError: an input is not there or holds no clip, a folder cannot be listed, or two clips have one key.
    """
    found: dict[str, str] = {}
    passed_over = Counter() if passed_over is None else passed_over
    for given in inputs:
        paths = list(_list_paths(Path(given), passed_over))
        if not paths:
            raise InputError(f"{given}: expected videos or folders of frames, found none")
        for path in paths:
            key, absolute = _make_key(path, Path(given)), os.path.abspath(path)
            if found.setdefault(key, absolute) != absolute:
                raise InputError(
                    f"clips {found[key]} and {absolute} are both called '{key}': give one folder above both"
                )
    return [FoundClip(key, found[key]) for key in sorted(found, key=lambda key: (natural_key(key), key))]


def _list_paths(root: Path, passed_over: Counter[str]) -> Iterator[Path]:
    check_readable(root, depth=0)
    if not root.exists():
        raise InputError(f"{root}: expected a video, or a folder of videos or of frames, found nothing")
    if root.is_file():
        yield root
        return
    for folder, shown in walk_shown(root):
        videos = [name for name in shown if is_video(folder / name)]
        frames = [] if videos else [name for name in shown if name.lower().endswith(IMAGE_SUFFIXES)]
        passed_over.update(map(name_suffix, set(shown) - {*videos, *frames}))
        yield from (folder / name for name in videos)
        if frames:
            yield folder


def is_shown(name: str) -> bool:
    """Whether a file or a folder of this name is somebody's own: neither hidden nor put there by a system."""
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def walk_shown(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """`root` and every folder below it, each with the names of its files, without those that are not shown.

    Raises:
        InputError: a folder cannot be listed.
    """
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_refuse):
        subfolders[:] = [name for name in subfolders if is_shown(name) and not _leads_back(folder, name)]
        yield Path(folder), list(filter(is_shown, names))


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
