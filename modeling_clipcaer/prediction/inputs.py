"""Which recordings a prediction is about, and the name of each one's folder."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from modeling_clipcaer.data.clip_search import is_video, name_suffix
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import list_frame_names, natural_key
from modeling_clipcaer.names import identity_key, printable
from modeling_clipcaer.recordings.addresses import is_address


# File systems allow 255 bytes for a name, and a character takes up to four.
NAME_LENGTH = 50


def find_recordings(inputs: list[str], output_dir: Path, passed_over: Counter[str] | None = None) -> list[str]:
    """Every recording that `inputs` name, once, in their order: videos, addresses, devices, folders of either kind.

    Of files of folders that are no recording's the suffixes are counted in `passed_over`.

    Raises:
        InputError: an input is not there, or a folder without anything to analyse.
    """
    found: dict[str, str] = {}
    passed_over = Counter() if passed_over is None else passed_over
    for path in inputs:
        if is_address(path):
            found.setdefault(path, path)
            continue
        check_readable(path, depth=0)
        if not Path(path).exists():
            raise InputError(f"{path}: expected a video, a folder of videos or of frames, found nothing")
        sources = list_folder(Path(path), {output_dir.resolve()}, passed_over) if Path(path).is_dir() else [path]
        if not sources:
            raise InputError(f"{path}: expected videos or frames, found a folder without any")
        for source in sources:
            found.setdefault(os.path.realpath(source), source)  # which knows of a link to itself, too
    return list(found.values())


def list_folder(folder: Path, seen: set[Path], passed_over: Counter[str]) -> list[str]:
    """The videos in `folder`, then those below it, in natural order; images without a video are one recording.

    Hidden files are left out, and so are the folders in `seen`, to which those gone through are added: the outputs of
    an earlier run, and links that lead in a circle.
    """
    if folder.resolve() in seen:
        return []
    seen.add(folder.resolve())
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    # Keep: not `is_file`. A link to nothing is a recording that is missing, and reading it says so.
    videos = [str(entry) for entry in entries if not entry.is_dir() and is_video(entry)]
    frames = [] if videos else list_frame_names(folder)
    used = {*videos, *(str(folder / name) for name in frames)}
    passed_over.update(name_suffix(entry.name) for entry in entries if not entry.is_dir() and str(entry) not in used)
    if frames:
        return [str(folder)]
    below = [source for entry in entries if entry.is_dir() for source in list_folder(entry, seen, passed_over)]
    return videos + below


def name_folders(
    sources: list[str],
    is_free: Callable[[str, str], bool],
    is_own: Callable[[str, str], bool] = lambda name, source: False,
) -> dict[str, str]:
    """A folder's name for each of `sources`: the recording's own, behind as many of its folders as tell it from others
    that are named alike (`bored-clip_11`), with a number behind it where that is taken.

    Args:
        sources: the recordings.
        is_free: whether a name may go to a source, as far as what lies in the output folder is concerned.
        is_own: whether an earlier run gave a name to a source, which then keeps it.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()  # by key: not every file system tells `A` from `a`, or both forms of `é`
    for source, long in _tell_apart(sources).items():
        number = 1
        earlier = (name for name in (*_list_names(source), f"{own_name(source)}-2") if is_own(name, source))
        name = stem = next(earlier, long)
        while identity_key(name) in taken or not is_free(name, source):
            number += 1
            name = f"{stem}-{number}"
        taken.add(identity_key(name))
        names[source] = name
    return names


def _tell_apart(sources: list[str]) -> dict[str, str]:
    """Of each source the shortest of its names that no other source has at that length, or its own name."""
    candidates = {source: _list_names(source) for source in sources}
    counts = Counter((depth, identity_key(name)) for names in candidates.values() for depth, name in enumerate(names))
    return {
        source: next(
            (name for depth, name in enumerate(names) if counts[depth, identity_key(name)] == 1), own_name(source)
        )
        for source, names in candidates.items()
    }


def _list_names(source: str) -> list[str]:
    """A recording's own name, alone and behind one, two and more of its folders, as far as a name may be long."""
    names = [own_name(source)]
    for folder in _path_of(source).parents:
        name = f"{_clean(folder.name)}-{names[-1]}"
        if not folder.name or len(name) > NAME_LENGTH:
            break
        names.append(name)
    return names


def own_name(source: str) -> str:
    """The recording's own name as that of a folder: without suffix, and with nothing that a file system minds."""
    path = _path_of(source)
    return _clean(path.name if path.is_dir() else path.stem) or "recording"


def _path_of(source: str) -> Path:
    return Path(os.path.abspath(unquote(urlparse(source).path) if is_address(source) else source))


def _clean(name: str) -> str:
    cut = "".join(sign if printable(sign) == sign else "_" for sign in name[:NAME_LENGTH])
    return re.sub(r'[<>:"/\\|?*]|^\.|[. ]$', "_", cut)


def describe_file(source: str) -> dict[str, int] | None:
    """Size and time of change of a file, or of a folder's frames together; `None` of a device.

    An address has neither without a download: what is done of it stays done.
    """
    if is_address(source):
        return {}
    path = Path(source)
    if path.is_dir():
        # Keep: of a link to nothing the link. Reading it says which frame is missing.
        paths = [path / name for name in list_frame_names(path)]
        files = [file.stat(follow_symlinks=file.exists()) for file in paths]
        sizes = {"frames": len(files), "size": sum(file.st_size for file in files)}
        return {**sizes, "modified": max(file.st_mtime_ns for file in files)}
    return {"size": path.stat().st_size, "modified": path.stat().st_mtime_ns} if path.is_file() else None
