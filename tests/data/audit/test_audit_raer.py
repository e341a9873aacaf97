"""The command: its outputs, exit statuses and refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_from_disk
from PIL import Image

from helpers.places import ROOT
from helpers.raer_tree import make_tree
from modeling_clipcaer.commands import audit as audit_raer
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.layouts.raer import build_dataset


SANE = ("--min-frames=3", "--min_face_side", "10")


@pytest.fixture
def tree(tmp_path):
    """RAER with a picture of its own in every frame."""
    tree = make_tree(tmp_path)
    for number, path in enumerate(sorted((tree.raer / "images").rglob("*.jpg"))):
        Image.effect_noise((64, 48), 10 + number).convert("RGB").save(path)
    return tree


@pytest.fixture
def dataset(tree, tmp_path):
    build_dataset(tree.raer, tmp_path / "dataset")
    return tmp_path / "dataset"


def run(monkeypatch, *arguments):
    """Exit status of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["audit_raer.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(run_command(audit_raer.main))
    return ended.value.code


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_a_report_and_a_page(dataset):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = str(ROOT / "data_scripts" / "audit_raer.py")
    command = [sys.executable, script, str(dataset), *SANE, "--decode", "--fail-on", "warning"]
    Path(load_from_disk(dataset)["test"][0]["frame_dir"], "2.jpg").write_bytes(b"\xff\xd8")
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 3, result.stderr
    assert "error    test: 1 of 15 frames (6.7%) cannot be read" in result.stdout
    assert result.stderr == ""
    assert {entry.name for entry in (dataset / "audit").iterdir()} == {"audit.json", "audit.png"}
    report = json.loads((dataset / "audit" / "audit.json").read_text())
    assert report["decoded"] and report["thresholds"]["min_face_side"] == 10 and report["severities"]["error"] == 1
    with Image.open(dataset / "audit" / "audit.png") as page:
        assert page.width == 1440 and page.height > 900


def test_severity_and_what_is_to_fail_make_the_exit_status(dataset, monkeypatch, capsys):
    assert run(monkeypatch, dataset, *SANE, "--fail-on=warning") == 0
    assert "found: no errors, no warnings, 1 info" in capsys.readouterr().out
    assert run(monkeypatch, dataset, "--min-frames=9", "--fail_on=warning") == 1


@pytest.mark.parametrize(
    ("errors", "warnings", "statuses"), ((0, 0, (0, 0, 0)), (0, 2, (1, 0, 0)), (1, 2, (3, 3, 0)), (1, 0, (3, 3, 0)))
)
def test_the_worst_finding_that_is_to_fail_makes_the_exit_status(errors, warnings, statuses):
    severities = {"error": errors, "warning": warnings, "info": 5}
    levels = ("warning", "error", "never")
    assert tuple(audit_raer.choose_status(severities, level) for level in levels) == statuses


def test_raer_itself_is_built_and_audited_and_left_alone(tree, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--root", tree.raer, *SANE) == 0
    assert "nothing is written without --output" in capsys.readouterr().out
    assert {entry.name for entry in tmp_path.iterdir()} == {"RAER"}
    assert run(monkeypatch, "--root", tree.raer, "--output", tmp_path / "audit", *SANE) == 0
    report = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert report["dataset"] == str(tree.raer) and report["splits"]["test"]["num_clips"] == 5


def test_what_the_build_refuses_is_a_finding(tree, tmp_path, monkeypatch, capsys):
    tree.test_list.write_text("RAER/images/SelfStudy/Lab/P005/001 3 7\n")
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.png").write_bytes(b"of an earlier audit")
    assert run(monkeypatch, "--root", tree.raer, "--output", tmp_path / "audit") == 3
    assert f"error    {tree.test_list}:1: unknown label 7" in capsys.readouterr().out
    assert [entry.name for entry in (tmp_path / "audit").iterdir()] == ["audit.json"]
    (finding,) = json.loads((tmp_path / "audit" / "audit.json").read_text())["findings"]
    assert finding["check"] == "build" and finding["severity"] == "error" and finding["split"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ((), "expected either DATASET or --root DIR"),
        (("gone",), "gone: expected a dataset with splits"),
        (("gone", "--root", "gone"), "expected either DATASET or --root DIR"),
        (("gone", "--num-proc", "0"), "`num_proc` must be at least 1, got 0"),
        (("gone", "--min-face-share", "2"), "`min_face_share` must lie in [0, 1], got 2.0"),
        (("gone", "--min-frames", "many"), "argument --min-frames: invalid int value"),
        (("gone", "--max-face", "2"), "unknown argument --max-face"),
    ),
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_help_names_every_threshold_and_status(capsys, monkeypatch):
    assert run(monkeypatch, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag in (
        "root",
        "decode",
        "num-proc",
        "output",
        "fail-on",
        "max-imbalance",
        "min-face-share",
        "min-body-share",
    ):
        assert f"--{flag}" in text
    for flag in ("min-frames", "max-missing-share", "max-tiny-share", "max-hash-distance"):
        assert f"--{flag}" in text
    assert "0 nothing above info, 1 warnings, 3 errors in the data, 2 a wrong command" in text
