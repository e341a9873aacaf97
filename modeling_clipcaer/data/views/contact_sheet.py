"""Pages of what the model sees: a clip's frames with boxes, both streams, and faces that cannot be recognised."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from modeling_clipcaer.frames import FrameSource
from modeling_clipcaer.names import printable


Box = Sequence[float]
MARGIN, LINE, GAP = 12, 20, 2  # pixels between blocks, of a line of text, between frames
TEXT_SIZE = 14
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # Pillow's own has no accents
PAGE_WIDTH = 2048  # what the frames of a row are shrunk to share, down to the smallest cell
SMALLEST_CELL = 64
BACKGROUND, INK = (250, 250, 250), (20, 20, 20)
FACE_COLOUR, BODY_COLOUR = (0, 158, 115), (230, 94, 0)
# Mosaic cells across a face. An eye is less than a cell, and the cells are blurred into each other.
FACE_CELLS = 5
# Of a hidden ellipse, times the face box: it holds the box's corners, hair and chin. A box that is another frame's or
# a guess is wide of the face, by as much as a head moves meanwhile.
OWN_GROWTH, GUESSED_GROWTH = 1.9, 3.0


@dataclass
class ClipView:
    """What is shown of one clip.

    Args:
        title: lines of text.
        frame: one whole frame.
        face_box, body_box: on that frame; `None` where the whole frame stands in.
        context, face: squares of the two streams, uint8 (num_frames, size, size, 3).
    """

    title: tuple[str, str]
    frame: Image.Image
    face_box: Box | None
    body_box: Box | None
    context: np.ndarray
    face: np.ndarray


class HiddenFaces:
    """Frames of a clip with the faces made unrecognisable, before anything is cut from them.

    Args:
        source: the frames as they are.
        boxes: the face box of each; `None` or an empty one hides the whole frame.
        is_own: of each, whether the box is the frame's own, and no neighbour's and no guess.
    """

    def __init__(self, source: FrameSource, boxes: Sequence[Box | None], is_own: Sequence[bool]):
        self.source, self.boxes, self.is_own = source, boxes, is_own

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> Iterator:
        """Yield the frames at `indices`."""
        for index, frame in zip(indices, self.source.read(indices), strict=True):
            pixels, box = frame.permute(1, 2, 0).numpy(), self.boxes[index]  # the frame's own memory
            if box:
                hide_face(pixels, box, OWN_GROWTH if self.is_own[index] else GUESSED_GROWTH)
            else:
                hide_whole(pixels)
            yield frame


def hide_whole(pixels: np.ndarray) -> None:
    """Make all of `pixels` (height, width, 3), uint8, unrecognisable, in place."""
    height, width = pixels.shape[:2]
    pixels[...] = _make_mosaic(Image.fromarray(np.ascontiguousarray(pixels)), max(height, width) / FACE_CELLS)


def hide_face(pixels: np.ndarray, box: Box, growth: float) -> None:
    """Make what lies in and around `box` unrecognisable, in place.

    Args:
        pixels (`(height, width, 3)` uint8): a picture.
        box: left, top, right, bottom in its pixels; may reach beyond it.
        growth: how many times as wide and high as the box the hidden ellipse is.
    """
    (left, right), (top, bottom) = sorted(box[::2]), sorted(box[1::2])
    sides, middle = (max(right - left, 1), max(bottom - top, 1)), ((left + right) / 2, (top + bottom) / 2)
    left, top = (int(np.floor(at - growth * side / 2)) for at, side in zip(middle, sides, strict=True))
    right, bottom = (int(np.ceil(at + growth * side / 2)) for at, side in zip(middle, sides, strict=True))
    rows, columns = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
    if pixels[rows, columns].size == 0:
        return
    region = Image.fromarray(np.ascontiguousarray(pixels[rows, columns]))
    mask = Image.new("L", region.size)
    ellipse = (left - columns.start, top - rows.start, right - columns.start, bottom - rows.start)
    ImageDraw.Draw(mask).ellipse(ellipse, fill=255)
    region.paste(_make_mosaic(region, max(sides) / FACE_CELLS), mask=mask)
    pixels[rows, columns] = region


def _make_mosaic(picture: Image.Image, cell: float) -> Image.Image:
    """`picture` from cells of so many pixels, blurred into each other."""
    columns, rows = (max(round(side / max(cell, 1)), 1) for side in picture.size)
    mosaic = picture.resize((columns, rows), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))
    return mosaic.resize(picture.size, Image.Resampling.BILINEAR)


def draw_page(views: Sequence[ClipView], heading: str) -> Image.Image:
    """A page with a block for each clip: text, a whole frame with its boxes, and a row of squares for each stream."""
    cells = [_cell_side(view) for view in views]
    num_frames = [len(view.context) for view in views]
    font = ImageFont.truetype(FONT, TEXT_SIZE)
    texts = [printable(text) for text in (heading, *(line for view in views for line in view.title))]
    # Keep: few and small squares are narrower than what is said of them.
    longest = min(math.ceil(max(map(font.getlength, texts))), PAGE_WIDTH) + 2 * MARGIN
    rows = max((count + 3) * cell for count, cell in zip(num_frames, cells, strict=True)) + 3 * MARGIN
    width = max(rows, longest)
    height = LINE + 2 * MARGIN + sum(2 * LINE + 2 * cell + 2 * MARGIN for cell in cells)
    page = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(page)
    _write(draw, heading, MARGIN, width, font)
    top = LINE + 2 * MARGIN
    for view, cell in zip(views, cells, strict=True):
        for number, line in enumerate(view.title):
            _write(draw, line, top + number * LINE, width, font)
        top += 2 * LINE
        page.paste(_draw_frame(view, 3 * cell - MARGIN, 2 * cell), (MARGIN, top))
        for row, squares in enumerate((view.context, view.face)):
            for column, square in enumerate(squares):
                shown = Image.fromarray(square).resize((cell - GAP, cell - GAP), Image.Resampling.LANCZOS)
                page.paste(shown, (2 * MARGIN + (3 + column) * cell, top + row * cell))
        top += 2 * cell + 2 * MARGIN
    return page


def _cell_side(view: ClipView) -> int:
    return min(max(PAGE_WIDTH // len(view.context), SMALLEST_CELL), view.context.shape[1])


def _draw_frame(view: ClipView, width: int, height: int) -> Image.Image:
    """The whole frame, no larger than this, with its boxes."""
    scale = min(width / view.frame.width, height / view.frame.height)
    size = [max(round(side * scale), 1) for side in view.frame.size]
    frame = view.frame.resize(size, Image.Resampling.LANCZOS)
    for box, colour in ((view.body_box, BODY_COLOUR), (view.face_box, FACE_COLOUR)):
        if box is not None:
            left, right = sorted((box[0] * scale, box[2] * scale))
            top, bottom = sorted((box[1] * scale, box[3] * scale))
            ImageDraw.Draw(frame).rectangle((left, top, right, bottom), outline=colour, width=2)
    return frame


def _write(draw: ImageDraw.ImageDraw, text: str, top: int, width: int, font: ImageFont.FreeTypeFont) -> None:
    """A line of text, cut off where the page ends."""
    room = width - 2 * MARGIN
    shown = printable(text)
    while shown and draw.textlength(shown, font) > room:
        shown = shown[:-2] + "…"
    draw.text((MARGIN, top), shown, INK, font)
