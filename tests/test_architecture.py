"""The house: arrows point one way, what travels is flat, and what is said of the tree is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT


PACKAGE = ROOT / "modeling_clipcaer"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({path.parent for path in FILES} - {PACKAGE})


def name_files(paths) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in paths}


def find_by_hand(pattern: str) -> set[str]:
    """Files of the package in which a pattern occurs."""
    return name_files(path for path in FILES if re.search(pattern, path.read_text(encoding="utf-8")))


def test_imports_keep_their_contracts():
    # Keep: a process of its own; import-linter silences the loggers of this one.
    script = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_what_travels_imports_its_neighbours_alone_one_dot_deep(path):
    """The Hub's loader follows these imports and no others."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and path.stem != "__init__":
            is_neighbour = node.level == 1 and (PACKAGE / f"{node.module}.py").is_file()
            is_stranger = node.level == 0 and not node.module.startswith("modeling_clipcaer")
            assert is_neighbour or is_stranger, f"{path.name}:{node.lineno}"


def test_json_and_yaml_are_read_by_one_reader_each():
    """What a user may have torn, nested or spoilt is told in one line; a reader by hand ends in a traceback."""
    found = find_by_hand(r"json\.loads?\(|yaml\.(safe_|full_)?(load|compose|parse)|JSONDecoder")
    assert found <= {
        *("json_files.py", "common/yaml_files.py"),
        # What the program has written itself a moment before.
        *("synthetic/tiny_clip.py", "training/resumable_trainer.py", "data/detection/files.py"),
    }


def test_files_are_written_by_one_writer():
    """Temporary names, renames and locks of files stand in one place; a second one would forget what it knows."""
    found = find_by_hand(r"os\.replace|os\.rename|mkstemp|mkdtemp|NamedTemporaryFile|fcntl|fsync")
    assert found <= {"common/files.py", "common/locks.py"}


def test_commands_alone_read_the_command_line():
    found = find_by_hand(r"sys\.argv|\.parse_args\(|\bparse_arguments\(")
    # The flags of an experiment's runs stand in its recipe, or behind its own.
    of_runs = {"experiments/ablations.py", "experiments/runs.py"}
    assert {name for name in found if not name.startswith("commands/")} <= {"common/flags.py"} | of_runs


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_comes_in_what_goes_out_and_where_to_start(room):
    lines = (ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or "").splitlines()
    title, _, passage, start = lines
    assert title.endswith(".") and re.search(r"comes? in.* go(es)? out", passage)
    (named,) = re.findall(r"^Start with `(\w+\.py)`", start)
    assert (room / named).is_file()


def read_tree() -> dict[str, str]:
    """The tree of the README: a path a line, and what is said of it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(modeling_clipcaer/ .*?)```", text, flags=re.DOTALL)
    tree, folder = {}, ""
    for line in block.splitlines():
        name, _, said = line.strip().partition(" ")
        folder = name if not line.startswith(" ") else folder
        tree[name if folder == name else folder + name] = said.strip()
    return tree


def test_the_readmes_tree_is_the_tree():
    tree = read_tree()
    assert all((ROOT / path).exists() and said for path, said in tree.items())
    rooms = {f"modeling_clipcaer/{room.name}/" for room in ROOMS if room.parent == PACKAGE}
    assert rooms == {path for path in tree if path.startswith("modeling_clipcaer/") and path.count("/") == 2}
    assert {f"{name}/" for name in ("recipes", "data_scripts", "tests", "benchmarks", "docs")} <= {*tree}


@pytest.mark.parametrize("folder", ["recipes", "data_scripts"])
def test_scripts_start_the_command_of_their_name_and_do_nothing_else(folder):
    for path in (ROOT / folder).glob("*.py"):
        if path.read_text(encoding="utf-8").startswith("# /// script\n"):  # which runs where nothing is installed
            continue
        (command,) = re.findall(r'^"""The same as `clipcaer ([\w -]+)`\."""\n', path.read_text(encoding="utf-8"))
        assert path.read_text(encoding="utf-8").endswith(
            f"    raise SystemExit(start({', '.join(f'{chr(34)}{word}{chr(34)}' for word in command.split())}))\n"
        )


def test_tests_lie_in_the_rooms_of_what_they_test():
    rooms = {room.relative_to(PACKAGE).as_posix() for room in ROOMS}
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders - {".", "conformance"} <= rooms
    assert not any(path.name.startswith("test_") for path in Path(ROOT / "tests" / "helpers").iterdir())
    # What several files share lies in helpers.
    assert not [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"(?m)^\s*(from|import) test_", path.read_text())
    ]
