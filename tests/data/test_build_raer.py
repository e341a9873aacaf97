import hashlib
import json
import os
import subprocess
import sys

import pytest
from datasets import load_from_disk

from helpers.builders import builder
from helpers.places import ROOT
from helpers.raer_tree import FACE_BOX, make_tree, write_frames
from modeling_clipcaer.commands.build import BuildArguments, load_layout, read_flags
from modeling_clipcaer.common.flags import given_flags
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.features import FEATURES
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.data.record import format_table, list_few_clips
from modeling_clipcaer.errors import InputError


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


def run_build(tree, *flags):
    command = [sys.executable, str(ROOT / "data_scripts" / "build_raer.py"), "--root", str(tree.raer.parent)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--output", str(tree.raer.parent / "out"), *flags], capture_output=True, text=True, env=environment
    )


def names_in(folder):
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.slow
def test_the_command_writes_the_dataset_and_its_audit_and_nothing_else(tree):
    result = run_build(tree, "--val_share=0.25", "--val-split", "person", "--seed", "7")
    assert result.returncode == 0, result.stderr
    assert names_in(tree.raer.parent) == {"RAER", "out"}
    rows = load_from_disk(tree.raer.parent / "out")
    assert {split: len(rows[split]) for split in rows} == {"train": 15, "validation": 5, "test": 5}
    assert all(rows[split].features == FEATURES for split in rows)
    assert not set(rows["train"]["person_id"]) & set(rows["validation"]["person_id"])
    audit = json.loads((tree.raer.parent / "out" / "build.json").read_text())
    assert audit["arguments"]["val_split"] == "person" and audit["arguments"]["seed"] == 7
    assert "no person is in two splits" in result.stdout


@pytest.mark.slow
def test_help_names_every_flag(tree):
    result = run_build(tree, "--help")
    assert result.returncode == 0
    for flag in ("train-annotation", "val-annotation", "test-annotation", "bounding-box-face", "bounding-box-body"):
        assert f"--{flag}" in result.stdout
    for flag in ("val-share", "val-split", "seed", "outside-boxes", "min-face-share", "min-body-share", "num-proc"):
        assert f"--{flag}" in result.stdout


def spoil_label(tree):
    tree.train_list.write_text(tree.train_list.read_text() + "RAER/images/SelfStudy/Lab/P009/001 3 7\n")
    return [], f"{tree.train_list}:21: unknown label 7"


def spoil_line(tree):
    tree.test_list.write_text("RAER/images/SelfStudy/Lab/P005/001 3\n")
    return [], f"{tree.test_list}:1: expected '<clip dir> <num_frames> <label>'"


def spoil_json(tree):
    tree.face_file.write_text('{"a": }')
    return [], f"{tree.face_file}:1:7: broken JSON"


def spoil_box(tree):
    tree.bodies[f"RAER/{tree.train[0].clip_id}"] = [900, 900, 990, 990]
    tree.write_files()
    return (
        [],
        f"{tree.body_file}: clip '{tree.train[0].clip_id}', all frames: box [900.0, 900.0, 990.0, 990.0] covers no",
    )


def spoil_keys(tree):
    tree.face_file.write_text(json.dumps({"faces/1": {"1.jpg": FACE_BOX}}))
    return [], "keys without a clip: 'faces/1'"


def lose_folder(tree):
    (tree.raer / tree.train[2].clip_id).rename(tree.raer / "away")
    return [], f"{tree.train_list}:3: expected the clip folder {tree.raer / tree.train[2].clip_id}, found none"


def empty_clip(tree):
    for frame in (tree.raer / tree.train[2].clip_id).iterdir():
        frame.rename(frame.with_suffix(".txt"))
    tree.faces[f"RAER/{tree.train[2].clip_id}"] = {}
    tree.write_files()
    return [], f"{tree.train_list}:3: {tree.raer / tree.train[2].clip_id}: expected frames"


def corrupt_frame(tree):
    frame = tree.raer / tree.train[2].clip_id / "1.jpg"
    frame.write_bytes(b"no image")
    return [], f"{frame}: cannot be read as an image"


def share_clip(tree):
    tree.test.append(tree.train[0])
    tree.write_files()
    return [], f"clip '{tree.train[0].clip_id}' is in train ({tree.train_list}:1) and in test ({tree.test_list}:6)"


def lose_list(tree):
    tree.test_list.unlink()
    return [], f"{tree.test_list}: expected a file, found nothing"


def misspell_flag(tree):
    return ["--val-shar", "0.2"], "unknown argument --val-shar; did you mean --val-share?"


def mistype_number(tree):
    return ["--val-share", "ten"], "--val-share: invalid float value: 'ten'"


def contradict(tree):
    return ["--val-annotation", str(tree.test_list), "--val-share", "0.2"], "--val-share has no effect with"


def seed_nothing(tree):
    return ["--val-annotation", str(tree.test_list), "--seed", "2"], "--seed has no effect with --val-annotation"


def want_no_boxes(tree):
    flags = ["--bounding-box-face", "none", "--min-face-share", "0.5"]
    return flags, "--min-face-share has no effect with --bounding-box-face none"


def assert_refused(status, out, err, message, tree):
    assert status == 2, err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert message in err
    assert out.count("\n") <= 1 and not out.startswith("split") and names_in(tree.raer.parent) == {"RAER"}


@pytest.mark.parametrize(
    "spoil",
    [
        *(spoil_label, spoil_line, spoil_json, spoil_box, spoil_keys, lose_folder, empty_clip, corrupt_frame),
        *(share_clip, lose_list, misspell_flag, mistype_number, contradict, seed_nothing),
        want_no_boxes,
    ],
)
def test_bad_input_gives_one_line_status_2_and_leaves_nothing(tree, spoil, monkeypatch, capsys):
    flags, message = spoil(tree)
    roots = ["--root", str(tree.raer.parent), "--output", str(tree.raer.parent / "out")]
    monkeypatch.setattr(sys, "argv", ["build_raer.py", *roots, *flags])
    status = run_command(builder("raer").main)
    assert_refused(status, *capsys.readouterr(), message, tree)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "extra"), [(spoil_label, []), (spoil_box, ["--num-proc", "2"]), (misspell_flag, [])]
)
def test_a_process_of_its_own_refuses_the_same_way(tree, spoil, extra):
    flags, message = spoil(tree)
    result = run_build(tree, *flags, *extra)
    assert_refused(result.returncode, result.stdout, result.stderr, message, tree)


def test_the_table_has_its_columns_below_each_other(tree):
    audit = build_dataset(tree.raer, tree.raer.parent / "out")
    lines = format_table(audit).splitlines()
    assert len({len(line) for line in lines[1:-1]}) == 1 and lines[-1] == "the rest is clean"
    assert lines[-2].startswith("frames with a body box") and not any("cut at" in line for line in lines)


def test_the_audit_counts_what_was_matched_filled_in_and_left_out(tree):
    first, second, third, fourth = (clip.clip_id for clip in tree.test[:4])
    tree.test[0].num_frames = 30
    tree.faces[f"RAER/{first}"] = {"2.jpg": [-6, 5, 30, 25], "9.jpg": FACE_BOX}
    tree.faces[f"RAER/{second}"] = {}
    del tree.faces[f"RAER/{third}"], tree.bodies[f"RAER/{third}"]
    tree.faces[f"RAER/{fourth}"] = {"1.jpg": [70, 5, 90, 25], "3.jpg": FACE_BOX}
    tree.faces["RAER/images/SelfStudy/Lab/P099/001"] = {"1.jpg": FACE_BOX}
    write_frames(tree.raer / third, ["10.jpg"])
    tree.write_files()
    tree.test_list.write_text(tree.test_list.read_text() + f"/x/RAER/{second} 3 2\n")
    audit = build_dataset(tree.raer, tree.raer.parent / "out", outside_boxes="missing")
    split = audit["splits"]["test"]
    assert split["num_clips"] == 5 and split["num_frames"] == 16 and split["imbalance"] == 1.0
    assert split["labels"] == dict.fromkeys(("Neutrality", "Enjoyment", "Confusion", "Fatigue", "Distraction"), 1)
    assert split["frames_per_clip"] == {"min": 3, "median": 3.0, "max": 4, "histogram": {"3": 4, "4": 1}}
    assert split["face_boxes"]["sources"] == {"annotated": 5, "nearest": 4, "median": 0, "body": 3, "frame": 4}
    assert (split["face_boxes"]["clips"], split["face_boxes"]["clip_share"]) == (3, 0.6)
    assert (split["face_boxes"]["frames"], split["face_boxes"]["frame_share"]) == (5, round(5 / 16, 4))
    assert [split["face_boxes"][name] for name in ("clamped", "outside", "without_frame")] == [1, 1, 1]
    assert split["face_boxes"]["given"] == 7
    assert split["face_boxes"]["finding_shares"] == {
        **dict.fromkeys(("clamped", "outside", "without_frame"), 0.1429),
        "respelled": 0.0,
    }
    found = {name: split["body_boxes"][name] for name in ("clips", "clip_share", "clamped", "outside")}
    assert found == {"clips": 4, "clip_share": 0.8, "clamped": 0, "outside": 0}
    assert split["body_boxes"]["clips_with_one_for_all"] == 4
    assert split["num_frames_differing"] == {
        "clips": 2,
        "clip_share": 0.4,
        "examples": [
            {"clip_id": first, "listed": 30, "found": 3},
            {"clip_id": third, "listed": 3, "found": 4},
        ],
    }
    assert split["repeated_lines_dropped"] == 1
    assert audit["box_keys_without_clip"] == {"face": 1, "body": 0} and audit["box_keys"] == {"face": 25, "body": 24}
    assert audit["sources"][str(tree.face_file)] == hashlib.sha256(tree.face_file.read_bytes()).hexdigest()
    assert len(audit["sources"]) == 4


def test_persons_shared_by_train_and_test_are_counted(tree):
    moved = tree.train.pop(0)
    tree.test.append(moved)
    tree.write_files()
    audit = build_dataset(tree.raer, tree.raer.parent / "out", val_split="person", val_share=0.2)
    shared = audit["shared_persons"]
    assert shared["train/validation"] == 0 and shared["train/test"] + shared["validation/test"] == 1


def test_a_split_without_a_label_is_named_in_the_table(tree):
    tree.test = tree.test[:3]
    tree.write_files()
    audit = build_dataset(tree.raer, tree.raer.parent / "out")
    assert audit["splits"]["test"]["absent_labels"] == ["Fatigue", "Distraction"]
    few = {"Neutrality": 1, "Enjoyment": 1, "Confusion": 1}
    assert audit["splits"]["test"]["few_clips"] == few
    listed = "test has few clips of: Neutrality 1, Enjoyment 1, Confusion 1; one clip moves UAR by up to 33.3 points"
    assert list_few_clips(audit)[-1] == f"warning  {listed}"


def test_a_rebuild_replaces_an_earlier_build_and_an_error_leaves_it(tree):
    output = tree.raer.parent / "out"
    build_dataset(tree.raer, output)
    tree.test = tree.test[:2]
    tree.write_files()
    build_dataset(tree.raer, output)
    assert len(load_from_disk(output)["test"]) == 2
    tree.face_file.write_text("{")
    with pytest.raises(InputError, match="broken JSON"):
        build_dataset(tree.raer, output)
    assert len(load_from_disk(output)["test"]) == 2 and names_in(tree.raer.parent) == {"RAER", "out"}


def test_an_output_folder_with_other_content_is_refused_and_kept(tree):
    with pytest.raises(InputError, match="exists and is no dataset of a builder"):
        build_dataset(tree.raer, tree.raer)
    output = tree.raer.parent / "notes.txt"
    output.write_text("mine")
    with pytest.raises(InputError, match="exists and is no dataset"):
        build_dataset(tree.raer, output)
    assert output.read_text() == "mine"


def test_dashes_and_underscores_are_the_same_and_values_stay_as_they_are():
    words = ["--root", "my_data", "--output=out_dir", "--val_split", "person", "--min_face_share=0.9"]
    given = {"root": "my_data", "output": "out_dir", "val_split": "person", "min_face_share": 0.9}
    assert given_flags((BuildArguments, load_layout("raer").Settings), words) == given


def test_own_labels_give_their_names_to_the_lists_numbers(tree):
    names = ["calm", "glad", "puzzled", "tired", "elsewhere"]
    audit = build_dataset(tree.raer, tree.raer.parent / "out", labels=names)
    rows = load_from_disk(tree.raer.parent / "out")
    assert rows["train"].features["label"].names == names
    assert list(audit["splits"]["train"]["labels"]) == names and "puzzled" in format_table(audit)


def test_a_number_beyond_the_labels_names_them(tree):
    with pytest.raises(InputError, match=r"train.txt:\d+: unknown label [3-5], expected one of: 1 calm, 2 glad"):
        build_dataset(tree.raer, tree.raer.parent / "out", labels=["calm", "glad"])


def test_a_share_of_validation_is_taken_where_all_lists_are_pooled():
    words = ["--root", "x", "--output", "y", "--split", "person", "--val-annotation", "z", "--val-share", "0.3"]
    assert read_flags(load_layout("raer"), [*words, "--seed", "3"])[1].val_share == 0.3
