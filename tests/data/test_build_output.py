import os
import signal
import subprocess
import sys

import pytest
from datasets import load_from_disk

from helpers.places import ROOT
from helpers.raer_tree import make_tree
from helpers.small_material import run_main
from modeling_clipcaer.commands import audit as audit_raer
from modeling_clipcaer.commands import clip_to_video, detect_boxes
from modeling_clipcaer.commands import synthetic as make_synthetic_raer
from modeling_clipcaer.commands import view as view_samples
from modeling_clipcaer.common.files import REPLACED, replace_folder, working_folder
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.errors import InputError


# A build that stops in the middle of its work, until it is killed.
HANGING = """
import sys, time
from pathlib import Path
from modeling_clipcaer.common.files import working_folder
with working_folder(Path(sys.argv[1])) as working:
    (working / "half").write_text("half")
    print("working", flush=True)
    time.sleep(600)
"""


def start_hanging(output):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(output)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "working\n"
    return process


def test_a_killed_build_is_cleared_away_by_the_next_and_two_at_once_are_refused(tmp_path):
    tree = make_tree(tmp_path / "data")
    output = tmp_path / "data" / "out"
    process = start_hanging(output)
    with pytest.raises(InputError, match="another build is writing it"):
        build_dataset(tree.raer, output)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(output.parent.glob(".out-building*"))) == 2, "its folder and its lock"
    build_dataset(tree.raer, output)
    assert {entry.name for entry in output.parent.iterdir()} == {"RAER", "out"}
    assert len(load_from_disk(output)["test"]) == 5


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    tree = make_tree(tmp_path / "data")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file: File exists"):
        build_dataset(tree.raer, tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset beside the RAER folder it was built from."""
    folder = tmp_path_factory.mktemp("data")
    build_dataset(make_tree(folder).raer, folder / "dataset")
    return folder


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (audit_raer, ("{dataset}", "--output", "{taken}/audit")),
        (view_samples, ("{dataset}", "--num", 1, "--num-frames", 1, "--output", "{taken}/sheet.png")),
        (detect_boxes, ("{clip}", "--face-detector", "haar", "--output", "{taken}/boxes")),
        (clip_to_video, ("--dataset", "{dataset}", "--output", "{taken}/clip.mp4")),
        (make_synthetic_raer, ("--clips-train", 5, "--clips-test", 5, "--output", "{taken}/drawn")),
    ],
    ids=lambda value: getattr(value, "__name__", "").rpartition(".")[2],
)
def test_a_command_that_cannot_write_says_so_in_one_line(built, tmp_path, capsys, command, flags):
    taken = tmp_path / "file"
    taken.write_text("mine")
    clip = next((built / "RAER" / "images").rglob("1.jpg")).parent
    names = {"dataset": built / "dataset", "taken": taken, "clip": clip}
    assert run_main(command.main, *(str(flag).format(**names) for flag in flags)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {taken}") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [taken] and taken.read_text() == "mine"


def test_what_a_killed_drawing_left_is_cleared_away_by_the_next(tmp_path):
    (tmp_path / ".RAER-building-abcdefgh" / "RAER" / "images").mkdir(parents=True)
    flags = ("--clips-train", 5, "--clips-test", 5, "--num-workers", 1)
    assert run_main(make_synthetic_raer.main, *flags, "--output", tmp_path) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["RAER"]


def test_an_earlier_build_comes_back_when_its_successor_was_killed_between_the_renames(tmp_path):
    output, killed = tmp_path / "out", tmp_path / ".out-building-abcdefgh"
    (killed / REPLACED).mkdir(parents=True)
    (killed / REPLACED / "rows").write_text("earlier")
    with working_folder(output):
        assert (output / "rows").read_text() == "earlier"
    assert {entry.name for entry in tmp_path.iterdir()} == {"out"}


def test_the_new_folder_takes_the_place_of_the_old_and_nothing_else_is_left(tmp_path):
    output = tmp_path / "out"
    for text in ("first", "second"):
        with working_folder(output) as working:
            (working / "new").mkdir()
            (working / "new" / "rows").write_text(text)
            replace_folder(working / "new", output, working)
        assert (output / "rows").read_text() == text
        assert {entry.name for entry in tmp_path.iterdir()} == {"out"}
