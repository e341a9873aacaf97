import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_from_disk
from raer_tree import make_tree

from data_scripts.build_output import REPLACED, replace_folder, working_folder
from data_scripts.build_raer import build_dataset
from modeling_clipcaer.errors import InputError


REPOSITORY = Path(__file__).resolve().parents[1]
# A build that stops in the middle of its work, until it is killed.
HANGING = """
import sys, time
from pathlib import Path
from data_scripts.build_output import working_folder
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
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
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
