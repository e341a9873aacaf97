"""Tables of clips with a header, from CSV files or from whatever else gives lines of cells."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_text


def read_csv(path: Path, delimiters: str = ",") -> list[tuple[str, list[str]]]:
    """Lines of a CSV file with their place, without blank ones; cells without the spaces around them. Of several
    delimiters it has the one that is commonest in its first line."""
    text = read_text(path)
    delimiter = max(delimiters, key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        rows = [(f"{path}:{lines.line_num}", [cell.strip() for cell in cells]) for cells in lines]
    except csv.Error as error:
        raise InputError(f"{path}:{lines.line_num}: is no CSV ({error}); save it as CSV once more") from error
    return [(place, cells) for place, cells in rows if any(cells)]


def read_table(
    rows: Sequence[tuple[str, list[str]]],
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] | None = None,
    hint: str = "",
) -> list[tuple[str, dict[str, str]]]:
    """Lines as mappings from the header's names, with their places.

    Args:
        rows: the header and the lines.
        path: of the table, for messages.
        required: columns that must be there.
        optional: the only others that may be there; `None` allows any.
        hint: what to do about others.

    Raises:
        InputError: a column is missing, unknown or there twice; a line has more or fewer cells; there are no lines.
    """
    header = rows[0][1] if rows else []
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(f"{path}: has no column `{missing[0]}`; its first line is {', '.join(header) or 'empty'}")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise InputError(f"{path}: has the column `{twice[0]}` twice; expected it once")
    known = header if optional is None else [*required, *optional]
    unknown = [name for name in header if name not in known]
    if unknown:
        raise InputError(f"{path}: unknown column `{unknown[0]}`; expected some of {', '.join(known)} ({hint})")
    for place, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{place}: expected {len(header)} fields as in the header, found {len(cells)}")
    if len(rows) < 2:
        raise InputError(f"{path}: expected lines under its header, found none")
    return [(place, dict(zip(header, cells, strict=True))) for place, cells in rows[1:]]


def parse_count(text: str, where: str) -> int:
    """A count from a cell, 0 where it is empty; `where` is for the message.

    Raises:
        InputError: the cell holds something else.
    """
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{where} is '{text}'; expected a whole number from 0 up")
    return int(text or 0)
