"""One clip of RAER to one row: frames, a box for every frame, and what had to be repaired."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Features, List, Value

from modeling_clipcaer.data.annotations import AnnotatedClip
from modeling_clipcaer.data.boxes import BOX_SOURCES, Box, Entry, Size, fill_boxes, fill_face_boxes, fit_box, scale_box
from modeling_clipcaer.data.clip_keys import find_folder
from modeling_clipcaer.data.frame_names import check_frame_names, match_frames
from modeling_clipcaer.data.raer_config import Sources
from modeling_clipcaer.errors import InputError, check_utf8
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, list_frame_names
from modeling_clipcaer.image_files import read_image_size
from modeling_clipcaer.raer_labels import RAER_LABELS


FEATURES = Features(
    {
        "clip_id": Value("string"),
        "person_id": Value("string"),
        "frame_dir": Value("string"),
        "frame_names": List(Value("string")),
        "face_boxes": List(List(Value("float32"))),
        "face_box_sources": List(ClassLabel(names=list(BOX_SOURCES))),
        "body_boxes": List(List(Value("float32"))),
        "label": ClassLabel(names=list(RAER_LABELS)),
    }
)
# What can be said of the boxes of one kind in one clip: how many its file gives, and of these, how many are cut at the
# frame's edge, outside it, for a frame that is not there, for a frame of another spelling, one for all frames.
FINDINGS = ("given", "clamped", "outside", "without_frame", "respelled", "for_all")
# Counts of what was repaired in a row. They are columns because rows are made in several processes; the build sums
# them up and leaves them out of the dataset on disk.
AUDIT_FEATURES = Features(
    {
        name: Value("int32")
        for name in (
            *("listed_frames", "list_lines", "found_frames"),
            *(f"{kind}_boxes_{finding}" for kind in ("face", "body") for finding in FINDINGS),
            *(f"{kind}_boxes_{source}" for kind in ("face", "body") for source in BOX_SOURCES),
        )
    }
)
ALL_FRAMES = "all frames"


def make_features(labels: Sequence[str]) -> Features:
    """Columns of a dataset whose labels have these names."""
    return Features({**FEATURES, "label": ClassLabel(names=list(labels))})


@dataclass(frozen=True)
class ClipTask:
    """A clip with what the box files say about it."""

    clip: AnnotatedClip
    face: Entry | None
    body: Entry | None


def make_row(task: ClipTask, sources: Sources, outside_boxes: str) -> dict[str, Any]:
    """The row of a clip: its frames in natural order, a box for every frame, and what had to be repaired.

    Boxes are fitted to each frame's own size: of every frame the header is read.
    """
    clip = task.clip
    folder = find_folder(sources.raer, clip.clip_id) or sources.raer / clip.clip_id
    names = list_frame_names(folder)
    if not names:
        raise InputError(f"{clip.place}: {folder}: expected frames ({', '.join(IMAGE_SUFFIXES)}), found none")
    for name in names:
        check_utf8(f"{folder}/{name}")
    check_frame_names(folder, names)
    sizes = read_frame_sizes([folder / name for name in names])
    faces = fit_entry(task.face, names, sizes, f"{sources.face}: clip '{clip.clip_id}'", outside_boxes)
    bodies = fit_entry(task.body, names, sizes, f"{sources.body}: clip '{clip.clip_id}'", outside_boxes)
    body_boxes, body_sources = fill_boxes(bodies.boxes, sizes)
    face_boxes, face_sources = fill_face_boxes(faces.boxes, body_boxes, sizes)
    return {
        "clip_id": clip.clip_id,
        "person_id": clip.person_id,
        "frame_dir": str(folder),
        "frame_names": names,
        "face_boxes": [box or [] for box in face_boxes],
        "face_box_sources": face_sources,
        "body_boxes": [] if body_boxes[0] is None else body_boxes[:1] if bodies.for_all else body_boxes,
        "label": clip.label,
        "listed_frames": clip.listed_frames,
        "list_lines": clip.num_lines,
        "found_frames": len(names),
        **count_findings("face", faces, face_sources),
        **count_findings("body", bodies, body_sources),
    }


def read_frame_sizes(images: Sequence[str | Path | bytes]) -> list[Size]:
    """(width, height) of every frame, upright, from the files' headers; nothing is decoded.

    One that cannot be read is taken to be as large as the one before it: it has no pixels to lie wrong on, and the
    audit names it.

    Raises:
        InputError: the first one cannot be read.
    """
    sizes: list[Size] = []
    for image in images:
        try:
            sizes.append(read_image_size(image))
        except InputError:
            if not sizes:
                raise
            sizes.append(sizes[-1])
    return sizes


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
    entry: Entry | None, names: Sequence[str], sizes: Sequence[Size], place: str, outside_boxes: str
) -> FittedBoxes:
    """Find the frames of a clip's boxes, clamp the boxes to them, and leave out, or refuse, those wholly outside.

    One box for all frames is in pixels of the first; where frames differ in size, it becomes a box for each.
    """
    size_of = {**dict(zip(names, sizes, strict=True)), ALL_FRAMES: sizes[0]}
    is_one = isinstance(entry, tuple)
    for_all = is_one and len(set(sizes)) == 1
    if is_one:
        values = dict.fromkeys([ALL_FRAMES] if for_all else names, entry)
        given = {name: scale_box(entry, sizes[0], size_of[name]) for name in values}
    else:
        values = entry or {}
        given = match_frames(values, names)
    fitted = {name: fit_box(box, *size_of[name]) for name, box in given.items()}
    outside = [name for name, box in fitted.items() if box is None]
    if outside and outside_boxes == "error":
        width, height = size_of[outside[0]]
        raise InputError(
            f"{place}, {outside[0]}: box {list(given[outside[0]])} covers no pixel of the {width}x{height} frame; "
            "expected a box inside it (--outside-boxes missing treats such boxes as missing)"
        )
    return FittedBoxes(
        boxes=[fitted.get(ALL_FRAMES if for_all else name) for name in names],
        given=1 if is_one else len(values),
        clamped=sum(box is not None and box != given[name] for name, box in fitted.items()),
        outside=len(outside),
        without_frame=0 if for_all else len(values) - len(given),
        respelled=0 if for_all else sum(name not in values for name in given),
        for_all=int(for_all),
    )


def count_findings(kind: str, fitted: FittedBoxes, sources: Sequence[str]) -> dict[str, int]:
    counts = {
        **{name: getattr(fitted, name) for name in FINDINGS},
        **dict.fromkeys(BOX_SOURCES, 0),
        **Counter(sources),
    }
    return {f"{kind}_boxes_{name}": count for name, count in counts.items()}
