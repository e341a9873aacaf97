"""A tracker gets losses, validation and the result, once; nothing of it leaves the machine unasked."""

import json
import os
import re
from types import SimpleNamespace
from typing import ClassVar

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from helpers.places import ROOT
from helpers.small_material import run_main
from modeling_clipcaer.commands import train
from modeling_clipcaer.training import arguments
from modeling_clipcaer.training.trackers import prepare_trackers


class Tracker(TrainerCallback):
    """Keeps what it is told, as transformers' callbacks of trackers are."""

    told: ClassVar[list] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.told.append((state.global_step, dict(logs)))

    def on_predict(self, args, state, control, metrics, **kwargs):
        self.told.append(("predict", dict(metrics)))

    def on_train_end(self, args, state, control, **kwargs):
        self.told.append("end")


@pytest.fixture
def tracker(monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Tracker)
    monkeypatch.setattr(arguments, "get_available_reporting_integrations", lambda: ["tensorboard"])
    monkeypatch.setattr(Tracker, "told", [])
    return Tracker


def test_a_tracker_is_told_the_course_and_then_the_result_once(tracker, material, tmp_path):
    flags = (*material.flags, "--epochs", 2, "--no_baselines", "--dataloader_num_workers", 0)
    assert run_main(train.main, *flags, "--report_to", "tensorboard", "--output", tmp_path / "run") == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    *course, last, end = tracker.told
    assert [step for step, logs in (entry for entry in course if entry != "end") if "eval_uar" in logs] == [3, 6]
    assert {name for entry in course if entry != "end" for name in entry[1]} > {"loss", "loss_mi", "lr/adapter"}
    assert end == "end" and last == (6, {f"test_{name}": report[name] for name in ("uar", "war", "macro_f1", "ece")})
    assert not [entry for entry in course if entry[0] == "predict" or "test_uar" in entry[1]]


def test_weights_and_biases_stays_offline_until_it_is_told_otherwise(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    args = SimpleNamespace(report_to=["wandb"], output_dir="outputs/mine", run_name=None)
    assert "WANDB_MODE=online sends it" in prepare_trackers(args)
    assert os.environ == {"WANDB_DIR": "outputs/mine", "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    assert args.run_name == "mine"
    monkeypatch.setattr(os, "environ", {"WANDB_MODE": "online", "WANDB_DIR": "elsewhere"})
    assert prepare_trackers(args) is None and os.environ == {"WANDB_MODE": "online", "WANDB_DIR": "elsewhere"}
    monkeypatch.setattr(os, "environ", {})
    args.report_to = ["tensorboard"]
    assert prepare_trackers(args) is None and not os.environ


def test_each_tracker_that_is_told_of_is_an_extra_and_one_of_transformers():
    extras = re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text(), re.M)
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for name in ("tensorboard", "trackio", "wandb"):
        assert name in extras and name in integration_utils.INTEGRATION_TO_CALLBACK
        assert f"--report-to {name}" in page or f"`{name}`" in page
