"""Pages of what the model sees: a clip's frames with boxes, both streams, and faces that nobody is known by."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modeling_clipcaer.common.palette import BODY_BOX, FACE_BOX
from modeling_clipcaer.faces.hiding import hide_between, hide_whole, veil_face
from modeling_clipcaer.frames import FrameSource
from modeling_clipcaer.names import printable


Box = Sequence[float]
MARGIN, LINE, GAP = 12, 20, 2  # pixels between blocks, of a line of text, between frames
TEXT_SIZE = 14
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # Pillow's own has no accents
PAGE_WIDTH = 2048  # what the frames of a row are shrunk to share, down to the smallest cell
SMALLEST_CELL = 64
BACKGROUND, INK = (250, 250, 250), (20, 20, 20)
# A box that is another frame's or a guess is wide of the face, by as much as a head moves meanwhile: what is hidden is
# so many times as large as a face of its own.
GUESSED_GROWTH = 2.0


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
    """Frames of a clip on which nobody is known by the face, before anything is cut from them: a face is veiled where
    its box is the frame's own, and hidden where that is a guess.

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
            if not box:
                hide_whole(pixels)
            elif self.is_own[index]:
                veil_face(pixels, box)
            else:
                hide_between(pixels, np.array([box], dtype=float), growth=GUESSED_GROWTH)
            yield frame


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
    for box, colour in ((view.body_box, BODY_BOX), (view.face_box, FACE_BOX)):
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
