"""Boxes in a frame: where a face is found, and the box of a body grown from it."""

from typing import NamedTuple


Box = tuple[float, float, float, float]  # left, top, right, bottom


class FaceDetection(NamedTuple):
    """A face: `box` is left, top, right, bottom in pixels of the frame; `score` is in [0, 1]."""

    box: Box
    score: float


def grow_context_box(face_box: Box, height: int, width: int) -> Box:
    """Grow a face into the box of the body and the desk before it, within a frame of `height` and `width` pixels.

    The box is 4 faces wide and reaches from 3/4 of a face above to 3 1/2 faces below: shoulders, arms, and the table
    that a seated person works at. It is at least a pixel wide and high, also for a face beyond the frame.
    """
    face_width, face_height = face_box[2] - face_box[0], face_box[3] - face_box[1]
    left, right = _keep_within(face_box[0] - 1.5 * face_width, face_box[2] + 1.5 * face_width, width)
    top, bottom = _keep_within(face_box[1] - 0.75 * face_height, face_box[3] + 3.5 * face_height, height)
    return left, top, right, bottom


def _keep_within(start: float, end: float, length: int) -> tuple[float, float]:
    """The part of a stretch that lies within 0 and `length`, or the pixel next to it: never less than one."""
    start = min(max(start, 0.0), length - 1.0)
    return start, max(min(end, float(length)), start + 1)
