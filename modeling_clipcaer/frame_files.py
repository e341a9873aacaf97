"""Frames as files: which of a folder, in which order, and what may be opened at all."""

import os
import re
import stat
from pathlib import Path

from .errors import InputError


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FILE_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders numbers inside names by value: `2.jpg` before `10.jpg`."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def list_frame_names(folder: str | Path) -> list[str]:
    """Names of the image files in `folder` in natural order; hidden files, other types and folders are left out.

    Raises:
        InputError: `folder` does not exist, is not a folder or cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_frame(entry)]
    except (FileNotFoundError, NotADirectoryError) as error:
        found = "a file" if isinstance(error, NotADirectoryError) else "nothing"
        raise InputError(f"{folder}: expected a folder of frames, found {found}") from error
    except OSError as error:
        raise InputError(f"{folder}: expected a readable folder, found: {error.strerror}") from error
    return sorted(names, key=natural_key)


def _is_frame(entry: os.DirEntry) -> bool:
    # Keep: not `is_file`. A link to nothing is a frame that is missing, and reading it says so.
    if entry.name.startswith(".") or not entry.name.lower().endswith(IMAGE_SUFFIXES):
        return False
    return not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir())  # the first bears links to itself


def check_regular(path: str | Path, expected: str, name: str | None = None) -> None:
    """Refuse to open anything but a regular file; `expected` is what it should be, errors call it `name`.

    Keep: before opening. A named pipe waits for ever for somebody to write, a device may have no end.

    Raises:
        InputError: there is no such file, or it is of another kind.
    """
    name = str(path) if name is None else name
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise InputError(f"{name}: expected {expected}, found nothing") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: expected {expected}, found: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(mode):
        found = next((kind for is_kind, kind in FILE_KINDS if is_kind(mode)), "a special file")
        raise InputError(f"{name}: expected {expected}, found {found}")
