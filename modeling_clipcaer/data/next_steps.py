"""What follows a build: a labels file to edit where no preset has texts for the labels, and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.common.terminal import add_path
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.raer_labels import RAER_LABELS


if TYPE_CHECKING:
    from rich.text import Text


PRESETS = ("daisee", "engagenet", "cremad", "ravdess", "caer", "dfew", "ferv39k", "mafw")
LABELS_HEAD = """\
# What a camera can see of each label, to be edited: CLIP knows words for faces, postures and things better than names
# of feelings. Any number of sentences; `clipcaer train --labels-file` reads this file.
#   soft: what stands behind the learned context tokens; several texts make an ensemble
#   descriptive: fixed sentences whose embeddings are averaged
"""


def find_presets(labels: Sequence[str]) -> list[str]:
    """The presets whose texts are those of the labels; data sets may have the labels of another."""
    keys = set(map(identity_key, labels))
    if keys == set(map(identity_key, RAER_LABELS)):
        return ["raer_best"]
    return [name for name in PRESETS if set(map(identity_key, read_labels(name))) == keys]


def read_labels(preset: str) -> list[str]:
    """The labels of a preset's texts."""
    return list(read_label_entries(f"{preset}_labels"))


def write_labels_file(path: Path, labels: Sequence[str]) -> bool:
    """Write a labels file to begin with, unless there is one; whether it was written."""
    if path.exists():
        return False
    entries = {}
    for label in labels:
        words = label.replace("_", " ")
        sentences = [f"a face that looks {words}.", f"a student who looks {words} and how the body shows it."]
        entries[label] = {"soft": f"a student who looks {words}.", "descriptive": sentences}
    text = yaml.safe_dump({"labels": entries}, sort_keys=False, allow_unicode=True, width=119)
    with complete_file(path) as partial:
        partial.write_text(LABELS_HEAD + text, encoding="utf-8")
    return True


def find_labels_file(dataset: str) -> Path:
    """Where the labels file to edit of a dataset is."""
    return Path(f"{dataset.rstrip('/')}_labels.yaml")


def tell_next(output: str, labels: Sequence[str], like: str | None = None) -> list[str | Text]:
    """Lines that say what to do with a dataset that was built, the last one the command; writes its labels file where
    that is needed.

    Args:
        output: the dataset.
        labels: of it.
        like: a dataset that it goes on from, whose labels file is its own, too.
    """
    presets, lines = find_presets(labels), []
    words = ["clipcaer", "train", "--config", *presets, "--dataset", output]
    words += ["--output", f"outputs/{Path(output).absolute().name}"]
    if not presets:
        path = find_labels_file(output if like is None else like)
        what = "edit its sentences" if write_labels_file(path, labels) else "kept as it is"
        lines.append(f"labels and their texts: {path} ({what})")
    if len(presets) != 1:
        texts = f"{presets[0]}_labels" if presets else str(path) if like else None
        words = ["clipcaer", "new", output, *(["--labels-file", texts] if texts else [])]
    return [*lines, add_path("next", shlex.join(words))]  # as a path: whole, so that it can be copied
