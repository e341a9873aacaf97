"""Small real things that many tests need."""

import os
import sys
from pathlib import Path

import pytest


# Keep: before torch is imported, here and in the processes that tests start. Threads that share tiny tensors wait for
# each other: the tests of resumed runs took 15 s of processor time with one thread and 101 s with two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Keep: the Hub is never asked. A test that needs the network would otherwise wait for it instead of failing.
os.environ["HF_HUB_OFFLINE"] = "1"
# Nor are the makers of ONNX Runtime told of sessions.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import hypothesis
import torch


sys.path.insert(0, str(Path(__file__).parent))

from helpers.places import TINY_CLIP


# The same examples in every run. `--hypothesis-profile thorough` draws new ones, a hundred times as many.
hypothesis.settings.register_profile("default", derandomize=True, max_examples=20, deadline=None, database=None)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


def pytest_collection_modifyitems(config, items):
    """Leave what takes long to those who ask for it by `-m reliability`."""
    if "reliability" not in config.getoption("markexpr"):
        asked_for = [item for item in items if item.get_closest_marker("reliability") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in asked_for])
        items[:] = asked_for


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_clip() -> str:
    """Folder of the CLIP checkpoint that was trained on drawings."""
    return str(TINY_CLIP)


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """A small dataset of drawn frames and the CLIP checkpoint to train on it."""
    from helpers.small_material import make_material

    return make_material(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a small run of training, of which there is one a session."""
    from helpers.small_run import train_small

    return train_small(tmp_path_factory.getbasetemp())


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a builder and give its exit status, what it printed and what it complained of."""
    from modeling_clipcaer.common.terminal import run_command

    def run(builder, *words):
        monkeypatch.setattr(sys, "argv", ["build.py", *map(str, words)])
        status = run_command(builder.main)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
