"""The boxes of a clip on its frames: one for every frame, within it, and what had to be repaired."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from modeling_clipcaer.data.boxes import (
    BOX_SOURCES,
    Box,
    Entry,
    Size,
    fill_boxes,
    fill_face_boxes,
    fit_box,
    scale_box,
)
from modeling_clipcaer.data.frame_names import match_frames
from modeling_clipcaer.errors import InputError


# What can be said of the boxes of one kind in one clip: how many its file gives, and of these, how many are cut at the
# frame's edge, outside it, for a frame that is not there, for a frame of another spelling, one for all frames.
FINDINGS = ("given", "clamped", "outside", "without_frame", "respelled", "for_all")
# The counts of a row: of what its boxes were found to be, and of what every frame's box is.
BOX_COUNTS = tuple(
    f"{kind}_boxes_{name}" for names in (FINDINGS, BOX_SOURCES) for kind in ("face", "body") for name in names
)
ALL_FRAMES = "all frames"


def place_boxes(
    entries: Mapping[str, Entry | None],
    names: Sequence[str],
    sizes: Sequence[Size],
    name_boxes: Callable[[str], str],
    outside_boxes: str,
) -> dict[str, Any]:
    """The box columns of a row: clamped to the frames, filled in for frames without one; and their counts.

    Args:
        entries: the boxes of a clip, by kind.
        names: of its frames.
        sizes: of its frames.
        name_boxes: what messages call the boxes of a kind.
        outside_boxes: what a box wholly outside its frame is, an "error" or "missing".

    Raises:
        InputError: there is such a box, and it is an error.
    """
    fitted = {
        kind: fit_entry(entry, names, sizes, partial(name_boxes, kind), outside_boxes)
        for kind, entry in entries.items()
    }
    bodies, body_sources = fill_boxes(fitted["body"].boxes, sizes)
    faces, face_sources = fill_face_boxes(fitted["face"].boxes, bodies, sizes)
    return {
        "face_boxes": [box or [] for box in faces],
        "face_box_sources": face_sources,
        "body_boxes": [] if bodies[0] is None else bodies[:1] if fitted["body"].for_all else bodies,
        **count_findings("face", fitted["face"], face_sources),
        **count_findings("body", fitted["body"], body_sources),
    }


@dataclass(frozen=True)
class FittedBoxes:
    """A clip's boxes of one kind, one for each frame, `None` where it has none, and what happened to them."""

    boxes: list[Box | None]
    given: int
    clamped: int
    outside: int
    without_frame: int
    respelled: int
    for_all: int


def fit_entry(
    entry: Entry | None, names: Sequence[str], sizes: Sequence[Size], place: Callable[[], str], outside_boxes: str
) -> FittedBoxes:
    """Find the frames of a clip's boxes, clamp the boxes to them, and leave out, or refuse, those wholly outside.

    One box for all frames is in pixels of the first; where frames differ in size, it becomes a box for each.
    """
    size_of = {**dict(zip(names, sizes, strict=True)), ALL_FRAMES: sizes[0]}
    values: Mapping[str, Box]
    if isinstance(entry, tuple):
        for_all = len(set(sizes)) == 1
        values = dict.fromkeys([ALL_FRAMES] if for_all else names, entry)
        given = {name: scale_box(entry, sizes[0], size_of[name]) for name in values}
    else:
        for_all, values = False, entry or {}
        given = match_frames(values, names)
    fitted = {name: fit_box(box, *size_of[name]) for name, box in given.items()}
    outside = [name for name, box in fitted.items() if box is None]
    if outside and outside_boxes == "error":
        width, height = size_of[outside[0]]
        raise InputError(
            f"{place()}, {outside[0]}: box {list(given[outside[0]])} covers no pixel of the {width}x{height} frame; "
            "expected a box inside it (--outside-boxes missing treats such boxes as missing)"
        )
    return FittedBoxes(
        boxes=[fitted.get(ALL_FRAMES if for_all else name) for name in names],
        given=1 if isinstance(entry, tuple) else len(values),
        clamped=sum(box is not None and box != given[name] for name, box in fitted.items()),
        outside=len(outside),
        without_frame=0 if for_all else len(values) - len(given),
        respelled=0 if for_all else sum(name not in values for name in given),
        for_all=int(for_all),
    )


def count_findings(kind: str, fitted: FittedBoxes, sources: Sequence[str]) -> dict[str, int]:
    """How often each finding is met among a clip's boxes of a kind."""
    counts = {
        **{name: getattr(fitted, name) for name in FINDINGS},
        **dict.fromkeys(BOX_SOURCES, 0),
        **Counter(sources),
    }
    return {f"{kind}_boxes_{name}": count for name, count in counts.items()}
