"""The table of formats: every row can be written, and the flags, the docs and the reserved names follow from it."""

import re
import subprocess
import sys

from helpers.places import ROOT
from modeling_clipcaer.exports.formats import DEFAULT_NAMES, FORMATS, JOINED_FILES, NAMES, find_function
from modeling_clipcaer.prediction.arguments import PredictionArguments


def test_every_row_writes_something_by_functions_that_are_there():
    for row in FORMATS:
        assert row.files and (row.write or row.join)
        assert all(callable(find_function(name)) for name in (row.write, row.join) if name)


def test_options_and_switches_are_flags_of_predict():
    args = PredictionArguments(["a.mp4"], "model")
    for row in FORMATS:
        assert not row.has_flag or getattr(args, row.name) is False
    assert not {"label_studio_root", "show_faces"} - vars(args).keys()


def test_the_docs_name_the_formats_and_their_files():
    text = (ROOT / "docs" / "reference" / "timeline_files.md").read_text(encoding="utf-8")
    words, first = re.search(r"of `([\w ]+)`; the first (\w+) are written by default", text).groups()
    assert tuple(words.split()) == NAMES
    assert NAMES[: ("one", "two", "three", "four", "five").index(first) + 1] == DEFAULT_NAMES
    for name in {name for row in FORMATS for name in row.files}:
        stem, dot, suffix = name.partition(".")
        assert re.search(rf"^ *{stem}(?:\.\w+ )*.*{re.escape(dot + suffix)}", text, re.M), name


def test_no_two_rows_write_the_same_file():
    for kind in ("write", "join"):
        files = [name for row in FORMATS if getattr(row, kind) for name in row.files]
        assert len(files) == len(set(files))
    assert set(JOINED_FILES) >= {"timeline.csv", "segments.parquet", "label_studio.xml", "fiftyone", "report.html"}


def test_the_table_is_read_without_what_its_formats_need():
    script = "import sys, modeling_clipcaer.exports.formats; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "numpy", "cv2", "av", "pyarrow", "jinja2", "matplotlib"} & set(loaded)
