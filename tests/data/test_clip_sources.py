"""Every layout of other data, from its files to a batch of pixels."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
import yaml

from helpers.builders import builder as make_builder
from helpers.miniatures import (
    CAER_LABELS,
    CREMAD_LABELS,
    DFEW_LABELS,
    FERV39K_LABELS,
    MAFW_LABELS,
    RAVDESS_LABELS,
    make_caer,
    make_cremad,
    make_daisee,
    make_dfew,
    make_engagenet,
    make_ferv39k,
    make_mafw,
    make_own_videos,
    make_ravdess,
    write_clip,
    write_table,
)
from helpers.places import ROOT
from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.data.labels_file import read_label_entries, read_labels_file
from modeling_clipcaer.data.layouts import ravdess
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.errors import InputError


build_caer, build_csv, build_daisee, build_engagenet, build_frame_lists, build_cremad, build_ravdess = map(
    make_builder, ("folders", "csv", "daisee", "engagenet", "frame-lists", "cremad", "ravdess")
)
LABELS = {
    "caer": list(CAER_LABELS),
    "own_data": ["confused", "focused", "tired"],
    "daisee": [f"{level} engagement" for level in ("very low", "low", "high", "very high")],
    "engagenet": ["Not-Engaged", "Barely-Engaged", "Engaged", "Highly-Engaged"],
    "dfew": list(DFEW_LABELS),
    "ferv39k": list(FERV39K_LABELS),
    "mafw": list(MAFW_LABELS),
    "cremad": list(CREMAD_LABELS),
    "ravdess": list(RAVDESS_LABELS),
}


def list_flags(root, labels=DFEW_LABELS):
    lists = ["--train-annotation", root / "train.txt", "--test-annotation", root / "test.txt"]
    return [*lists, "--frames-root", root / "frames", "--labels", *labels]


def build(run, name, root, *flags):
    """Draw a miniature in `root`, build it into `root`/out, and give the record and the dataset."""
    makers = {
        "caer": (make_caer, build_caer, lambda: ["--root", root]),
        "own_data": (make_own_videos, build_csv, lambda: ["--csv", root / "clips.csv", "--test-share", "0.25"]),
        "daisee": (make_daisee, build_daisee, lambda: ["--root", root]),
        "engagenet": (make_engagenet, build_engagenet, lambda: ["--root", root]),
        "dfew": (make_dfew, build_frame_lists, lambda: list_flags(root)),
        "ferv39k": (make_ferv39k, build_frame_lists, lambda: list_flags(root, FERV39K_LABELS)),
        "cremad": (make_cremad, build_cremad, lambda: ["--root", root]),
        "ravdess": (make_ravdess, build_ravdess, lambda: ["--root", root]),
        "mafw": (make_mafw, build_frame_lists, lambda: list_flags(root, MAFW_LABELS)),
    }
    make, builder, own_flags = makers[name]
    if not root.exists():
        make(root)
    out = root.parent / "out"
    status, printed, error = run(builder, *own_flags(), "--output", out, *flags)
    assert status == 0, error
    record = json.loads((out / "build.json").read_text())
    return record, load_clips(out, ("train", "validation", "test")), printed


@pytest.mark.parametrize("name", LABELS)
def test_a_layout_becomes_a_dataset_that_the_recipes_read(run, tmp_path, name):
    record, clips, printed = build(run, name, tmp_path / "data")
    features = clips["train"].features["label"]
    assert features.names == LABELS[name]
    prompts = read_labels_file(str(ROOT / "recipes" / f"{name}_labels.yaml"), features.names)
    assert len(prompts["descriptive_prompts"]) == len(features.names)
    processor = ClipCaerVideoProcessor(num_frames=2, image_size=32)
    for split in clips:
        assert set(clips[split]["label"]) == set(range(len(features.names))) or split != "train"
        batch = ClipCaerCollator(processor, "eval")([clips[split][0], clips[split][-1]])
        assert batch["pixel_values"].shape == (2, 2, 3, 32, 32)
        assert batch["labels"].tolist() == [clips[split][0]["label"], clips[split][-1]["label"]]
        assert record["splits"][split]["num_clips"] == len(clips[split])
    assert f"split: {record['split']['name']}" in printed


@pytest.mark.parametrize("name", LABELS)
def test_a_labels_file_has_distinct_texts_for_every_label(name):
    labels = list(read_label_entries(str(ROOT / "recipes" / f"{name}_labels.yaml")))
    prompts = read_labels_file(str(ROOT / "recipes" / f"{name}_labels.yaml"), labels)
    for texts in prompts.values():
        flat = [text for of_label in texts for text in of_label]
        assert len(set(flat)) == len(flat) and all(len(of_label) > 0 for of_label in texts)
    assert set(labels) == set(LABELS[name])


@pytest.mark.parametrize("name", LABELS)
def test_every_layout_has_a_recipe_with_its_labels_and_the_command_that_builds_it(name):
    text = (ROOT / "recipes" / f"{name}.yaml").read_text()
    assert yaml.safe_load(text)["labels_file"] == f"{name}_labels"
    words = text.partition("accelerate launch")[0].replace("\\\n#", " ").split()
    assert ("--output", f"data/{name}") in pairwise(words) and f"--dataset data/{name} " in text
    if "--labels" in words:
        start = words.index("--labels") + 1
        assert words[start : start + len(LABELS[name])] == LABELS[name]


def test_a_number_that_says_another_label_than_its_folder_is_refused(run, tmp_path):
    root = make_ferv39k(tmp_path / "FERV39k")
    words = list_flags(root, sorted(FERV39K_LABELS))
    status, _, error = run(build_frame_lists, *words, "--output", tmp_path / "out")
    assert status == 2 and not (tmp_path / "out").exists() and error.count("\n") == 1
    assert "train.txt:1: the label's number means Angry, the folder says Happy; expected --labels" in error


def test_caer_goes_by_its_folders(run, tmp_path):
    record, clips, _ = build(run, "caer", tmp_path / "CAER")
    assert {split: len(clips[split]) for split in clips} == {"train": 14, "validation": 7, "test": 7}
    row = clips["train"][3]
    assert row["clip_id"] == row["person_id"] == "train/Disgust/0002.avi" and row["label"] == 1
    assert row["video"] == str(tmp_path / "CAER" / "train/Disgust/0002.avi")
    assert (row["first_frame"], row["num_frames"], row["face_boxes"], row["body_boxes"]) == (0, 5, [[]] * 5, [])
    assert record["split"]["protocol"] == "official" and "each video counts as one" in record["split"]["persons_from"]


def test_a_stretch_of_your_own_video_is_cut_by_seconds_and_nobody_is_in_two_splits(run, tmp_path):
    record, clips, _ = build(run, "own_data", tmp_path / "own")
    rows = [row for split in clips for row in clips[split]]
    assert len(rows) == 12 and {len(clips[split]) for split in ("validation", "test")} == {3}
    assert {(row["first_frame"], row["num_frames"]) for row in rows} == {(0, 10), (10, 10), (20, 10)}
    assert "recordings/ann 1.mp4#1.0-2.0" in {row["clip_id"] for row in rows}
    assert set(record["shared_persons"].values()) == {0}
    assert record["split"] | {"persons_from": ""} == {
        "protocol": "person",
        "name": "person, test share 0.25, seed 42",
        "test_share": 0.25,
        "val_share": 0.1,
        "seed": 42,
        "person_pattern": None,
        "persons_from": "",
        "persons_known": False,
    }
    row = next(row for row in rows if row["first_frame"] == 20)
    pixels = ClipCaerCollator(ClipCaerVideoProcessor(num_frames=10, image_size=32), "eval")([row])["pixel_values"]
    greys = pixels[0, :, :, 8:24, 8:24].float().mean((1, 2, 3)) / 4
    assert torch.allclose(greys, torch.arange(20.0, 30.0), atol=0.75)


def test_daisee_takes_one_affect_and_finds_subjects_in_the_folders(run, tmp_path):
    record, clips, _ = build(run, "daisee", tmp_path / "DAiSEE", "--affect", "Frustration")
    assert clips["train"].features["label"].names[0] == "very low frustration"
    assert set(clips["train"]["label"]) == {1} and record["videos_without_label"] == 1
    assert set(clips["train"]["person_id"]) == {"110001", "110002"}
    assert any(path.endswith("1100021000.mp4") for path in clips["train"]["video"])


def test_engagenet_leaves_out_clips_without_a_subject_and_says_so(run, tmp_path):
    record, clips, printed = build(run, "engagenet", tmp_path / "EngageNet")
    assert record["subject_not_present"] == {"train": 2, "validation": 1, "test": 1}
    assert "4 clips without a subject are left out" in printed
    assert clips["train"]["person_id"][:] == ["subject_1"] * 4 + ["subject_2"] * 4
    assert clips["validation"]["label"][:] == [0, 1, 2, 3]


def test_ravdess_reads_one_video_of_a_take_and_spoken_ones_by_default(tmp_path):
    root = make_ravdess(tmp_path / "RAVDESS")
    found = ravdess.find_clips(ravdess.Settings(root=str(root)))
    names = [clip.name for clip in found.clips]
    assert len(names) == 40 and "Actor_01/02-01-06-01-01-01-01.mp4" in names
    assert [name[9:11] for name in names if name.startswith("Actor_05")] == ["01"] * 8
    assert found.findings == {"takes": 40, "videos_of_the_same_take": 32}
    assert [clip.label for clip in found.clips if "-06-" in clip.name] == ["fearful"] * 5
    song = ravdess.find_clips(ravdess.Settings(root=str(root), channel="song"))
    assert [(clip.name, clip.label) for clip in song.clips] == [("Actor_01/02-02-03-01-01-01-01.mp4", "happy")]
    assert song.labels == ["happy"] and song.notes == ["1 of RAVDESS's 1012 takes are there"]
    (root / "again").mkdir()
    shutil.copy(root / names[0], root / "again")
    with pytest.raises(InputError, match=r"is there twice, also as .*expected one of the two"):
        ravdess.find_clips(ravdess.Settings(root=str(root)))
    (root / "again" / names[0].split("/")[1]).rename(root / "again" / "talk.mp4")
    with pytest.raises(InputError, match=r"talk\.mp4: expected a name like 02-01-06-01-02-01-12"):
        ravdess.find_clips(ravdess.Settings(root=str(root)))


def test_lists_of_another_machine_find_their_folders_and_numbers_begin_with_one(run, tmp_path):
    _, clips, _ = build(run, "dfew", tmp_path / "DFEW", "--person-pattern", r"^(\d+)\d$")
    row = next(row for row in clips["test"] if row["clip_id"] == "00103")
    assert row["label"] == 2 and row["person_id"] == "0010"
    assert row["frame_names"] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert row["frame_dir"] == str(tmp_path / "DFEW" / "frames" / "00103")


def test_lists_may_number_from_zero_and_count_frames_wrongly(run, tmp_path):
    root = make_dfew(tmp_path / "DFEW")
    for name in ("train.txt", "test.txt"):
        lines = [line.rsplit(maxsplit=2) for line in (root / name).read_text().split("\n") if line.strip()]
        (root / name).write_text("".join(f"{path} 9 {int(label) - 1}\n" for path, _, label in lines))
    record, clips, _ = build(run, "dfew", root, "--first-label", "0")
    assert record["splits"]["test"]["num_frames_differing"]["clips"] == 7 and set(clips["test"]["label"]) == set(
        range(7)
    )


def test_a_list_that_numbers_from_zero_is_told_the_flag_for_it(run, tmp_path):
    root = make_dfew(tmp_path / "DFEW")
    (root / "test.txt").write_text((root / "test.txt").read_text().replace("00101 4 1", "00101 4 0"))
    status, _, error = run(build_frame_lists, *list_flags(root), "--output", tmp_path / "out")
    assert status == 2 and "test.txt:1: unknown label 0" in error and "needs --first-label 0" in error


@pytest.mark.slow
def test_the_command_on_several_processes_gives_the_same_dataset_as_on_one(run, tmp_path):
    root = make_caer(tmp_path / "CAER", ("Anger", "Happy"))
    _, clips, printed = build(run, "caer", root)
    alone = {split: clips[split][:] for split in clips}
    (tmp_path / "out_labels.yaml").unlink()
    command = [sys.executable, str(ROOT / "data_scripts/build_caer.py"), "--root", str(root), "--num_proc=2"]
    result = subprocess.run(
        [*command, "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0 and result.stdout == printed, result.stderr
    together = load_clips(tmp_path / "out", ("train", "validation", "test"))
    assert {split: together[split][:] for split in together} == alone


@pytest.mark.parametrize("whole_path", [True, False])
def test_boxes_of_a_file_find_their_video_by_path_and_by_name(run, tmp_path, whole_path):
    root = make_own_videos(tmp_path / "own")
    keys = {name: f"{root}/recordings/{name} 1.mp4" if whole_path else f"{name} 1.mp4" for name in ("ann", "bo")}
    faces = {
        keys["ann"]: {"12": [8, 4, 20, 16], "13": [9, 4, 21, 16]},
        keys["bo"]: [1, 2, 90, 30],
        "gone.mp4": [0, 0, 5, 5],
    }
    (tmp_path / "face.json").write_text(json.dumps(faces))
    (tmp_path / "body.json").write_text(json.dumps({keys["ann"]: [0, 0, 40, 48]}))
    boxes = ["--bounding-box-face", tmp_path / "face.json", "--bounding-box-body", tmp_path / "body.json"]
    record, clips, printed = build(run, "own_data", root, *boxes)
    rows = {row["clip_id"]: row for split in clips for row in clips[split]}
    names = clips["train"].features["face_box_sources"].feature.names
    row = rows["recordings/ann 1.mp4#1.0-2.0"]
    assert row["face_boxes"][2:4] == [[8, 4, 20, 16], [9, 4, 21, 16]] and row["body_boxes"] == [[0, 0, 40, 48]]
    assert [names[source] for source in row["face_box_sources"]] == [
        *["nearest"] * 2,
        *["annotated"] * 2,
        *["nearest"] * 6,
    ]
    without = rows["recordings/ann 1.mp4#0.0-1.0"]
    assert without["face_boxes"][0] == pytest.approx([0, 0, 40, 19.2])  # the upper part of the body
    assert rows["recordings/bo 1.mp4#0.0-1.0"]["face_boxes"] == [[1, 2, 64, 30]] * 10  # clamped to the frame
    assert record["box_keys_without_clip"] == {"face": 1, "body": 0} and "1 keys of the face box file" in printed
    assert record["box_keys"] == {"face": 3, "body": 1} and "to no clip, 33.3% of all" in printed
    assert sum(record["splits"][split]["face_boxes"]["clamped"] for split in clips) == 3


def test_a_table_may_hold_persons_splits_and_boxes(run, tmp_path):
    video = write_clip(tmp_path / "class.mp4", 20)
    sides = [f"{kind}_{side}" for kind in ("face", "body") for side in ("left", "top", "right", "bottom")]
    lines = [["video", "end", "label", "person", "split", *sides, "note"]]
    for split in ("train", "validation", "test"):
        for person, label, face in (("ann", "a", [4, 4, 20, 20]), ("bo", "b", ["", "", "", ""])):
            lines.append([video, "1", label, f"{person} {split}", split, *face, 0, 0, 60.5, 48, "late"])
    write_table(tmp_path / "clips.csv", lines)
    flags = ["--csv", tmp_path / "clips.csv", "--output", tmp_path / "out"]
    status, _, error = run(build_csv, *flags)
    assert (status, error.count("\n")) == (2, 1) and "unknown column `note`; expected some of video, label" in error
    assert run(build_csv, *flags, "--ignore-columns", "--labels", "b", "a")[0] == 0
    clips = load_clips(tmp_path / "out", ("train", "validation", "test"))
    ann, bo = clips["test"]
    assert ann["clip_id"] == "class.mp4#0.0-1.0#ann test" and ann["person_id"] == "ann test" and ann["label"] == 1
    assert ann["face_boxes"] == [[4, 4, 20, 20]] * 10 and ann["body_boxes"] == [[0, 0, 60.5, 48]]
    assert bo["face_boxes"][0] == pytest.approx([0, 0, 60.5, 19.2]) and bo["num_frames"] == 10


def test_an_earlier_build_is_replaced_and_other_folders_are_not(run, tmp_path):
    root = make_caer(tmp_path / "CAER", ("Anger", "Happy"))
    build(run, "caer", root)
    (tmp_path / "out" / "old").touch()
    build(run, "caer", root)
    assert not (tmp_path / "out" / "old").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {"CAER", "out", "out_labels.yaml"}
    status, _, error = run(build_caer, "--root", root, "--output", root)
    assert status == 2 and "exists and is no dataset of a builder" in error and (root / "train").is_dir()


def test_a_build_that_fails_leaves_the_earlier_one_and_nothing_else(run, tmp_path):
    root = make_caer(tmp_path / "CAER", ("Anger", "Happy"))
    build(run, "caer", root)
    before = (tmp_path / "out" / "build.json").read_bytes()
    (root / "train/Happy/0001.avi").write_text("no video")
    (root / "train/Happy/0002.avi").write_text("no video")
    status, _, error = run(build_caer, "--root", root, "--output", tmp_path / "out")
    assert status == 2 and "train/Happy/0001.avi: cannot be read as a video" in error
    assert "2 of 8 clips cannot be read (--skip-unreadable leaves them out)" in error
    assert (tmp_path / "out" / "build.json").read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"CAER", "out", "out_labels.yaml"}


def test_unreadable_videos_are_left_out_counted_and_listed(run, tmp_path):
    root = make_caer(tmp_path / "CAER", ("Anger", "Happy"))
    (root / "train/Happy/0002.avi").write_text("no video")
    record, clips, printed = build(run, "caer", root, "--skip-unreadable")
    assert len(clips["train"]) == 3 and "1 clips cannot be read and are left out" in printed
    (found,) = record["unreadable_clips_left_out"]
    assert found["clip_id"] == "train/Happy/0002.avi" and "cannot be read as a video" in found["problem"]
    for video in (root / "test").rglob("*.avi"):
        video.write_text("no video")
    status, _, error = run(build_caer, "--root", root, "--output", tmp_path / "out", "--skip-unreadable")
    assert status == 2 and "no clip of test can be read" in error


def spoil_caer_split(root):
    (root / "train/../val/Happy").mkdir(parents=True)
    return build_caer, ["--root", root], "expected the folders train, validation, test alone, found 'val'"


def spoil_caer_label(root):
    (root / "test/Joy").mkdir()
    return build_caer, ["--root", root], f"{root}/test/Joy: expected videos"


def spoil_caer_labels(root):
    words = ["--root", root, "--labels", "Anger", "Sad"]
    return build_caer, words, f"{root}/test/Happy: unknown label 'Happy', expected one of: Anger, Sad"


def spoil_caer_share(root):
    return build_caer, ["--root", root, "--val-share", "0.3"], "--val-share has no effect, the source lists its"


def spoil_caer_seed(root):
    return build_caer, ["--root", root, "--seed", "3"], "--seed has no effect, the source lists the clips of every"


def spoil_caer_pattern(root):
    return build_caer, ["--root", root, "--person-pattern", r"(P\d+)"], "finds no person in 'test/Anger/0001.avi'"


def spoil_caer_boxes(root):
    (root.parent / "face.json").write_text(json.dumps({"0001.avi": [0, 0, 9, 9]}))
    return build_caer, ["--root", root, "--bounding-box-face", root.parent / "face.json"], "'0001.avi' means 6 clips"


def spoil_caer_outside(root):
    (root.parent / "face.json").write_text(json.dumps({"train/Anger/0001.avi": [100, 0, 120, 9]}))
    words = ["--root", root, "--bounding-box-face", root.parent / "face.json"]
    return (
        build_caer,
        words,
        "face boxes of 'train/Anger/0001.avi', all frames: box [100.0, 0.0,",
    )


@pytest.mark.parametrize(
    "spoil", [value for name, value in sorted(globals().items()) if name.startswith("spoil_caer")]
)
def test_what_is_wrong_in_folders_of_labels_is_one_line(run, tmp_path, spoil):
    root = make_caer(tmp_path / "CAER", ("Anger", "Happy"))
    builder, words, message = spoil(root)
    status, _, error = run(builder, *words, "--output", tmp_path / "out")
    assert status == 2 and error.count("\n") == 1 and message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,4,5,x,test", "5: fields `start` and `end` are 4.0 s and 5.0 s, between which"),
        ("a.mp4,0,5,x", "5: expected 5 fields as in the header, found 4"),
        ("a.mp4,2,1,x,test", "5: fields `start` and `end` are 2.0 and 1.0; expected 0 <= start < end"),
        ("a.mp4,-1,1,x,test", "5: fields `start` and `end` are -1.0 and 1.0"),
        ("a.mp4,1 s,2,x,test", "5: field `start` is '1 s'; expected seconds"),
        ("a.mp4,nan,2,x,test", "5: field `start` is 'nan'; expected seconds"),
        ("a.mp4,0,2,,test", "5: field `label` is empty"),
        ("a.mp4,0,2,x,val", "5: field `split` is 'val'; expected one of train, validation, test"),
        ("a.mp4,0,2,z,test", "5: unknown label 'z', expected one of: x, y"),
        ("a.mp4,0,2,Y,test", "5: unknown label 'Y', expected one of: x, y"),
        ("b.mp4,0,1,x,test", "b.mp4: expected a video, found nothing; 1 of 4 clips"),
        ("a.mp4,0,0.5,y,test", "5: clip 'a.mp4#0.0-0.5' has label 'y', at"),
        ("a.mp4,0,0.5,x,train", "5: clip 'a.mp4#0.0-0.5' has split 'train', at"),
        ("x/../a.mp4,0,0.5,x,train", "5: clip 'a.mp4#0.0-0.5' has split 'train', at"),
        ('a.mp4,0,1,"x', "is no CSV (unexpected end of data)"),
    ],
)
def test_what_is_wrong_in_a_table_is_named_by_line_and_field(run, tmp_path, line, message):
    write_clip(tmp_path / "a.mp4", 20)
    lines = "video,start,end,label,split\na.mp4,0,1,x,train\na.mp4,1,2,x,validation\n a.mp4 ,0,0.5,x,test\n"
    (tmp_path / "clips.csv").write_text(lines + line + "\n", encoding="utf-8-sig")
    words = ["--csv", tmp_path / "clips.csv", "--output", tmp_path / "out", "--labels", "x", "y"]
    status, _, error = run(build_csv, *words)
    assert status == 2 and error.count("\n") == 1 and message in error
    assert not (tmp_path / "out").exists()


def test_a_cut_depends_on_the_clips_and_the_seed_and_not_on_their_order(run, tmp_path):
    lines = [(f"{number}.mp4", "xy"[number % 2]) for number in range(20)]
    write_clip(tmp_path / "0.mp4")
    for name, _ in lines[1:]:
        (tmp_path / name).hardlink_to(tmp_path / "0.mp4")
    found = []
    for table, seed in ((lines, 1), (lines[::-1], 1), (lines, 2)):
        write_table(tmp_path / "clips.csv", [("video", "label"), *table])
        words = ["--csv", tmp_path / "clips.csv", "--output", tmp_path / "out", "--test-share", "0.3", "--seed", seed]
        assert run(build_csv, *words)[0] == 0
        clips = load_clips(tmp_path / "out", ("train", "validation", "test"))
        assert {split: sorted(clips[split]["label"]) for split in ("validation", "test")} == {
            "validation": [0, 1],
            "test": [0] * 3 + [1] * 3,
        }
        found.append({split: set(clips[split]["clip_id"]) for split in clips})
    assert found[0] == found[1] != found[2]


def test_labels_that_differ_in_capitals_alone_are_refused(run, tmp_path):
    lines = "video,label,split\na.mp4,Bored,train\nb.mp4,bored,test\nc.mp4,alert,train\n"
    (tmp_path / "clips.csv").write_text(lines)
    status, _, error = run(build_csv, "--csv", tmp_path / "clips.csv", "--output", tmp_path / "out")
    assert status == 2 and "the labels are Bored, alert, bored: expected at least two, different beyond" in error


def test_a_clip_that_a_table_lists_twice_counts_once(run, tmp_path):
    write_clip(tmp_path / "a.mp4")
    lines = [("video", "label", "split"), *(("a.mp4", "x", "train"),) * 2]
    for split, name in (("validation", "b"), ("test", "c")):
        write_clip(tmp_path / f"{name}.mp4")
        lines.append((f"{name}.mp4", "y", split))
    write_table(tmp_path / "clips.csv", lines)
    status, printed, error = run(build_csv, "--csv", tmp_path / "clips.csv", "--output", tmp_path / "out")
    assert status == 0, error
    record = json.loads((tmp_path / "out" / "build.json").read_text())
    assert record["splits"]["train"]["repeated_lines_dropped"] == 1 and record["splits"]["train"]["num_clips"] == 1
    assert record["split"]["name"] == "listed, validation list" and "error    train: no clip of y" in printed


def test_a_level_a_label_or_a_number_that_is_none_is_refused_by_line(run, tmp_path):
    daisee, engagenet, dfew = make_daisee(tmp_path / "D"), make_engagenet(tmp_path / "E"), make_dfew(tmp_path / "F")
    for path, old, new in (
        (daisee / "Labels/TestLabels.csv", "5000441002.avi,1,2", "5000441002.avi,1,4"),
        (engagenet / "test_engagement_labels.csv", "Barely-engaged", "Barely engaged"),
        (dfew / "test.txt", "00103 4 3", "00103 4 8"),
    ):
        path.write_text(path.read_text().replace(old, new))
    for builder, words, message in (
        (
            build_daisee,
            ["--root", daisee],
            "TestLabels.csv:4: field `Engagement` is '4'; expected a level",
        ),
        (build_engagenet, ["--root", engagenet], "labels.csv:3: field `label` is 'Barely engaged'; expected one of"),
        (build_frame_lists, list_flags(dfew), "test.txt:3: unknown label 8, expected one of: 1 Happy, 2 Sad"),
    ):
        status, _, error = run(builder, *words, "--output", tmp_path / "out")
        assert status == 2 and error.count("\n") == 1 and message in error


def test_a_missing_folder_is_not_taken_for_one_that_ends_alike(run, tmp_path):
    root = make_dfew(tmp_path / "DFEW")
    text = (root / "test.txt").read_text()
    (root / "test.txt").write_text(text.replace("/home/someone/DFEW/frames/00102", "/home/someone/DFEW/faces/00102"))
    status, _, error = run(build_frame_lists, *list_flags(root), "--output", tmp_path / "out")
    assert status == 2 and "test.txt:2: path '/home/someone/DFEW/faces/00102'; expected it to begin with" in error


@pytest.mark.parametrize("builder", [build_caer, build_csv, build_daisee, build_engagenet, build_frame_lists])
def test_help_names_every_flag(builder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        builder.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("output", "person-pattern", "val-share", "test-share", "seed", "bounding-box-face", "num-proc"):
        assert f"--{flag}" in shown
    for flag in ("bounding-box-body", "outside-boxes", "check-frames", "skip-unreadable"):
        assert f"--{flag}" in shown
