"""A layout is one file and one row, and answers before anything heavy is imported."""

import ast
import os
import re
import subprocess
import sys

from helpers.builders import builder
from helpers.miniatures import write_clip
from helpers.places import ROOT
from modeling_clipcaer.data import layouts
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.data.loading import load_clips


HEAVY = {"torch", "datasets", "transformers", "peft", "matplotlib", "cv2", "pandas", "pyarrow"}


def read_shown_diff():
    """What docs/howto/layout.md shows to add a layout: by file, the lines that are added and those that stay."""
    page = (ROOT / "docs" / "howto" / "layout.md").read_text(encoding="utf-8")
    (diff,) = re.findall(r"```diff\n(.*?)```", page, re.S)
    files = {}
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            added, kept = files.setdefault(line.removeprefix("+++ b/"), ([], []))
        elif not line.startswith("--- "):
            (added if line.startswith("+") else kept).append(line[1:])
    return files


def test_the_layout_that_the_documentation_adds_is_two_places_and_builds(tmp_path, monkeypatch, run):
    (table, (rows, kept)), (file, (code, other)) = read_shown_diff().items()
    assert len(rows) == 1 and "\n".join(kept) in (ROOT / table).read_text() and not other
    ((name, module),) = ast.literal_eval(f"{{{rows[0]}}}").items()
    assert file == f"{os.path.dirname(table)}/{module}.py" and not (ROOT / file).exists()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{module}.py").write_text("\n".join(code))
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path / "code")])
    monkeypatch.setitem(LAYOUTS, name, module)
    (tmp_path / "videos").mkdir()
    for person in ("ann", "bo", "cy", "dee", "eve"):
        for label in ("calm", "tired"):
            write_clip(tmp_path / "videos" / f"{person}_{label}_1.mp4")
    words = ["--root", tmp_path / "videos", "--output", tmp_path / "out", "--test-share", "0.2", "--val-share", "0.25"]
    status, printed, error = run(builder(name), *words)
    assert status == 0, error
    clips = load_clips(tmp_path / "out")
    assert {split: len(rows) for split, rows in clips.items()} == {"train": 6, "validation": 2, "test": 2}
    assert clips["test"].features["label"].names == ["calm", "tired"] and "persons: the table's" in printed
    del sys.modules[f"{layouts.__name__}.{module}"]


def test_every_module_of_the_folder_is_in_the_table():
    files = {path.stem for path in (ROOT / "modeling_clipcaer/data/layouts").glob("*.py")}
    assert files - {"__init__", "raer_builder"} == set(LAYOUTS.values())


def test_the_first_line_comes_before_anything_heavy(tmp_path):
    code = (
        "import sys\nfrom modeling_clipcaer.commands import build\n"
        "class Told:\n"
        "    def write(self, text): raise SystemExit(text + str(sorted("
        f"{HEAVY} & set(sys.modules))))\n"
        "    def flush(self): pass\n"
        "sys.stdout = Told()\nbuild.main()"
    )
    words = ["raer", "--root", str(tmp_path), "--output", str(tmp_path / "out")]
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stderr == f"building {tmp_path / 'out'} from data in the layout raer\n[]\n"
