"""One clip of RAER to one row: frames, a box for every frame, and what had to be repaired."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Features, List, Value
from PIL import Image

from data_scripts.raer_annotations import AnnotatedClip
from data_scripts.raer_boxes import BOX_SOURCES, Box, fill_face_boxes, fit_box
from data_scripts.raer_config import Sources
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, list_frame_names
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
# Counts of what was repaired in a row. They are columns because rows are made in several processes; the build sums
# them up and leaves them out of the dataset on disk.
AUDIT_FEATURES = Features(
    {
        name: Value("int32")
        for name in (
            "listed_frames",
            "list_lines",
            "face_boxes_clamped",
            "face_boxes_outside",
            "face_boxes_without_frame",
            "body_boxes_clamped",
            "body_boxes_outside",
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
    face_boxes: dict[str, Box]
    body_box: Box | None


def make_row(task: ClipTask, sources: Sources, outside_boxes: str) -> dict[str, Any]:
    """The row of a clip: its frames in natural order, a box for every frame, and what had to be repaired.

    All frames of a clip are taken to have the first one's size, so that one header is read per clip.
    """
    clip, folder = task.clip, sources.raer / task.clip.clip_id
    names = list_frame_names(folder)
    if not names:
        raise InputError(f"{clip.place}: {folder}: expected frames ({', '.join(IMAGE_SUFFIXES)}), found none")
    size = read_frame_size(folder / names[0])
    present = {name: task.face_boxes[name] for name in names if name in task.face_boxes}
    faces = fit_boxes(present, size, f"{sources.face}: clip '{clip.clip_id}'", outside_boxes)
    body = {} if task.body_box is None else {ALL_FRAMES: task.body_box}
    bodies = fit_boxes(body, size, f"{sources.body}: clip '{clip.clip_id}'", outside_boxes)
    body_box = bodies.boxes.get(ALL_FRAMES)
    filled, box_sources = fill_face_boxes([faces.boxes.get(name) for name in names], body_box)
    return {
        "clip_id": clip.clip_id,
        "person_id": clip.person_id,
        "frame_dir": str(folder),
        "frame_names": names,
        "face_boxes": [box or [] for box in filled],
        "face_box_sources": box_sources,
        "body_boxes": [body_box] if body_box else [],
        "label": clip.label,
        "listed_frames": clip.listed_frames,
        "list_lines": clip.num_lines,
        "face_boxes_clamped": faces.num_clamped,
        "face_boxes_outside": faces.num_outside,
        "face_boxes_without_frame": len(task.face_boxes) - len(present),
        "body_boxes_clamped": bodies.num_clamped,
        "body_boxes_outside": bodies.num_outside,
    }


def read_frame_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header; nothing is decoded."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise InputError(f"{path}: expected a readable image, found: {error}") from None


@dataclass(frozen=True)
class FittedBoxes:
    boxes: dict[str, Box]
    num_clamped: int
    num_outside: int


def fit_boxes(boxes: dict[str, Box], size: tuple[int, int], place: str, outside_boxes: str) -> FittedBoxes:
    """Clamp a clip's boxes to its frames and leave out, or refuse, those wholly outside."""
    fitted = {name: fit_box(box, *size) for name, box in boxes.items()}
    inside = {name: box for name, box in fitted.items() if box is not None}
    outside = [name for name, box in fitted.items() if box is None]
    if outside and outside_boxes == "error":
        raise InputError(
            f"{place}, {outside[0]}: box {list(boxes[outside[0]])} covers no pixel of the {size[0]}x{size[1]} frame; "
            "expected a box inside it (--outside-boxes missing treats such boxes as missing)"
        )
    num_clamped = sum(box != boxes[name] for name, box in inside.items())
    return FittedBoxes(inside, num_clamped, len(outside))
