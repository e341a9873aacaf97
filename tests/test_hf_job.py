"""The recipe of a job on the Hub's machines: its header, its flags, and that it runs the code of its wheel."""

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile

import pytest

from helpers.places import ROOT
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES


RECIPE = ROOT / "recipes" / "hf_job_train.py"
# As PEP 723 defines it.
BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@pytest.fixture(scope="module")
def header():
    """The table in the script's head."""
    (block,) = BLOCK.finditer(RECIPE.read_text())
    assert block["type"] == "script"
    return tomllib.loads("".join(line[2:] for line in block["content"].splitlines(keepends=True)))


def test_the_header_asks_for_what_the_package_needs(header):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = [line for line in setup["options"]["install_requires"].split("\n") if line and not line.startswith("#")]
    assert header["dependencies"] == needed
    assert header["requires-python"] == setup["options"]["python_requires"]


def test_the_hub_reads_the_header_and_has_such_a_machine(header):
    jobs = pytest.importorskip("huggingface_hub.cli._uv_script_header")
    from huggingface_hub import JobHardware

    asked = jobs.parse_uv_script_header(RECIPE.read_text())
    assert asked.secrets == ["HF_TOKEN"] and asked.timeout == header["tool"]["hf-jobs"]["timeout"]
    assert asked.flavor in {kind.value for kind in JobHardware}


def test_the_command_that_it_tells_is_one_of_training(tmp_path):
    text = RECIPE.read_text().partition('"""')[2].partition('"""')[0].replace("\\\\\n", " ")
    (command,) = re.findall(r"^ +hf jobs uv run (.*)$", text, re.MULTILINE)
    script, wheel, *words = shlex.split(command)
    assert (script, wheel) == ("recipes/hf_job_train.py", "dist/clipcaer-*.whl")
    words = [word for word in words if word != "--bf16"]  # which takes a GPU
    arguments = parse_arguments(ARGUMENT_TYPES, words, "")
    assert arguments[2].dataset == "ME/CLIPS" and arguments[5].push_to_hub and arguments[5].hub_model_id == "ME/NAME"


def test_it_starts_the_training_of_its_wheel_and_wants_one(tmp_path):
    stub = "def start(*names, words):\n    print(names, words)\n    return 3\n"
    with zipfile.ZipFile(tmp_path / "clipcaer-9-py3-none-any.whl", "w") as wheel:
        for name, text in (("__init__", ""), ("commands/__init__", ""), ("commands/main", stub)):
            wheel.writestr(f"modeling_clipcaer/{name}.py", text)

    def run(*words):
        return subprocess.run(
            [sys.executable, RECIPE, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run("clipcaer-9-py3-none-any.whl", "--config", "demo")
    assert (done.returncode, done.stdout) == (3, "('train',) ['--config', 'demo']\n")
    assert run("--config", "demo").stderr.startswith("error: expected a wheel of clipcaer first\n")
