import json

import pytest

from modeling_clipcaer.data.boxes import (
    check_coverage,
    explain_missing_box,
    fill_face_boxes,
    fit_box,
    read_body_file,
    read_face_file,
)
from modeling_clipcaer.errors import InputError


BOX = (10.0, 20.0, 30.0, 40.0)
OTHER = (12.0, 22.0, 32.0, 42.0)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_are_keyed_by_clip_and_frame_however_spelled_with_sorted_corners(tmp_path):
    path = write(tmp_path / "face.json", {"D:\\x\\RAER\\images\\Lab\\P1\\1": {"a\\2.jpg": [30, 40, 10, 20]}})
    assert read_face_file(path) == {"images/Lab/P1/1": {"2.jpg": BOX}}
    path = write(tmp_path / "body.json", {"/m/RAER/RAER/images/Lab/P1/1": [30, 20, 10.0, 40]})
    assert read_body_file(path) == {"images/Lab/P1/1": BOX}


def test_two_spellings_of_a_clip_may_agree_but_not_differ(tmp_path):
    path = write(tmp_path / "body.json", {"images/Lab/P1/1": BOX, "RAER/images/Lab/P1/1": BOX})
    assert read_body_file(path) == {"images/Lab/P1/1": BOX}
    path = write(tmp_path / "body.json", {"images/Lab/P1/1": BOX, "RAER/images/Lab/P1/1": OTHER})
    with pytest.raises(InputError, match="'images/Lab/P1/1' and 'RAER/images/Lab/P1/1' are one clip with different"):
        read_body_file(path)


def test_a_key_repeated_with_another_box_is_refused(tmp_path):
    path = write(tmp_path / "face.json", '{"images/Lab/P1/1": {"1.jpg": [1, 2, 3, 4], "1.jpg": [1, 2, 3, 5]}}')
    with pytest.raises(InputError, match=r"key '1\.jpg' occurs twice"):
        read_face_file(path)


def test_broken_json_is_named_with_line_and_column(tmp_path):
    path = write(tmp_path / "face.json", '{\n  "images/Lab/P1/1": {"1.jpg": [1, 2, 3 4]}\n}')
    with pytest.raises(InputError) as error:
        read_face_file(path)
    assert str(error.value).startswith(f"{path}:2:41: broken JSON: ")


@pytest.mark.parametrize(
    "box",
    [
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        '"1,2,3,4"',
        "null",
        '[1, 2, 3, "4"]',
        "[1, 2, 3, true]",
        "[1, 2, 3, NaN]",
        "1e999",
    ],
)
def test_a_box_of_another_shape_is_named_with_clip_and_frame(tmp_path, box):
    path = write(tmp_path / "face.json", f'{{"RAER/images/Lab/P1/1": {{"7.jpg": {box}}}}}')
    with pytest.raises(InputError) as error:
        read_face_file(path)
    assert str(error.value).startswith(f"{path}: clip 'RAER/images/Lab/P1/1', frame '7.jpg': expected 4 ")


def test_a_file_of_the_wrong_kind_is_refused(tmp_path):
    path = write(tmp_path / "list.json", [1, 2])
    with pytest.raises(InputError, match=r"expected an object of clip dirs, found \[1, 2\]"):
        read_body_file(path)
    path = write(tmp_path / "face.json", {"images/Lab/P1/1": {"1.jpg": "left"}})
    with pytest.raises(InputError, match=r"expected 4 numbers \[left, top, right, bottom\]"):
        read_body_file(path)


def test_both_files_take_a_box_a_clip_and_a_box_a_frame(tmp_path):
    path = write(tmp_path / "boxes.json", {"images/Lab/P1/1": {"1.jpg": BOX}, "images/Lab/P1/2": BOX})
    expected = {"images/Lab/P1/1": {"1.jpg": tuple(BOX)}, "images/Lab/P1/2": tuple(BOX)}
    assert read_face_file(path) == read_body_file(path) == expected


def test_a_box_is_clamped_to_its_frame_or_gone():
    assert fit_box((-5.0, 10.0, 50.0, 99.0), 40, 60) == (0.0, 10.0, 40.0, 60.0)
    assert fit_box(BOX, 40, 60) == BOX
    assert fit_box((41.0, 0.0, 60.0, 20.0), 40, 60) is None
    assert fit_box((-30.0, 0.0, -1.0, 20.0), 40, 60) is None
    assert fit_box((0.2, 0.2, 0.8, 0.9), 40, 60) is None, "a box in shares of the frame covers no pixel"


def test_a_missing_face_takes_the_nearest_box_and_of_two_the_earlier():
    boxes, sources = fill_face_boxes([None, BOX, None, OTHER, None], body_box=None)
    assert boxes == [BOX, BOX, BOX, OTHER, OTHER]
    assert sources == ["nearest", "annotated", "nearest", "annotated", "nearest"]


def test_beyond_the_reach_of_the_nearest_box_the_median_of_the_clip_stands_in():
    third = (14.0, 60.0, 34.0, 80.0)
    boxes, sources = fill_face_boxes([BOX, OTHER, third, *[None] * 9], body_box=OTHER)
    assert sources == ["annotated"] * 3 + ["nearest"] * 8 + ["median"]
    assert boxes[-2] == third and boxes[-1] == OTHER


def test_a_clip_without_face_boxes_takes_the_upper_body_and_without_that_the_whole_frame():
    assert fill_face_boxes([None, None], body_box=(10.0, 20.0, 50.0, 120.0)) == (
        [(10.0, 20.0, 50.0, 60.0)] * 2,
        ["body"] * 2,
    )
    assert fill_face_boxes([None], body_box=None) == ([None], ["frame"])


def test_a_clip_counts_as_covered_only_if_a_frame_of_the_entry_exists(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "1.jpg").touch()
    assert explain_missing_box("c", tmp_path / "c", {"c": {"9.jpg": BOX, "1.jpg": BOX}}) is None
    assert "'c' has no entry" in explain_missing_box("c", tmp_path / "c", {"d": {"1.jpg": BOX}})
    assert "empty entry" in explain_missing_box("c", tmp_path / "c", {"c": {}})
    assert "'002.jpg' and others, none of which is in its folder" in explain_missing_box(
        "c", tmp_path, {"c": {"002.jpg": BOX}}
    )


def test_too_little_coverage_shows_examples_of_both_sides(tmp_path):
    gaps = [None, "'a' has no entry", "'b' has no entry"]
    check_coverage(tmp_path / "face.json", "train.txt", gaps, [], 0.33, "min-face-share")
    with pytest.raises(InputError) as error:
        check_coverage(tmp_path / "face.json", "train.txt", gaps, ["faces/a"], 0.34, "min-face-share")
    assert "boxes for 1 of 3 clips of train.txt (33.3%), expected at least 34.0% (--min-face-share)" in str(
        error.value
    )
    assert "'a' has no entry; 'b' has no entry; keys without a clip: 'faces/a'" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images/a/b/c": ' + "[" * 10**6, "broken JSON: nested too deep"),
        ('{"images/a/b/c": {"1.jpg": ' + "[" * 10**6, "broken JSON: nested too deep"),
        ('{"images/a/b/c": [' + "9" * 5000 + ", 1, 2, 3]}", "broken JSON: a number of thousands of digits"),
        ('{"images/a/b/c": [1e999, 1, 2, 3]}', "clip 'images/a/b/c': expected 4 finite numbers"),
        ('{"images/a/b/c": [1, 2', ":1:23: broken JSON"),
    ],
    ids=["deep", "deep within", "digits", "beyond a float", "torn"],
)
def test_a_hostile_box_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "face.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_face_file(path)
    told = str(caught.value)
    assert told.startswith(str(path)) and message in told and "\n" not in told and len(told) < 300
