"""Corrected segments come back as clips: predicted, exported, edited as the programs save, imported, trained on."""

import importlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import videos
from helpers.builders import builder
from helpers.corrected_files import save_by_elan, save_by_label_studio, save_by_spreadsheet
from helpers.miniatures import write_clip
from helpers.small_material import SMALL_MODEL, make_material, run_main
from helpers.small_run import train_small
from helpers.stand_in_faces import SquareDetector
from modeling_clipcaer.commands import predict, train
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.prediction import loading
from modeling_clipcaer.raer_labels import RAER_LABELS


import_command = importlib.import_module("modeling_clipcaer.commands.import")
# A red square walks to the right for twelve seconds, at three frames a second.
CORRECTED = [("person-1", 0.0, 6.0, "Fatigue"), ("person-1", 6.0, 12.0, "Enjoyment")]
LABELS = sorted(RAER_LABELS)  # as folders give them
FILES = ("segments.csv", "timeline.eaf", "export.json", "minimal.json")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A prediction of one recording, and a dataset of videos in folders of their label."""
    folder = tmp_path_factory.mktemp("work")
    videos.write_video(folder / "walk.mp4", videos.crossing_squares(36), fps=3)
    for label in RAER_LABELS:
        for person in ("anna", "ben", "cleo", "dan"):
            write_clip(folder / "videos" / label / f"{person}_1.mp4")
    words = (folder / "videos", "--person-pattern", r"([a-z]+)_\d", "--output", folder / "old")
    assert run_main(builder("folders").main, *words) == 0
    checkpoint = train_small(tmp_path_factory.getbasetemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "build_face_detector", lambda kind, weights: SquareDetector())
        words = (folder / "walk.mp4", "--model", checkpoint, "--window", 3, "--stride", 2, "--tower_dtype", "float32")
        formats = ("--formats", "csv", "elan", "label_studio", "--output", folder / "predicted")
        assert run_main(predict.main, *words, *formats) == 0
    return folder


@pytest.fixture
def save(work, tmp_path):
    """Writes corrections as the program does that saves a file of this name."""
    programs = {
        "segments.csv": ("walk/segments.csv", save_by_spreadsheet),
        "timeline.eaf": ("walk/timeline.eaf", save_by_elan),
        "export.json": ("label_studio.json", save_by_label_studio),
        "minimal.json": ("label_studio.json", lambda *words: save_by_label_studio(*words, minimal=True)),
    }

    def save(name, corrections=CORRECTED):
        exported, program = programs[name]
        return program(work / "predicted" / exported, tmp_path / name, corrections)

    return save


@pytest.fixture
def bring(run, work, tmp_path):
    """Imports a file, and gives status, what was said, what was complained of, and the new clips."""

    def bring(*words, dataset=None, predicted=work / "predicted"):
        output = tmp_path / "new"
        given = ("--dataset", dataset or work / "old", "--output", output)
        given += ("--recordings", predicted) if predicted else ()
        status, said, error = run(SimpleNamespace(main=import_command.main), *words, *given)
        clips = load_clips(output) if status == 0 else None
        new = (
            clips["train"].select(range(len(load_clips(work / "old")["train"]), len(clips["train"]))) if clips else ()
        )
        return status, said, error, list(new)

    return bring


@pytest.mark.parametrize("name", FILES)
def test_a_corrected_file_adds_the_same_clips_whatever_program_saved_it(work, save, bring, tmp_path, name):
    status, said, error, new = bring(save(name), "--persons", "person-1=eva")
    assert status == 0, error
    spans = [(row["first_frame"], row["num_frames"], LABELS[row["label"]]) for row in new]
    # Each segment of six seconds becomes two clips of the prediction's windows of three, nine frames.
    assert spans == [(0, 9, "Fatigue"), (9, 9, "Fatigue"), (18, 9, "Enjoyment"), (27, 9, "Enjoyment")]
    assert {row["person_id"] for row in new} == {"eva"} and {row["video"] for row in new} == {str(work / "walk.mp4")}
    for row in new:
        for place, (left, top, right, bottom) in enumerate(row["face_boxes"]):
            share = (row["first_frame"] + place) / 35
            assert abs((left + right) / 2 - (25 + share * 110)) < 8 and abs((top + bottom) / 2 - 40) < 3
        # The context is what the prediction saw: a box around the face, wider than it.
        assert np.ptp(np.array(row["body_boxes"])[0][[0, 2]]) > np.ptp(np.array(row["face_boxes"])[0][[0, 2]])
    assert "added to train: 4 clips (Enjoyment 2, Fatigue 2)" in said
    old = load_clips(work / "old")
    both = load_clips(tmp_path / "new")
    for split in ("validation", "test"):
        assert both[split].to_list() == old[split].to_list()
    assert both["train"].to_list()[: len(old["train"])] == old["train"].to_list()


def test_the_record_says_where_clips_are_from_and_what_was_predicted(work, save, bring, tmp_path):
    predicted = json.loads((work / "predicted" / "walk" / "recording.json").read_text())["segments"]
    first = next(segment for segment in predicted if segment["person"] == "person-2")
    kept = ("person-2", first["start"], first["end"], first["label"])
    other = next(label for label in RAER_LABELS if label != first["label"])
    bring(save("segments.csv", [*CORRECTED, kept]))
    record = json.loads((tmp_path / "new" / "build.json").read_text())
    (entry,) = record["imports"]
    assert list(entry["recordings"]) == [str(work / "walk.mp4")] and str(tmp_path / "segments.csv") in entry["files"]
    changes = {(origin["change"], origin["predicted"]) for origin in entry["clips"].values()}
    assert {("redrawn", None), ("as predicted", first["label"])} == changes
    assert entry["clips"]["walk#0.0-3.0#person-1"]["place"].endswith("segments.csv:2")
    assert record["split"]["name"].endswith(f"; {len(entry['clips'])} corrected clips added to training")
    assert record["splits"]["train"]["num_clips"] == len(load_clips(tmp_path / "new")["train"])
    shutil.rmtree(tmp_path / "new")
    _, said, _, new = bring(save("segments.csv", [(*kept[:3], other)]))
    assert "1 relabelled" in said and {LABELS[row["label"]] for row in new} == {other}


def test_only_changes_are_taken_where_that_is_asked_for(save, bring, work):
    segments = (work / "predicted" / "walk" / "segments.csv").read_text().splitlines()
    unchanged = [(line.split(",")[1], *map(float, line.split(",")[2:4]), line.split(",")[4]) for line in segments[1:]]
    status, _, error, _ = bring(save("segments.csv", unchanged), "--changed-only")
    assert status == 2 and "no segment to learn from is left" in error


def test_nobody_comes_to_both_sides_of_a_split(work, save, bring):
    old = load_clips(work / "old")
    (measured,) = set(old["test"]["person_id"])
    segments = [*CORRECTED, ("person-2", 0.0, 3.0, "Confusion")]
    who = (f"walk/person-1={measured.upper()}", "person-2=eva")
    status, said, error, new = bring(save("timeline.eaf", segments), "--persons", *who)
    assert status == 0, error
    assert [row["person_id"] for row in new] == ["eva"]
    assert f"left out: 2 are of {measured}, who is in validation or test" in said


def test_nothing_is_taken_for_granted_of_people_and_the_room(save, bring):
    segments = [*CORRECTED, ("room", 0.0, 12.0, "Neutrality")]
    status, said, error, new = bring(save("export.json", segments))
    assert status == 0 and "warning: nothing says who walk/person-1 are" in error
    assert {row["person_id"] for row in new} == {"walk/person-1"} and "1 are the room's (--room takes them)" in said
    _, _, _, new = bring(save("export.json", segments), "--room", "--clip-seconds", 12)
    assert [(row["num_frames"], row["body_boxes"]) for row in new][-1] == (36, [])


def test_the_imported_clips_are_learnt_from_with_the_old_ones(save, bring, tmp_path, tmp_path_factory):
    assert bring(save("minimal.json"))[0] == 0
    clip = make_material(tmp_path_factory.getbasetemp()).clip
    words = ("--clip_model", clip, *SMALL_MODEL, "--dataset", tmp_path / "new", "--epochs", 1, "--no_baselines")
    assert run_main(train.main, *words, "--dataloader_num_workers", 0, "--output", tmp_path / "run") == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["split_clips"]["train"]["Fatigue"] == report["split_clips"]["train"]["Neutrality"] + 2
    assert report["split_protocol"].endswith("; 4 corrected clips added to training")


def test_a_dataset_of_frames_gets_frames(save, bring, run, tmp_path, tmp_path_factory):
    material = make_material(tmp_path_factory.getbasetemp())
    status, _, error, _ = bring(save("segments.csv"), dataset=material.dataset)
    assert status == 2 and "--write-frames makes the imported ones such" in error
    status, _, error, _ = bring(save("segments.csv"), "--write-frames", dataset=material.dataset)
    assert status == 0, error
    row = load_clips(tmp_path / "new")["train"][-1]
    assert row["frame_dir"] == str(tmp_path / "new-frames" / "walk_9.0-12.0_person-1")
    assert row["frame_names"] == [f"{number:07d}.jpg" for number in range(27, 36)]
    assert row["face_box_sources"].count(0) and len(row["face_boxes"]) == 9


@pytest.mark.parametrize(
    ("name", "corrections", "told"),
    [
        ("segments.csv", [("person-1", 0, 3, "Boredom")], "segments.csv:2: unknown label 'Boredom'; expected one of"),
        ("timeline.eaf", [("person-1", 0, 3, "Boredom")], "tier 'person-1', annotation a1: unknown label 'Boredom'"),
        ("export.json", [("person-1", 0, 3, "Boredom")], "task 1, person-1, frames 1 to 75: unknown label 'Boredom'"),
        ("segments.csv", [("person-7", 0, 3, "Fatigue")], "segments.csv:2: unknown person 'person-7'; expected one"),
        ("minimal.json", [("person-7", 0, 3, "Fatigue")], "task 1, person-7, frames 1 to 75: unknown person"),
        ("segments.csv", [("person-1", 9, 13, "Fatigue")], "segments.csv:2: 9 s to 13 s; expected a stretch within"),
        ("timeline.eaf", [("person-1", 9, 13, "Fatigue")], "annotation a1: 9 s to 13 s; expected a stretch within"),
        ("export.json", [("person-1", 9, 13, "Fatigue")], "frames 226 to 325: 9 s to 13 s; expected a stretch"),
        ("segments.csv", [("person-1", 3, 3, "Fatigue")], "segments.csv:2: 3 s to 3 s; expected a stretch within"),
        (
            "segments.csv",
            [*CORRECTED, ("person-1", 5, 7, "Fatigue")],
            "segments.csv:4: 5 s to 7 s overlaps 0 s to 6 s",
        ),
        ("timeline.eaf", [*CORRECTED, ("person-1", 5, 7, "Fatigue")], "annotation a3: 5 s to 7 s overlaps 0 s to 6 s"),
        ("segments.csv", [("person-1", 0, 3, "")], "segments.csv:2: field `label` is empty"),
        ("timeline.eaf", [("person-1", 0, 3, "")], "annotation a1: has no text; expected a label"),
        ("segments.csv", [("person-1", 0, 3, "uncertain")], "no segment to learn from is left"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_with_its_place(save, bring, tmp_path, name, corrections, told):
    status, _, error, _ = bring(save(name, corrections))
    assert status == 2 and told in error and error.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "new").exists()


def edit(path, before, after):
    text = path.read_text(encoding="utf-8-sig")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("segments.csv", "6;12", "6;twelve", "segments.csv:3: field `end` is 'twelve'; expected seconds like 12.5"),
        ("segments.csv", "walk.mp4", "other.mp4", "other.mp4'; expected one of those that were predicted"),
        ("segments.csv", ";person;", ";who;", "segments.csv: has no column `person`"),
        ("segments.csv", "source;", "window;", "is a table of windows, which overlap; expected one of segments"),
        ("timeline.eaf", 'TIME_VALUE="6000"', "", "tier 'person-1', annotation a1: 0 to None are no times"),
        ("timeline.eaf", "ANNOTATION_DOCUMENT", "DOCUMENT", "expected a document of ELAN, found one of the kind DOC"),
        ("timeline.eaf", "</TIER>", "", "timeline.eaf: is no document of ELAN"),
        ("timeline.eaf", "walk.mp4", "other.mp4", "other.mp4'; expected one of those that were predicted"),
        ("timeline.eaf", '/walk.mp4"', '/other.mp4"', "timeline.eaf: is linked to"),
        ("export.json", '"person-1: Fatigue"', "", "task 1, person-1: a region has the labels []; expected one"),
        ("export.json", '"was_cancelled": true', '"was_cancelled": false', "task 1: has 2 annotations; expected one"),
        ("export.json", '"was_cancelled": false', '"was_cancelled": true', "none of 1 tasks has an annotation"),
        ("export.json", '"source"', '"sauce"', "task 1: names no `source`"),
    ],
)
def test_a_file_that_is_not_as_its_program_saves_it_is_told(save, bring, name, before, after, told):
    status, _, error, _ = bring(edit(save(name), before, after))
    assert status == 2 and told in error and error.count("\n") == 1


def test_another_recording_than_was_predicted_is_refused(work, save, bring, tmp_path):
    predicted = shutil.copytree(work / "predicted", tmp_path / "predicted")
    other = videos.write_video(tmp_path / "walk.mp4", videos.crossing_squares(30), fps=3)
    edit(predicted / "walk" / "recording.json", f'"path": "{work}/walk.mp4"', f'"path": "{other}"')
    status, _, error, _ = bring(save("timeline.eaf"), predicted=predicted)
    assert status == 2 and f"{other}: has {other.stat().st_size} bytes, the recording that was predicted had" in error
    other.unlink()
    status, _, error, _ = bring(save("timeline.eaf"), predicted=predicted)
    assert status == 2 and f"{other}: expected the video that was predicted (walk), found nothing" in error


def test_the_prediction_is_found_beside_the_files(work, save, bring, tmp_path):
    status, _, error, _ = bring(save("timeline.eaf"), predicted=None)
    assert status == 2 and "no recording.json; --recordings names the folder that `clipcaer predict` wrote" in error
    shutil.copytree(work / "predicted" / "walk", tmp_path / "walk")
    assert bring(save("timeline.eaf"), predicted=None)[0] == 0


def test_a_video_that_is_named_alone_is_found_beside_its_timeline(work, save, bring, tmp_path, monkeypatch):
    predicted = shutil.copytree(work / "predicted" / "walk", tmp_path / "elsewhere" / "walk")
    edit(predicted / "recording.json", f'"path": "{work}/walk.mp4"', '"path": "walk.mp4"')
    monkeypatch.chdir(work / "videos")
    status, _, error, _ = bring(save("segments.csv"), predicted=predicted)
    assert status == 2 and "expected the video that was predicted (walk), found nothing" in error
    shutil.copy(work / "walk.mp4", tmp_path / "elsewhere")
    _, _, _, new = bring(save("segments.csv"), predicted=predicted)
    assert {row["video"] for row in new} == {str(tmp_path / "elsewhere" / "walk.mp4")}


def test_a_recording_is_imported_once_and_never_from_what_is_measured(work, save, bring, run, tmp_path):
    assert bring(save("segments.csv"))[0] == 0
    words = (save("segments.csv"), "--recordings", work / "predicted", "--output", tmp_path / "again")
    status, _, error = run(SimpleNamespace(main=import_command.main), *words, "--dataset", tmp_path / "new")
    assert status == 2 and "was imported into" in error and not (tmp_path / "again").exists()
    (tmp_path / "clips.csv").write_text(
        "video,label,start,end,person,split\n"
        + "".join(
            f"{work}/walk.mp4,{label},{place},{place + 1},p{place},{split}\n"
            for place, (split, label) in enumerate(
                (split, label) for split in ("train", "validation", "test") for label in RAER_LABELS[:3]
            )
        )
    )
    words_csv = ("--csv", tmp_path / "clips.csv", "--root", work, "--output", tmp_path / "listed")
    assert run(builder("csv"), *words_csv, "--labels", *RAER_LABELS)[0] == 0
    status, _, error = run(SimpleNamespace(main=import_command.main), *words, "--dataset", tmp_path / "listed")
    assert status == 2 and "validation of" in error and "has clips of it" in error


def test_an_output_that_holds_something_else_is_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    words = (tmp_path / "absent.csv", "--dataset", tmp_path / "absent", "--output", tmp_path / "mine")
    status, _, error = run(import_command, *words)
    assert status == 2 and "mine: exists and is no dataset of a builder" in error
