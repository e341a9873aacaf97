"""The table of files that corrections come in, by suffix, and what each of them says."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from modeling_clipcaer.errors import InputError


@dataclass(frozen=True)
class Corrected:
    """A segment as somebody left it.

    Attributes:
        source: the recording, as the file names it.
        person: who, as the file names them.
        start, end: seconds.
        label: what is to be seen.
        place: where the file says so, for messages.
    """

    source: str
    person: str
    start: float
    end: float
    label: str
    place: str


# A new one is a function of this folder that takes a path, and a row here.
READERS = {".eaf": "elan.read_elan", ".json": "label_studio.read_label_studio", ".csv": "tables.read_segments"}


def read_corrections(path: str) -> list[Corrected]:
    """The segments in a corrected file.

    Raises:
        InputError: it is of another kind, or not as its program writes it.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in READERS:
        raise InputError(
            f"{path}: expected ELAN's .eaf, Label Studio's export as .json, or a table of segments as .csv"
        )
    module, function = READERS[suffix].split(".")
    read: Callable[[str], list[Corrected]] = getattr(import_module(f"{__package__}.{module}"), function)
    return read(path)
