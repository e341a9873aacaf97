"""Leaves this folder alone, and with it the network, unless `-m conformance` asks for it."""

import os


# Keep: read when transformers.testing_utils is imported. `slow` is the suite's word for anything that compiles.
os.environ.setdefault("RUN_SLOW", "1")


def pytest_ignore_collect(collection_path, config):
    markers = config.getoption("markexpr")
    asked_for = "conformance" in markers and "not conformance" not in markers
    return None if asked_for or collection_path.name == "conftest.py" else True
