"""The order of frames in a folder."""

import re
from pathlib import Path

from .errors import InputError, check_readable


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders numbers inside names by value: `2.jpg` before `10.jpg`."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def list_frame_names(folder: str | Path) -> list[str]:
    """Names of the image files in `folder` in natural order; hidden files and other types are left out.

    Raises:
        InputError: `folder` does not exist or is not a folder.
    """
    folder = Path(folder)
    check_readable(folder, depth=0)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of frames, found {'a file' if folder.exists() else 'nothing'}")
    names = (entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted((name for name in names if name.lower().endswith(IMAGE_SUFFIXES)), key=natural_key)
