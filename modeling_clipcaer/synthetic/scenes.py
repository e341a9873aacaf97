"""A sheet of drawn scenes: a column for each label, and below each picture what face and context do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.common.palette import INK, SLATE
from modeling_clipcaer.synthetic.canvas import FRAME_SIZE
from modeling_clipcaer.synthetic.drawing import Stage, draw_moment
from modeling_clipcaer.synthetic.world import SCENES, make_person, plan_clip


ROWS = 4  # the scenes that are drawn most often
NUM_FRAMES, SHOWN = 12, 9  # of a clip, and the frame of it that shows what happens
HEAD, CAPTION, GAP = 52, 30, 10  # pixels: heights of a column's head and of what is said below a picture
NOTE = "Drawn by a computer: no person is shown. Many faces and many contexts occur under several labels."


def draw_scenes(seed: int) -> Image.Image:
    """The sheet."""
    width, height = FRAME_SIZE
    size = (len(SCENES) * (width + GAP) + GAP, HEAD + ROWS * (height + CAPTION) + CAPTION)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, (label, scenes) in enumerate(SCENES.items()):
        left = GAP + column * (width + GAP)
        pen.text((left + width / 2, HEAD / 2), label, INK, ImageFont.load_default(30), anchor="mm")
        for row, scene in enumerate(sorted(scenes, key=scenes.__getitem__, reverse=True)[:ROWS]):
            top = HEAD + row * (height + CAPTION)
            sheet.paste(draw_scene(np.random.default_rng([seed, column, row]), scene), (left, top))
            caption = f"{scene[0]} + {scene[1]}"
            pen.text((left + width / 2, top + height + CAPTION / 2), caption, SLATE, ImageFont.load_default(17), "mm")
    pen.text((size[0] / 2, size[1] - CAPTION / 2), NOTE, INK, ImageFont.load_default(17), anchor="mm")
    return sheet


def draw_scene(rng: np.random.Generator, scene: tuple[str, str]) -> Image.Image:
    """A frame of a clip of a scene, by a camera that cuts off nobody's head."""
    person = make_person(rng)
    setting, moments = plan_clip(rng, person, scene, NUM_FRAMES)
    setting = replace(setting, shift=(setting.shift[0], max(setting.shift[1], 0.0)))
    return draw_moment(Stage(person, setting), moments[SHOWN], rng).image


def write_scenes(output: Path, seed: int) -> None:
    """Write the sheet as JPEG or PNG, by the name of the file."""
    kind = "PNG" if output.suffix.lower() == ".png" else "JPEG"
    with complete_file(output) as partial:
        draw_scenes(seed).save(partial, kind, **({"quality": 85} if kind == "JPEG" else {}))
