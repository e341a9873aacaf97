"""Frames, boxes and lists that do not agree on how anything is written."""

import json
import unicodedata

import pytest

from helpers.raer_tree import BODY_BOX, FACE_BOX, Clip, build, make_tree, row_of, write_frames
from modeling_clipcaer.data.frame_names import check_frame_names, frame_key, match_frames
from modeling_clipcaer.data.json_members import iterate_members
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.errors import InputError


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((name, "1") for name in ("1.jpg", "0001.jpg", "1.PNG", "1", " 1.jpeg ")),
        ("frame 007.jpg", "frame 7"),
        ("000.jpg", "0"),
        ("t1.05.jpg", "t1.05"),
        ("10.jpg", "10"),
    ],
)
def test_a_frame_has_one_key_with_and_without_padding_and_of_any_type(name, key):
    assert frame_key(name) == key


def test_names_match_by_themselves_before_they_match_by_number():
    assert match_frames({"2.jpg": "b", "1.jpg": "a"}, ["1.jpg", "2.jpg", "3.jpg"]) == {"1.jpg": "a", "2.jpg": "b"}
    assert match_frames({"0002.png": "b"}, ["1.jpg", "2.jpg"]) == {"2.jpg": "b"}


def test_a_frame_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'1.jpg' and '0001.png' are one frame"):
        check_frame_names(tmp_path, ["1.jpg", "0001.png"])


def test_boxes_of_padded_names_reach_unpadded_frames_and_are_counted(tree):
    clip = tree.test[0].clip_id
    tree.faces[f"RAER/{clip}"] = {f"{number:04d}.PNG": [number, 5, 30, 25] for number in range(1, 4)}
    tree.write_files()
    row = row_of(build(tree), clip)
    assert [box[0] for box in row["face_boxes"]] == [1, 2, 3] and row["face_boxes_respelled"] == 3


def test_frames_of_several_types_are_in_the_order_of_their_numbers(tree):
    clip = tree.test[0].clip_id
    write_frames(tree.raer / clip, ["4.png", "05.jpeg", "10.jpg"])
    names = row_of(build(tree), clip)["frame_names"]
    assert names == ["1.jpg", "2.jpg", "3.jpg", "4.png", "05.jpeg", "10.jpg"]


def test_either_file_may_hold_a_box_a_clip_or_a_box_a_frame(tree):
    first, second = tree.test[0].clip_id, tree.test[1].clip_id
    tree.faces[f"RAER/{first}"] = FACE_BOX
    tree.bodies[f"RAER/{second}"] = {"1.jpg": BODY_BOX, "3.jpg": [6.0, 4.0, 45.0, 44.0]}
    tree.write_files()
    rows = build(tree)
    assert row_of(rows, first)["face_boxes"] == [FACE_BOX] * 3 and row_of(rows, first)["face_boxes_for_all"] == 1
    assert row_of(rows, second)["body_boxes"] == [BODY_BOX, BODY_BOX, [6.0, 4.0, 45.0, 44.0]]
    assert row_of(rows, second)["body_boxes_nearest"] == 1


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_list", ["NFC", "NFD"])
def test_letters_with_accents_match_in_both_unicode_forms(tree, on_disk, in_list):
    folder = "images/SelfStudy/Café du Monde/P009/clip é 1"
    write_frames(tree.raer / unicodedata.normalize(on_disk, folder), ["1.jpg", "2.jpg"])
    tree.test.append(Clip(unicodedata.normalize(in_list, folder), 1, 2))
    tree.faces[f"RAER/{unicodedata.normalize(on_disk, folder)}"] = {"1.jpg": FACE_BOX, "2.jpg": FACE_BOX}
    tree.write_files()
    row = row_of(build(tree), unicodedata.normalize("NFC", folder))
    assert row["face_box_sources"] == [0, 0] and len(row["frame_names"]) == 2


def test_lists_that_count_from_0_give_the_same_labels(tree, tmp_path):
    expected = build(tree)["test"]["label"][:]
    for clip in tree.train + tree.test:
        clip.label -= 1
    tree.write_files()
    assert build(tree, first_label=0)["test"]["label"][:] == expected
    with pytest.raises(InputError, match="needs --first-label 0"):
        build(tree)


def test_counts_have_their_shares(tree):
    tree.faces[f"RAER/{tree.test[0].clip_id}"] = {"1.jpg": FACE_BOX}
    tree.write_files()
    faces = build_dataset(tree.raer, tree.raer.parent / "out")["splits"]["test"]["face_boxes"]
    assert faces["sources"]["nearest"] == 2 and faces["source_shares"]["nearest"] == round(2 / 15, 4)
    assert sum(faces["sources"].values()) == 15


@pytest.mark.parametrize(
    "text", ["{}", ' {"a": [1, {"b": 2}], "c" : {}}\n', '\ufeff{"a":1}', '{"a": "}, ", "é": null}']
)
def test_members_of_a_large_file_are_those_that_json_reads(tmp_path, text):
    path = tmp_path / "boxes.json"
    path.write_text(text, encoding="utf-8")
    assert dict(iterate_members(path)) == json.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1', "broken JSON"),
        ('{"a": 1} x', "broken JSON: Extra data"),
        ('{"a": 1,}', "broken JSON"),
        ("[1]", "expected an object"),
        ('{"a": {"b": 1, "b": 2}}', "key 'b' occurs twice"),
    ],
)
def test_a_large_file_that_is_broken_is_refused(tmp_path, text, message):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        list(iterate_members(path))
