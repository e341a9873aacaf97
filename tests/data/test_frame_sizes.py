"""Frames of one clip that differ in size, or lie on their side: every box in pixels of its own upright frame."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.raer_tree import make_tree
from helpers.stand_in_faces import SquareDetector
from helpers.videos import RED, squares
from modeling_clipcaer.data.boxes import fill_boxes, read_body_file
from modeling_clipcaer.data.clip_search import FoundClip
from modeling_clipcaer.data.detection.clip_faces import detect_clip
from modeling_clipcaer.data.detection.detect import detect_boxes
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.data.rows import read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip


LARGE, SMALL = (160, 120), (80, 60)  # the same scene, at half the size in every second frame


def save_sizes(folder, sizes, orientation=None):
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes, start=1):
        tags = Image.Exif()
        if orientation:
            tags[0x0112] = orientation
        Image.new("RGB", size).save(folder / f"{number}.jpg", exif=tags)
    return folder


def read(folder, face=None, body=None):
    clip = SourceClip(str(folder), folder.name, 0, "list.txt:7", is_folder=True, face=face, body=body)
    return read_clip(clip, BuildSettings()).row


def test_every_box_is_fitted_to_its_own_frame(tmp_path):
    folder = save_sizes(tmp_path / "clip", [SMALL, LARGE, SMALL])
    row = read(folder, face={"1.jpg": (60, 40, 90, 70), "2.jpg": (100, 80, 170, 110), "3.jpg": (10, 10, 20, 20)})
    assert row["face_boxes"] == [(60, 40, 80, 60), (100, 80, 160, 110), (10, 10, 20, 20)]
    assert row["face_boxes_clamped"] == 2


def test_sizes_are_those_of_the_upright_frames(tmp_path):
    folder = save_sizes(tmp_path / "clip", [LARGE, LARGE], orientation=6)
    row = read(folder, face={"1.jpg": (100, 130, 130, 150), "2.jpg": (10, 10, 20, 20)}, body=(0, 0, 200, 200))
    assert row["face_boxes"][0] == (100, 130, 120, 150) and row["body_boxes"] == [(0, 0, 120, 160)]


def test_a_box_that_stands_in_for_one_of_another_size_is_scaled(tmp_path):
    folder = save_sizes(tmp_path / "clip", [LARGE, SMALL])
    row = read(folder, face={"1.jpg": (100, 40, 140, 80)}, body=(20, 10, 160, 120))
    assert row["face_boxes"] == [(100, 40, 140, 80), (50, 20, 70, 40)]
    assert row["body_boxes"] == [(20, 10, 160, 120), (10, 5, 80, 60)]
    only_body = read(folder, body=(20, 20, 120, 120))  # the upper four tenths of it
    assert only_body["face_boxes"] == [(20, 20, 120, 60), (10, 10, 60, 30)]


def test_the_median_box_is_scaled_too():
    sizes = [LARGE, SMALL, LARGE, *[SMALL] * 9, LARGE]
    boxes = [(10.0, 10.0, 30.0, 30.0), (10.0, 10.0, 20.0, 20.0), (30.0, 30.0, 50.0, 50.0), *[None] * 10]
    filled, sources = fill_boxes(boxes, sizes)  # at the size of the first: 10, 20 and 30
    assert filled[3] == (15, 15, 25, 25) and sources[3] == "nearest"
    assert filled[11] == (10, 10, 20, 20) and filled[12] == (20, 20, 40, 40) and sources[11:] == ["median"] * 2


def test_a_raer_clip_of_two_sizes_has_boxes_of_each(tmp_path):
    tree = make_tree(tmp_path)
    clip = tree.train[0].clip_id
    names = sorted(path.name for path in (tree.raer / clip).glob("*.jpg"))
    Image.new("RGB", (640, 480)).save(tree.raer / clip / names[-1])
    (key,) = (key for key in tree.faces if key.endswith(clip))
    tree.faces[key] = {name: [300, 200, 400, 300] if name == names[-1] else [5, 5, 20, 20] for name in names}
    tree.face_file.write_text(json.dumps(tree.faces))
    build_dataset(tmp_path, tmp_path / "out")
    from datasets import load_from_disk

    rows = [row for split in load_from_disk(tmp_path / "out").values() for row in split if row["clip_id"] == clip]
    assert rows[0]["face_boxes"][rows[0]["frame_names"].index(names[-1])] == [300, 200, 400, 300]


def draw_two_sizes(folder):
    """A square at one place of the scene, 30 pixels wide in frames 1, 3, 5, and 15 in the others of half the size."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(squares([{RED: (60, 60)}] * 6), start=1):
        image = Image.fromarray(pixels)
        size = image.size if number % 2 else (image.width // 2, image.height // 2)
        image.resize(size, Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return folder


def test_a_face_is_followed_through_frames_of_two_sizes_and_kept_in_pixels_of_each(tmp_path):
    found = detect_clip(FoundClip("clip", str(draw_two_sizes(tmp_path / "clip"))), SquareDetector())
    assert list(found.boxes) == [f"{number}.png" for number in range(1, 7)] and found.num_others == 0
    large, small = np.array(found.boxes["1.png"]), np.array(found.boxes["2.png"])
    assert large == pytest.approx([45, 45, 75, 75]) and np.abs(small - large / 2).max() <= 1
    assert found.sizes == {name: [60, 80] for name in ("2.png", "4.png", "6.png")}


def test_bodies_of_a_clip_of_two_sizes_go_by_frame(tmp_path):
    folder = draw_two_sizes(tmp_path / "data" / "clip")
    detect_boxes([tmp_path / "data"], tmp_path / "boxes", SquareDetector)
    faces = json.loads((tmp_path / "boxes" / "face.json").read_text())["clip"]
    bodies = read_body_file(tmp_path / "boxes" / "body.json")["clip"]
    assert (faces["1.png"], faces["2.png"]) == ([45, 45, 75, 75], [22, 22, 37, 37])
    # A face and a half to either side, 3/4 above and 3 1/2 below, as far as the frame of 160 x 120 or 80 x 60 goes.
    assert (bodies["1.png"], bodies["2.png"]) == ((0, 22.5, 120, 120), (0, 10.75, 59.5, 60))
    row = read(folder, face={name: tuple(box) for name, box in faces.items()}, body=bodies)
    assert len(row["body_boxes"]) == 6 and row["face_boxes_clamped"] == row["body_boxes_clamped"] == 0
