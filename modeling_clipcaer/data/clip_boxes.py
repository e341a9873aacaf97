"""Boxes for single clips, from JSON files in RAER's form."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_clipcaer.data.boxes import Box, Entry, fill_face_boxes, names_people, read_body_file, read_face_file
from modeling_clipcaer.data.clip_keys import clip_key, normalise
from modeling_clipcaer.errors import InputError


@dataclass
class ClipBoxes:
    """Boxes of faces, by clip, or clip and person, and frame, and of bodies, by clip, or clip and person. A file that
    was given must know every clip."""

    face: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Entry] = field(default_factory=dict)

    def check(self, paths: Iterable[str]) -> None:
        """Refuse a key that means several of `paths`: its boxes are one's alone.

        Raises:
            InputError: one does.
        """
        owners: dict[str, str] = {}
        for boxes in (self.face, self.body):
            for path in paths:
                for key in [key for key in _list_keys(path) if key in boxes][:1]:
                    if owners.setdefault(key, path) != path:
                        raise InputError(
                            f"the box key '{key}' means {owners[key]} and {path}; expected more of the path"
                        )

    def find(self, path: str, frame_names: list[str]) -> tuple[list[Box | None], list[str], Box | None]:
        """A face box for every frame (`None`: the whole frame), where each is from, and the body box."""
        face_boxes, body = self.find_given(path, frame_names)
        if isinstance(face_boxes, dict) or isinstance(body, dict):
            raise InputError(f"{path}: expected the boxes of one person, found those of several")
        filled, sources = fill_face_boxes(face_boxes, body)
        return filled, sources, body

    def find_given(
        self, path: str, frame_names: list[str]
    ) -> tuple[list[Box | None] | dict[str, list[Box | None]], Box | dict[str, Box] | None]:
        """The face box of every frame that has one, and the body box; of several persons both by their names."""
        face, body = _look_up(self.face, path, "face"), _look_up(self.body, path, "body")
        people = names_people(face)
        if body is not None and not isinstance(body, tuple) and not (people and set(body) <= set(face)):
            raise InputError(f"{path}: expected one body box, found one for each frame")
        if people:
            return {person: _spread(path, entry, frame_names) for person, entry in face.items()}, body
        return _spread(path, face, frame_names), body


def read_boxes(face_file: str | None, body_file: str | None) -> ClipBoxes:
    """Boxes of the files given; a file that is not given leaves the documented fall-backs."""
    return ClipBoxes(
        read_face_file(Path(face_file)) if face_file else {}, read_body_file(Path(body_file)) if body_file else {}
    )


def _spread(path: str, face: Entry | None, frame_names: list[str]) -> list[Box | None]:
    """The box of every frame, `None` where there is none."""
    if isinstance(face, tuple):
        return [face] * len(frame_names)
    known = {normalise(name): name for name in frame_names}
    found = {known.get(normalise(name), name): box for name, box in (face or {}).items()}
    unknown = sorted(set(found) - set(frame_names))
    if unknown:
        raise InputError(f"{path}: has no frame `{unknown[0]}`, for which there is a face box")
    return [found.get(name) for name in frame_names]


def _look_up(boxes: dict[str, Any], path: str, kind: str) -> Any:
    if not boxes:
        return None
    keys = [key for key in _list_keys(path) if key in boxes]
    if not keys:
        raise InputError(f"{path}: the {kind} boxes hold no such clip; theirs begin with `{next(iter(boxes))}`")
    return boxes[keys[0]]


def _list_keys(path: str) -> list[str]:
    """What box files may call a clip, the most telling first."""
    # Keep: in the one form of a path's letters, as the keys are. A disk may write an accent as a letter of its own.
    keys = (normalise(path), clip_key(str(Path(path).absolute())), normalise(Path(path).name))
    return [key for key in keys if key is not None]
