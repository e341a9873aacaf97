"""`recipes/evaluate.py` and `recipes/predict.py` on small checkpoints, real videos and real boxes."""

import csv
import functools
import json
import shutil

import pytest
import torch
import yaml
from datasets import load_from_disk
from small_material import make_material, run_main
from small_run import train_small, write_clip

from data_scripts.raer_boxes import fill_face_boxes
from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.raer_labels import RAER_LABELS
from recipes import evaluate, predict
from recipes.boxes import read_boxes


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    return make_material(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return train_small(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("video") / "lesson.mp4")


@pytest.fixture
def frames(material, tmp_path):
    """A folder of three frames."""
    folder = tmp_path / "clip"
    shutil.copytree(load_from_disk(material.dataset)["test"][0]["frame_dir"], folder)
    return folder


def evaluate_into(folder, *flags):
    assert run_main(evaluate.main, "--num_workers", 0, "--output_dir", folder, *flags) == 0
    return json.loads((folder / "report.json").read_text())


def predict_into(folder, *flags):
    assert run_main(predict.main, *flags, "--output_dir", folder) == 0
    return json.loads((folder / "predictions.json").read_text())["predictions"]


@functools.cache
def load(folder):
    return ClipCaerForVideoClassification.from_pretrained(folder).eval(), ClipCaerVideoProcessor.from_pretrained(
        folder
    )


def score(trained, clip, face_boxes=None, body_box=None):
    """Probabilities straight from processor and model."""
    model, processor = load(trained)
    pixels = processor([str(clip)], face_boxes=[face_boxes], body_boxes=[body_box])
    with torch.no_grad():
        return model(**pixels).logits[0].softmax(-1).tolist()


# Evaluation


def test_an_evaluation_writes_its_five_files_and_nothing_else(material, trained, tmp_path):
    report = evaluate_into(tmp_path / "out", "--model", trained, "--dataset", material.dataset)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png")
    }
    assert report["num_clips"] == 10 and report["labels"] == list(RAER_LABELS)
    rows = list(csv.reader((tmp_path / "out" / "confusion_matrix.csv").open()))
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == report["confusion_matrix"]


def test_the_report_counts_what_the_model_answers(material, trained, tmp_path):
    report = evaluate_into(tmp_path, "--model", trained, "--dataset", material.dataset, "--split", "train")
    matrix = torch.zeros(5, 5, dtype=torch.long)
    for row in load_from_disk(material.dataset)["train"]:
        scores = score(trained, row["frame_dir"], row["face_boxes"], row["body_box"])
        matrix[row["label"], max(range(5), key=scores.__getitem__)] += 1
    assert report["confusion_matrix"] == matrix.tolist()
    assert report["uar"] == pytest.approx(100 * (matrix.diag() / matrix.sum(1)).mean().item(), abs=1e-4)
    assert report["war"] == pytest.approx(100 * matrix.trace().item() / 24, abs=1e-4)


def test_batch_size_workers_and_precision_change_nothing_that_is_counted(material, trained, tmp_path):
    flags = ("--model", trained, "--dataset", material.dataset)
    report = evaluate_into(tmp_path / "a", *flags)
    assert evaluate_into(tmp_path / "b", *flags, "--batch_size", 3) == report
    assert evaluate_into(tmp_path / "c", *flags, "--num_workers", 2) == report
    assert evaluate_into(tmp_path / "d", *flags, "--bf16")["num_clips"] == 10


def test_the_training_runs_flags_do_not_reach_the_evaluation(material, trained, tmp_path):
    config = tmp_path / "evaluate.yaml"
    config.write_text(yaml.safe_dump({"model": str(trained), "dataset": str(material.dataset), "batch-size": 5}))
    report = evaluate_into(tmp_path / "out", "--config", config, "--split", "validation", "--seed", 7)
    assert (report["split"], report["seed"]) == ("validation", 7)


# Prediction


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
    words = ["--model", trained, f"--output_dir={tmp_path / 'out'}", video]
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
    boxes, sources = fill_face_boxes([None] * 3, [5, 4, 45, 44])
    assert sources == ["body"] * 3
    expected = score(trained, frames, boxes, [5, 4, 45, 44])
    assert list(entry["scores"].values()) == pytest.approx(sorted(expected, reverse=True))


def test_raers_own_box_files_fit_raers_clips(material, trained):
    row = load_from_disk(material.dataset)["test"][0]
    folder = material.raer / "bounding_box"
    boxes = read_boxes(str(folder / "face.json"), str(folder / "body.json"))
    face_boxes, sources, body_box = boxes.find(row["frame_dir"], row["frame_names"])
    assert [list(box) for box in face_boxes] == row["face_boxes"] and list(body_box) == row["body_box"]
    assert set(sources) == {"annotated"}


def test_later_answers_replace_earlier_ones_whole(trained, video, frames, tmp_path):
    predict_into(tmp_path, video, frames, "--model", trained)
    assert len(predict_into(tmp_path, frames, "--model", trained)) == 1
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 2
