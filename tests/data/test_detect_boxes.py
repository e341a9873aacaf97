"""Boxes for data without them: one student a clip, in RAER's form, whatever happens on the way."""

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import load_from_disk
from PIL import Image

from helpers.raer_tree import make_tree, write_frames
from helpers.stand_in_faces import SquareDetector
from helpers.videos import GREEN, RED, draw_faces, plain, squares, write_truncated, write_video
from modeling_clipcaer.commands.detect_boxes import main
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.boxes import read_body_file, read_face_file
from modeling_clipcaer.data.clip_search import FoundClip, find_clips
from modeling_clipcaer.data.detection.clip_faces import detect_clip
from modeling_clipcaer.data.detection.detect import detect_boxes
from modeling_clipcaer.data.detection.files import format_coverage
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.errors import InputError


OUTPUTS = ("face.json", "body.json", "detection.json")


class SlowDetector(SquareDetector):
    """Takes its time, so that a test can kill it at work."""

    def detect(self, frame):
        time.sleep(0.01)
        return super().detect(frame)


def save_frames(folder: Path, frames) -> Path:
    folder.mkdir(parents=True)
    for number, pixels in enumerate(frames, start=1):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def draw_clips(root: Path, count: int) -> Path:
    """Clips in folders of two groups, with a red square each, 30 pixels wide, at another place."""
    for number in range(count):
        places = [{RED: (40 + number, 50 + step)} for step in range(4)]
        save_frames(root / f"group{number % 2}" / f"{number}", squares(places))
    return root


def read_outputs(folder: Path) -> dict[str, bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(OUTPUTS)
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def test_boxes_of_frame_folders_are_raer_s_box_files(tmp_path):
    root = draw_clips(tmp_path / "data", 4)
    record = detect_boxes([root], tmp_path / "boxes", SquareDetector)
    faces = read_face_file(tmp_path / "boxes" / "face.json")
    assert list(faces) == ["group0/0", "group0/2", "group1/1", "group1/3"]
    assert faces["group1/3"] == {f"{step + 1}.png": (28, 35 + step, 58, 65 + step) for step in range(4)}
    bodies = read_body_file(tmp_path / "boxes" / "body.json")
    assert bodies["group1/3"] == (0, 14, 103, 120)  # of the median face, (28, 36.5, 58, 66.5)
    assert record == json.loads((tmp_path / "boxes" / "detection.json").read_text())
    assert record["detector"] == "squares" and record["broken"] == {}
    assert record["coverage"]["clip_share"] == record["coverage"]["frame_share"] == 1
    assert record["folders"]["group0"]["frames_with_face"] == 8


def test_the_builder_takes_the_boxes_as_they_are(tmp_path):
    tree = make_tree(tmp_path)
    for clip in [*tree.train, *tree.test]:
        for number, pixels in enumerate(squares([{RED: (30, 20)}] * 3, (64, 48), 16), start=1):
            Image.fromarray(pixels).save(tree.raer / clip.clip_id / f"{number}.jpg", quality=95)
    detect_boxes([tmp_path], tmp_path / "boxes", SquareDetector)
    files = {f"bounding_box_{kind}": str(tmp_path / "boxes" / f"{kind}.json") for kind in ("face", "body")}
    build_dataset(tmp_path, tmp_path / "built", **files)
    for rows in load_from_disk(tmp_path / "built").values():
        annotated = rows.features["face_box_sources"].feature.str2int("annotated")
        assert all(row["face_box_sources"] == [annotated] * 3 and len(row["body_boxes"]) == 1 for row in rows)


@pytest.mark.parametrize("start", [".", "RAER", "RAER/images"])
def test_a_clip_of_raer_s_layout_has_one_key_from_wherever_it_is_found(tmp_path, start):
    write_frames(tmp_path / "RAER/images/Lab/P001/002", ["1.jpg"])
    assert [clip.key for clip in find_clips([tmp_path / start])] == ["images/Lab/P001/002"]


def test_videos_are_named_by_their_path_and_frames_by_their_number(tmp_path):
    (tmp_path / "data" / "happy faces").mkdir(parents=True)
    places = [{}, {RED: (80, 60)}, {RED: (80, 62)}]
    write_video(tmp_path / "data" / "happy faces" / "ä 1.mp4", squares(places))
    Image.new("RGB", (20, 20)).save(tmp_path / "data" / "happy faces" / "preview.jpg")
    detect_boxes([tmp_path / "data"], tmp_path / "boxes", SquareDetector)
    faces = read_face_file(tmp_path / "boxes" / "face.json")
    assert list(faces) == ["happy faces/ä 1.mp4"]
    assert list(faces["happy faces/ä 1.mp4"]) == ["1", "2"]
    assert np.allclose(faces["happy faces/ä 1.mp4"]["2"], (65, 47, 95, 77), atol=2)


def test_the_face_that_fills_the_largest_area_over_the_clip_is_the_student_s(tmp_path):
    # A passer-by is larger in one frame; the student is there in all of them.
    frames = [*squares([{RED: (40, 60)}] * 5), *squares([{GREEN: (130, 40), RED: (40, 60)}], side=36)]
    clip = FoundClip("clip", str(save_frames(tmp_path / "clip", frames)))
    found = detect_clip(clip, SquareDetector())
    assert len(found.boxes) == 6 and found.boxes["1.png"] == [25, 45, 55, 75] and found.boxes["6.png"][0] < 40
    assert found.num_others == 1


def test_a_student_who_looks_down_for_long_is_still_the_student(tmp_path):
    places = [{RED: (40, 60)}] * 3 + [{}] * 20 + [{RED: (45, 60)}] * 3
    found = detect_clip(FoundClip("clip", str(save_frames(tmp_path / "clip", squares(places)))), SquareDetector())
    assert len(found.boxes) == 6 and found.num_others == 0


def test_each_n_th_frame_is_looked_at_alone(tmp_path):
    clip = FoundClip("clip", str(save_frames(tmp_path / "clip", squares([{RED: (40, 60)}] * 7))))
    detector = SquareDetector()
    found = detect_clip(clip, detector, every=3)
    assert list(found.boxes) == ["1.png", "4.png", "7.png"]
    assert detector.calls == found.num_searched == 3 and found.num_frames == 7


def test_bodies_by_frame_grow_from_the_faces_of_their_frames(tmp_path):
    save_frames(tmp_path / "data" / "clip", squares([{RED: (40, 60)}, {}, {RED: (60, 60)}]))
    detect_boxes([tmp_path / "data"], tmp_path / "boxes", SquareDetector, body_per_frame=True)
    bodies = json.loads((tmp_path / "boxes" / "body.json").read_text())
    # Of the faces (25, 45, 55, 75) and (45, 45, 75, 75).
    assert bodies == {"clip": {"1.png": [0, 22.5, 100, 120], "3.png": [0, 22.5, 120, 120]}}


def test_broken_clips_are_listed_with_what_could_be_read_and_the_others_go_on(tmp_path):
    root = draw_clips(tmp_path / "data", 1)
    (root / "group0/0/2.png").write_bytes(b"no picture")
    (root / "notes.mp4").write_text("no video")
    write_truncated(root / "cut.mp4", squares([{RED: (80, 60)}] * 40), share=0.6)
    record = detect_boxes([root], tmp_path / "boxes", SquareDetector)
    faces = read_face_file(tmp_path / "boxes" / "face.json")
    assert sorted(faces["group0/0"]) == ["1.png", "3.png", "4.png"] and faces["notes.mp4"] == {}
    assert 5 < len(faces["cut.mp4"]) < 40
    assert record["broken"]["group0/0"]["unreadable_frames"] == 1
    assert "2.png" in record["broken"]["group0/0"]["error"] and "notes.mp4" in record["broken"]["notes.mp4"]["error"]
    assert record["coverage"]["clips"] == 3 and record["coverage"]["clips_with_face"] == 2


def test_a_clip_without_a_face_has_no_boxes_and_counts(tmp_path):
    save_frames(tmp_path / "data" / "a" / "1", plain(2))
    save_frames(tmp_path / "data" / "b" / "1", squares([{RED: (40, 60)}, {}]))
    record = detect_boxes([tmp_path / "data"], tmp_path / "boxes", SquareDetector)
    assert read_face_file(tmp_path / "boxes" / "face.json")["a/1"] == {}
    assert list(read_body_file(tmp_path / "boxes" / "body.json")) == ["b/1"]
    assert record["coverage"]["clip_share"] == 0.5 and record["coverage"]["frame_share"] == 0.25
    rows = {line.split()[0]: line.split()[1:] for line in format_coverage(record).splitlines()[1:]}
    assert rows["a"] == ["1", "0", "0.0%", "2", "0", "0.0%", "0"]
    assert rows["all"] == ["2", "1", "50.0%", "4", "1", "25.0%", "0"]


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(tmp_path):
    root = draw_clips(tmp_path / "data", 5)
    for num_proc in (1, 2):
        detect_boxes([root], tmp_path / str(num_proc), SquareDetector, num_proc=num_proc)
    assert read_outputs(tmp_path / "1") == read_outputs(tmp_path / "2")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, capsys):
    root = draw_clips(tmp_path / "data", 24)
    detect_boxes([root], tmp_path / "whole", SlowDetector)
    work = ([root], tmp_path / "killed", SlowDetector)
    process = multiprocessing.get_context("spawn").Process(target=detect_boxes, args=work)
    process.start()
    partial = tmp_path / "killed" / ".partial.jsonl"
    while not (partial.exists() and partial.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
        assert process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert os.listdir(tmp_path / "killed") == [partial.name]
    with partial.open("ab") as file:
        file.write(b'{"clip": "group1/23", "num_fr')  # what a kill in the middle of a line leaves
    done = partial.read_bytes().count(b"\n") - 1
    capsys.readouterr()
    detect_boxes(*work)
    assert f"{done} of 24 clips are done" in capsys.readouterr().out
    assert read_outputs(tmp_path / "killed") == read_outputs(tmp_path / "whole")


def test_an_unfinished_run_of_other_settings_is_refused_and_kept(tmp_path):
    root = draw_clips(tmp_path / "data", 2)
    detect_boxes([root], tmp_path / "whole", SquareDetector)
    about = json.loads((tmp_path / "whole" / "detection.json").read_text())
    line = json.dumps({name: about[name] for name in about if name not in ("coverage", "folders", "broken")}) + "\n"
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / ".partial.jsonl").write_text(line)
    with pytest.raises(InputError, match="unfinished run with `every` 1, now it is 2; give the same settings, or rem"):
        detect_boxes([root], tmp_path / "boxes", SquareDetector, every=2)
    assert (tmp_path / "boxes" / ".partial.jsonl").read_text() == line
    detect_boxes([root], tmp_path / "boxes", SquareDetector)
    assert read_outputs(tmp_path / "boxes") == read_outputs(tmp_path / "whole")


def test_box_files_of_another_origin_are_not_replaced(tmp_path):
    tree = make_tree(tmp_path)
    drawn = tree.face_file.read_bytes()
    with pytest.raises(InputError, match=r"face\.json: was not written by this command"):
        detect_boxes([tree.raer], tree.face_file.parent, SquareDetector)
    assert tree.face_file.read_bytes() == drawn and not (tree.face_file.parent / ".partial.jsonl").exists()


def test_links_in_a_circle_hidden_files_and_inputs_given_twice_add_no_clip(tmp_path):
    clip = tmp_path / "data" / "10"
    write_frames(clip, ["1.jpg"])
    write_frames(tmp_path / "data" / "9", ["1.jpg", ".2.jpg"])
    write_frames(tmp_path / "data" / ".cache", ["1.jpg"])
    (tmp_path / "data" / ".hidden.mp4").touch()
    (clip / "back").symlink_to(tmp_path / "data")
    assert [clip.key for clip in find_clips([tmp_path / "data", tmp_path / "data"])] == ["9", "10"]
    assert [found.key for found in find_clips([clip])] == ["10"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["missing"], "missing: expected a video, or a folder of videos or of frames, found nothing"),
        (["empty"], "empty: expected videos or folders of frames, found none"),
        (["a", "b"], "b/clip are both called 'clip': give one folder above both"),
        (["a", "--every", "0"], "`every` must be at least 1, got 0"),
        (["a", "--num_proc", "0"], "`num_proc` must be at least 1, got 0"),
        (["a", "--face_detector_weights", "x.onnx"], "takes no weights, got `x.onnx`"),
        (["a", "--face-detector", "yunet", "--face-detector-weights", "x.onnx"], "x.onnx: expected YuNet's file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, flags, found):
    monkeypatch.chdir(tmp_path)
    for folder in ("a/clip", "b/clip"):
        write_frames(tmp_path / folder, ["1.jpg"])
    (tmp_path / "empty").mkdir()
    # The last flag of two counts.
    monkeypatch.setattr(sys, "argv", ["detect_boxes.py", "--face-detector=haar", *flags, "--output", "boxes"])
    assert run_command(main) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and found in error
    assert not (tmp_path / "boxes").exists()


def test_the_command_finds_a_real_face(tmp_path, monkeypatch, capsys):
    save_frames(tmp_path / "data" / "lab" / "clip", [draw_faces([(200 + 10 * step, 180)]) for step in range(3)])
    flags = [str(tmp_path / "data"), "--output", str(tmp_path / "boxes"), "--face_detector", "haar"]
    monkeypatch.setattr(sys, "argv", ["detect_boxes.py", *flags])
    assert run_command(main) == 0
    out, error = capsys.readouterr()
    assert error == "" and "100.0%" in out and "found by haar" in out
    (boxes,) = read_face_file(tmp_path / "boxes" / "face.json").values()
    assert len(boxes) == 3
    for step, (left, top, right, bottom) in enumerate(boxes.values()):
        assert 105 + 10 * step < left < 200 + 10 * step < right < 295 + 10 * step and 85 < top < bottom < 275
