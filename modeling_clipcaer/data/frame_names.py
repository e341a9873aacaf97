"""Which frame a box belongs to where folder and box file name their frames differently."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES


T = TypeVar("T")

# Not behind a decimal point: 1.05 and 1.5 are two moments.
PADDING = re.compile(r"(?<![\d.])0+(?=\d)")


@lru_cache(maxsize=2**16)
def frame_key(name: str) -> str:
    """The one key of a frame: `1` of `1.jpg`, `0001.jpg`, `1.PNG` and `1`, `frame 7` of `frame 007.jpg`."""
    stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name.strip()))
    return PADDING.sub("", stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix)


def find_twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of `names` that mean one frame."""
    seen: dict[str, str] = {}
    for name in names:
        earlier = seen.setdefault(frame_key(name), name)
        if earlier != name:
            return earlier, name
    return None


def check_frame_names(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that holds a frame twice, as a picture of two types or numbered with and without padding."""
    twins = find_twins(names)
    if twins is not None:
        raise InputError(f"{folder}: '{twins[0]}' and '{twins[1]}' are one frame; expected one file for each frame")


def match_frames(values: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    """`values` by the names of the folder's frames, in their order; frames without a value are left out."""
    exact = {name: values[name] for name in names if name in values}
    if len(exact) == len(values):
        return exact
    by_key = {frame_key(name): value for name, value in values.items()}
    return {name: by_key[frame_key(name)] for name in names if frame_key(name) in by_key}
