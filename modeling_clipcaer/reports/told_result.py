"""The result of an evaluation in a few lines of text: the headline with its place, and the confusion matrix."""

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from modeling_clipcaer.common.terminal import add_path
from modeling_clipcaer.names import printable
from modeling_clipcaer.reports.evaluation import tell_result
from modeling_clipcaer.reports.page import order_epochs


WIDEST = 80  # columns of the whole, of a label's name in a row, and at least of one over a column
LONGEST_NAME, NARROWEST = 20, 4
RECALL = 8


def list_result(report: dict[str, Any], place: str, notes: Iterable[str] = (), title: str = "") -> list[Text]:
    """Lines on a report that lies in the folder `place`: the headline, which begins with `title`, the confusion
    matrix, and `notes`."""
    headline = Text(f"{title} {tell_result(report)}".strip(), "result")
    return [add_path(headline, f"{place}/report.md"), Text(), *draw_matrix(report), Text(), *map(Text, notes)]


def tell_epoch(report: dict[str, Any]) -> str:
    """Of which epoch a training's result is, and what the other one that was tested has."""
    names = {"last_epoch": "the last one", "selected": "the best on the validation split"}
    result, other = order_epochs(report)
    told, found = f"The result is that of epoch {report[result]['epoch']:g}, {names[result]}", report[other]
    if found["epoch"] == report[result]["epoch"]:
        return f"{told}."
    return f"{told}; that of epoch {found['epoch']:g}, {names[other]}, has UAR {found['uar']:.1f} %."


def draw_matrix(report: dict[str, Any]) -> list[Text]:
    """Clips by true label, in rows, and by predicted label, in columns, with the recall of each label; nothing where
    there are too many labels for a line."""
    names = [printable(label) for label in report["labels"]]
    counts = report["confusion_matrix"]
    left = min(max(map(len, names)), LONGEST_NAME)
    longest, digits = max(map(len, names)), max(len(str(count)) for row in counts for count in row)
    room = (WIDEST - left - RECALL) // len(names) - 1
    if room < max(digits, min(longest, NARROWEST)):
        return []
    width = max(digits, min(longest, room))
    lines = [
        Text(f"{'true':{left}}  predicted as"),
        Text(f"{'':{left}}{''.join(f' {_cut(name, width):>{width}}' for name in names)}{'recall':>{RECALL}}"),
    ]
    for place, (name, row) in enumerate(zip(names, counts, strict=True)):
        line = Text(f"{_cut(name, left):{left}}")
        for other, count in enumerate(row):
            line.append(" ").append(f"{count:>{width}}", "result" if other == place else "")
        recall = f"{100 * row[place] / sum(row):.1f} %" if sum(row) else "–"
        lines.append(line.append(f"{recall:>{RECALL}}"))
    return lines


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"
