"""RAER's box files: reading, fitting to the frame, and what stands in where a face box is missing.

A box is (left, top, right, bottom) in pixels of the frame, in face.json as in body.json.
"""

import json
import math
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from data_scripts.raer_annotations import clip_key, read_text
from modeling_clipcaer.errors import InputError


Box = tuple[float, float, float, float]
Entry = TypeVar("Entry")

BOX_SOURCES = ("annotated", "nearest", "median", "body", "frame")
# A head moves little within a few frames, so the nearest box is the best guess there. Further away it says where the
# head once was, and the clip's median box, where it mostly is, is the safer one. 8 is a quarter of RAER's usual clip.
NEAREST_REACH = 8
# The head's share of the body box of a seated person, whose legs are mostly hidden by the desk.
UPPER_BODY_SHARE = 0.4


def read_face_file(path: Path) -> dict[str, dict[str, Box]]:
    """`face.json`: {clip key: {frame name: box}}, with corners sorted."""
    return read_box_file(path, parse_face_entry)


def read_body_file(path: Path) -> dict[str, Box]:
    """`body.json`: {clip key: box}, with corners sorted."""
    return read_box_file(path, parse_box)


def read_box_file(path: Path, parse_entry: Callable[[Any, str], Entry]) -> dict[str, Entry]:
    """Entries under their clip's one key; keys without an `images/` part stay as they are and match no clip."""
    entries: dict[str, Entry] = {}
    spellings: dict[str, str] = {}
    for spelling, value in parse_json_object(path).items():
        key = clip_key(spelling) or spelling
        entry = parse_entry(value, f"{path}: clip '{spelling}'")
        if entries.setdefault(key, entry) != entry:
            raise InputError(
                f"{path}: '{spellings[key]}' and '{spelling}' are one clip with different boxes; expected one entry"
            )
        spellings.setdefault(key, spelling)
    return entries


def parse_json_object(path: Path) -> dict[str, Any]:
    def refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Keep: json takes the last of two equal keys in silence.
        values: dict[str, Any] = {}
        for key, value in pairs:
            if values.setdefault(key, value) != value:
                raise InputError(f"{path}: key '{key}' occurs twice with different values; expected it once")
        return values

    try:
        content = json.loads(read_text(path), object_pairs_hook=refuse_repeated_keys)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of clip dirs, found {describe(content)}")
    return content


def parse_face_entry(value: Any, place: str) -> dict[str, Box]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected {{frame name: [left, top, right, bottom]}}, found {describe(value)}")
    boxes: dict[str, Box] = {}
    for spelling, numbers in value.items():
        name = posixpath.basename(spelling.replace("\\", "/"))
        box = parse_box(numbers, f"{place}, frame '{spelling}'")
        if boxes.setdefault(name, box) != box:
            raise InputError(f"{place}: frame '{name}' occurs twice with different boxes; expected one")
    return boxes


def parse_box(value: Any, place: str) -> Box:
    """Four finite numbers with the corners sorted."""
    if not isinstance(value, list) or len(value) != 4 or not all(type(number) in (int, float) for number in value):
        raise InputError(f"{place}: expected 4 numbers [left, top, right, bottom], found {describe(value)}")
    try:
        left, top, right, bottom = map(float, value)
    except OverflowError:
        left = top = right = bottom = math.inf
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise InputError(f"{place}: expected 4 finite numbers, found {describe(value)}")
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def describe(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain_missing_face(clip_id: str, folder: Path, entries: Mapping[str, Mapping[str, Box]]) -> str | None:
    """Why a clip has no annotated face box, or `None` if it has one.

    Looks for the frames too: an entry whose frame names are not in the folder loses its boxes just as quietly.
    """
    entry = entries.get(clip_id)
    if entry is None:
        return f"'{clip_id}' has no entry"
    if not entry:
        return f"'{clip_id}' has an empty entry"
    if any(os.path.exists(folder / name) for name in entry):
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
    share = 1 - len(missing) / len(gaps)
    if share >= minimum:
        return
    unused = ", ".join(f"'{key}'" for key in unused_keys[:3]) or "none"
    found = f"{len(gaps) - len(missing)} of {len(gaps)} clips of {annotation}"
    raise InputError(
        f"{box_file}: boxes for {found} ({share:.1%}), expected at least {minimum:.1%} (--{option}); "
        f"clips without: {'; '.join(missing[:3])}; keys without a clip: {unused}"
    )


def fit_box(box: Box, width: int, height: int) -> Box | None:
    """The part of a box inside the frame, or `None` when that is thinner than one pixel."""
    left, top, right, bottom = box
    left, right = max(left, 0.0), min(right, float(width))
    top, bottom = max(top, 0.0), min(bottom, float(height))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def fill_face_boxes(boxes: Sequence[Box | None], body_box: Box | None) -> tuple[list[Box | None], list[str]]:
    """Give every frame of a clip a face box, and say where it is from.

    In order: its own (`annotated`); that of the nearest frame, the earlier of two, if at most `NEAREST_REACH` frames
    away (`nearest`); the clip's median box (`median`); in a clip without any box the upper part of the body box
    (`body`); the whole frame, as `None` (`frame`).
    """
    own = [index for index, box in enumerate(boxes) if box is not None]
    if not own:
        fallback, source = (upper_body(body_box), "body") if body_box is not None else (None, "frame")
        return [fallback] * len(boxes), [source] * len(boxes)
    median = tuple(np.median([boxes[index] for index in own], axis=0).tolist())
    filled, sources = [], []
    for index, box in enumerate(boxes):
        if box is not None:
            filled.append(box)
            sources.append("annotated")
            continue
        distance, nearest = min((abs(other - index), other) for other in own)
        filled.append(boxes[nearest] if distance <= NEAREST_REACH else median)
        sources.append("nearest" if distance <= NEAREST_REACH else "median")
    return filled, sources


def upper_body(body_box: Box) -> Box:
    left, top, right, bottom = body_box
    return left, top, right, top + UPPER_BODY_SHARE * (bottom - top)
