"""Trackers, which transformers reports to (`--report-to`): what of them is kept on this machine, and the result's way.

transformers sends losses and validation as they come. Of the test it would log every pass, that of the calibration
among them, to some trackers, and nothing to others; here each gets the result, once.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.trainer import ClipCaerTrainer


RESULTS = ("uar", "war", "macro_f1", "ece")


def prepare_trackers(args: ClipCaerTrainingArguments) -> str | None:
    """Name the run by its folder, and let nothing leave the machine that nobody asked to: the note that says so."""
    args.run_name = args.run_name or Path(args.output_dir).name
    if "wandb" not in args.report_to:
        return None
    os.environ.setdefault("WANDB_DIR", args.output_dir)
    if "WANDB_MODE" in os.environ:
        return None
    os.environ["WANDB_MODE"] = "offline"
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    return f"Weights & Biases keeps this run in {args.output_dir}/wandb; WANDB_MODE=online sends it to your account"


def take_trackers(trainer: ClipCaerTrainer) -> list[TrainerCallback]:
    """The trackers of a trainer that has trained, which gives them up."""
    taken = (trainer.pop_callback(kind) for kind in get_reporting_integration_callbacks(trainer.args.report_to))
    return [tracker for tracker in taken if tracker is not None]


def report_result(trackers: list[TrainerCallback], trainer: ClipCaerTrainer, report: Mapping[str, Any]) -> None:
    """Give the result to trackers as `test/uar` and so on, at the last step."""
    logs = {f"test_{name}": report[name] for name in RESULTS if report.get(name) is not None}
    for tracker in trackers:
        tracker.on_log(trainer.args, trainer.state, trainer.control, model=trainer.model, logs=dict(logs))
        tracker.on_train_end(trainer.args, trainer.state, trainer.control, model=trainer.model)
