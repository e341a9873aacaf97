"""`recipes/predict.py --clips`: one answer for each clip, on real videos and real boxes."""

import csv
import json
import shutil

import pytest
from datasets import load_from_disk

from helpers.small_material import run_main
from helpers.small_run import score, write_clip
from modeling_clipcaer.commands import predict
from modeling_clipcaer.data.boxes import fill_face_boxes
from modeling_clipcaer.data.clip_boxes import read_boxes
from modeling_clipcaer.prediction import clips as clip_predictions
from modeling_clipcaer.raer_labels import RAER_LABELS


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("video") / "lesson.mp4")


@pytest.fixture
def frames(material, tmp_path):
    """A folder of three frames."""
    folder = tmp_path / "clip"
    shutil.copytree(load_from_disk(material.dataset)["test"][0]["frame_dir"], folder)
    return folder


def predict_into(folder, *flags):
    assert run_main(predict.main, "--clips", *flags, "--output_dir", folder, "--tower_dtype", "float32") == 0
    return json.loads((folder / "predictions.json").read_text())["predictions"]


def test_videos_and_folders_are_answered_in_order_as_json_and_csv(trained, video, frames, tmp_path):
    predictions = predict_into(tmp_path / "out", video, frames, "--model", trained)
    assert [entry["clip"] for entry in predictions] == [str(video), str(frames)]
    assert [entry["num_frames"] for entry in predictions] == [10, 3]
    for entry in predictions:
        assert list(entry["scores"].values()) == pytest.approx(sorted(score(trained, entry["clip"]), reverse=True))
        assert entry["label"] == next(iter(entry["scores"])) and entry["score"] == max(entry["scores"].values())
        assert entry["face_boxes"] == {"frame": entry["num_frames"]} and entry["body_box"] == "whole frame"
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert list(rows[0]) == ["clip", "label", "score", *RAER_LABELS]
    assert [row["label"] for row in rows] == [entry["label"] for entry in predictions]
    for row, entry in zip(rows, predictions, strict=True):
        assert {label: float(row[label]) for label in RAER_LABELS} == pytest.approx(entry["scores"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.json", "predictions.csv"}


def test_the_inputs_can_come_last(trained, video, tmp_path, capsys):
    words = ["--model", trained, f"--output_dir={tmp_path / 'out'}", "--tower_dtype", "float32", "--clips", video]
    assert run_main(predict.main, *words) == 0, capsys.readouterr().err
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))["predictions"]
    assert [entry["clip"] for entry in predictions] == [str(video)]


def test_the_inputs_can_be_named_by_a_flag_too(trained, video, tmp_path, capsys):
    assert predict_into(tmp_path, "--model", trained, "--inputs", video)[0]["clip"] == str(video)
    assert "EU AI Act" in capsys.readouterr().out


def test_boxes_of_a_frame_folder_are_used_and_missing_ones_taken_from_the_nearest(trained, frames, tmp_path):
    faces, bodies = tmp_path / "face.json", tmp_path / "body.json"
    faces.write_text(json.dumps({"clip": {"1.jpg": [10, 5, 30, 25], "3.jpg": [12, 5, 32, 25]}}))
    bodies.write_text(json.dumps({"clip": [5, 4, 45, 44]}))
    flags = ("--model", trained, "--bounding_box_face", faces, "--bounding-box-body", bodies)
    (entry,) = predict_into(tmp_path / "out", frames, *flags)
    assert entry["face_boxes"] == {"annotated": 2, "nearest": 1} and entry["body_box"] == "given"
    boxes = [[10, 5, 30, 25], [10, 5, 30, 25], [12, 5, 32, 25]]
    expected = score(trained, frames, boxes, [5, 4, 45, 44])
    assert list(entry["scores"].values()) == pytest.approx(sorted(expected, reverse=True))
    assert expected != pytest.approx(score(trained, frames))


def test_boxes_of_a_video_are_keyed_by_frame_number(trained, video, tmp_path):
    faces = tmp_path / "face.json"
    faces.write_text(json.dumps({str(video): {str(number): [8, 8, 40, 40] for number in range(10)}}))
    (entry,) = predict_into(tmp_path / "out", video, "--model", trained, "--bounding_box_face", faces)
    assert entry["face_boxes"] == {"annotated": 10} and entry["body_box"] == "whole frame"
    expected = score(trained, video, [8, 8, 40, 40])
    assert list(entry["scores"].values()) == pytest.approx(sorted(expected, reverse=True))


def test_a_body_box_alone_gives_the_face_its_upper_part(trained, frames, tmp_path):
    bodies = tmp_path / "body.json"
    bodies.write_text(json.dumps({"clip": [5, 4, 45, 44]}))
    (entry,) = predict_into(tmp_path / "out", frames, "--model", trained, "--bounding_box_body", bodies)
    assert entry["face_boxes"] == {"body": 3}
    boxes, sources = fill_face_boxes([None] * 3, (5, 4, 45, 44))
    assert sources == ["body"] * 3
    expected = score(trained, frames, boxes, [5, 4, 45, 44])
    assert list(entry["scores"].values()) == pytest.approx(sorted(expected, reverse=True))


def test_raers_own_box_files_fit_raers_clips(material, trained):
    row = load_from_disk(material.dataset)["test"][0]
    folder = material.raer / "bounding_box"
    boxes = read_boxes(str(folder / "face.json"), str(folder / "body.json"))
    face_boxes, sources, body_box = boxes.find(row["frame_dir"], row["frame_names"])
    assert [list(box) for box in face_boxes] == row["face_boxes"] and [list(body_box)] == row["body_boxes"]
    assert set(sources) == {"annotated"}


def test_later_answers_replace_earlier_ones_whole(trained, video, frames, tmp_path):
    predict_into(tmp_path, video, frames, "--model", trained)
    assert len(predict_into(tmp_path, frames, "--model", trained)) == 1
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 2


def test_flags_of_timelines_are_refused_with_clips(trained, video, tmp_path, capsys):
    words = (video, "--clips", "--model", trained, "--output_dir", tmp_path / "out", "--window", 5)
    assert run_main(predict.main, *words) == 2
    assert capsys.readouterr().err == "error: --window has no meaning with --clips, which makes no timeline\n"
    assert not (tmp_path / "out").exists()


def test_a_bad_clip_does_not_lose_the_answers_for_the_others(trained, video, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(video, folder / name)
    (folder / "b.mp4").write_bytes(b"no video")
    answer = clip_predictions.predict_clip

    def predict_clip(pipeline, path, boxes):
        if path.endswith("c.mp4"):
            raise RuntimeError("out of\nmemory")
        return answer(pipeline, path, boxes)

    monkeypatch.setattr(clip_predictions, "predict_clip", predict_clip)
    words = (folder, "--clips", "--model", trained, "--output_dir", tmp_path / "out", "--tower_dtype", "float32")
    with pytest.raises(SystemExit) as ended:
        run_main(predict.main, *words)
    assert ended.value.code == 1
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["clip"] for entry in content["predictions"]] == [str(folder / "a.mp4")]
    assert [entry["clip"] for entry in content["failed"]] == [str(folder / "b.mp4"), str(folder / "c.mp4")]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert lines == [f"error: {entry['error']}" for entry in content["failed"]]
    assert lines[1] == f"error: {folder}/c.mp4: RuntimeError: out of memory (details: errors.log)"
    assert "Traceback" in (tmp_path / "out" / "errors.log").read_text()
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 2
