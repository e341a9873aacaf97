"""Segments as files of other programs: WebVTT for players, and imports for ELAN, Label Studio and FiftyOne.

docs/timeline.md says how each is opened. None but WebVTT and ELAN shows more than they have room for: every exact
figure is in the tables of recipes/timeline_files.py.
"""

import html
import itertools
import json
import math
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.tables import milliseconds
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.recordings.addresses import file_path, is_address, media_address
from modeling_clipcaer.recordings.timeline import ROOM, SCHEMA_VERSION, Timeline, TimelineSegment


# Label Studio knows frames, not seconds: those of this rate, which its labelling configuration names, whatever the
# recording's own. Its times are then right to half a frame.
LABEL_STUDIO_FRAME_RATE = 25
XML_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
# Characters that no XML 1.0 document can hold, or gives back as others, and marks that turn the direction of a text.
NOT_XML = re.compile("[^\t\n\u0020-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def describe_marks(settings: dict[str, Any]) -> str:
    """What a reader must know of the scores, in words."""
    kind = "zero-shot: a plain CLIP model that was not trained for this" if settings["zero_shot"] else "trained model"
    return f"{kind}; {'calibrated' if settings['calibrated'] else 'uncalibrated'} scores"


def by_person(timeline: Timeline) -> dict[str, list[TimelineSegment]]:
    """The room's segments, then everybody's, by name in order of appearance."""
    return {
        person: [segment for segment in timeline.segments if segment.person == person]
        for person in (ROOM, *timeline.persons)
    }


def write_vtt(timeline: Timeline, path: Path) -> None:
    """One WebVTT track for everybody: a cue for each segment, in order of time, spoken by its person."""
    notes = [RESPONSIBLE_USE, describe_marks(timeline.settings), f"recording: {timeline.source}"]
    blocks = ["WEBVTT", *(f"NOTE {_vtt_text(note)}" for note in notes)]
    for segment in sorted(timeline.segments, key=lambda segment: (segment.start, segment.person != ROOM)):
        times = f"{_vtt_time(segment.start)} --> {_vtt_time(segment.end)}"
        label, person = _vtt_text(segment.label), _vtt_text(segment.person)
        blocks.append(f"{times}\n<v {person}>{person}: {label} {segment.score:.0%}")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _vtt_time(seconds: float) -> str:
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _vtt_text(text: str) -> str:
    """On one line, and with nothing that a player would take for markup or for the arrow between two times."""
    return html.escape(printable(" ".join(text.split())), quote=False)


def _xml_text(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)


def write_elan(timeline: Timeline, path: Path) -> None:
    """An ELAN document in the format EAF 3.0: a tier for the room and for each person, a label for each segment."""
    ElementTree.register_namespace("xsi", XML_SCHEMA)
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "ClipCaer",
            # Keep: not today. A run that was killed and taken up again must end with the same files.
            "DATE": "1970-01-01T00:00:00Z",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{XML_SCHEMA}}}noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    _add_elan_header(root, timeline, path)
    tiers, numbers = by_person(timeline), itertools.count(1)
    slots = _add_time_slots(root, list(itertools.chain(*tiers.values())))
    for person, segments in tiers.items():
        name = _xml_text(person)
        names = {"LINGUISTIC_TYPE_REF": "label", "PARTICIPANT": name, "TIER_ID": name}
        tier = ElementTree.SubElement(root, "TIER", names)
        for segment in segments:
            ends = {"TIME_SLOT_REF1": slots[segment, "start"], "TIME_SLOT_REF2": slots[segment, "end"]}
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{next(numbers)}", **ends},
            )
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = _xml_text(segment.label)
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "label", "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n")


def _add_time_slots(
    root: ElementTree.Element, segments: list[TimelineSegment]
) -> dict[tuple[TimelineSegment, str], str]:
    """Two slots for each segment, in order of time, and their names by segment and end."""
    order = ElementTree.SubElement(root, "TIME_ORDER")
    ends = [(segment, end) for segment in segments for end in ("start", "end")]
    ends.sort(key=lambda pair: milliseconds(getattr(*pair)))
    slots = {pair: f"ts{place}" for place, pair in enumerate(ends, start=1)}
    for pair, slot in slots.items():
        times = {"TIME_SLOT_ID": slot, "TIME_VALUE": str(milliseconds(getattr(*pair)))}
        ElementTree.SubElement(order, "TIME_SLOT", times)
    return slots


def _add_elan_header(root: ElementTree.Element, timeline: Timeline, path: Path) -> None:
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    source = _xml_text(timeline.source)
    if not Path(timeline.source).is_dir():  # ELAN plays no folder of pictures
        media = {
            "MEDIA_URL": media_address(timeline.source),
            "MIME_TYPE": mimetypes.guess_type(source)[0] or "video/*",
        }
        if not is_address(source):
            relative = Path(os.path.relpath(file_path(timeline.source), path.parent)).as_posix()
            media["RELATIVE_MEDIA_URL"] = f"./{_xml_text(relative)}"
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    properties = {
        "notice": RESPONSIBLE_USE,
        "scores": describe_marks(timeline.settings),
        "source": source,
        "schema_version": SCHEMA_VERSION,
    }
    for name, value in properties.items():
        ElementTree.SubElement(header, "PROPERTY", {"NAME": name}).text = value


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
            raise InputError(f"--label_studio_root {wanted}: expected {file} in a folder below it")
    return root


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
            file.write(separator + "\n" + json.dumps(_label_studio_task(timeline, root), ensure_ascii=False, indent=1))
            separator = ","
        file.write("\n]\n" if separator == "," else "[]\n")
    return persons


def _label_studio_address(source: str, root: Path) -> str:
    """Where Label Studio finds a recording: a file in its local storage, by its path below the document root."""
    if is_address(source):
        return source
    return f"/data/local-files/?d={quote(Path(file_path(source)).relative_to(root).as_posix())}"


def _label_studio_segments(timeline: Timeline) -> list[TimelineSegment]:
    """Each segment once: where one person alone is followed, the room's that are that person's are left out."""
    spans = {(segment.start, segment.end, segment.label) for segment in timeline.segments if segment.person != ROOM}
    alone = len(timeline.persons) == 1
    return [
        segment
        for segment in timeline.segments
        if not (alone and segment.person == ROOM and (segment.start, segment.end, segment.label) in spans)
    ]


def _label_studio_task(timeline: Timeline, root: Path) -> dict[str, Any]:
    regions = enumerate(_label_studio_segments(timeline))
    return {
        "data": {
            "video": _label_studio_address(timeline.source, root),
            "source": timeline.source,
            "notice": RESPONSIBLE_USE,
            "scores": describe_marks(timeline.settings),
        },
        "predictions": [
            {
                "model_version": public_name(str(timeline.settings["model"])),
                "result": [_label_studio_region(number, segment) for number, segment in regions],
            }
        ],
    }


def _label_studio_label(person: str, label: str) -> str:
    """Whose label it is, too: Label Studio lists the regions of everybody together, by their labels alone. As XML
    can hold it, since the labelling configuration and the regions must agree."""
    return _xml_text(f"{person}: {label}")


def _label_studio_region(number: int, segment: TimelineSegment) -> dict[str, Any]:
    start, end = (milliseconds(seconds) * LABEL_STUDIO_FRAME_RATE / 1000 for seconds in (segment.start, segment.end))
    first = math.floor(start) + 1  # its frames are counted from 1, and a range holds its last one
    return {
        "id": f"segment-{number}",
        "from_name": _xml_text(segment.person),
        "to_name": "video",
        "type": "timelinelabels",
        "origin": "prediction",
        "score": segment.score,
        "value": {
            "ranges": [{"start": first, "end": max(first, math.floor(end))}],
            "timelinelabels": [_label_studio_label(segment.person, segment.label)],
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
        ElementTree.SubElement(root, "Header", {"value": _xml_text(person)})
        row = ElementTree.SubElement(root, "TimelineLabels", {"name": _xml_text(person), "toName": "video"})
        for label in labels:
            ElementTree.SubElement(row, "Label", {"value": _label_studio_label(person, label)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


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
            detections.setdefault(person, {})[name] = list(_fiftyone_detections(segments, labels))
    folder.mkdir()
    _write_json(videos, folder / "data.json")
    info = {"notice": RESPONSIBLE_USE, "scores": marks, "schema_version": SCHEMA_VERSION}
    for person, entries in detections.items():
        content = {"info": {**info, "person": person}, "classes": labels, "labels": entries}
        name = re.sub(r"[^\w.-]", "_", person)
        _write_json(content, folder / ("labels.json" if person == ROOM else f"labels_{name}.json"))


def _fiftyone_detections(segments: list[TimelineSegment], labels: list[str]) -> Iterator[dict[str, Any]]:
    for segment in segments:
        times = [milliseconds(seconds) / 1000 for seconds in (segment.start, segment.end)]
        # Keep: the place in "classes", which is what a label is where those are listed.
        yield {"label": labels.index(segment.label), "timestamps": times, "confidence": segment.score}


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
