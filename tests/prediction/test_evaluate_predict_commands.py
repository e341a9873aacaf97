"""`recipes/evaluate.py` on small checkpoints. `recipes/predict.py` has its tests in test_predict_command.py."""

import csv
import json

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import load_from_disk

from helpers.small_material import run_main
from helpers.small_run import score
from modeling_clipcaer.commands import evaluate
from modeling_clipcaer.raer_labels import RAER_LABELS


WAYS = ("plain", "first", "second")


def evaluate_into(folder, *flags):
    assert run_main(evaluate.main, "--num_workers", 0, "--output_dir", folder, *flags) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report.pop("command").startswith("clipcaer evaluate")
    assert all(rival.pop("seconds") >= 0 for rival in report["baselines"])
    return report


def test_an_evaluation_writes_its_files_and_nothing_else(material, trained, tmp_path):
    report = evaluate_into(tmp_path / "out", "--model", trained, "--dataset", material.dataset)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.html", "report.json", "report.md", "predictions.parquet"),
        *("confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
    }
    assert report["num_clips"] == 10 and report["labels"] == list(RAER_LABELS)
    rows = list(csv.reader((tmp_path / "out" / "confusion_matrix.csv").open()))
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == report["confusion_matrix"]


def test_the_report_counts_what_the_model_answers(material, trained, tmp_path):
    report = evaluate_into(tmp_path, "--model", trained, "--dataset", material.dataset, "--split", "train")
    matrix = torch.zeros(5, 5, dtype=torch.long)
    for row in load_from_disk(material.dataset)["train"]:
        scores = score(trained, row["frame_dir"], row["face_boxes"], row["body_boxes"])
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


@pytest.mark.parametrize("split", ["test", "train"])
def test_an_evaluation_reads_each_clip_once_and_gives_the_same_from_the_cache(
    material, trained, tmp_path, split, capsys
):
    flags = ("--model", trained, "--dataset", material.dataset, "--split", split, "--tower-dtype", "float32")
    cached = (*flags, "--cache-frame-embeds", "--cache-dir", tmp_path / "cache")
    plain = evaluate_into(tmp_path / "plain", *flags)
    capsys.readouterr()
    assert evaluate_into(tmp_path / "first", *cached) == plain
    assert "of it to be made" in capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")}
    assert files and evaluate_into(tmp_path / "second", *cached) == plain
    assert "all of it there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")} == files
    tables = [pq.read_table(tmp_path / name / "predictions.parquet")["logits"].to_pylist() for name in WAYS]
    for table in tables[1:]:
        assert torch.tensor(table).sub(torch.tensor(tables[0])).abs().max() < 1e-5


def test_a_cache_serves_one_view_alone(material, trained, tmp_path, run):
    status, _, error = run(
        *(evaluate, "--model", trained, "--dataset", material.dataset, "--output-dir", tmp_path / "out"),
        *("--cache-frame-embeds", "--views", 2),
    )
    assert status == 2 and "--cache-frame-embeds keeps one view of a clip: --views needs its frames" in error


def test_the_training_runs_flags_do_not_reach_the_evaluation(material, trained, tmp_path):
    config = tmp_path / "evaluate.yaml"
    config.write_text(yaml.safe_dump({"model": str(trained), "dataset": str(material.dataset), "batch-size": 5}))
    report = evaluate_into(tmp_path / "out", "--config", config, "--split", "validation", "--seed", 7)
    assert (report["split"], report["seed"]) == ("validation", 7)
