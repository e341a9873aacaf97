"""Examples run, public names are documented, and types hold."""

import doctest
import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import modeling_clipcaer
from helpers.places import ROOT


MODULES = [
    import_module(module.name) for module in pkgutil.walk_packages(modeling_clipcaer.__path__, "modeling_clipcaer.")
]


def public_members(module):
    """Public functions and classes that `module` defines, and the methods that its classes do."""
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member) or inspect.isclass(member):
            yield name, member
        if inspect.isclass(member):
            for method_name, method in vars(member).items():
                if not method_name.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                    yield f"{name}.{method_name}", method


def test_examples_in_docstrings_run():
    results = [doctest.testmod(module) for module in MODULES]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) >= 5


# A command is its module's docstring, and nothing else is called from elsewhere.
LIBRARY = [module for module in MODULES if not module.__name__.startswith("modeling_clipcaer.commands.")]


@pytest.mark.parametrize("module", LIBRARY, ids=lambda module: module.__name__.split(".")[-1])
def test_every_public_name_is_documented(module):
    bare = [name for name, member in public_members(module) if not inspect.getdoc(member)]
    assert bare == []


@pytest.mark.slow
def test_types_hold():
    pytest.importorskip("mypy", reason="mypy is in the extra `test`")
    # Keep: a process of its own. What mypy leaves in memory makes every collection of garbage in later tests slow.
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", ROOT / "modeling_clipcaer"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
