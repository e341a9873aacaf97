"""The pages that add a loss and a format: each is two places, and what it adds works in a copy of the package."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers.places import ROOT
from helpers.small_material import make_material


LOSS, FORMAT = (
    re.search(r"```diff\n(.*?)```", (ROOT / "docs" / "howto" / page).read_text(encoding="utf-8"), re.S)[1]
    for page in ("loss.md", "format.md")
)
# Trains a step with the loss and writes the format, then says what came of it.
SCRIPT = """
import json, sys
from pathlib import Path

import torch
from helpers.small_material import Material
from helpers.small_training import make_trainer
from modeling_clipcaer.exports.formats import FORMATS
from modeling_clipcaer.losses.functions import agreement_loss
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.files import name_outputs, write_recording
from modeling_clipcaer.prediction.manifest import Job
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import Timeline, TimelineSegment
from modeling_clipcaer.training.flag_effects import RULES

clip, dataset, folder = map(Path, sys.argv[1:])
losses = {}
for weight in (0.0, 0.5):
    trainer = make_trainer(Material(clip, dataset, clip), folder / "run", agreement_loss_weight=weight, max_steps=1)
    trainer.train()
    losses[weight] = next(entry for entry in trainer.state.log_history if "loss" in entry)
aside, along = torch.eye(2)[[0]], torch.eye(2)[[1]]

args = PredictionArguments(["a.mp4"], "model", formats=["audacity"])
timeline = Timeline("a.mp4", 2.0, 8, 8, ["calm"], settings={})
timeline.segments.append(TimelineSegment("a.mp4", "room", 0.0, 2.0, "calm", 0.9, 1))
job = Job("a.mp4", folder, {}, name_outputs(args))
write_recording(timeline, job, args, TimelineSettings(), folder)
rule = next(rule for rule in RULES if "agreement_ramp_epochs" in rule.names)
print(json.dumps({
    "losses": losses,
    "by_hand": [agreement_loss(aside, aside).item(), agreement_loss(aside, along).item()],
    "reason": rule.reason,
    "outputs": job.outputs,
    "labels": (folder / "labels.txt").read_text(encoding="utf-8"),
}))
"""


def list_changes(diff):
    """The file, the text before and the text after of each change."""
    for path, hunk in re.findall(r"^--- .*\n\+\+\+ b/(.*)\n@@\n((?:[ +-].*\n)+?)(?=---|\Z)", diff, re.M):
        lines = [(line[0], line[1:]) for line in hunk.splitlines(keepends=True)]
        yield path, *("".join(text for sign, text in lines if sign in (" ", kept)) for kept in "-+")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the script says in a copy of the package with both changes."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "modeling_clipcaer", folder / "modeling_clipcaer", ignore=shutil.ignore_patterns("__pyc*"))
    for path, before, after in (*list_changes(LOSS), *list_changes(FORMAT)):
        file = folder / path
        text = file.read_text(encoding="utf-8") if before else ""
        assert not before or text.count(before) == 1, f"docs/howto shows another {path}"
        file.write_text(text.replace(before, after) if before else after, encoding="utf-8")
    material = make_material(tmp_path_factory.getbasetemp())
    (folder / "out").mkdir()
    words = [sys.executable, "-c", SCRIPT, material.clip, material.dataset, folder / "out"]
    path = os.pathsep.join(map(str, (folder, ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": path}
    # Keep: not from the clone, whose package comes first for a program that starts there.
    run = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_loss_is_a_function_and_a_row():
    assert [path.split("/")[-1] for path, *_ in list_changes(LOSS)] == ["functions.py", "table.py"]


def test_a_format_is_a_file_and_a_row():
    (_, before, _), (path, *_) = list_changes(FORMAT)
    assert not before and path.endswith("exports/formats.py")


def test_the_loss_is_trained_with_its_weight_and_logged(told):
    assert told["by_hand"] == [0, 1] and told["reason"] == "`agreement_loss_weight` is 0"
    off, on = told["losses"]["0.0"], told["losses"]["0.5"]
    assert "loss_agreement" not in off and on["loss_agreement"] > 0
    assert on["loss"] == pytest.approx(off["loss"] + 0.5 * on["loss_agreement"], abs=2e-4)  # logs are rounded


def test_the_format_is_written_by_its_word(told):
    assert told["outputs"] == ["audacity"] and told["labels"] == "0.000\t2.000\troom: calm\n"
