"""Lines `<path> <num_frames> <label>` of annotation lists, whose labels are numbers. Standard library only."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_text


NUMBER = re.compile(r"\d{1,9}")  # of more digits it is none, and no column holds it


class AnnotationLine(NamedTuple):
    """A line: its `file:line`, the path as it is spelled, the list's own frame count, the label's number from 0."""

    place: str
    path: str
    listed_frames: int
    label: int


def read_lines(file: Path, labels: Sequence[str], first_label: int, path_name: str = "path") -> list[AnnotationLine]:
    """The lines of a list, in its order; blank lines are passed over.

    Args:
        labels: names of the labels `first_label`, `first_label + 1`, ... of the list.
        path_name: what the list calls its paths, for messages.

    Raises:
        InputError: a line is none, or there is none.
    """
    form = f"'<{path_name}> <num_frames> <label>'"
    lines = []
    # Keep: str.splitlines would also break lines at form feeds and other characters that a name may hold.
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        place, fields = f"{file}:{number}", line.strip().rsplit(maxsplit=2)  # from the right: paths may hold spaces
        if not fields:
            continue
        if len(fields) < 3 or not all(map(NUMBER.fullmatch, fields[1:])):
            raise InputError(f"{place}: expected {form}, found '{line.strip()}'")
        label = int(fields[2]) - first_label
        if not 0 <= label < len(labels):
            expected = explain_labels(label, labels, first_label)
            raise InputError(f"{place}: unknown label {fields[2]}, expected one of: {expected}")
        lines.append(AnnotationLine(place, fields[0], int(fields[1]), label))
    if not lines:
        raise InputError(f"{file}: expected lines {form}, found none")
    return lines


def explain_labels(label: int, labels: Sequence[str], first_label: int) -> str:
    """The numbers that labels may have, and the flag that makes `label`, just outside them, one of them."""
    names = ", ".join(f"{number} {name}" for number, name in enumerate(labels, start=first_label))
    if (first_label, label) not in ((1, -1), (0, len(labels))):
        return names
    return f"{names}; a list whose labels begin with {1 - first_label} needs --first-label {1 - first_label}"
