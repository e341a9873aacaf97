"""Data set of FiftyOne, of all recordings."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.look import by_person, describe_marks, milliseconds
from modeling_clipcaer.exports.timeline_json import FinishedRecordings
from modeling_clipcaer.recordings.addresses import file_path, is_address
from modeling_clipcaer.recordings.timeline import ROOM, SCHEMA_VERSION, Timeline, TimelineSegment


def write_data_set(recordings: FinishedRecordings, folder: Path) -> None:
    """Write the segments of all recordings."""
    write_fiftyone(recordings, folder, recordings.labels)


def write_fiftyone(timelines: Iterable[Timeline], folder: Path, labels: list[str]) -> None:
    """A folder of the type `FiftyOneTemporalDetectionDataset`.

    `data.json` says where the videos are, `labels.json` holds the room's segments, and `labels_<person>.json` those of
    the persons of that name: temporal detections of different people may overlap, so each is a field of its own.
    """
    videos: dict[str, str] = {}
    detections: dict[str, dict[str, list[dict[str, Any]]]] = {ROOM: {}}
    marks = ""
    # Keep: numbers for names. FiftyOne cuts a key at its last dot.
    for number, timeline in enumerate(timelines, start=1):
        name = f"recording-{number}"
        videos[name] = timeline.source if is_address(timeline.source) else file_path(timeline.source)
        marks = describe_marks(timeline.settings)
        for person, segments in by_person(timeline).items():
            detections.setdefault(person, {})[name] = list(_list_detections(segments, labels))
    folder.mkdir()
    write_json(videos, folder / "data.json", indent=1)
    info = {"notice": RESPONSIBLE_USE, "scores": marks, "schema_version": SCHEMA_VERSION}
    for person, entries in detections.items():
        content = {"info": {**info, "person": person}, "classes": labels, "labels": entries}
        name = re.sub(r"[^\w.-]", "_", person)
        write_json(content, folder / ("labels.json" if person == ROOM else f"labels_{name}.json"), indent=1)


def _list_detections(segments: list[TimelineSegment], labels: list[str]) -> Iterator[dict[str, Any]]:
    for segment in segments:
        times = [milliseconds(seconds) / 1000 for seconds in (segment.start, segment.end)]
        # Keep: the place in "classes", which is what a label is where those are listed.
        yield {"label": labels.index(segment.label), "timestamps": times, "confidence": segment.score}
