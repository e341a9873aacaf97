"""Draws a moment of the drawn world: a picture, the box of the face and the box of the body."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from data_scripts.synthetic_world import Moment, Person, Setting, to_colour


FRAME_SIZE = (320, 180)  # width, height; coordinates below are in these pixels before zoom and shift
FINE = 2  # drawn this many times larger and averaged down: smooth edges
DESK_TOP = 130
HEAD = (160, 70)
HEAD_SIZE = (17.5, 22)

Box = tuple[float, float, float, float]


@dataclass
class Canvas:
    """Draws shapes given in frame coordinates through the camera of `setting`."""

    image: Image.Image
    zoom: float
    shift: tuple[float, float]
    pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self.pen = ImageDraw.Draw(self.image)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Frame coordinates (count, 2) as seen by the camera."""
        centre = np.array([FRAME_SIZE[0] / 2, FRAME_SIZE[1] / 2])
        return (np.asarray(points, dtype=float) - centre) * self.zoom + centre + self.shift

    def polygon(self, points, fill: tuple[int, int, int]) -> None:
        self.pen.polygon([tuple(point) for point in self.place(points) * FINE], fill=fill)

    def line(self, points, fill: tuple[int, int, int], width: float) -> None:
        thick = max(1, round(width * self.zoom * FINE))
        self.pen.line([tuple(point) for point in self.place(points) * FINE], fill=fill, width=thick, joint="curve")

    def limb(self, points, fill: tuple[int, int, int], width: float) -> None:
        """A thick line with round ends."""
        self.line(points, fill, width)
        for point in (points[0], points[-1]):
            self.polygon(oval(point, (width / 2, width / 2)), fill)


def oval(centre, radii, start: float = 0, end: float = 360, count: int = 26) -> np.ndarray:
    """Points (count, 2) on an ellipse from `start` to `end` degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angle) * radii[0], np.sin(angle) * radii[1]], axis=1) + centre


def shade(colour, factor: float) -> tuple[int, int, int]:
    return to_colour(np.array(colour) * factor)


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
        self.cover = to_colour(rng.uniform(40, 220, 3))
        self.screen = to_colour(rng.uniform(150, 255, 3))
        self.neighbour_shirt = to_colour(rng.uniform(30, 230, 3))
        self.neighbour_skin = to_colour(np.array([236, 196, 168]) * rng.uniform(0.45, 1.05))
        slope = rng.uniform(-0.14, 0.14, 2)
        shadow = 1 + slope[0] * np.linspace(-1, 1, width)[None, :] + slope[1] * np.linspace(-1, 1, height)[:, None]
        self.light = (shadow[..., None] * np.array(self.setting.light)).astype(np.float32)
        self.grain = rng.standard_normal((height + 40, width + 40, 1), dtype=np.float32) * self.setting.noise

    def new_canvas(self, image: Image.Image) -> Canvas:
        return Canvas(image, self.setting.zoom, self.setting.shift)


def draw_moment(stage: Stage, moment: Moment, rng: np.random.Generator) -> tuple[Image.Image, Box, Box]:
    """The picture of a moment, the face box and the body box (left, top, right, bottom)."""
    canvas = stage.new_canvas(stage.room.copy())
    person, setting = stage.person, stage.setting
    if setting.company:
        draw_neighbour(canvas, stage)
    head, tilt = place_head(setting, moment)
    draw_body(canvas, person, head, moment)
    draw_head(canvas, person, moment, head, tilt)
    draw_desk(canvas, stage)
    draw_arms(canvas, stage, moment, head)
    face = canvas.place([head - np.multiply(HEAD_SIZE, (1, 1.05)), head + np.multiply(HEAD_SIZE, (1, 1.0))])
    body = canvas.place([(head[0] - 58, head[1] - 32), (head[0] + 58, 176)])
    picture = expose(stage, canvas.image.reduce(FINE), rng)
    return picture, tuple(face.ravel().tolist()), tuple(body.ravel().tolist())


def expose(stage: Stage, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light and sensor noise."""
    top, left = rng.integers(0, 40, 2)
    width, height = FRAME_SIZE
    grain = stage.grain[top : top + height, left : left + width]
    pixels = np.asarray(image, dtype=np.float32) * stage.light + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def place_head(setting: Setting, moment: Moment) -> tuple[np.ndarray, float]:
    """Centre of the head and its tilt in degrees."""
    slouch = moment.slouch
    head = np.array(HEAD) + moment.sway + (setting.side * 9 * slouch, 17 * slouch)
    tilt = moment.tilt + setting.side * 6 * slouch
    return (np.add(head, (setting.side * 5, 6)), tilt + setting.side * 10) if moment.prop else (head, tilt)


def draw_room(canvas: Canvas, rng: np.random.Generator, place: str) -> None:
    wall = {
        "classroom": (206, 200, 178),
        "library": (178, 150, 118),
        "laboratory": (206, 216, 222),
        "dormitory": (196, 178, 186),
    }[place]
    wall = to_colour(np.array(wall) * rng.uniform(0.75, 1.15) + rng.uniform(-12, 12, 3))
    canvas.polygon([(-80, -80), (400, -80), (400, 260), (-80, 260)], wall)
    canvas.polygon([(-80, 116), (400, 116), (400, 260), (-80, 260)], shade(wall, 0.7))
    offset = rng.uniform(-30, 30)
    if place == "classroom":
        canvas.polygon([(offset - 20, 14), (offset + 210, 14), (offset + 210, 82), (offset - 20, 82)], (118, 84, 56))
        canvas.polygon([(offset - 16, 18), (offset + 206, 18), (offset + 206, 78), (offset - 16, 78)], (44, 88, 66))
        for _ in range(5):
            x, y = rng.uniform(offset, offset + 150), rng.uniform(26, 70)
            canvas.line([(x, y), (x + rng.uniform(15, 45), y + rng.uniform(-2, 2))], (202, 210, 200), 1.2)
    elif place == "library":
        for y in (-20, 20, 60, 100):
            canvas.polygon([(-80, y), (400, y), (400, y + 4), (-80, y + 4)], (92, 62, 40))
            for x in np.arange(-60, 380, 9) + rng.uniform(0, 6):
                top = y + 4 + rng.uniform(2, 14)
                canvas.polygon(
                    [(x, top), (x + 7, top), (x + 7, y + 40), (x, y + 40)], to_colour(rng.uniform(50, 190, 3))
                )
    elif place == "laboratory":
        for x in (offset - 10, offset + 90, offset + 250):
            canvas.polygon([(x, 0), (x + 66, 0), (x + 66, 46), (x, 46)], shade(wall, 0.86))
            canvas.line([(x + 33, 4), (x + 33, 44)], shade(wall, 0.7), 1)
        for _ in range(6):
            x, colour = rng.uniform(0, 320), to_colour(rng.uniform(60, 235, 3))
            canvas.polygon([(x, 92), (x + 5, 92), (x + 9, 116), (x - 4, 116)], colour)
    else:
        canvas.polygon([(offset + 210, 8), (offset + 290, 8), (offset + 290, 78), (offset + 210, 78)], (240, 240, 236))
        canvas.polygon(
            [(offset + 215, 13), (offset + 285, 13), (offset + 285, 73), (offset + 215, 73)], (150, 194, 226)
        )
        canvas.line([(offset + 250, 12), (offset + 250, 74)], (240, 240, 236), 3)
        for x in (offset + 8, offset + 62):
            poster = to_colour(rng.uniform(60, 230, 3))
            canvas.polygon([(x, 16), (x + 38, 16), (x + 38, 68), (x, 68)], poster)
            canvas.polygon(oval((x + 19, 40), (11, 11)), shade(poster, 0.6))


def draw_neighbour(canvas: Canvas, stage: Stage) -> None:
    side = stage.setting.company
    x = 160 + side * 88
    shirt, skin, hair = stage.neighbour_shirt, stage.neighbour_skin, shade(stage.person.hair, 1.3)
    canvas.polygon(oval((x, 140), (40, 46)), shirt)
    canvas.polygon(oval((x, 74), (18, 22)), hair)
    canvas.polygon(oval((x - side * 5, 77), (14, 18)), skin)
    canvas.limb([(x - side * 30, 120), (x - side * 44, 136)], shirt, 11)


def draw_body(canvas: Canvas, person: Person, head: np.ndarray, moment: Moment) -> None:
    shirt = person.shirt
    sink = 9 * moment.slouch
    x = 160 + (head[0] - 160) * 0.4
    canvas.limb([np.add(head, (0, 14)), (x, 104 + sink)], shade(person.skin, 0.84), 13)
    wide = 36 + 4 * moment.slouch
    torso = np.concatenate([oval((x, 124 + sink), (wide, 27), 180, 360), [(x + wide, 180), (x - wide, 180)]])
    canvas.polygon(torso, shirt)
    canvas.polygon([(x - 7, 97 + sink), (x + 7, 97 + sink), (x, 108 + sink)], shade(person.skin, 0.84))


def draw_head(canvas: Canvas, person: Person, moment: Moment, head: np.ndarray, tilt: float) -> None:
    width, height = HEAD_SIZE[0] * person.head_width, HEAD_SIZE[1] * person.head_height
    angle = np.radians(tilt)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def at(points) -> np.ndarray:
        """Points relative to the head's centre, turned with the head."""
        return np.atleast_2d(points) @ turn + head

    hair, skin = person.hair, person.skin
    if person.hair_style in (1, 3):
        wide = width * 1.17
        long = np.concatenate([oval((0, 0), (wide, height * 1.1), 180, 360), [(wide, 26), (-wide, 26)]])
        canvas.polygon(at(long), hair)
        canvas.limb([np.add(head, (0, 10)), np.add(head, (0, 26))], shade(skin, 0.84), 12)
    canvas.polygon(at(oval((0, -4), (width * 1.08, height * 1.02))), hair)
    for side in (-1, 1):
        canvas.polygon(at(oval((side * width * 0.98, 1), (3, 5))), shade(skin, 0.88))
    canvas.polygon(at(oval((0, 1), (width, height))), skin)
    fringe = (-0.42, -0.55, -0.3, -0.5)[person.hair_style] * height
    lock = (0.0, 5.0, 0.0, -6.0)[person.hair_style]
    cap = np.concatenate([oval((0, 0), (width * 1.03, height * 1.06), 195, 345), [(lock, fringe)]])
    canvas.polygon(at(cap), hair)
    x, y = moment.gaze
    draw_features(canvas, person, moment, lambda points: at(np.add(points, (x * 1.8, y * 2.0))))


def draw_features(canvas: Canvas, person: Person, moment: Moment, at) -> None:
    skin = person.skin
    dark = shade(skin, 0.42)
    gap = 7.6 * person.eye_gap
    for side in (-1, 1):
        draw_eye(canvas, person, moment, side * gap, at)
        inner, outer = side * (gap - 4.2), side * (gap + 4.6)
        drop = 3.0 * moment.frown
        brow = [
            (inner - side * 1.2 * moment.frown, -8.2 + drop),
            (side * gap, -9.2),
            (outer, -7.6 - 0.8 * moment.frown),
        ]
        canvas.line(at(brow), shade(person.hair, 0.8), 1.7)
        if moment.frown > 0.3:
            canvas.line(at([(side * 1.5, -8.5), (side * 1.2, -4.5)]), shade(skin, 1 - 0.45 * moment.frown), 0.9)
        if person.glasses:
            canvas.line(at(oval((side * gap, -2), (5.9, 4.9))), (38, 38, 44), 0.9)
            canvas.line(at([(side * 2.0, -2.4), (0, -2.9)]), (38, 38, 44), 0.9)
    canvas.line(at([(0.3, 0), (1.6, 5.2), (-1.4, 5.6)]), shade(skin, 0.76), 1.0)
    across = np.linspace(-1, 1, 9)
    half = 6.0 + 1.9 * max(moment.smile, 0) - 1.5 * moment.gape
    curve = 12 + moment.smile * 3.2 * (1 - across**2) - 1.4 * moment.smile
    if moment.gape > 0.15:
        canvas.polygon(at(oval((0, 12.6), (half * 0.85, 0.8 + 5.6 * moment.gape))), (74, 22, 26))
        canvas.line(at(oval((0, 12.6), (half * 0.85, 0.8 + 5.6 * moment.gape))), shade((176, 92, 88), 0.8), 1.1)
    else:
        canvas.line(
            at(np.stack([across * half, curve], axis=1)), shade((168, 84, 80), 0.45 + 0.5 * sum(skin) / 700), 1.9
        )
        if moment.smile > 0.5:
            for side in (-1, 1):
                canvas.line(at(oval((side * (half + 1.2), 10.4), (1.6, 2.4), 60, 300, 7)), dark, 0.6)


def draw_eye(canvas: Canvas, person: Person, moment: Moment, x: float, at) -> None:
    skin, (gaze_x, gaze_y) = person.skin, moment.gaze
    wide, high = 4.3, 2.9 * moment.openness
    if moment.openness < 0.12:
        canvas.line(at(oval((x, -2.6), (wide, 1.6), 10, 170, 9)), shade(skin, 0.36), 1.3)
        return
    canvas.polygon(at(oval((x, -2), (wide, high))), (242, 242, 240))
    iris = np.array([x + gaze_x * 2.2, -2 + gaze_y * 1.2 * moment.openness])
    canvas.polygon(at(oval(iris, (1.9, min(1.9, high)))), (44, 30, 24))
    lid = -2 - high * (0.7 - 0.84 * max(gaze_y, 0))  # looking down lowers the lid
    cover = np.concatenate([oval((x, -2), (wide + 0.6, high + 0.6), 180, 360), [(x + wide, lid), (x - wide, lid)]])
    cover[:, 1] = np.minimum(cover[:, 1], lid)
    canvas.polygon(at(cover), shade(skin, 0.92))
    canvas.line(at([(x - wide, lid), (x + wide, lid)]), shade(skin, 0.36), 0.9)


def draw_desk(canvas: Canvas, stage: Stage) -> None:
    colour = stage.desk_colour
    canvas.polygon([(-80, DESK_TOP), (400, DESK_TOP), (400, 270), (-80, 270)], colour)
    canvas.polygon(
        [(-80, DESK_TOP), (400, DESK_TOP), (400, DESK_TOP + 2.5), (-80, DESK_TOP + 2.5)], shade(colour, 1.2)
    )
    kind = stage.setting.desk_object
    if kind == "laptop":
        canvas.polygon([(126, 112), (194, 112), (198, 152), (122, 152)], (70, 74, 82))
        canvas.polygon([(129, 115), (191, 115), (194, 149), (126, 149)], (112, 118, 128))
        canvas.polygon(oval((160, 132), (5, 5)), (200, 206, 214))
    elif kind == "book":
        canvas.polygon([(118, 142), (202, 142), (212, 168), (108, 168)], stage.cover)
        canvas.polygon([(121, 142), (160, 145), (160, 166), (112, 165)], (244, 238, 222))
        canvas.polygon([(199, 142), (160, 145), (160, 166), (208, 165)], (234, 228, 210))
        for row in (149, 154, 159):
            canvas.line([(122, row), (154, row + 1)], (150, 146, 140), 0.9)
            canvas.line([(166, row + 1), (198, row)], (150, 146, 140), 0.9)
    else:
        canvas.polygon([(138, 141), (184, 141), (190, 168), (132, 168)], (250, 250, 250))
        canvas.line([(138, 141), (184, 141)], stage.cover, 4)
        for row in (148, 153, 158, 163):
            canvas.line([(139, row), (184, row)], (140, 160, 214), 0.8)


def draw_arms(canvas: Canvas, stage: Stage, moment: Moment, head: np.ndarray) -> None:
    person, side = stage.person, stage.setting.side
    sleeve, skin = shade(person.shirt, 0.85), shade(person.skin, 0.95)
    shoulder = 116 + 9 * moment.slouch

    def draw_arm(which: int, elbow, hand) -> None:
        canvas.limb([(160 + which * 31, shoulder), elbow], sleeve, 12)
        canvas.limb([elbow, hand], sleeve, 10)
        canvas.polygon(oval(hand, (5.5, 5.5)), skin)

    rest = np.array((160 - side * 24, 152)) + np.multiply(moment.sway, 0.6)
    draw_arm(-side, (160 - side * 46, 146), rest)
    if moment.scratch:
        draw_arm(side, (160 + side * 54, head[1] + 24), np.add(head, (side * 18, -27)))
    elif moment.phone:
        hand = np.array((160 + side * 33, 128)) + moment.sway
        draw_arm(side, (160 + side * 47, 142), hand)
        draw_phone(canvas, stage, np.add(hand, (0, -8)), side)
    elif moment.prop:
        draw_arm(side, (160 + side * 38, 142), np.add(head, (side * 11, 23)))
    else:
        draw_arm(side, (160 + side * 46, 146), (160 + side * 22, 154) - np.multiply(moment.sway, 0.6))
        if stage.setting.desk_object == "notebook":
            canvas.line([(160 + side * 20, 157), (160 + side * 27, 145)], stage.cover, 1.6)


def draw_phone(canvas: Canvas, stage: Stage, centre: np.ndarray, side: int) -> None:
    frame = np.array([(-7, -12), (8, -10), (6, 12), (-9, 10)]) * (side, 1)
    canvas.polygon(frame + centre, (24, 24, 28))
    canvas.polygon(frame * 0.8 + centre, stage.screen)
    canvas.polygon(frame * (0.8, 0.2) + centre, shade(stage.screen, 0.6))
