import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from helpers.raer_tree import BODY_BOX, FACE_BOX, HEIGHT, WIDTH, build, make_tree, row_of, write_frames
from modeling_clipcaer.data.clip_keys import clip_key
from modeling_clipcaer.data.features import COUNT_FEATURES, FEATURES
from modeling_clipcaer.data.layouts.raer_builder import Raer
from modeling_clipcaer.errors import InputError


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


def test_a_row_holds_frames_boxes_person_and_label(tree):
    rows = build(tree)
    assert rows["train"].features == datasets.Features({**FEATURES, **COUNT_FEATURES})
    assert {split: len(rows[split]) for split in rows} == {"train": 15, "validation": 5, "test": 5}
    row = rows["test"][3]
    assert row["clip_id"] == "images/SelfStudy/Lab/P005/004" and row["person_id"] == "SelfStudy/Lab/P005"
    assert row["frame_dir"] == str(tree.raer / row["clip_id"]) and Path(row["frame_dir"]).is_absolute()
    assert row["frame_names"] == ["1.jpg", "2.jpg", "3.jpg"]
    assert row["face_boxes"] == [FACE_BOX] * 3 and row["face_box_sources"] == [0, 0, 0]
    assert row["body_boxes"] == [BODY_BOX]
    assert rows["test"].features["label"].int2str(row["label"]) == "Fatigue", "label 4 of the 1-based files"


def test_frames_are_in_natural_order_and_boxes_belong_to_their_frames(tree):
    clip = tree.test[0]
    names = [f"{number}.jpg" for number in range(1, 13)]
    write_frames(tree.raer / clip.clip_id, names)
    (tree.raer / clip.clip_id / ".hidden.jpg").touch()
    tree.faces[f"RAER/{clip.clip_id}"] = {name: [float(name[:-4]), 0, 40, 40] for name in reversed(names)}
    tree.write_files()
    row = row_of(build(tree), clip.clip_id)
    assert row["frame_names"] == names
    assert [box[0] for box in row["face_boxes"]] == list(range(1, 13))
    assert row["listed_frames"] == 3, "the folder wins, the list's number stays to be counted"


def test_files_that_spell_clips_differently_match(tree):
    spellings = ["/mnt/other/RAER/{}", "RAER/RAER/{}", "D:\\data\\RAER\\{}", "{}/"]
    respell = {clip.clip_id: spellings[index % 4] for index, clip in enumerate(tree.train + tree.test)}
    tree.faces = {respell[clip_key(key)].format(clip_key(key)): box for key, box in tree.faces.items()}
    tree.write_files()
    for split in build(tree).values():
        assert set(np.concatenate(split["face_box_sources"])) == {0}


def test_a_box_partly_outside_is_clamped_and_counted(tree):
    clip = tree.test[0].clip_id
    tree.faces[f"RAER/{clip}"] = {"1.jpg": [-6, 5, 30, 25], "2.jpg": FACE_BOX, "3.jpg": [30, 25, 10, 5]}
    tree.bodies[f"RAER/{clip}"] = [5, 4, 500, 44]
    tree.write_files()
    row = row_of(build(tree), clip)
    assert row["face_boxes"] == [[0.0, 5.0, 30.0, 25.0], FACE_BOX, FACE_BOX] and row["face_boxes_clamped"] == 1
    assert row["body_boxes"] == [[5.0, 4.0, WIDTH, 44.0]] and row["body_boxes_clamped"] == 1


def test_a_box_wholly_outside_is_an_error_or_missing(tree):
    clip = tree.test[0].clip_id
    tree.faces[f"RAER/{clip}"] = {"2.jpg": [70, 5, 90, 25], "3.jpg": FACE_BOX}
    tree.write_files()
    with pytest.raises(InputError) as error:
        build(tree)
    message = str(error.value)
    assert message.startswith(f"{tree.face_file}: clip '{clip}', 2.jpg: box [70.0, 5.0, 90.0, 25.0] covers no pixel")
    assert f"{WIDTH}x{HEIGHT} frame" in message
    row = row_of(build(tree, outside_boxes="missing"), clip)
    assert row["face_boxes"] == [FACE_BOX] * 3 and row["face_box_sources"] == [1, 1, 0]
    assert row["face_boxes_outside"] == 1


def test_frames_without_boxes_fall_back_and_say_so(tree):
    upper, whole = tree.test[0].clip_id, tree.test[1].clip_id
    tree.faces[f"RAER/{upper}"] = {}
    del tree.faces[f"RAER/{whole}"], tree.bodies[f"RAER/{whole}"]
    tree.write_files()
    rows = build(tree)
    assert row_of(rows, upper)["face_boxes"] == [[5.0, 4.0, 45.0, 20.0]] * 3
    assert row_of(rows, upper)["face_box_sources"] == [3, 3, 3]
    assert row_of(rows, whole)["face_boxes"] == [[], [], []] and row_of(rows, whole)["body_boxes"] == []
    assert row_of(rows, whole)["face_box_sources"] == [4, 4, 4]


def test_an_edit_of_a_list_or_of_boxes_gives_new_rows_from_the_same_cache(tree):
    before = build(tree)
    assert build(tree)["train"]._fingerprint == before["train"]._fingerprint
    tree.test = tree.test[:4]
    tree.bodies[f"RAER/{tree.test[0].clip_id}"] = [1.0, 2.0, 30.0, 40.0]
    tree.write_files()
    after = build(tree)
    assert len(before["test"]) == 5 and len(after["test"]) == 4
    assert after["test"][0]["body_boxes"] == [[1.0, 2.0, 30.0, 40.0]]


def test_processes_and_streams_give_the_same_rows(tree):
    rows = build(tree)
    shared = Raer.create(cache_dir=tree.raer.parent / "other", root=tree.raer)
    shared.download_and_prepare(num_proc=2)
    assert list(shared.as_dataset()["train"]) == list(rows["train"])
    assert list(shared.as_streaming_dataset("train")) == list(rows["train"])
    assert list(build(tree)["train"]) == list(rows["train"]), "streaming once must not change later builds"


def test_bad_input_keeps_its_message_in_a_worker_process(tree):
    for frame in (tree.raer / tree.train[0].clip_id).iterdir():
        frame.unlink()
    with pytest.raises(InputError, match=r"expected frames .*, found none"):
        build(tree, num_proc=2, min_face_share=0)


def test_a_given_validation_list_is_used_and_training_stays_whole(tree):
    path = tree.raer / "annotation" / "val.txt"
    path.write_text("RAER/images/SelfStudy/Lab/P005/001 3 1\n")
    tree.test = tree.test[1:]
    tree.write_files()
    rows = build(tree, val_annotation=path)
    assert [len(rows[split]) for split in ("train", "validation", "test")] == [20, 1, 4]


def test_the_root_may_be_raer_or_its_parent_or_above_a_doubled_folder(tree, tmp_path):
    doubled = tmp_path / "disk" / "RAER"
    doubled.mkdir(parents=True)
    tree.raer.rename(doubled / "RAER")
    tree.raer = doubled / "RAER"
    for root in (tree.raer, doubled, doubled.parent):
        row = build(tree, root=root)["test"][0]
        assert row["frame_dir"] == str(tree.raer / tree.test[0].clip_id)
    with pytest.raises(InputError, match="found no images folder"):
        Raer.create(root=tree.raer / "images")


def test_boxes_must_be_there_or_be_done_without_explicitly(tree):
    tree.face_file.unlink()
    with pytest.raises(InputError, match=r"face.json: expected a file, found nothing, or --bounding-box-face none"):
        build(tree)
    rows = build(tree, bounding_box_face="none", bounding_box_body="none")
    assert set(np.concatenate(rows["train"]["face_box_sources"])) == {4}


@pytest.mark.parametrize("numbering", ["keys", "frames"])
def test_boxes_that_match_too_few_clips_are_refused_with_examples(tree, numbering):
    if numbering == "keys":
        tree.faces = {key.replace("images", "faces"): value for key, value in tree.faces.items()}
    else:
        tree.faces = {key: {"0071.jpg": FACE_BOX} for key in tree.faces}
    tree.face_file.write_text(json.dumps(tree.faces))
    with pytest.raises(InputError) as error:
        build(tree)
    assert f"{tree.face_file}: boxes for 0 of 20 clips of {tree.train_list} (0.0%)" in str(error.value)
    example = (
        "keys without a clip: 'RAER/faces/Class" if numbering == "keys" else "has boxes for '0071.jpg' and others"
    )
    assert example in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_share": 0}, "`val_share` is 0, expected"),
        ({"val_share": 1.0}, "`val_share` is 1.0, expected"),
        ({"val_split": "clips"}, "`val_split` is 'clips', expected one of clip, person"),
        ({"outside_boxes": "drop"}, "`outside_boxes` is 'drop'"),
        ({"min_body_share": 1.5}, "`min_body_share` is 1.5"),
    ],
)
def test_options_out_of_range_are_named(tree, options, message):
    with pytest.raises(InputError, match=message):
        Raer.create(root=tree.raer, **options)
