"""A command answers at once: what takes seconds to import is imported when it is needed."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from helpers.places import ROOT
from modeling_clipcaer.commands.build import LAYOUTS
from modeling_clipcaer.commands.main import COMMANDS


sys.path.insert(0, str(ROOT / "benchmarks"))

from start_up import DATA_COMMANDS


HEAVY = {
    *("torch", "transformers", "peft", "accelerate", "datasets", "evaluate"),
    *("matplotlib", "scipy", "cv2", "av", "pyarrow", "pandas"),
}
HELPS = [[], *([name] for name in COMMANDS), *(["build", layout] for layout in LAYOUTS)]


def start(*words, ends: bool = True) -> tuple[str, set[str]]:
    """What a command says, to its end or in its first line alone, and the heavy packages that it had imported by that
    line."""
    command = [sys.executable, "-u", "-X", "importtime", "-m", "modeling_clipcaer.commands.main", *words]
    imports, said = set(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            if found := re.fullmatch(r"import time: .*\| +([\w.]+)\n", line):
                imports |= set() if said else {found[1].partition(".")[0]}
            elif not line.startswith("import time:"):
                said.append(line.rstrip("\n"))
                if not ends:
                    process.kill()
                    break
    return "\n".join(said), imports & HEAVY


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_needs_nothing_heavy_and_fits_eighty_columns(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said, heavy = start(*words, "--help")
    assert said.startswith("usage: clipcaer") and not heavy
    assert max(map(len, said.splitlines())) <= 80


FIRST_LINES = [*DATA_COMMANDS, "pretrain-tiny-clip --output_dir tiny --num_clips 1 --steps 1 --num_workers 1"]


@pytest.mark.parametrize("line", FIRST_LINES, ids=lambda line: line.partition(" --")[0])
def test_a_data_command_says_something_before_anything_heavy_is_imported(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said, heavy = start(*line.split(), ends=False)
    assert said and not said.startswith("error:") and not heavy


def test_a_process_of_a_build_makes_rows_without_torch_and_datasets(tmp_path):
    for number in range(2):
        Image.new("RGB", (32, 24)).save(tmp_path / f"{number}.png")
    script = (
        "import sys\n"
        "from modeling_clipcaer.data.layouts.csv import Settings\n"
        "from modeling_clipcaer.data.rows import read_clip\n"
        "from modeling_clipcaer.data.source_clips import SourceClip\n"
        "clip = SourceClip(sys.argv[1], 'clip', 0, 'here', is_folder=True, face={'0.png': (1.0, 2.0, 9.0, 12.0)})\n"
        "print(read_clip(clip, Settings(csv=f'{sys.argv[1]}/clips.csv')).row['found_frames'])\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    frames, modules = done.stdout.splitlines()
    assert frames == "2" and not {"torch", "transformers", "datasets", "pyarrow"} & set(modules.split())
