"""Videos in folders of their label become a dataset, boxes, a labels file to edit and the command that trains."""

import shlex

import pytest
import yaml

from helpers.builders import builder
from helpers.miniatures import make_caer, make_cremad, write_clip
from helpers.raer_tree import make_tree
from helpers.videos import moving_face, write_video
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.next_steps import PRESETS, find_presets, read_labels, tell_next
from modeling_clipcaer.raer_labels import RAER_LABELS


LABELS = ("bored", "curious", "lost_in_thought")
PERSONS = ("anna", "ben", "cleo", "dan", "eva")


@pytest.fixture
def videos(tmp_path):
    for label in LABELS:
        for person in PERSONS:
            for number in range(2):
                write_clip(tmp_path / "videos" / label / f"{person}_{number}.mp4")
    return tmp_path / "videos"


def build(run, videos, *flags):
    output = videos.parent / "mine"
    status, printed, error = run(builder("folders"), videos, "--output", output, *flags)
    assert status == 0, error
    return load_clips(output, ("train", "validation", "test")), printed.splitlines()


def test_nobody_is_in_two_splits_where_names_tell_persons(run, videos):
    clips, printed = build(run, videos, "--person-pattern", r"([a-z]+)_\d")
    persons = [set(clips[split]["person_id"]) for split in clips]
    assert set.union(*persons) == set(PERSONS) and sum(map(len, persons)) == len(PERSONS)
    assert len(clips["test"]) == 6  # a fifth of thirty clips, all six of one person
    assert "no person is in two splits" in printed and not any("nothing says who" in line for line in printed)


def test_a_build_says_where_nothing_tells_persons(run, videos):
    clips, printed = build(run, videos)
    assert len(clips["test"]) == 6
    assert any(line.startswith("warning  nothing says who is seen") for line in printed)
    assert "no person is in two splits" not in printed


def test_training_folders_alone_are_cut_into_the_other_splits(run, videos):
    (videos.parent / "split").mkdir()
    videos.rename(videos.parent / "split" / "train")
    clips, printed = build(run, videos.parent / "split", "--person-pattern", r"([a-z]+)_\d")
    assert {split: len(clips[split]) for split in clips} == {"train": 18, "validation": 6, "test": 6}
    assert printed[1] == "split: person, test share 0.2, seed 42" and "no person is in two splits" in printed


def test_what_systems_leave_in_folders_is_no_clip(run, videos):
    for name in ("._anna_0.mp4", ".DS_Store", ".hidden/a.mp4", "__MACOSX/bored/._a.mp4", "@eaDir/a.mp4"):
        for folder in (videos, videos / "bored"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\0\5\26\7")
    clips, _ = build(run, videos)
    assert sum(map(len, clips.values())) == 30


def test_videos_deeper_in_named_labels_are_theirs(run, videos):
    for label in LABELS:
        for person in PERSONS:
            for video in (videos / label).glob(f"{person}_*.mp4"):
                (videos / label / person).mkdir(exist_ok=True)
                video.rename(videos / label / person / video.name[-5:])
    status, _, error = run(builder("folders"), videos, "--output", videos.parent / "mine")
    assert status == 2 and "bored/anna/0.mp4: lies deeper than in LABEL/" in error and "--labels bored" in error
    clips, _ = build(run, videos, "--labels", *LABELS, "--person-pattern", r"/([a-z]+)/\d")
    assert set(clips["test"]["label"]) == {0, 1, 2} and len(set(clips["test"]["person_id"])) == 1


def test_the_labels_file_is_one_to_edit_and_stays(run, videos):
    _, printed = build(run, videos)
    path = videos.parent / "mine_labels.yaml"
    texts = read_labels_file(str(path), list(LABELS))
    assert texts["label_prompts"][2] == ["a student who looks lost in thought."]
    assert f"labels and their texts: {path} (edit its sentences)" in printed
    content = yaml.safe_load(path.read_text())
    content["labels"]["bored"]["soft"] = "a student whose head sinks."
    path.write_text(yaml.safe_dump(content))
    _, printed = build(run, videos)
    assert f"labels and their texts: {path} (kept as it is)" in printed
    assert yaml.safe_load(path.read_text()) == content


def test_the_last_line_is_the_command_that_comes_next(run, videos):
    _, printed = build(run, videos)
    output = str(videos.parent / "mine")
    assert shlex.split(printed[-1]) == ["next:", "clipcaer", "new", output]
    # What goes on from a dataset has its labels file.
    words = shlex.split(str(tell_next(f"{output}2", ["bored", "curious", "tired"], like=output)[-1]))
    assert words == ["next:", "clipcaer", "new", f"{output}2", "--labels-file", f"{output}_labels.yaml"]


def test_labels_that_a_preset_has_texts_for_need_no_file(run, tmp_path):
    status, printed, error = run(builder("folders"), make_caer(tmp_path / "CAER"), "--output", tmp_path / "caer")
    assert status == 0, error
    assert printed.splitlines()[-1].startswith("next: clipcaer train --config caer --dataset ")
    assert not (tmp_path / "caer_labels.yaml").exists()
    status, printed, _ = run(
        builder("raer"), "--root", make_tree(tmp_path / "tree").raer, "--output", tmp_path / "raer"
    )
    assert status == 0 and " --config raer_best " in printed.splitlines()[-1]
    status, printed, _ = run(builder("cremad"), "--root", make_cremad(tmp_path / "C"), "--output", tmp_path / "cremad")
    assert status == 0 and " --config cremad " in printed.splitlines()[-1]


def test_presets_are_found_by_their_labels():
    found = {name: find_presets(read_labels(name)) for name in PRESETS}
    # The one pair of data sets with the same labels: the texts are those of either, the rest is for data of one's own.
    assert found.pop("dfew") == found.pop("ferv39k") == ["dfew", "ferv39k"]
    assert found == {name: [name] for name in found}
    assert find_presets([name.upper() for name in RAER_LABELS]) == ["raer_best"]
    assert find_presets(["bored", "curious"]) == find_presets([*RAER_LABELS, "boredom"]) == []
    words = shlex.split(str(tell_next("data/clips", read_labels("ferv39k"))[-1]))
    assert words == ["next:", "clipcaer", "new", "data/clips", "--labels-file", "dfew_labels"]


def test_boxes_are_found_on_the_way(run, tmp_path):
    for label in ("bored", "curious"):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for number in range(3):
            write_video(tmp_path / "videos" / label / f"{number}.mp4", moving_face(3))
    (tmp_path / "videos" / "notes.txt").write_text("Nothing to see here.")
    clips, printed = build(run, tmp_path / "videos", "--detect-boxes", "--test-share", "0.3", "--val-share", "0.3")
    for split in clips:
        for row in clips[split]:
            (left, top, right, bottom), *_ = row["face_boxes"]
            assert 80 < right - left < 200 and 0 <= top < bottom <= 360
            assert row["face_box_sources"].count(0) >= 2 and row["body_boxes"]  # found there, in two frames at least
    assert (tmp_path / "mine-boxes" / "detection.json").is_file()
    assert any(line.startswith("clips with a face box") for line in printed)


def test_a_pattern_that_finds_nobody_is_refused_before_faces_are_looked_for(run, videos):
    output = videos.parent / "mine"
    flags = ("--detect-boxes", "--person-pattern", "nobody_(x)", "--output", output)
    status, printed, error = run(builder("folders"), videos, *flags)
    assert status == 2 and "finds no person in" in error and "with face" not in printed
    assert not output.exists() and not (videos.parent / "mine-boxes").exists()


def test_clips_without_a_face_are_built_without_boxes(run, videos):
    status, _, error = run(builder("folders"), videos, "--output", videos.parent / "mine", "--detect-boxes")
    assert status == 0 and "warning: no face was found" in error


@pytest.mark.parametrize(
    ("stray", "told"),
    [
        ("loose.mp4", "loose.mp4: lies in no label's folder; expected"),
        ("bored/deeper/a.mp4", "deeper/a.mp4: lies deeper than in LABEL/"),
        ("pictures/1.jpg", "pictures: expected videos of the label 'pictures', found pictures; folders of frames"),
        ("train/bored/a.mp4", "expected the folders train, validation, test alone, found 'bored'"),
        ("empty/notes.txt", "empty: expected videos"),
    ],
)
def test_what_would_be_passed_over_is_refused(run, videos, stray, told):
    (videos / stray).parent.mkdir(parents=True, exist_ok=True)
    write_clip(videos / stray) if stray.endswith("mp4") else (videos / stray).write_bytes(b"")
    status, _, error = run(builder("folders"), videos, "--output", videos.parent / "mine")
    assert status == 2 and told in error and error.count("\n") == 1
    assert not (videos.parent / "mine").exists()


def test_box_files_and_their_search_are_one_too_many(run, videos):
    flags = ("--detect-boxes", "--bounding-box-face", "face.json")
    status, _, error = run(builder("folders"), videos, "--output", videos.parent / "mine", *flags)
    assert status == 2 and "--detect-boxes: box files are given too; expected one of the two" in error


def test_an_output_that_is_no_dataset_is_refused_before_faces_are_looked_for(run, videos):
    (videos.parent / "mine").mkdir()
    (videos.parent / "mine" / "notes.txt").write_text("mine")
    status, _, error = run(builder("folders"), videos, "--output", videos.parent / "mine", "--detect-boxes")
    assert status == 2 and "exists and is no dataset" in error
    assert not (videos.parent / "mine-boxes").exists()
