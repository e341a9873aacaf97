"""RAER's box files: reading, fitting to the frame, and what stands in where a box is missing.

A box is (left, top, right, bottom) in pixels of the frame. A clip's entry is one box for all its frames, as in RAER's
body.json, or {frame name: box}, as in its face.json; either file may hold either.
"""

import math
import os
import posixpath
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from modeling_clipcaer.data.clip_keys import clip_key, normalise
from modeling_clipcaer.data.frame_names import find_twins, match_frames
from modeling_clipcaer.data.json_members import iterate_members
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import list_frame_names
from modeling_clipcaer.json_files import describe_json


Box = tuple[float, float, float, float]
Entry = Box | Mapping[str, Box]
Size = tuple[int, int]  # width and height of a frame

BOX_SOURCES = ("annotated", "nearest", "median", "body", "frame")
# A head moves little within a few frames, so the nearest box is the best guess there. Further away it says where the
# head once was, and the clip's median box, where it mostly is, is the safer one. 8 is a quarter of RAER's usual clip.
NEAREST_REACH = 8
# The head's share of the body box of a seated person, whose legs are mostly hidden by the desk.
UPPER_BODY_SHARE = 0.4


class PackedBoxes(Mapping[str, Box]):
    """{frame name: box} in a fifth of a dict's memory, so that a build can hold the boxes of 100,000 clips."""

    __slots__ = ("names", "numbers")

    def __init__(self, boxes: Mapping[str, Box]):
        # Keep: interned; the frames of one clip are named as those of every other.
        self.names = tuple(map(sys.intern, boxes))
        self.numbers = array("d", chain.from_iterable(boxes.values()))

    def __getitem__(self, name: str) -> Box:
        if name not in self.names:
            raise KeyError(name)
        start = 4 * self.names.index(name)
        left, top, right, bottom = self.numbers[start : start + 4]
        return left, top, right, bottom

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def unpack(self) -> dict[str, Box]:
        """The boxes as a mapping of tuples."""
        sides = iter(self.numbers)
        return dict(zip(self.names, zip(sides, sides, sides, sides, strict=True), strict=True))


def pack_entry(entry: Entry) -> Entry:
    """An entry in little memory: the boxes of its frames packed, one box for all as it is."""
    return entry if isinstance(entry, tuple) else PackedBoxes(entry)


def read_face_file(path: Path) -> dict[str, Any]:
    """`face.json`: {clip key: {frame name: box}} or {clip key: box}, with corners sorted; of several persons in a
    recording {clip key: {person: {frame name: box}}}."""
    return read_box_file(path, parse=parse_people)


def read_body_file(path: Path) -> dict[str, Entry]:
    """`body.json`: {clip key: box} or {clip key: {frame name: box}}, with corners sorted."""
    return read_box_file(path)


def read_box_file(
    path: Path, keep: Callable[[Entry], Entry] = lambda entry: entry, parse: Callable[[Any, str], Any] | None = None
) -> dict[str, Entry]:
    """Entries, as `keep` makes them, under their clip's one key; keys without an `images/` part match no RAER clip."""
    parse = parse or parse_entry
    entries: dict[str, Entry] = {}
    spellings: dict[str, str] = {}
    for spelling, value in iterate_members(path):
        key = clip_key(spelling) or normalise(spelling)
        entry = keep(parse(value, f"{path}: clip '{spelling}'"))
        if entries.setdefault(key, entry) != entry:
            raise InputError(
                f"{path}: '{spellings[key]}' and '{spelling}' are one clip with different boxes; expected one entry"
            )
        spellings.setdefault(key, spelling)
    return entries


def parse_entry(value: Any, place: str) -> Entry:
    """One box, or a box for each frame that has one."""
    if not isinstance(value, dict):
        return parse_box(value, place, " or {frame name: box}")
    boxes: dict[str, Box] = {}
    for spelling, numbers in value.items():
        name = posixpath.basename(spelling.replace("\\", "/"))
        box = parse_box(numbers, f"{place}, frame '{spelling}'")
        if boxes.setdefault(name, box) != box:
            raise InputError(f"{place}: frame '{name}' occurs twice with different boxes; expected one")
    twins = find_twins(boxes)
    if twins is not None:
        raise InputError(f"{place}: '{twins[0]}' and '{twins[1]}' are one frame; expected one box for each frame")
    return boxes


def parse_people(value: Any, place: str) -> Entry | dict[str, Entry]:
    """An entry, or of several persons each one's."""
    if not names_people(value):
        return parse_entry(value, place)
    return {person: parse_entry(part, f"{place}, person '{person}'") for person, part in value.items()}


def names_people(face: Any) -> bool:
    """Whether face boxes are those of several persons, by their names."""
    return isinstance(face, dict) and bool(face) and all(isinstance(entry, dict) for entry in face.values())


def parse_box(value: Any, place: str, otherwise: str = "") -> Box:
    """Four finite numbers with the corners sorted."""
    if not isinstance(value, list) or len(value) != 4 or not all(type(number) in (int, float) for number in value):
        raise InputError(
            f"{place}: expected 4 numbers [left, top, right, bottom]{otherwise}, found {describe_json(value)}"
        )
    try:
        left, top, right, bottom = map(float, value)
    except OverflowError:
        left = top = right = bottom = math.inf
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise InputError(f"{place}: expected 4 finite numbers, found {describe_json(value)}")
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def match_boxes(file: Path, entries: Mapping[str, Entry], paths: Iterable[str]) -> tuple[dict[str, Entry], int]:
    """The entry of every path that has one, and how many keys belong to none.

    A key is a path, or so many of its last parts that it means one clip alone.

    Raises:
        InputError: a key means several clips, two keys mean one clip, or no key means any.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        parts = Path(path).parts
        for start in range(len(parts)):
            owners[normalise(Path(*parts[start:]).as_posix())].append(path)
    found: dict[str, tuple[str, Entry]] = {}
    for key, entry in entries.items():
        meant = owners.get(posixpath.normpath(key), [])
        if len(meant) > 1:
            raise InputError(
                f"{file}: '{key}' means {len(meant)} clips, {meant[0]} and others; expected more of the path"
            )
        if meant and found.setdefault(meant[0], (key, entry))[0] != key:
            raise InputError(f"{file}: '{found[meant[0]][0]}' and '{key}' are one clip; expected one entry")
    if not found:
        raise InputError(f"{file}: no key is a clip of the source; the first is '{next(iter(entries), '')}'")
    return {path: entry for path, (_, entry) in found.items()}, len(entries) - len(found)


def explain_missing_box(clip_id: str, folder: str | Path, entries: Mapping[str, Entry]) -> str | None:
    """Why a clip whose frames are in `folder` has no box, or `None` if it has one.

    Looks for the frames too: an entry whose frame names are not in the folder loses its boxes just as quietly.
    """
    entry = entries.get(clip_id)
    if entry is None:
        return f"'{clip_id}' has no entry"
    if isinstance(entry, tuple):
        return None
    if not entry:
        return f"'{clip_id}' has an empty entry"
    # Keep: whether a file is there is asked first; listing every folder twice would double the build's reading.
    if any(os.path.exists(os.path.join(folder, name)) for name in entry) or match_frames(
        entry, list_frame_names(folder)
    ):
        return None
    return f"'{clip_id}' has boxes for '{next(iter(entry))}' and others, none of which is in its folder"


def check_coverage(
    box_file: Path,
    annotation: str,
    gaps: Sequence[str | None],
    unused_keys: Sequence[str],
    minimum: float,
    option: str,
) -> None:
    """Refuse boxes that miss too many clips: the whole frame would quietly stand in for the face or the body.

    Args:
        gaps: per clip of the list, why it has no box, or `None`.
        unused_keys: keys of the box file that belong to no clip of any list.
        minimum: the share of clips that must have a box.
        option: name of the flag that sets `minimum`.
    """
    missing = [gap for gap in gaps if gap is not None]
    # Keep: counted, not what is left of 1, which of one clip in five is less than 0.2.
    share = (len(gaps) - len(missing)) / len(gaps)
    if share >= minimum:
        return
    unused = ", ".join(f"'{key}'" for key in unused_keys[:3]) or "none"
    found = f"{len(gaps) - len(missing)} of {len(gaps)} clips of {annotation}"
    raise InputError(
        f"{box_file}: boxes for {found} ({share:.1%}), expected at least {minimum:.1%} (--{option}); "
        f"clips without: {'; '.join(missing[:3])}; keys without a clip: {unused}"
    )


def check_not_swapped(
    face_file: Path, body_file: Path, faces: Mapping[str, Entry], bodies: Mapping[str, Entry]
) -> None:
    """Refuse faces as large as bodies. Both files may have the same form: nothing else would tell them apart."""
    common = [key for key in faces if key in bodies and faces[key] and bodies[key]]
    large = sum(measure_area(faces[key]) >= measure_area(bodies[key]) for key in common)
    if 2 * large > len(common):
        raise InputError(
            f"{face_file}: in {large} of {len(common)} clips the face box is at least as large as the body box of "
            f"{body_file}; expected faces smaller than bodies, are the files swapped?"
        )


def measure_area(entry: Entry) -> float:
    """Area of an entry's first box."""
    left, top, right, bottom = entry if isinstance(entry, tuple) else next(iter(entry.values()))
    return (right - left) * (bottom - top)


def fit_box(box: Box, width: int, height: int) -> Box | None:
    """The part of a box inside the frame, or `None` when that is thinner than one pixel."""
    left, top, right, bottom = box
    left, right = max(left, 0.0), min(right, float(width))
    top, bottom = max(top, 0.0), min(bottom, float(height))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def scale_box(box: Box, size: Size, other: Size) -> Box:
    """A box of a frame of one size at the same place of a frame of another."""
    if size == other:
        return box
    across, down = other[0] / size[0], other[1] / size[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def fill_boxes(boxes: Sequence[Box | None], sizes: Sequence[Size] | None = None) -> tuple[list[Box | None], list[str]]:
    """Give every frame of a clip a box, and say where it is from.

    In order: its own (`annotated`); that of the nearest frame, the earlier of two, if at most `NEAREST_REACH` frames
    away (`nearest`); the clip's median box (`median`); in a clip without any box the whole frame, as `None` (`frame`).

    Args:
        sizes: of the frames; a box that stands in for one of another size is scaled to it. By default all are alike.
    """
    sizes = sizes or [(1, 1)] * len(boxes)
    own = {index: box for index, box in enumerate(boxes) if box is not None}
    if not own:
        return [None] * len(boxes), ["frame"] * len(boxes)
    common = sizes[min(own)]
    scaled = [scale_box(box, sizes[index], common) for index, box in own.items()]
    median: Box = tuple(np.median(scaled, axis=0).tolist())
    filled: list[Box | None] = []
    sources: list[str] = []
    for index, box in enumerate(boxes):
        if box is not None:
            filled.append(box)
            sources.append("annotated")
            continue
        distance, nearest = min((abs(other - index), other) for other in own)
        is_near = distance <= NEAREST_REACH
        given, size = (own[nearest], sizes[nearest]) if is_near else (median, common)
        filled.append(scale_box(given, size, sizes[index]))
        sources.append("nearest" if is_near else "median")
    return filled, sources


def fill_face_boxes(
    boxes: Sequence[Box | None],
    body_box: Box | list[Box | None] | None,
    sizes: Sequence[Size] | None = None,
) -> tuple[list[Box | None], list[str]]:
    """As `fill_boxes`, but in a clip without any face box the upper part of the body box comes first (`body`).

    Args:
        body_box: one for all frames, or one for each, or `None`.
        sizes: of the frames, as for `fill_boxes`.
    """
    filled, sources = fill_boxes(boxes, sizes)
    if body_box is None or any(box is not None for box in filled):
        return filled, sources
    bodies = [body_box] * len(boxes) if isinstance(body_box, tuple) else body_box
    return (
        [None if body is None else upper_body(body) for body in bodies],
        ["frame" if body is None else "body" for body in bodies],
    )


def upper_body(body_box: Box) -> Box:
    """The upper part of a body box, where the face is."""
    left, top, right, bottom = body_box
    return left, top, right, top + UPPER_BODY_SHARE * (bottom - top)
