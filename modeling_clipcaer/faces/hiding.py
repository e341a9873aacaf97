"""Faces that nobody is known by any more: coarse cells across them, blurred into each other."""

from collections.abc import Sequence

import cv2
import numpy as np

from modeling_clipcaer.faces.boxes import Box


# Cells across a hidden face, of which an eye is less than one, and across a veiled one, of which mouth and nose are.
HIDDEN_CELLS, VEILED_CELLS = 5, 9
# Of an outline, times the face box. Keep: above the square root of 2, so that the ellipse holds the box's corners, and
# higher than that for the hair and the chin that detectors cut off.
GROWN_WIDTH, GROWN_HEIGHT = 1.46, 1.56
# Where eyes are in a face box, as shares of its height, and how far beyond its sides they are covered.
EYES_TOP, EYES_BOTTOM, EYES_BESIDE = 0.18, 0.56, 0.08
EYES_COLOUR = (60, 66, 74)


def hide_between(frame: np.ndarray, boxes: np.ndarray, cells: int = HIDDEN_CELLS, growth: float = 1.0) -> None:
    """Make what lies in and between `boxes` unrecognisable, in place.

    Args:
        frame (`(height, width, 3)` uint8): RGB.
        boxes (`(num_boxes, 4)` float): where one face was last and is next, in pixels; may reach beyond the frame.
        cells: across the larger side of a box.
        growth: how many times as large as usual the outline is.
    """
    corners = np.sort(boxes.reshape(-1, 2, 2), axis=1)
    middles, sizes = corners.mean(axis=1), np.maximum(corners[:, 1] - corners[:, 0], 1)
    axes = np.ceil(sizes * (GROWN_WIDTH, GROWN_HEIGHT) * growth / 2).astype(int)
    outlines = [
        cv2.ellipse2Poly((round(x), round(y)), (int(a), int(b)), 0, 0, 360, 10)
        for (x, y), (a, b) in zip(middles, axes, strict=True)
    ]
    outline = cv2.convexHull(np.concatenate(outlines))
    left, top, width, height = cv2.boundingRect(outline)
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    region = frame[rows, columns]
    if region.size == 0:
        return
    mask = np.zeros(region.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, outline - (columns.start, rows.start), 255)
    cv2.copyTo(_make_mosaic(region, sizes.max() / cells), mask, region)


def hide_whole(pixels: np.ndarray) -> None:
    """Make all of `pixels` (height, width, 3), uint8, unrecognisable, in place."""
    pixels[...] = _make_mosaic(pixels, max(pixels.shape[:2]) / HIDDEN_CELLS)


def veil_face(frame: np.ndarray, box: Box | Sequence[float]) -> None:
    """Cover the eyes of the face in `box` and make the rest of it coarse, in place: where the face is and which way it
    is turned stays to be seen, and who it is does not. `frame` is (height, width, 3), uint8, RGB."""
    hide_between(frame, np.array([box], dtype=float), VEILED_CELLS)
    (left, right), (top, bottom) = sorted(box[::2]), sorted(box[1::2])
    width, height = right - left, bottom - top
    first, last = (round(max(side, 0)) for side in (left - EYES_BESIDE * width, right + EYES_BESIDE * width))
    above, below = (round(max(top + share * height, 0)) for share in (EYES_TOP, EYES_BOTTOM))
    frame[above:below, first:last] = EYES_COLOUR


def _make_mosaic(picture: np.ndarray, cell: float) -> np.ndarray:
    """`picture` from cells of so many pixels, blurred into each other."""
    cells = [max(round(side / max(cell, 1)), 1) for side in (picture.shape[1], picture.shape[0])]
    mosaic = cv2.GaussianBlur(cv2.resize(picture, cells, interpolation=cv2.INTER_AREA), (3, 3), 0)
    return cv2.resize(mosaic, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
