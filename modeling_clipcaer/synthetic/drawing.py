"""Draws a moment of the drawn world: a picture, the box of the face and the box of the body."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from modeling_clipcaer.synthetic.canvas import FINE, FRAME_SIZE, Box, Canvas, oval, shade
from modeling_clipcaer.synthetic.student import HEAD_SIZE, draw_arms, draw_body, draw_head, place_head
from modeling_clipcaer.synthetic.world import Moment, Person, Setting, to_colour


DESK_TOP = 130
# Other ways to draw the same picture.
STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "negative": ImageOps.invert,
    "outlines": lambda picture: picture.convert("L").filter(ImageFilter.CONTOUR).convert("RGB"),
}


class Picture(NamedTuple):
    """A drawn moment: its image, and in the image's pixels the boxes of face and body and of what tells a label, by
    name, each left, top, right, bottom."""

    image: Image.Image
    face: Box
    body: Box
    cues: dict[str, Box]


@dataclass
class Stage:
    """What is drawn once for a clip: the room, the light and the camera."""

    person: Person
    setting: Setting

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.setting.look)
        width, height = FRAME_SIZE
        self.room = Image.new("RGB", (width * FINE, height * FINE))
        draw_room(self.new_canvas(self.room), rng, self.person.place)
        self.desk_colour = to_colour(np.array([150, 112, 76]) * rng.uniform(0.6, 1.5) + rng.uniform(-12, 12, 3))
        self.neighbour_shirt = to_colour(rng.uniform(30, 230, 3))
        self.neighbour_skin = to_colour(np.array([236, 196, 168]) * rng.uniform(0.45, 1.05))
        slope = rng.uniform(-0.14, 0.14, 2)
        shadow = 1 + slope[0] * np.linspace(-1, 1, width)[None, :] + slope[1] * np.linspace(-1, 1, height)[:, None]
        self.light = (shadow[..., None] * np.array(self.setting.light)).astype(np.float32)
        self.grain = rng.standard_normal((height + 40, width + 40, 1), dtype=np.float32) * self.setting.noise

    def new_canvas(self, image: Image.Image) -> Canvas:
        """An empty canvas, seen by the camera of a moment."""
        return Canvas(image, self.setting.zoom, self.setting.shift)


def draw_moment(stage: Stage, moment: Moment, rng: np.random.Generator) -> Picture:
    """The picture of a moment."""
    canvas = stage.new_canvas(stage.room.copy())
    person, setting = stage.person, stage.setting
    if setting.company:
        draw_neighbour(canvas, stage)
    head, tilt = place_head(setting, moment)
    draw_body(canvas, person, head, moment)
    draw_head(canvas, person, moment, head, tilt)
    draw_desk(canvas, stage.desk_colour)
    lay_object(canvas, setting)
    draw_arms(canvas, person, setting, moment, head)
    image = expose(stage, canvas.image.reduce(FINE), rng)
    return Picture(image, *find_boxes(canvas, head), canvas.cues)


def find_boxes(canvas: Canvas, head: np.ndarray) -> tuple[Box, Box]:
    """The boxes of face and body of a student whose head's centre is `head`, as the camera sees them."""
    face = canvas.place([head - np.multiply(HEAD_SIZE, (1, 1.05)), head + np.multiply(HEAD_SIZE, (1, 1.0))])
    body = canvas.place([(head[0] - 70, head[1] - 32), (head[0] + 70, 178)])
    return tuple(face.ravel().tolist()), tuple(body.ravel().tolist())


def expose(stage: Stage, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light and sensor noise."""
    top, left = rng.integers(0, 40, 2)
    width, height = FRAME_SIZE
    grain = stage.grain[top : top + height, left : left + width]
    pixels = np.asarray(image, dtype=np.float32) * stage.light + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_room(canvas: Canvas, rng: np.random.Generator, place: str) -> None:
    """Draw wall and floor."""
    colour, furnish = {
        "classroom": ((206, 200, 178), hang_board),
        "library": ((178, 150, 118), fill_shelves),
        "laboratory": ((206, 216, 222), hang_cupboards),
        "dormitory": ((196, 178, 186), hang_posters),
    }[place]
    wall = to_colour(np.array(colour) * rng.uniform(0.75, 1.15) + rng.uniform(-12, 12, 3))
    canvas.box(-80, -80, 400, 260, wall)
    canvas.box(-80, 116, 400, 260, shade(wall, 0.7))
    furnish(canvas, rng, rng.uniform(-30, 30), wall)


def hang_board(canvas: Canvas, rng: np.random.Generator, x: float, wall: tuple[int, int, int]) -> None:
    """Draw a board on the wall."""
    canvas.box(x - 20, 14, x + 210, 82, (118, 84, 56))
    canvas.box(x - 16, 18, x + 206, 78, (44, 88, 66))
    for _ in range(5):
        left, y = rng.uniform(x, x + 150), rng.uniform(26, 70)
        canvas.line([(left, y), (left + rng.uniform(15, 45), y + rng.uniform(-2, 2))], (202, 210, 200), 1.2)


def fill_shelves(canvas: Canvas, rng: np.random.Generator, x: float, wall: tuple[int, int, int]) -> None:
    """Draw shelves with books."""
    for y in (-20, 20, 60, 100):
        canvas.box(-80, y, 400, y + 4, (92, 62, 40))
        for left in np.arange(-60, 380, 9) + x % 9:
            canvas.box(left, y + 4 + rng.uniform(2, 14), left + 7, y + 40, to_colour(rng.uniform(50, 190, 3)))


def hang_cupboards(canvas: Canvas, rng: np.random.Generator, x: float, wall: tuple[int, int, int]) -> None:
    """Draw cupboards on the wall."""
    for left in (x - 10, x + 90, x + 250):
        canvas.box(left, 0, left + 66, 46, shade(wall, 0.86))
        canvas.line([(left + 33, 4), (left + 33, 44)], shade(wall, 0.7), 1)
    for _ in range(6):
        left, glass = rng.uniform(0, 320), to_colour(rng.uniform(60, 235, 3))
        canvas.polygon([(left, 92), (left + 5, 92), (left + 9, 116), (left - 4, 116)], glass)


def hang_posters(canvas: Canvas, rng: np.random.Generator, x: float, wall: tuple[int, int, int]) -> None:
    """Draw posters on the wall."""
    canvas.box(x + 210, 8, x + 290, 78, (240, 240, 236))
    canvas.box(x + 215, 13, x + 285, 73, (150, 194, 226))
    canvas.line([(x + 250, 12), (x + 250, 74)], (240, 240, 236), 3)
    for left in (x + 8, x + 62):
        poster = to_colour(rng.uniform(60, 230, 3))
        canvas.box(left, 16, left + 38, 68, poster)
        canvas.polygon(oval((left + 19, 40), (11, 11)), shade(poster, 0.6))


def draw_neighbour(canvas: Canvas, stage: Stage) -> None:
    """Draw somebody behind the student."""
    side = stage.setting.company
    x = 160 + side * 80
    shirt, skin, hair = stage.neighbour_shirt, stage.neighbour_skin, shade(stage.person.hair, 1.3)
    canvas.polygon(oval((x, 140), (40, 46)), shirt)
    canvas.polygon(oval((x, 74), (18, 22)), hair)
    canvas.polygon(oval((x - side * 5, 77), (14, 18)), skin)
    canvas.limb([(x - side * 30, 120), (x - side * 44, 136)], shirt, 11)


def draw_desk(canvas: Canvas, colour: tuple[int, int, int]) -> None:
    """Draw the desk, as wide as the picture."""
    canvas.box(-80, DESK_TOP, 400, 270, colour)
    canvas.polygon(
        [(-80, DESK_TOP), (400, DESK_TOP), (400, DESK_TOP + 2.5), (-80, DESK_TOP + 2.5)], shade(colour, 1.2)
    )


def lay_object(canvas: Canvas, setting: Setting) -> None:
    """Draw what lies on the desk."""
    if setting.desk_object == "laptop":
        canvas.polygon([(126, 112), (194, 112), (198, 152), (122, 152)], (70, 74, 82))
        canvas.polygon([(129, 115), (191, 115), (194, 149), (126, 149)], (112, 118, 128))
        canvas.polygon(oval((160, 132), (5, 5)), (200, 206, 214))
    elif setting.desk_object == "book":
        book = np.array([(118, 142), (202, 142), (212, 168), (108, 168)])
        canvas.mark("book", book)
        canvas.polygon(book, setting.cover)
        canvas.polygon([(121, 142), (160, 145), (160, 166), (112, 165)], (244, 238, 222))
        canvas.polygon([(199, 142), (160, 145), (160, 166), (208, 165)], (234, 228, 210))
        for row in (149, 154, 159):
            canvas.line([(122, row), (154, row + 1)], (150, 146, 140), 0.9)
            canvas.line([(166, row + 1), (198, row)], (150, 146, 140), 0.9)
    else:
        canvas.polygon([(138, 141), (184, 141), (190, 168), (132, 168)], (250, 250, 250))
        canvas.line([(138, 141), (184, 141)], setting.cover, 4)
        for row in (148, 153, 158, 163):
            canvas.line([(139, row), (184, row)], (140, 160, 214), 0.8)
