"""Boxes of clips as files give them and as frames have them, by hand."""

import json
from pathlib import Path

import pytest

from modeling_clipcaer.data.box_fitting import fit_entry, place_boxes
from modeling_clipcaer.data.boxes import (
    BOX_SOURCES,
    PackedBoxes,
    check_coverage,
    check_not_swapped,
    explain_missing_box,
    fill_boxes,
    fill_face_boxes,
    fit_box,
    match_boxes,
    measure_area,
    names_people,
    pack_entry,
    parse_box,
    parse_people,
    read_box_file,
    scale_box,
    upper_body,
)
from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.errors import InputError


BOX, OTHER = (10.0, 20.0, 30.0, 60.0), (12.0, 22.0, 32.0, 72.0)
SMALL = (1.0, 2.0, 3.0, 4.0)


def test_datasets_hold_the_numbers_of_these_sources():
    assert BOX_SOURCES == ("annotated", "nearest", "median", "body", "frame")


def test_a_clip_has_boxes_where_a_frame_of_its_entry_is_there_in_whatever_spelling(tmp_path):
    (tmp_path / "1.jpg").touch()
    for name, missing in (("1.jpg", False), ("001.png", False), ("2.jpg", True)):
        assert (explain_missing_box("c", tmp_path, {"c": {name: BOX}}) is not None) == missing
    assert explain_missing_box("c", tmp_path / "none", {"c": BOX}) is None


def test_packed_boxes_are_a_mapping_of_the_boxes():
    boxes = {"2.jpg": BOX, "10.jpg": OTHER, "3.jpg": SMALL}
    packed = PackedBoxes(boxes)
    assert dict(packed) == packed.unpack() == boxes and list(packed) == list(boxes) and len(packed) == 3
    assert packed == PackedBoxes(boxes) and packed != PackedBoxes({"2.jpg": BOX})
    with pytest.raises(KeyError, match=r"4\.jpg"):
        packed["4.jpg"]
    assert pack_entry(BOX) is BOX and type(pack_entry(boxes)) is PackedBoxes


def test_a_box_has_its_corners_sorted_and_is_of_finite_numbers():
    assert parse_box([30, 60.0, 10, 20], "x") == BOX == parse_box([10, 20, 30, 60], "x")
    assert parse_box([30, 20, 10, 60], "x") == BOX == parse_box([10, 60, 30, 20], "x")
    assert {type(side) for side in parse_box([1, 2, 3, 4], "x")} == {float}
    for bad, said in (([1, 2, 3], "4 numbers"), ([1, 2, 3, 10**400], "4 finite numbers"), ({}, "4 numbers")):
        with pytest.raises(InputError, match=f"^x: expected {said}"):
            parse_box(bad, "x")


def test_areas_are_of_the_first_box():
    assert measure_area(BOX) == 20 * 40 and measure_area({"1": OTHER, "2": SMALL}) == 20 * 50


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 40, 60), (0, 0, 40, 60)),
        ((-1, -2, 41, 62), (0, 0, 40, 60)),
        ((5, 6, 6, 7), (5, 6, 6, 7)),  # a pixel
        ((5, 6, 5.9, 9), None),
        ((5, 6, 9, 6.9), None),
        ((39, 6, 50, 9), (39, 6, 40, 9)),
        ((39.1, 6, 50, 9), None),
        ((5, 59.1, 9, 70), None),
        ((5, -9, 9, 0.9), None),
        ((-9, 5, 0.9, 9), None),
    ],
)
def test_a_box_is_cut_to_its_frame_and_gone_below_a_pixel(box, expected):
    assert fit_box(box, 40, 60) == expected


def test_a_box_is_scaled_to_another_frame_each_side_by_its_own():
    assert scale_box(BOX, (100, 200), (50, 600)) == (5, 60, 15, 180)
    assert scale_box(BOX, (100, 200), (100, 100)) == (10, 10, 30, 30)
    assert scale_box(BOX, (100, 200), (100, 200)) is BOX
    assert upper_body((10, 20, 50, 120)) == (10, 20, 50, 60)  # two fifths of its height


def test_boxes_of_one_size_are_filled_by_the_nearest_within_eight_frames_and_else_by_the_median():
    assert fill_boxes([None, None]) == ([None, None], ["frame", "frame"])
    filled, sources = fill_boxes([None] * 9 + [BOX, None, None, OTHER, SMALL] + [None] * 9)
    assert sources == ["median"] + ["nearest"] * 8 + ["annotated", "nearest", "nearest"] + ["annotated"] * 2 + [
        *["nearest"] * 8,
        "median",
    ]
    assert filled[0] == filled[-1] == (10, 20, 30, 60)  # of 10, 12, 1; 20, 22, 2; 30, 32, 3; 60, 72, 4
    assert filled[1:13] == [BOX] * 10 + [OTHER, OTHER] and filled[13:-1] == [SMALL] * 9


def test_boxes_of_frames_of_two_sizes_stand_in_scaled():
    sizes = [(200, 100), (100, 100), (100, 200), *[(50, 50)] * 8]
    filled, sources = fill_boxes([None, BOX, None, *[None] * 8], sizes)
    assert filled[0] == (20, 20, 60, 60) and filled[2] == (10, 40, 30, 120) and filled[-1] == (5, 10, 15, 30)
    assert sources[:3] == ["nearest", "annotated", "nearest"] and sources[-1] == "median"
    # The median is one of the sizes of the first frame with a box: (10, 20, 30, 60) and twice (2, 4, 6, 8).
    filled, _ = fill_boxes([BOX, SMALL, SMALL, *[None] * 9], [(100, 100), (50, 50), (50, 50), *[(200, 100)] * 9])
    assert filled[-1] == (4, 4, 12, 8)


def test_without_face_boxes_the_upper_bodies_of_frames_with_one_stand_in():
    assert fill_face_boxes([None, None], [BOX, None]) == ([(10, 20, 30, 36), None], ["body", "frame"])
    assert fill_face_boxes([None], None) == ([None], ["frame"])
    assert fill_face_boxes([SMALL, None], BOX) == ([SMALL, SMALL], ["annotated", "nearest"])
    assert fill_face_boxes([None, SMALL], BOX, [(10, 10), (20, 20)])[0] == [(0.5, 1, 1.5, 2), SMALL]


def test_a_key_means_the_one_clip_whose_path_ends_so():
    paths = ["/data/a/1.mp4", "/data/b/1.mp4", "/data/b/2.mp4"]
    found, unused = match_boxes(Path("box.json"), {"a/1.mp4": BOX, "./2.mp4": OTHER, "b/3.mp4": BOX}, paths)
    assert found == {"/data/a/1.mp4": BOX, "/data/b/2.mp4": OTHER} and unused == 1
    assert match_boxes(Path("x"), {"/data/b/1.mp4": BOX}, paths) == ({"/data/b/1.mp4": BOX}, 0)
    for entries, said in (
        ({"1.mp4": BOX}, r"'1\.mp4' means 2 clips, /data/a/1\.mp4 and others; expected more of the path"),
        ({"2.mp4": BOX, "b/2.mp4": BOX}, r"'2\.mp4' and 'b/2\.mp4' are one clip; expected one entry"),
        ({"x": BOX, "y": BOX}, "no key is a clip of the source; the first is 'x'"),
        ({}, "no key is a clip of the source; the first is ''"),
    ):
        with pytest.raises(InputError, match=rf"^box\.json: {said}$"):
            match_boxes(Path("box.json"), entries, paths)


def swapped(faces, bodies):
    check_not_swapped(Path("face.json"), Path("body.json"), faces, bodies)


def test_faces_as_large_as_bodies_are_refused_where_they_are_most():
    large, small = (0, 0, 10, 10), (0, 0, 9, 10)
    swapped({"a": small, "b": large}, {"a": large, "b": large})  # one of two
    swapped({"a": {}, "b": large, "c": small, "d": large}, {"a": large, "b": small, "c": large, "x": small})
    for faces, bodies, said in (
        ({"a": large}, {"a": large}, "in 1 of 1 clips"),
        ({"a": large, "b": large, "c": small}, dict.fromkeys("abc", large), "in 2 of 3 clips"),
        ({"a": large, "b": large, "c": {"1": small}}, {"a": small, "b": {"1": small}, "c": {}}, "in 2 of 2 clips"),
    ):
        with pytest.raises(InputError, match=rf"^face\.json: {said} the face box is at least as large .* body\.json"):
            swapped(faces, bodies)
    swapped({}, {})


def test_coverage_just_reached_is_enough_and_examples_are_three():
    gaps = [None, "a", "b", "c", "d"]
    check_coverage(Path("f"), "list", gaps, [], 0.2, "flag")
    with pytest.raises(InputError) as error:
        check_coverage(Path("f"), "list", gaps, ["k", "l", "m", "n"], 0.21, "flag")
    assert str(error.value) == (
        "f: boxes for 1 of 5 clips of list (20.0%), expected at least 21.0% (--flag); "
        "clips without: a; b; c; keys without a clip: 'k', 'l', 'm'"
    )
    with pytest.raises(InputError, match=r"keys without a clip: none$"):
        check_coverage(Path("f"), "list", gaps, [], 1, "flag")


def test_people_are_told_from_frames_by_what_they_hold():
    assert parse_people({"ann": {"1.jpg": [1, 2, 3, 4]}, "ben": {}}, "x") == {"ann": {"1.jpg": SMALL}, "ben": {}}
    assert parse_people({"1.jpg": [1, 2, 3, 4]}, "x") == {"1.jpg": SMALL} and parse_people([1, 2, 3, 4], "x") == SMALL
    assert [names_people(face) for face in ({"a": {}}, {"a": {}, "b": BOX}, {}, BOX, None)] == [True, *[False] * 4]
    with pytest.raises(InputError, match=r"^x, person 'ann', frame '1': expected 4 numbers"):
        parse_people({"ann": {"1": 5}}, "x")


def test_entries_are_kept_as_they_are_asked_for_under_one_key_a_clip(tmp_path):
    path = tmp_path / "box.json"
    path.write_text(json.dumps({"RAER/images/a/1": {"b/2.jpg": [1, 2, 3, 4]}, "elsewhere/2": [1, 2, 3, 4]}))
    assert read_box_file(path, pack_entry) == {"images/a/1": PackedBoxes({"2.jpg": SMALL}), "elsewhere/2": SMALL}
    for frames, said in (
        ({"1.jpg": [1, 2, 3, 4], "a/1.jpg": [1, 2, 3, 5]}, r"frame '1\.jpg' occurs twice with different boxes"),
        ({"1.jpg": [1, 2, 3, 4], "01.png": [1, 2, 3, 4]}, r"'1\.jpg' and '01\.png' are one frame; expected one box"),
    ):
        path.write_text(json.dumps({"images/a/1": frames}))
        with pytest.raises(InputError, match=rf"box\.json: clip 'images/a/1': {said}"):
            read_box_file(path)


# --- on the frames of a clip

NAMES, SIZES = ["1.jpg", "2.jpg", "3.jpg"], [(40, 60)] * 3


def fit(entry, sizes=SIZES, outside_boxes="missing"):
    return fit_entry(entry, NAMES, sizes, lambda: "x.txt:1: face boxes", outside_boxes)


def counts(fitted):
    names = ("given", "clamped", "outside", "without_frame", "respelled", "for_all")
    return {name: getattr(fitted, name) for name in names if getattr(fitted, name)}


def test_boxes_by_frame_are_cut_counted_and_found_under_another_spelling():
    fitted = fit({"1.jpg": BOX, "2.jpg": (30, 10, 50, 20), "3.jpg": (50, 0, 60, 10)})
    assert fitted.boxes == [BOX, (30, 10, 40, 20), None]
    assert counts(fitted) == {"given": 3, "clamped": 1, "outside": 1}
    fitted = fit({"001.jpg": BOX, "3.png": OTHER, "9.jpg": BOX})
    assert fitted.boxes == [BOX, None, (12, 22, 32, 60)]
    assert counts(fitted) == {"given": 3, "clamped": 1, "without_frame": 1, "respelled": 2}
    assert fit(None).boxes == fit({}).boxes == [None] * 3 and not counts(fit(None))


def test_one_box_for_all_frames_is_one_where_they_are_of_one_size_and_else_one_for_each():
    fitted = fit((30, 10, 50, 20))
    assert fitted.boxes == [(30, 10, 40, 20)] * 3 and counts(fitted) == {"given": 1, "clamped": 1, "for_all": 1}
    fitted = fit((10, 20, 30, 60), [(40, 60), (20, 60), (40, 30)])
    assert fitted.boxes == [(10, 20, 30, 60), (5, 20, 15, 60), (10, 10, 30, 30)] and counts(fitted) == {"given": 1}


def test_a_box_outside_its_frame_is_an_error_where_that_is_asked_for():
    for entry, where in (({"2.jpg": (50, 0, 60, 10)}, "2.jpg"), ((50, 0, 60, 10), "all frames")):
        with pytest.raises(InputError) as error:
            fit(entry, outside_boxes="error")
        assert str(error.value).startswith(
            f"x.txt:1: face boxes, {where}: box [50, 0, 60, 10] covers no pixel of the 40x60 frame; expected a box"
        )
        assert fit(entry).outside == 1


def test_the_columns_of_a_row_hold_a_face_for_each_frame_and_one_body_for_all_where_one_was_given():
    def place(face, body):
        columns = place_boxes({"face": face, "body": body}, NAMES, SIZES, lambda kind: f"{kind} boxes", "error")
        return columns, {name: count for name, count in columns.items() if type(count) is int and count}

    columns, found = place({"2.jpg": SMALL}, BOX)
    assert columns["face_boxes"] == [SMALL] * 3 and columns["body_boxes"] == [BOX]
    assert columns["face_box_sources"] == ["nearest", "annotated", "nearest"]
    assert found == {
        **{"face_boxes_given": 1, "face_boxes_nearest": 2, "face_boxes_annotated": 1},
        **{"body_boxes_given": 1, "body_boxes_for_all": 1, "body_boxes_annotated": 3},
    }
    columns, found = place(None, {"1.jpg": BOX, "2.jpg": (*OTHER[:3], 60.0)})
    assert columns["body_boxes"] == [BOX, (12, 22, 32, 60), (12, 22, 32, 60)]
    assert columns["face_boxes"][:2] == [(10, 20, 30, 36), (12, 22, 32, 22 + 0.4 * 38)]
    assert found["face_boxes_body"] == 3 and found["body_boxes_nearest"] == 1 and "face_boxes_given" not in found
    columns, found = place(None, None)
    assert (columns["face_boxes"], columns["body_boxes"]) == ([[]] * 3, [])
    assert found == {"face_boxes_frame": 3, "body_boxes_frame": 3}
    with pytest.raises(InputError, match=r"^body boxes, all frames"):
        place(None, (50, 0, 60, 10))


# --- for clips named on the command line


def test_boxes_of_a_clip_are_found_by_the_most_telling_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    boxes = ClipBoxes({"a/1.mp4": BOX, "1.mp4": OTHER, "images/x/1": SMALL}, {})
    assert boxes.find_given("a/1.mp4", ["f", "g"]) == ([BOX, BOX], None)
    assert boxes.find_given("b/1.mp4", ["f"]) == ([OTHER], None)
    assert boxes.find_given("/RAER/images/x/1", ["f"]) == ([SMALL], None)
    with pytest.raises(InputError, match=r"b/2\.mp4: the face boxes hold no such clip; theirs begin with `a/1\.mp4`"):
        boxes.find_given("b/2.mp4", ["f"])
    with pytest.raises(InputError, match="the body boxes hold no such clip"):
        ClipBoxes({}, {"a": BOX}).find_given("b", [])


def test_boxes_of_bodies_alone_leave_faces_to_them():
    bodies = ClipBoxes({}, {"a": OTHER})
    assert bodies.find_given("a", ["1", "2"]) == ([None, None], OTHER)
    assert bodies.find("a", ["1"]) == ([(12, 22, 32, 42)], ["body"], OTHER)
    assert ClipBoxes().find("a", ["1"]) == ([None], ["frame"], None)


def test_a_key_that_means_two_clips_is_refused():
    boxes = ClipBoxes({"1.mp4": BOX, "b/2.mp4": BOX}, {"a/1.mp4": BOX})
    with pytest.raises(InputError, match=r"'1\.mp4' means a/1\.mp4 and b/1\.mp4; expected more of the path"):
        boxes.check(["a/1.mp4", "b/1.mp4"])
    boxes.check(["a/1.mp4", "b/2.mp4", "b/2.mp4"])


def test_faces_by_frame_leave_frames_without_one_and_name_frames_that_are_none():
    boxes = ClipBoxes(
        {"a": {"u\u0308.jpg": BOX}, "b": {"3.jpg": BOX, "2.jpg": BOX}}, {"a": OTHER, "b": {"1.jpg": BOX}}
    )
    assert boxes.find("a", ["1.jpg", "\xfc.jpg"]) == ([BOX, BOX], ["nearest", "annotated"], OTHER)
    with pytest.raises(InputError, match="b: expected one body box, found one for each frame"):
        boxes.find("b", ["1.jpg"])
    with pytest.raises(InputError, match=r"b: has no frame `2\.jpg`, for which there is a face box"):
        ClipBoxes(boxes.face).find("b", ["1.jpg"])


def test_people_have_their_own_faces_and_bodies():
    people = {"ann": {"1": BOX}, "ben": SMALL}
    boxes = ClipBoxes({"a": {"ann": {"1": BOX}, "ben": {}}}, {"a": {"ann": OTHER}})
    assert boxes.find_given("a", ["1", "2"]) == ({"ann": [BOX, None], "ben": [None, None]}, {"ann": OTHER})
    with pytest.raises(InputError, match="expected the boxes of one person, found those of several"):
        boxes.find("a", ["1"])
    for face, body in (({"ann": {}}, {"eve": OTHER}), (people, {"ann": OTHER})):
        with pytest.raises(InputError, match="expected one body box, found one for each frame"):
            ClipBoxes({"a": face}, {"a": body}).find_given("a", ["1"])
