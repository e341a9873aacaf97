"""Paths of clips: the one key of a clip however its path is spelled, and whom and where its parts name.

Standard library only.
"""

import os
import posixpath
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modeling_clipcaer.errors import InputError, check_readable


def normalise(text: str) -> str:
    """`text` with every accented letter as one character. macOS writes them as two, and the two look the same."""
    return unicodedata.normalize("NFC", text)


def clip_key(spelling: str) -> str | None:
    """The one key of a clip folder however it is spelled: the path from its last `images` part on.

    Relative to RAER's parent, absolute, with `RAER/RAER` doubled, with another machine's mount in front and with
    back-slashes all give the same key; `None` when no `images/...` part is there.
    """
    parts = posixpath.normpath(normalise(spelling.strip()).replace("\\", "/")).split("/")
    starts = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    return "/".join(parts[starts[-1] :]) if starts else None


@dataclass(frozen=True)
class PathPatterns:
    """How a clip's path names its person and its place.

    Args:
        person_pattern, place_pattern: a regular expression searched for in the path, whose group of that name
            (`(?P<person>...)`), or else whose first group, is the person or the place.
    """

    person_pattern: str | None = None
    place_pattern: str | None = None

    def __post_init__(self) -> None:
        for name in ("person", "place"):
            pattern = getattr(self, f"{name}_pattern")
            try:
                groups = 1 if pattern is None else re.compile(pattern).groups
            except re.error as error:
                raise InputError(f"--{name}-pattern '{pattern}': no regular expression: {error}") from None
            if not groups:
                raise InputError(f"--{name}-pattern '{pattern}': expected a group, as in '/(?P<{name}>[^/]+)/'")

    def find_person(self, path: str) -> str | None:
        """The person; `None` where there is no pattern, or where it finds none."""
        return _find(self.person_pattern, "person", path)

    def find_place(self, path: str) -> str | None:
        """The place; `None` where there is no pattern, or where it finds none."""
        return _find(self.place_pattern, "place", path)

    def check(self, path: str, place: str) -> None:
        """Refuse a path in which a given pattern finds nothing; `place` is its `file:line`."""
        for name, found in (("person", self.find_person(path)), ("place", self.find_place(path))):
            pattern = getattr(self, f"{name}_pattern")
            if pattern is not None and not found:
                raise InputError(
                    f"{place}: --{name}-pattern '{pattern}' finds no {name} in '{path}'; expected one in every path"
                )


def _find(pattern: str | None, name: str, path: str) -> str | None:
    match = None if pattern is None else re.search(pattern, path)
    if match is None:
        return None
    return match[name] if name in match.re.groupindex else match[1]


def find_folder(raer: Path, clip_id: str) -> Path | None:
    """The folder of a clip, also where the disk writes its accented letters as two characters each.

    Raises:
        InputError: the disk has two folders of one name, which the ids of clips cannot tell apart.
    """
    folder = raer
    for part in clip_id.split("/"):
        if len(twins := _find_spellings(folder, part)) > 1:
            raise InputError(f"{folder}: {twins[0]!a} and {twins[1]!a} are one name; expected one folder of it")
        folder = folder / (twins[0] if twins else part)
    if os.path.isdir(folder):  # Keep: not its own method, which names that are too long upset
        return folder
    check_readable(folder, depth=0)
    return None


def find_spelled(path: Path) -> Path:
    """An absolute path as the disk spells it, where that writes its letters otherwise, by accents, or by capitals on
    a disk that takes no notice of them. As it is where it is spelled so, or where nothing is there.

    Keep: two spellings of one file would be two clips, perhaps of two splits.
    """
    folder = Path(path.anchor)
    for part in path.parts[1:]:
        spellings = _find_spellings(folder, part)
        if spellings and part not in spellings:
            part = spellings[0]
        elif not spellings and os.path.exists(folder / part):
            part = next((name for name in _list_names(str(folder)) if name.casefold() == part.casefold()), part)
        folder = folder / part
    return folder


def _find_spellings(folder: Path, name: str) -> tuple[str, ...]:
    """The names in a folder that are `name`, however their accents are written."""
    try:
        return _list_spellings(str(folder), folder.stat().st_mtime_ns).get(normalise(name), ())
    except OSError:
        return ()


@lru_cache(maxsize=1024)
def _list_spellings(folder: str, changed: int) -> dict[str, tuple[str, ...]]:
    """Names in a folder by their one form. Keep: `changed`, or a name that was mended since would not be seen."""
    spellings: dict[str, tuple[str, ...]] = {}
    for name in _list_names(folder):
        spellings[normalise(name)] = (*spellings.get(normalise(name), ()), name)
    return spellings


def _list_names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # no folder, or one that may not be listed
        return []
