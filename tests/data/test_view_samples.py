"""Contact sheets: what the model sees, and nobody's face unless it is asked for."""

import re
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from PIL import Image, ImageColor

from helpers.videos import draw_faces
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands.view import main
from modeling_clipcaer.common.palette import FACE_BOX
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.data.views.contact_sheet import (
    GAP,
    MARGIN,
    draw_page,
)
from modeling_clipcaer.data.views.samples import CLIPS_PER_PAGE, choose_clips, load_split, view_clip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import build_face_detector


SOURCES = ["annotated", "nearest", "median", "body", "frame"]
FEATURES = Features(
    {
        "clip_id": Value("string"),
        "person_id": Value("string"),
        "frame_dir": Value("string"),
        "frame_names": List(Value("string")),
        "face_boxes": List(List(Value("float32"))),
        "face_box_sources": List(ClassLabel(names=SOURCES)),
        "body_boxes": List(List(Value("float32"))),
        "label": ClassLabel(names=["Neutrality", "Confusion"]),
    }
)
NUM_FRAMES = 3
FACE = [275.0, 115.0, 355.0, 205.0]  # of the face that `draw_faces` puts at (320, 180)
BODY = [160.0, 60.0, 480.0, 360.0]
PROCESSOR = ClipCaerVideoProcessor(num_frames=2, image_size=224)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for number in range(NUM_FRAMES):
        Image.fromarray(draw_faces([(320, 180)])).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def make_rows(clip_folder):
    """Rows of one clip under several names, with other boxes each."""

    def make(*changes):
        row = {
            "person_id": "P1",
            "frame_dir": str(clip_folder),
            "frame_names": [f"{number}.png" for number in range(NUM_FRAMES)],
            "face_boxes": [FACE] * NUM_FRAMES,
            "face_box_sources": ["annotated"] * NUM_FRAMES,
            "body_boxes": [BODY],
            "label": 1,
        }
        return Dataset.from_list(
            [{"clip_id": f"lab/{n}", **row, **change} for n, change in enumerate(changes)], FEATURES
        )

    return make


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs the command on rows that are the split `test`; gives its exit status, what it printed and its error."""

    def run(rows, *flags, output="sheet.png"):
        DatasetDict(test=rows).save_to_disk(tmp_path / "data")
        capsys.readouterr()
        argv = ["view_samples.py", str(tmp_path / "data"), "--output", str(tmp_path / "out" / output), *flags]
        monkeypatch.setattr(sys, "argv", argv)
        return run_command(main), *capsys.readouterr()

    return run


def count_faces(pixels) -> int:
    return len(build_face_detector("haar").detect(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)))


def likeness(first, second) -> float:
    """Correlation of two pictures without what is left at a glance from afar, their coarse light and dark."""
    details = [picture.astype(float) - cv2.GaussianBlur(picture, (0, 0), 8) for picture in (first, second)]
    return np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_with_faces_shown_the_squares_are_those_of_training(make_rows, mode):
    rows = make_rows({})
    torch.manual_seed(1)
    view = view_clip(rows, 0, PROCESSOR, mode, show_faces=True)
    torch.manual_seed(1)
    row = rows[0]
    expected = PROCESSOR.process_clip(open_row(row), row["face_boxes"], row["body_boxes"], mode=mode)
    for shown, pixels in zip((view.context, view.face), expected, strict=True):
        assert np.array_equal(shown, pixels.permute(0, 2, 3, 1))


def test_of_a_face_with_its_box_one_sees_where_it_is_and_not_who(make_rows):
    rows = make_rows({})
    plain, veiled = (view_clip(rows, 0, PROCESSOR, show_faces=shown) for shown in (True, False))
    for pictures in (
        (plain.frame, veiled.frame),
        (plain.context[0], veiled.context[0]),
        (plain.face[0], veiled.face[0]),
    ):
        assert count_faces(pictures[0]) == 1 and count_faces(pictures[1]) == 0
    inner = np.s_[40:190, 45:180]
    assert likeness(plain.face[0][inner], veiled.face[0][inner]) < 0.25
    eyes = veiled.face[0][70:105, 40:180]  # of a square of 224 pixels
    assert len(np.unique(eyes.reshape(-1, 3), axis=0)) == 1
    # The rest is coarse light and dark, of the face, and no mosaic of the whole square.
    chin = np.s_[140:200, 50:170]
    coarse = [cv2.resize(view.face[0][chin], (8, 4), interpolation=cv2.INTER_AREA) for view in (plain, veiled)]
    assert np.corrcoef(*(picture.ravel() for picture in coarse))[0, 1] > 0.8
    # The scene is what the sheet is looked at for: no more than half a box beside the face is changed.
    rows_changed, columns_changed = np.nonzero(np.any(np.asarray(plain.frame) != np.asarray(veiled.frame), axis=2))
    assert columns_changed.min() >= 275 - 20 and columns_changed.max() <= 355 + 20
    assert rows_changed.min() >= 115 - 26 and rows_changed.max() <= 205 + 26


@pytest.mark.parametrize("boxes", [[], [[]], [[], [], []]])
def test_without_a_face_box_nothing_of_the_frame_is_left(make_rows, boxes):
    rows = make_rows({"face_boxes": boxes, "face_box_sources": ["frame"] * len(boxes), "body_boxes": []})
    plain, hidden = (view_clip(rows, 0, PROCESSOR, show_faces=shown) for shown in (True, False))
    assert hidden.face_box is None and hidden.body_box is None
    assert count_faces(plain.frame) == 1
    assert count_faces(hidden.frame) == count_faces(hidden.context[0]) == count_faces(hidden.face[0]) == 0
    assert likeness(np.asarray(plain.frame), np.asarray(hidden.frame)) < 0.2


def test_a_box_from_another_frame_hides_a_face_that_has_moved(make_rows):
    moved = [side + 60 * (number % 2 == 0) for number, side in enumerate(FACE)]
    for source, found in (("annotated", True), ("nearest", False)):
        rows = make_rows({"face_boxes": [moved] * NUM_FRAMES, "face_box_sources": [source] * NUM_FRAMES})
        frame = np.asarray(view_clip(rows, 0, PROCESSOR).frame)
        eye = np.asarray(draw_faces([(320, 180)]))[140:160, 280:295]
        assert np.array_equal(frame[140:160, 280:295], eye) == found


def test_a_page_shows_a_frame_with_its_boxes_beside_the_two_rows(make_rows):
    view = view_clip(make_rows({}), 0, PROCESSOR, show_faces=True)
    page = np.asarray(draw_page([view], "heading"))
    left, side = 3 * 224 + 2 * MARGIN, 224 - GAP
    tops = []
    for squares in (view.context, view.face):
        expected = np.asarray(Image.fromarray(squares[0]).resize((side, side), Image.Resampling.LANCZOS))
        matches = (
            np.array_equal(page[top : top + side, left : left + side], expected) for top in range(page.shape[0])
        )
        tops += [top for top, match in enumerate(matches) if match]
    assert len(tops) == 2 and tops[1] - tops[0] == 224
    assert (page[tops[0] : tops[1] + 224, :left] == ImageColor.getrgb(FACE_BOX)).all(axis=2).any()


def test_a_page_of_few_small_squares_has_room_for_its_words(make_rows):
    view = view_clip(make_rows({}), 0, ClipCaerVideoProcessor(num_frames=1, image_size=32))
    pages = [np.asarray(draw_page([replace(view, title=("a", 80 * "b" + end))], "c")) for end in "xy"]
    assert pages[0].shape == pages[1].shape and (pages[0] != pages[1]).any()


def test_clips_are_chosen_by_name_by_number_or_by_a_seed(make_rows):
    rows = make_rows({"clip_id": "2"}, {}, {}, {})
    assert choose_clips(rows, ["lab/3", "1", "2"], 8, 0) == [3, 1, 0]  # a name comes before a number
    assert choose_clips(rows, None, 8, 0) == [0, 1, 2, 3]
    drawn = [choose_clips(rows, None, 2, seed) for seed in range(8)]
    assert drawn[0] == choose_clips(rows, None, 2, 0) and len({tuple(places) for places in drawn}) > 1
    for wanted in ("4", "lab/9", "-1"):
        with pytest.raises(InputError, match=f"no clip `{wanted}`; expected a number from 0 to 3, or a name as `2`"):
            choose_clips(rows, [wanted], 8, 0)


def test_the_command_draws_the_same_sheet_twice_with_the_checkpoint_s_processor(make_rows, call, tmp_path):
    PROCESSOR.save_pretrained(tmp_path / "model")
    flags = ("--processor", str(tmp_path / "model"), "--clips", "lab/0")
    status, out, _ = call(make_rows({}), *flags)
    assert status == 0 and "Faces are veiled where the boxes say they are" in out
    first = (tmp_path / "out" / "sheet.png").read_bytes()
    assert call(make_rows({}), *flags)[0] == 0
    assert (tmp_path / "out" / "sheet.png").read_bytes() == first
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.width < 6 * 224  # two frames, not sixteen
    status, out, _ = call(make_rows({}), *flags, "--show_faces", output="shown.png")
    assert "holds people's images with their faces" in out
    assert (tmp_path / "out" / "shown.png").read_bytes() != first


def test_many_clips_go_on_pages_up_to_a_limit(make_rows, call, tmp_path):
    rows = make_rows(*[{}] * (CLIPS_PER_PAGE + 1))
    small = ("--num-frames", "1", "--image_size", "32", "--num", "100")
    assert call(rows, *small)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sheet-1.png", "sheet-2.png"]
    status, _, error = call(rows, *small, "--max-clips", "8")
    assert status == 2 and error == "error: 9 clips: expected at most 8 (--max-clips)\n"


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--split", "train"], "has no split `train`; it has test"),
        (["--clips", "7"], "--clips: no clip `7`"),
        (["--clips", "1"], "clip lab/1: .*0.jpg: expected an image file, found nothing"),
        (["--processor", "missing"], "missing: there is no such folder, and from the Hub no video processor"),
        (["--processor", "missing", "--num-frames", "4"], "--num-frames has no effect with --processor"),
        (["--num-frames", "0"], r"`num_frames` must lie in \[1, 4096\], got 0"),
        (["--num", "0"], "`num` must be at least 1, got 0"),
        (["--clips", "0", "--num", "2"], "--num has no effect with --clips"),
        (["--clips", "0", "--seed", "2"], "--seed has no effect with --clips"),
        (["--output", "sheet.jpg"], "expected a name that ends in .png"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_picture(make_rows, call, tmp_path, flags, found):
    status, _, error = call(make_rows({}, {"frame_names": ["0.jpg"] * NUM_FRAMES}), *flags)
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert re.search(found, error)
    assert list(tmp_path.rglob("*.png")) == []


def test_what_is_no_dataset_is_said(tmp_path, make_rows):
    with pytest.raises(InputError, match="expected a dataset, as `clipcaer build` writes it"):
        load_split(str(tmp_path), "test")
    DatasetDict(test=make_rows({}).remove_columns("body_boxes")).save_to_disk(tmp_path / "old")
    with pytest.raises(InputError, match="split `test` has no column `body_boxes`"):
        load_split(str(tmp_path / "old"), "test")
