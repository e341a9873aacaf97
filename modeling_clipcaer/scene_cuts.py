"""Hard cuts: where a picture, or a part of it, is another one from one frame to the next.

A calling program swaps two tiles, or shows another speaker: the boxes of two people then follow each other at one
place, and geometry would take them for one. Whatever moves changes for many frames; a cut changes once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np


if TYPE_CHECKING:
    import torch


# Of the thumbnails in which cuts are looked for: rows and columns. A cell is 20 pixels of a 720p frame.
CELLS = (36, 64)
# Levels of red, green or blue, of 255, by which a cell changes at least. Two faces before one wall differ by 23 to 58
# on average, and in 70 to 98 % of their cells.
LEAST_CHANGE = 8
# How many times as bright a picture may become and be the same one.
MOST_LIGHT = 4
# How many times as much as in the frames around it.
SPIKE = 3
# How many frames before and after count as around it. A flash changes the picture there and back, and is none.
BEFORE, AFTER = 12, 3
# Of a box's cells, from which share on a cut is one of the box.
LEAST_SHARE = 0.4
# Cells, a side, in which a face before a cut is compared with the one after it.
FACE_CELLS = 8

Item = TypeVar("Item")


def find_cuts(
    items: Iterable[Item], make_thumbnail: Callable[[Item], np.ndarray], after: int = AFTER
) -> Iterator[tuple[Item, np.ndarray | None]]:
    """Each of `items`, frames in their order, with the cells that are cut from the frame before it.

    Args:
        items: the frames.
        make_thumbnail: the picture of an item, (rows, columns, 3) as `CELLS`, uint8.
        after: how many frames more are taken than are yielded, to see whether the picture comes back.

    Returns:
        iterator of items, each with a boolean map (rows, columns) or, where nothing is cut, `None`.
    """
    before: np.ndarray | None = None
    past: deque[np.ndarray] = deque(maxlen=BEFORE)
    waiting: deque[tuple[Item, np.ndarray]] = deque()
    for item in items:
        thumbnail = make_thumbnail(item).astype(np.float32)
        waiting.append((item, _compare(thumbnail if before is None else before, thumbnail).max(axis=2)))
        before = thumbnail
        if len(waiting) > after:
            yield _judge(waiting, past)
    while waiting:
        yield _judge(waiting, past)


def _judge(waiting: deque[tuple[Item, np.ndarray]], past: deque[np.ndarray]) -> tuple[Item, np.ndarray | None]:
    """The first item that waits, which then counts as past."""
    item, change = waiting.popleft()
    cut = change >= LEAST_CHANGE
    if cut.any():
        around = [*past, *(later for _, later in waiting)]
        cut &= change >= SPIKE * np.max(around, axis=0, initial=0) if around else True
    past.append(change)
    return item, cut if cut.any() else None


def join_cuts(cells: np.ndarray | None, others: np.ndarray | None) -> np.ndarray | None:
    """The cells that are cut in either of two maps."""
    return others if cells is None else cells if others is None else cells | others


def is_cut(cells: np.ndarray, box: Sequence[float], height: int, width: int) -> bool:
    """Whether the cut `cells` of a frame of `height` and `width` pixels are a cut of what is within `box`."""
    rows, columns = cells.shape
    left, top, right, bottom = box
    first_column, first_row = (
        int(np.clip(left / width * columns, 0, columns - 1)),
        int(np.clip(top / height * rows, 0, rows - 1)),
    )
    last_column = int(np.clip(np.ceil(right / width * columns), first_column + 1, columns))
    last_row = int(np.clip(np.ceil(bottom / height * rows), first_row + 1, rows))
    return bool(cells[first_row:last_row, first_column:last_column].mean() >= LEAST_SHARE)


def see_face(frame: torch.Tensor, box: Sequence[float]) -> np.ndarray:
    """What is within `box` of a frame, uint8 (3, height, width), as a few cells, (3, rows, columns): enough to
    tell whether the picture is another one, and for the next moment alone."""
    from .pixels import crop_box, resize

    cells = resize(crop_box(frame, box)[None], FACE_CELLS, FACE_CELLS, "bilinear")[0]
    return cells.numpy().astype(np.float32)


def is_other(look: np.ndarray | None, other: np.ndarray) -> bool:
    """Whether two looks of [`see_face`], before and after a cut, are of different pictures."""
    return look is None or bool((_compare(look, other).max(axis=0) >= LEAST_CHANGE).mean() >= LEAST_SHARE)


def _compare(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """By how many levels two pictures differ, whatever the light: a lamp that is switched on is no cut."""
    gain = np.clip((before.mean() + 1) / (after.mean() + 1), 1 / MOST_LIGHT, MOST_LIGHT)
    return np.abs(before - after * gain)
