"""A clip of one drawn student, which a model can be tried on by everybody."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from modeling_clipcaer.data.views.clip_video import write_video
from modeling_clipcaer.synthetic.drawing import Stage, draw_moment
from modeling_clipcaer.synthetic.world import make_person, plan_clip


SCENE = ("smiling", "studying")
NUM_FRAMES, FPS = 16, 8


def draw_example(seed: int = 1) -> bytes:
    """The content of a video (H.264 in MP4, 320x180, 2 s)."""
    rng = np.random.default_rng(seed)
    person = make_person(rng)
    setting, moments = plan_clip(rng, person, SCENE, NUM_FRAMES)
    stage = Stage(person, replace(setting, shift=(setting.shift[0], max(setting.shift[1], 0.0))))
    frames = (draw_moment(stage, moment, rng).image for moment in moments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "example.mp4")
        write_video(frames, path, FPS)
        return path.read_bytes()
