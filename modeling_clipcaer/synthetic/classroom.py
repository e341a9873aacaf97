"""A drawn recording: a classroom with three students who move, and where their faces and bodies are."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import interp1d
from scipy.ndimage import uniform_filter1d

from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.data.views.clip_video import write_video
from modeling_clipcaer.synthetic.canvas import FINE, FRAME_SIZE, Box, Canvas, shade
from modeling_clipcaer.synthetic.drawing import draw_desk, find_boxes, lay_object
from modeling_clipcaer.synthetic.student import draw_arms, draw_body, draw_head, place_head
from modeling_clipcaer.synthetic.world import Moment, Person, Setting, make_person, plan_clip


SIZE = (960, 540)  # width, height
# Of each student the face story, the context story and for how many seconds, one after the other.
LESSON = (
    (
        ("reading", "studying", 8),
        ("frowning", "puzzling", 12),
        ("smiling", "studying", 12),
        ("reading", "studying", 8),
    ),
    (("smiling", "studying", 12), ("reading", "studying", 12), ("reading", "phone", 16)),
    (("reading", "studying", 12), ("wandering", "studying", 8), ("dozing", "slouching", 20)),
)
WRITING = "Drawn by a computer. Nobody is shown."
STORY_SECONDS, MOMENTS_PER_SECOND = 4, 4  # of a clip, as a story is told in
SLOW, SLOWNESS = ("smile", "frown", "slouch", "tilt", "sway"), 5  # over so many moments
SUDDEN = ("prop", "scratch", "phone")
DRIFT, DRIFT_SECONDS = (2.5, 1.0, 4.0), (4.0, 7.0)  # of the head: pixels to the side and up, degrees; periods
ZOOM = 2.15  # of a student, beside that of the drawn clips
FIRST, DISTANCE, LEVEL = 180, 300, 278  # pixels: middle of the first student, to the next, height of their middles
WALL, FLOOR, DESK = (214, 206, 186), (176, 160, 132), (158, 116, 80)
BOARD, FRAME, CHALK = (44, 88, 66), (118, 84, 56), (214, 222, 212)


@dataclass(frozen=True)
class View:
    """A frame: its picture, and in its pixels the box of every student's face and body."""

    picture: Image.Image
    faces: list[Box]
    bodies: list[Box]


@dataclass
class Student:
    """Who sits where, and every frame of what they do."""

    person: Person
    setting: Setting
    moments: list[Moment]


def draw_lesson(seed: int, fps: int) -> Iterator[View]:
    """Every frame of the recording."""
    students = [cast_student(np.random.default_rng([seed, 2, place]), place, fps) for place in range(len(LESSON))]
    room = draw_classroom()
    for moments in zip(*(student.moments for student in students), strict=True):
        yield draw_frame(room, students, moments)


def cast_student(rng: np.random.Generator, place: int, fps: int) -> Student:
    """A student at a place, with what LESSON tells of them."""
    person = replace(make_person(rng, "classroom"), frown=0.0, smile=0.0, droop=0.0, slouch=0.0)
    parts: list[Moment] = []
    setting: Setting | None = None
    for face, context, seconds in LESSON[place]:
        for number in range(seconds // STORY_SECONDS):
            drawn, moments = plan_clip(rng, person, (face, context), STORY_SECONDS * MOMENTS_PER_SECOND)
            setting = setting or drawn
            # Keep: what is in the hands stays there until something else begins.
            parts += [hold(moment, parts[-1]) for moment in moments] if number else moments
    assert setting is not None
    shift = (FIRST + place * DISTANCE - FRAME_SIZE[0] / 2, LEVEL - FRAME_SIZE[1] / 2)
    return Student(person, replace(setting, company=0, zoom=ZOOM, shift=shift), drift(rng, move(parts, fps), fps))


def hold(moment: Moment, before: Moment) -> Moment:
    """A moment with the hands where they were before."""
    return replace(moment, prop=before.prop, scratch=before.scratch, phone=before.phone)


def move(moments: list[Moment], fps: int) -> list[Moment]:
    """Moments at the frames' rate: slow things go smoothly, hands at once."""
    times = np.arange(len(moments)) / MOMENTS_PER_SECOND
    frames = np.minimum(np.arange(round(len(moments) / MOMENTS_PER_SECOND * fps)) / fps, times[-1])

    def follow(name: str) -> np.ndarray:
        track = np.array([getattr(moment, name) for moment in moments], dtype=float)
        track = uniform_filter1d(track, SLOWNESS, axis=0, mode="nearest") if name in SLOW else track
        return interp1d(times, track, "previous" if name in SUDDEN else "linear", axis=0)(frames)

    tracks = {field.name: follow(field.name) for field in fields(Moment)}
    return [Moment(**{name: track[frame].tolist() for name, track in tracks.items()}) for frame in range(len(frames))]


def drift(rng: np.random.Generator, moments: list[Moment], fps: int) -> list[Moment]:
    """The moments of somebody who leans to and fro all the while."""
    periods, phases = rng.uniform(*DRIFT_SECONDS, size=(3, 1)), rng.uniform(0, 2 * np.pi, size=(3, 1))
    waves = np.array(DRIFT)[:, None] * np.sin(2 * np.pi * np.arange(len(moments)) / fps / periods + phases)
    return [
        replace(moment, sway=(moment.sway[0] + x, moment.sway[1] + y), tilt=moment.tilt + tilt)
        for moment, (x, y, tilt) in zip(moments, waves.T.tolist(), strict=True)
    ]


def draw_classroom() -> Image.Image:
    """Wall, board and floor, `FINE` times as large as a frame."""
    width, height = SIZE
    image = Image.new("RGB", (width * FINE, height * FINE), WALL)
    pen = ImageDraw.Draw(image)

    def fill(left: int, top: int, right: int, bottom: int, colour: tuple[int, int, int]) -> None:
        pen.rectangle([FINE * side for side in (left, top, right, bottom)], fill=colour)

    fill(0, 360, width, height, FLOOR)
    fill(110, 28, 850, 250, FRAME)
    fill(120, 38, 840, 240, BOARD)
    pen.text((FINE * 480, FINE * 66), WRITING, CHALK, ImageFont.load_default(FINE * 26), anchor="mm")
    for left, right, y in ((150, 300, 112), (150, 250, 140), (660, 800, 112), (690, 800, 140), (370, 590, 112)):
        pen.line([FINE * side for side in (left, y, right, y - 3)], shade(CHALK, 0.7), FINE * 3)
    return image


def draw_frame(room: Image.Image, students: list[Student], moments: tuple[Moment, ...]) -> View:
    """The students before the board, behind one long desk."""
    image = room.copy()
    canvases = [Canvas(image, student.setting.zoom, student.setting.shift) for student in students]
    scenes = list(zip(canvases, students, moments, strict=True))
    heads = [place_head(student.setting, moment) for student, moment in zip(students, moments, strict=True)]
    for (canvas, student, moment), (head, tilt) in zip(scenes, heads, strict=True):
        draw_body(canvas, student.person, head, moment)
        draw_head(canvas, student.person, moment, head, tilt)
    draw_desk(canvases[len(canvases) // 2], DESK)
    for (canvas, student, moment), (head, _) in zip(scenes, heads, strict=True):
        lay_object(canvas, student.setting)
        draw_arms(canvas, student.person, student.setting, moment, head)
    boxes = [find_boxes(canvas, head) for canvas, (head, _) in zip(canvases, heads, strict=True)]
    return View(image.reduce(FINE), [face for face, _ in boxes], [body for _, body in boxes])


def write_lesson(output: Path, seed: int, fps: int) -> int:
    """Write the recording, and beside it the boxes of its students, by frame; returns the number of frames."""
    name, names = output.name, [f"person-{number}" for number in range(1, len(LESSON) + 1)]
    faces: dict[str, dict[str, list[float]]] = {person: {} for person in names}
    bodies: list[list[Box]] = []

    def take() -> Iterator[Image.Image]:
        for number, view in enumerate(draw_lesson(seed, fps)):
            for person, box in zip(names, view.faces, strict=True):
                faces[person][str(number)] = [round(side, 1) for side in box]
            bodies.append(view.bodies)
            yield view.picture

    with locked_name(output), staged_folder(output.parent, last=name) as folder:
        write_video(take(), folder / name, fps)
        means: list[list[float]] = np.round(np.array(bodies).mean(axis=0), 1).tolist()
        write_json({name: faces}, (folder / name).with_suffix(".face.json"), indent=None)
        write_json(
            {name: dict(zip(names, means, strict=True))}, (folder / name).with_suffix(".body.json"), indent=None
        )
    return len(bodies)
