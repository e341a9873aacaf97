"""Tables of segments, as a spreadsheet saves `segments.csv`: with commas, semicolons or tabs, 1.5 or 1,5."""

import math
from pathlib import Path

from modeling_clipcaer.corrections.readers import Corrected
from modeling_clipcaer.data.tables import read_csv, read_table
from modeling_clipcaer.errors import InputError


NEEDED = ("source", "person", "start", "end", "label")


def read_segments(path: str) -> list[Corrected]:
    """The lines of a table, of which the columns of `NEEDED` are read.

    Raises:
        InputError: a column is missing, a cell of them empty, or a time none.
    """
    rows = read_csv(Path(path), delimiters=",;\t")
    if rows and "window" in rows[0][1]:
        raise InputError(f"{path}: is a table of windows, which overlap; expected one of segments, segments.csv")
    found = []
    for place, line in read_table(rows, Path(path), NEEDED):
        for field in NEEDED:
            if not line[field]:
                raise InputError(f"{place}: field `{field}` is empty; expected a value")
        start, end = (read_seconds(line[field], f"{place}: field `{field}`") for field in ("start", "end"))
        found.append(Corrected(line["source"], line["person"], start, end, line["label"], place))
    return found


def read_seconds(text: str, where: str) -> float:
    """Seconds from a cell, with a point or, as in many languages, a comma."""
    try:
        seconds = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{where} is '{text}'; expected seconds like 12.5")
    return seconds
