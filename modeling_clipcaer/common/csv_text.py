"""Cells of CSV files that no spreadsheet takes for a formula."""

from collections.abc import Iterable
from typing import Any


# What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection), in its wide forms too.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(value: Any) -> Any:
    """`value`, behind an apostrophe where it is a text that a spreadsheet would run as a formula. Numbers stay."""
    # Keep: behind one more apostrophe where it has some already, so that no two texts become one.
    is_formula = isinstance(value, str) and value.lstrip("'").startswith(FORMULA_STARTS)
    return f"'{value}" if is_formula else value


def safe_row(values: Iterable[Any]) -> list[Any]:
    """A row for `csv.writer` of which no cell is a formula."""
    return [safe_cell(value) for value in values]
