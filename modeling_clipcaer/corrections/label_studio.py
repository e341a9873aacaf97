"""Exports of Label Studio, JSON or JSON-MIN: tasks, whose annotations are somebody's regions for each person."""

from collections.abc import Iterator, Mapping
from typing import Any

from modeling_clipcaer.corrections.readers import Corrected
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.label_studio import LABEL_STUDIO_FRAME_RATE
from modeling_clipcaer.json_files import describe_json, read_json


LABELS = "timelinelabels"


def read_label_studio(path: str) -> list[Corrected]:
    """The regions of every task that somebody submitted. Tasks that nobody looked at have none.

    Raises:
        InputError: it is no export of a project with our labelling configuration; a task has two annotations, or a
            region no label or no time.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{path}: expected an export of Label Studio, a list of tasks, found {describe_json(tasks)}")
    found = [region for task in tasks for region in read_task(task, f"{path}: task {task.get('id')}")]
    if not found:
        raise InputError(f"{path}: none of {len(tasks)} tasks has an annotation; submit them in Label Studio first")
    return found


def read_task(task: Mapping[str, Any], place: str) -> Iterator[Corrected]:
    """The regions of a task, of either form."""
    data = task.get("data", task)
    source = data.get("source") if isinstance(data, dict) else None
    if not isinstance(source, str):
        raise InputError(f"{place}: names no `source`; expected a task that `clipcaer predict` wrote")
    for person, value in list_regions(task, place):
        labels, ranges = value.get(LABELS), value.get("ranges")
        if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
            raise InputError(f"{place}, {person}: a region has the labels {describe_json(labels)}; expected one")
        if not isinstance(ranges, list) or not ranges:
            raise InputError(f"{place}, {person}: a region has no `ranges`; expected its frames")
        for span in ranges:
            # Frames are counted from 1, and the range holds its last one.
            first, last = (span.get(name) if isinstance(span, dict) else None for name in ("start", "end"))
            if not (isinstance(first, int | float) and isinstance(last, int | float)):
                raise InputError(f"{place}, {person}: a region has the range {describe_json(span)}; expected frames")
            where = f"{place}, {person}, frames {first} to {last}"
            start, end = (first - 1) / LABEL_STUDIO_FRAME_RATE, last / LABEL_STUDIO_FRAME_RATE
            yield Corrected(source, person, start, end, labels[0].removeprefix(f"{person}: "), where)


def list_regions(task: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The control and the value of each region of labels; regions of other controls are passed over."""
    if "annotations" not in task:  # JSON-MIN: the regions by their control
        for name, values in task.items():
            if isinstance(values, list):
                yield from ((name, value) for value in values if isinstance(value, dict) and "ranges" in value)
        return
    annotations = task["annotations"] if isinstance(task["annotations"], list) else []
    given = [entry for entry in annotations if isinstance(entry, dict) and not entry.get("was_cancelled")]
    if len(given) > 1:
        raise InputError(f"{place}: has {len(given)} annotations; expected one, remove the others in Label Studio")
    for region in given[0].get("result") or () if given else ():
        if isinstance(region, dict) and region.get("type") == LABELS and isinstance(region.get("value"), dict):
            yield str(region.get("from_name")), region["value"]
