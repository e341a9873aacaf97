"""Which recordings a prediction is about, and the name of each one's folder."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from data_scripts.clip_search import VIDEO_SUFFIXES
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import list_frame_names, natural_key
from recipes.annotation_files import is_address


# File systems allow 255 bytes for a name, and a character takes up to four.
NAME_LENGTH = 50


def find_recordings(inputs: list[str], output_dir: Path) -> list[str]:
    """Every recording that `inputs` name, once, in their order: videos, addresses, devices, folders of either kind.

    Raises:
        InputError: an input is not there, or a folder without anything to analyse.
    """
    found: dict[Path | str, str] = {}
    for path in inputs:
        if is_address(path):
            found.setdefault(path, path)
            continue
        if not Path(path).exists():
            raise InputError(f"{path}: expected a video, a folder of videos or of frames, found nothing")
        sources = list_folder(Path(path), {output_dir.resolve()}) if Path(path).is_dir() else [path]
        if not sources:
            raise InputError(f"{path}: expected videos or frames, found a folder without any")
        for source in sources:
            found.setdefault(Path(source).resolve(), source)
    for source in found.values():
        try:
            source.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{source!r}: expected a name in UTF-8, which every file of the output is in") from error
    return list(found.values())


def list_folder(folder: Path, seen: set[Path]) -> list[str]:
    """The videos in `folder`, then those below it, in natural order; images without a video are one recording.

    Hidden files are left out, and so are the folders in `seen`, to which those gone through are added: the outputs of
    an earlier run, and links that lead in a circle.
    """
    if folder.resolve() in seen:
        return []
    seen.add(folder.resolve())
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    videos = [str(entry) for entry in entries if entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES]
    if not videos and list_frame_names(folder):
        return [str(folder)]
    below = [source for entry in entries if entry.is_dir() for source in list_folder(entry, seen)]
    return videos + below


def name_folders(sources: list[str], is_free: Callable[[str, str], bool]) -> dict[str, str]:
    """A folder's name for each of `sources`: the recording's own, with a number behind it where that is taken.

    Args:
        sources: the recordings; the first of two that are named alike has the name without a number.
        is_free: whether a name may go to a source, as far as what lies in the output folder is concerned.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()  # in one case: not every file system tells `A` from `a`
    for source in sources:
        name = stem = own_name(source)
        number = 1
        while name.casefold() in taken or not is_free(name, source):
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names[source] = name
    return names


def own_name(source: str) -> str:
    """The recording's own name as that of a folder: without suffix, and with nothing that a file system minds."""
    path = Path(unquote(urlparse(source).path) if is_address(source) else source).absolute()
    name = path.name if path.is_dir() else path.stem
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]|^\.|[. ]$', "_", name[:NAME_LENGTH]) or "recording"


def full_path(source: str) -> str:
    """What tells a recording from all others, wherever it is named from."""
    return source if is_address(source) else os.path.abspath(source)


def is_camera(source: str) -> bool:
    """Whether a recording is a device, which cannot be read a second time."""
    return not is_address(source) and Path(source).exists() and not (Path(source).is_file() or Path(source).is_dir())


def describe_file(source: str) -> dict[str, int] | None:
    """Size and time of change of a file, or of a folder's frames together; `None` of a device.

    An address has neither without a download: what is done of it stays done.
    """
    if is_address(source):
        return {}
    path = Path(source)
    if path.is_dir():
        files = [(path / name).stat() for name in list_frame_names(path)]
        sizes = {"frames": len(files), "size": sum(file.st_size for file in files)}
        return {**sizes, "modified": max(file.st_mtime_ns for file in files)}
    return {"size": path.stat().st_size, "modified": path.stat().st_mtime_ns} if path.is_file() else None
