"""The same clip as files, as a stretch of a video, and as bytes in its row."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers import videos
from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.data.clip_rows import VideoStretch, find_form, open_row
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.video_frames import VideoFrames


@pytest.fixture
def processor():
    return ClipCaerVideoProcessor(num_frames=4, image_size=32, face_margin=2)


@pytest.fixture
def folder(tmp_path):
    """Six frames, 2.jpg before 10.jpg."""
    for number, name in enumerate(("1", "2", "3", "4", "9", "10")):
        pixels = torch.randint(256, (48, 64, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{name}.jpg", quality=90)
    return tmp_path


@pytest.fixture
def row(folder):
    faces = [[10.0 + number, 5.0, 40.0, 30.0] for number in range(6)]
    names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "9.jpg", "10.jpg"]
    return {"clip_id": "a", "frame_dir": str(folder), "frame_names": names, "face_boxes": faces, "label": 2} | {
        "body_boxes": [[0.0, 0.0, 50.0, 48.0]]
    }


def embed(row):
    """The row with its files' bytes in place of their folder."""
    images = [Path(row["frame_dir"], name).read_bytes() for name in row["frame_names"]]
    return {"frames": images} | {name: value for name, value in row.items() if name != "frame_dir"}


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("order", ["natural", "string"])
def test_bytes_in_the_row_are_the_files_to_the_last_bit(row, mode, order):
    processor = ClipCaerVideoProcessor(num_frames=4, image_size=32, frame_order=order)
    collate = ClipCaerCollator(processor, mode)
    files, embedded = collate([row]), collate([embed(row)])
    assert all(torch.equal(files[name], embedded[name]) for name in ("pixel_values", "face_pixel_values", "labels"))


def test_whole_frames_are_decoded_at_the_same_fraction_from_bytes(row, processor, tmp_path):
    Image.effect_noise((640, 480), 60).convert("RGB").save(tmp_path / "1.jpg")
    row = row | {"frame_names": ["1.jpg"], "face_boxes": [], "body_boxes": []}
    assert ClipCaerCollator(processor, "eval")([row])["pixel_values"].equal(
        ClipCaerCollator(processor, "eval")([embed(row)])["pixel_values"]
    )
    (small,) = open_row(embed(row)).read([0], [48])
    assert small.shape == (3, 60, 80)


def test_a_stretch_of_a_video_is_its_frames(tmp_path, processor):
    path = videos.write_video(tmp_path / "lesson.mp4", videos.noise(30))
    row = {"clip_id": "a", "video": str(path), "first_frame": 12, "num_frames": 9, "face_boxes": [], "body_boxes": []}
    frames = list(VideoFrames(path).read(range(12, 21)))
    expected = processor.process_clip(torch.stack(frames))
    batch = ClipCaerCollator(processor, "eval")([row])
    assert torch.equal(batch["pixel_values"][0], expected[0])
    assert torch.equal(batch["face_pixel_values"][0], expected[1])


@pytest.mark.parametrize(("first", "count"), [(28, 3), (-1, 2), (0, 0)])
def test_a_stretch_beyond_its_video_is_refused(tmp_path, first, count):
    path = videos.write_video(tmp_path / "lesson.mp4", videos.noise(30))
    with pytest.raises(InputError, match=f"lesson.mp4: expected {count} frames from number {first} on, .* has 30"):
        VideoStretch(VideoFrames(path), first, count)


def test_a_body_box_for_each_frame_is_that_frames(row, processor):
    bodies = [[0.0, 0.0, 30.0 + number, 48.0] for number in range(6)]
    context, _ = processor.process_clip(open_row(row), body_boxes=bodies, indices=torch.tensor([0, 5]))
    for place, number in enumerate((0, 5)):
        alone, _ = processor.process_clip(open_row(row), body_boxes=bodies[number], indices=torch.tensor([number]))
        assert torch.equal(context[place], alone[0])
    assert not torch.equal(context[1], processor.process_clip(open_row(row), body_boxes=bodies[0])[0][-1])


def test_broken_bytes_are_named_like_the_file_they_were(row, processor):
    broken = embed(row)
    broken["frames"] = [image[:200] for image in broken["frames"]]
    with pytest.raises(InputError, match=r"clip a: 1\.jpg: cannot be read as an image"):
        ClipCaerCollator(processor, "eval")([broken])


def test_a_row_that_names_no_frames_says_what_is_missing():
    assert find_form(["clip_id", "frame_dir"]) is None
    with pytest.raises(InputError, match="expected the columns frame_dir and frame_names, or video and first_frame"):
        open_row({"clip_id": "a", "frame_dir": "x"})
