"""Pixels of the public research code, from golden values: what the settings of `raer_reference` reproduce."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.golden_cases import golden_build
from helpers.places import GOLDEN_DIR
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


REFERENCE = {
    "face_margin": 20,
    "do_normalize": False,
    "resample": "bilinear",
    "letterbox": "reference",
    "frame_sampling": "reference",
    "frame_order": "string",
    "augment_per_stream": True,
}


@pytest.fixture(scope="module")
def described():
    return json.loads((GOLDEN_DIR / "golden.json").read_text())["preprocess"]


@pytest.fixture(scope="module")
def clip(described, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for number, digest in enumerate(described["frames_sha"]):
        blocks = golden_build.uniform(f"frame{number}.base", (9, 16, 3)).repeat(8, 0).repeat(8, 1)
        noise = golden_build.uniform(f"frame{number}.noise", (72, 128, 3))
        pixels = np.floor(256 * (0.8 * blocks + 0.2 * noise)).astype(np.uint8)
        assert golden_build.sha(pixels) == digest
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    return folder


@pytest.mark.parametrize("crop_body", [False, True])
def test_both_streams_equal_the_research_code_within_one_level(clip, described, crop_body):
    processor = ClipCaerVideoProcessor(
        num_frames=described["num_segments"],
        image_size=described["image_size"],
        context="body" if crop_body else "frame",
        **REFERENCE,
    )
    faces = [described["face_boxes"].get(f"{number:05d}.png") for number in range(described["num_frames"])]
    streams = processor.process_clip(clip, faces, described["body_box"])
    expected = np.load(GOLDEN_DIR / "golden.npz")
    for name, pixels in zip(("body", "face"), streams, strict=True):
        golden = torch.from_numpy(expected[f"pre.{name}.crop_body={crop_body}"])
        differences = (pixels.int() - golden.int()).abs()
        assert differences.max() <= 1 and differences.float().mean() < 0.15
    unnormalised = processor.normalize(streams[1])
    assert unnormalised.min() >= 0 and unnormalised.max() <= 1


def test_our_own_settings_are_seen_to_differ(clip, described):
    processor = ClipCaerVideoProcessor(num_frames=4, image_size=32, context="frame")
    golden = torch.from_numpy(np.load(GOLDEN_DIR / "golden.npz")["pre.body.crop_body=False"])
    assert (processor.process_clip(clip)[0].int() - golden.int()).abs().max() > 1
