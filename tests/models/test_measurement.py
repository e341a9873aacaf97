"""What a checkpoint's own report says of it, where the report can be believed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.tiny import tiny_config
from modeling_clipcaer.models.checkpoints import weights_revision
from modeling_clipcaer.models.measurement import REPORT, find_measurement, is_trustworthy, tell_measurement
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.reports.evaluation import build_report


REFERENCES = [0, 0, 0, 1, 1, 2, 2, 3, 3]  # no Distraction


@pytest.fixture
def report():
    logits = np.eye(5)[[0, 0, 1, 1, 0, 2, 0, 0, 0]]
    return build_report(logits, REFERENCES, RAER_LABELS, checkpoint="run", dataset="data/raer", split="test", seed=1)


def find(folder, report):
    (folder / REPORT).write_text(report if isinstance(report, str) else json.dumps(report))
    return find_measurement(str(folder), tiny_config())


def test_the_report_of_the_folder_is_read(report, tmp_path):
    found = find(tmp_path, report)
    assert found == {
        **{"uar": report["uar"], "uar_ci95": report["uar_ci95"], "num_clips": 9, "num_labels": 4},
        **{"split": "test", "dataset": "data/raer", "baseline": None},
    }
    low, high = report["uar_ci95"]
    words = f"UAR 41.7 % [{low:.1f}, {high:.1f}] on 9 clips (test split of data/raer); guessing has 25.0 %"
    assert tell_measurement(found) == words and not is_trustworthy(found)


def test_the_best_baseline_is_told_and_a_checkpoint_that_does_not_beat_it_is_not_trusted(tmp_path):
    logits = np.eye(5)[np.arange(400) % 5]
    logits[:40] = logits[1:41]  # 90 % right
    report = build_report(
        logits, np.arange(400) % 5, RAER_LABELS, checkpoint="run", dataset="raer", split="test", seed=1
    )
    found = {
        uar: find(tmp_path, {**report, "baselines": [{"name": "majority", "uar": 20.0}, {"name": "MLP", "uar": uar}]})
        for uar in (85.0, 95.0)
    }
    assert found[85.0]["baseline"] == {"name": "MLP", "uar": 85.0}
    assert tell_measurement(found[85.0]).endswith("guessing has 20.0 %, the best baseline (MLP) 85.0 %")
    assert is_trustworthy(found[85.0]) and not is_trustworthy(found[95.0])


def test_a_folder_without_a_report_is_not_yet_measured(tmp_path, caplog):
    assert find_measurement(str(tmp_path), tiny_config()) is None and not caplog.records
    assert tell_measurement(None) == "not yet measured" and not is_trustworthy(None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": list(RAER_LABELS)[::-1]}, "about other labels"),
        ({"labels": ["a", "b"]}, "about other labels"),
        ({"uar": "44"}, "`uar`"),
        ({"uar": True}, "`uar`"),
        ({"uar": 144.0, "uar_ci95": [100.0, 200.0]}, "`uar`"),
        ({"uar_ci95": [90.0, 95.0]}, "within"),
        ({"uar_ci95": [90.0]}, "`uar_ci95`"),
        ({"uar_ci95": None}, "`uar_ci95`"),
        ({"num_clips": 0}, "`num_clips`"),
        ({"num_clips": 9.5}, "`num_clips`"),
        ({"absent_labels": list(RAER_LABELS)}, "`absent_labels`"),
        ({"absent_labels": [{}]}, "`absent_labels`"),
        ({"split": None}, "`split`"),
        ({"baselines": {}}, "`baselines`"),
        ({"baselines": [{"name": "MLP", "uar": "86"}]}, "`baselines`"),
        ({"baselines": [{"name": "x" * 300, "uar": 86.0}]}, "`baselines`"),
        ({"dataset": "x" * 300}, "`dataset`"),
    ],
)
def test_a_report_that_is_not_about_the_checkpoint_is_left_aside_and_told(report, tmp_path, caplog, change, reason):
    assert find(tmp_path, {**report, **change}) is None
    (record,) = caplog.records
    assert reason in record.getMessage() and str(tmp_path) in record.getMessage()


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"uar": NaN}', "[" * 100_000, '{"uar": ' + "9" * 5000 + "}"])
def test_what_is_no_report_is_left_aside_in_one_line(tmp_path, caplog, text):
    assert find(tmp_path, text) is None
    assert len(caplog.records) == 1 and "\n" not in caplog.records[0].getMessage()


def test_a_report_on_other_weights_is_left_aside(report, tmp_path, caplog):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert find(tmp_path, {**report, "model_revision": weights_revision(tmp_path)})["num_clips"] == 9
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    assert find(tmp_path, {**report, "model_revision": "0" * 12}) is None and find(tmp_path, report) is None
    assert [record.getMessage().count("it is about weights") for record in caplog.records] == [1, 1]


def test_the_hub_is_asked_for_the_revision_of_the_weights(report, tmp_path, monkeypatch):
    asked = []

    def download(name, file, revision, **kwargs):
        asked.append((name, file, revision))
        return str(tmp_path / REPORT)

    (tmp_path / REPORT).write_text(json.dumps(report))
    monkeypatch.setattr("modeling_clipcaer.models.measurement.cached_file", download)
    labels = dict(enumerate(RAER_LABELS))
    config = SimpleNamespace(_commit_hash="abc", id2label=labels, num_labels=5)
    assert find_measurement("me/emotions", config)["num_clips"] == 9
    assert asked == [("me/emotions", REPORT, "abc")]
