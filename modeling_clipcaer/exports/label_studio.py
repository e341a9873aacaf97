"""Tasks for Label Studio, of all recordings, and the labelling configuration that their project needs."""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.look import describe_marks, milliseconds, xml_text
from modeling_clipcaer.exports.timeline_json import FinishedRecordings
from modeling_clipcaer.names import public_name
from modeling_clipcaer.recordings.addresses import file_path, is_address
from modeling_clipcaer.recordings.timeline import ROOM, Timeline, TimelineSegment


# Label Studio knows frames, not seconds: those of this rate, which its labelling configuration names, whatever the
# recording's own. Its times are then right to half a frame.
LABEL_STUDIO_FRAME_RATE = 25


def find_label_studio_root(sources: Iterable[str], wanted: str | None) -> Path:
    """The document root for Label Studio: the folder `wanted`, or the parent of the one that holds all of `sources`.

    Label Studio refuses a storage that is the document root itself, so that every recording lies in a folder below it.

    Raises:
        InputError: a recording does not.
    """
    files = [file_path(source) for source in sources if not is_address(source)]
    if wanted is None:
        return Path(os.path.commonpath([os.path.dirname(file) for file in files])).parent if files else Path("/")
    root = Path(file_path(wanted))
    for file in files:
        if root not in Path(file).parent.parents:
            raise InputError(f"--label-studio-root {wanted}: expected {file} in a folder below it")
    return root


def write_project(recordings: FinishedRecordings, tasks: Path, config: Path, label_studio_root: str | None) -> None:
    """Write what a project of Label Studio takes: the tasks of all recordings, and its labelling configuration."""
    root = find_label_studio_root(recordings.sources, label_studio_root)
    persons = write_label_studio(recordings, tasks, root)
    config.write_text(render_label_studio_config(persons, recordings.labels), encoding="utf-8")


def write_label_studio(timelines: Iterable[Timeline], path: Path, root: Path) -> list[str]:
    """Tasks with predictions for Label Studio, each person's under a control of the person's name.

    Args:
        timelines: of the recordings.
        path: the file to write.
        root: Label Studio's document root, as [`find_label_studio_root`] knows it.

    Returns:
        The room and everybody in a timeline: what the project's labelling configuration needs a control for.
    """
    persons = [ROOM]
    with path.open("w", encoding="utf-8") as file:
        separator = "["
        for timeline in timelines:
            persons += [person for person in timeline.persons if person not in persons]
            file.write(separator + "\n" + json.dumps(_make_task(timeline, root), ensure_ascii=False, indent=1))
            separator = ","
        file.write("\n]\n" if separator == "," else "[]\n")
    return persons


def _find_address(source: str, root: Path) -> str:
    """Where Label Studio finds a recording: a file in its local storage, by its path below the document root."""
    if is_address(source):
        return source
    return f"/data/local-files/?d={quote(Path(file_path(source)).relative_to(root).as_posix())}"


def _list_segments(timeline: Timeline) -> list[TimelineSegment]:
    """Each segment once: where one person alone is followed, the room's that are that person's are left out."""
    spans = {(segment.start, segment.end, segment.label) for segment in timeline.segments if segment.person != ROOM}
    alone = len(timeline.persons) == 1
    return [
        segment
        for segment in timeline.segments
        if not (alone and segment.person == ROOM and (segment.start, segment.end, segment.label) in spans)
    ]


def _make_task(timeline: Timeline, root: Path) -> dict[str, Any]:
    regions = enumerate(_list_segments(timeline))
    return {
        "data": {
            "video": _find_address(timeline.source, root),
            "source": timeline.source,
            "notice": RESPONSIBLE_USE,
            "scores": describe_marks(timeline.settings),
        },
        "predictions": [
            {
                "model_version": public_name(str(timeline.settings["model"])),
                "result": [_make_region(number, segment) for number, segment in regions],
            }
        ],
    }


def _name_label(person: str, label: str) -> str:
    """Whose label it is, too: Label Studio lists the regions of everybody together, by their labels alone. As XML
    can hold it, since the labelling configuration and the regions must agree."""
    return xml_text(f"{person}: {label}")


def _make_region(number: int, segment: TimelineSegment) -> dict[str, Any]:
    start, end = (milliseconds(seconds) * LABEL_STUDIO_FRAME_RATE / 1000 for seconds in (segment.start, segment.end))
    first = math.floor(start) + 1  # its frames are counted from 1, and a range holds its last one
    return {
        "id": f"segment-{number}",
        "from_name": xml_text(segment.person),
        "to_name": "video",
        "type": "timelinelabels",
        "origin": "prediction",
        "score": segment.score,
        "value": {
            "ranges": [{"start": first, "end": max(first, math.floor(end))}],
            "timelinelabels": [_name_label(segment.person, segment.label)],
        },
        "meta": {"text": [f"{segment.person}, {segment.start:.3f} s to {segment.end:.3f} s"]},
    }


def render_label_studio_config(persons: Iterable[str], labels: Iterable[str]) -> str:
    """The labelling configuration of a Label Studio project: the player, and a row of `labels` for each person."""
    root = ElementTree.Element("View")
    rate = {"frameRate": str(LABEL_STUDIO_FRAME_RATE), "timelineHeight": "160"}
    ElementTree.SubElement(root, "Video", {"name": "video", "value": "$video", **rate})
    ElementTree.SubElement(root, "Text", {"name": "notice", "value": "$notice"})
    for person in persons:
        ElementTree.SubElement(root, "Header", {"value": xml_text(person)})
        row = ElementTree.SubElement(root, "TimelineLabels", {"name": xml_text(person), "toName": "video"})
        for label in labels:
            ElementTree.SubElement(row, "Label", {"value": _name_label(person, label)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
