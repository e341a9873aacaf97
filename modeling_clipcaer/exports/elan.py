"""Documents of ELAN, one of each recording."""

import itertools
import mimetypes
import os
from pathlib import Path
from xml.etree import ElementTree

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.look import by_person, describe_marks, milliseconds, xml_text
from modeling_clipcaer.recordings.addresses import file_path, is_address, media_address
from modeling_clipcaer.recordings.timeline import SCHEMA_VERSION, Timeline, TimelineSegment


XML_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"


def write_elan(timeline: Timeline, path: Path) -> None:
    """An ELAN document in the format EAF 3.0: a tier for the room and for each person, a label for each segment."""
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
    _add_header(root, timeline, path)
    tiers, numbers = by_person(timeline), itertools.count(1)
    slots = _add_time_slots(root, list(itertools.chain(*tiers.values())))
    for person, segments in tiers.items():
        name = xml_text(person)
        names = {"LINGUISTIC_TYPE_REF": "label", "PARTICIPANT": name, "TIER_ID": name}
        tier = ElementTree.SubElement(root, "TIER", names)
        for segment in segments:
            ends = {"TIME_SLOT_REF1": slots[segment, "start"], "TIME_SLOT_REF2": slots[segment, "end"]}
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{next(numbers)}", **ends},
            )
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = xml_text(segment.label)
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


def _add_header(root: ElementTree.Element, timeline: Timeline, path: Path) -> None:
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    source = xml_text(timeline.source)
    if not Path(timeline.source).is_dir():  # ELAN plays no folder of pictures
        media = {
            "MEDIA_URL": media_address(timeline.source),
            "MIME_TYPE": mimetypes.guess_type(source)[0] or "video/*",
        }
        if not is_address(source):
            relative = Path(os.path.relpath(file_path(timeline.source), path.parent)).as_posix()
            media["RELATIVE_MEDIA_URL"] = f"./{xml_text(relative)}"
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    properties = {
        "notice": RESPONSIBLE_USE,
        "scores": describe_marks(timeline.settings),
        "source": source,
        "schema_version": SCHEMA_VERSION,
    }
    for name, value in properties.items():
        ElementTree.SubElement(header, "PROPERTY", {"NAME": name}).text = value
