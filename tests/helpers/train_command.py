"""Runs of the training command in processes of their own, and what they leave."""

import json
import os
import subprocess
import sys

import torch
from safetensors.torch import load_file

from helpers.places import ROOT


QUICK = ("--dataloader_num_workers", 0, "--disable_tqdm", "true", "--lr_image_encoder", "1e-3")
LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml", "--num_processes", 2)


def history(folder):
    """The log of the latest checkpoint."""
    latest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return json.loads((latest / "trainer_state.json").read_text())["log_history"]


def assert_same_weights(left, right):
    """Two folders hold the same model to the last bit."""
    left, right = (load_file(folder / "model.safetensors") for folder in (left, right))
    assert left.keys() == right.keys()
    assert not [name for name in left if not torch.equal(left[name], right[name])]


def start(*words):
    """A process of Python with these words behind it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process, status=0):
    """What a process printed, once it has ended as it should."""
    output = process.communicate()[0].decode()
    assert process.returncode == status, output[-3000:]
    return output
