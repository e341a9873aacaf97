"""The notebooks run from top to bottom, offline, and bring nothing along: no outputs, no place, no person."""

import json
import os
import re
import sys

import pytest

from helpers.places import ROOT
from modeling_clipcaer.common.notice import RESPONSIBLE_USE


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What a run in a test sets otherwise: few clips, seen once.
SMALL = "DRAWN, EPOCHS = 40, 1"


def read_cells(notebook):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [(cell, "".join(cell["source"])) for cell in content["cells"]]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_outputs_begins_with_the_notice_and_installs_first(notebook):
    cells = read_cells(notebook)
    codes = [(cell, source) for cell, source in cells if cell["cell_type"] == "code"]
    assert cells[0][0]["cell_type"] == "markdown" and RESPONSIBLE_USE in cells[0][1]
    assert [cell["outputs"] for cell, _ in codes] == [[]] * len(codes)
    assert {cell["execution_count"] for cell, _ in codes} == {None} and len(codes) <= 8
    assert "%pip install" in codes[0][1] and "%pip" not in "".join(source for _, source in codes[1:])
    # One address, to be changed in one place a notebook.
    assert len({source for path in NOTEBOOKS for _, source in read_cells(path) if "%pip" in source}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_drawn_data(notebook, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is in the extra `docs`")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the extra `docs`")
    pytest.importorskip("ipykernel", reason="ipykernel is in the extra `docs`")
    content = nbformat.read(notebook, as_version=4)
    (settings,) = (cell for cell in content.cells if "parameters" in cell.metadata.get("tags", ()))
    settings.source, count = re.subn(r"(?m)^DRAWN, EPOCHS = .*$", SMALL, settings.source)
    assert count == 1
    command = tmp_path / "bin" / "clipcaer"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m modeling_clipcaer.commands.main "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "work").mkdir()
    kernel = {"kernel_name": "python3", "timeout": 300, "resources": {"metadata": {"path": str(tmp_path / "work")}}}
    nbclient.NotebookClient(content, **kernel).execute()
    outputs = [output for cell in content.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.get("text", "") for output in outputs)
    # `!` goes on where a command fails.
    assert "error:" not in said and "Traceback" not in said, said
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/png" in kinds and ("Timeline of" in said or "text/markdown" in kinds)
    if shown := os.environ.get("CLIPCAER_NOTEBOOKS"):
        nbformat.write(content, os.path.join(shown, notebook.name))
