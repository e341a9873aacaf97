"""Our exports as other programs save them once somebody has edited them: ELAN 6, Label Studio 1.23, spreadsheets.

A correction is (person, start, end, label), in seconds. The forms are those that the programs were seen to write.
"""

import copy
import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree


Corrections = list[tuple[str, float, float, str]]


def save_by_spreadsheet(segments: Path, path: Path, corrections: Corrections) -> Path:
    """segments.csv from a spreadsheet of a country with decimal commas: semicolons, a byte order mark, CRLF, empty
    lines at the end; a column of remarks was added, and in lines that were added what is no time is left empty."""
    header, first = list(csv.reader(io.StringIO(segments.read_text(encoding="utf-8"))))[:2]
    lines = [[*header, "remark"]]
    for person, start, end, label in corrections:
        times = [f"{seconds:g}".replace(".", ",") for seconds in (start, end)]
        lines.append([first[0], person, *times, label, *[""] * (len(header) - 5), "seen twice"])
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([*lines, [""] * len(lines[0])])
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode("utf-8"))
    return path


def save_by_elan(document: Path, path: Path, corrections: Corrections) -> Path:
    """timeline.eaf as ELAN saves it: neighbours on a tier share a slot, slots are named anew in order of time; below
    each tier one of remarks, with a reference and with a slot without a time; a vocabulary, a locale, constraints."""
    root = ElementTree.parse(document).getroot()
    for name, value in (("URN", "urn:nl-mpi-tools-elan-eaf:9a4deb39"), ("lastUsedAnnotationId", "99")):
        ElementTree.SubElement(root.find("HEADER"), "PROPERTY", {"NAME": name}).text = value
    order = root.find("TIME_ORDER")
    for slot in list(order):
        order.remove(slot)
    times = sorted({round(1000 * time) for _, *span, _ in corrections for time in span})
    slots = {time: f"ts{number}" for number, time in enumerate(times, start=1)}
    for time, name in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": "ts900"})
    number = 0
    for tier in root.findall("TIER"):
        for annotation in list(tier):
            tier.remove(annotation)
        person, children = tier.get("TIER_ID"), []
        for who, start, end, label in corrections:
            if who == person:
                number += 1
                ends = {"TIME_SLOT_REF1": slots[round(1000 * start)], "TIME_SLOT_REF2": slots[round(1000 * end)]}
                _annotate(tier, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **ends}, f" {label}\n")
                children.append(f"a{number}")
        below = {"PARENT_REF": person, "TIER_ID": f"{person}-remarks"}
        remarks = ElementTree.Element("TIER", {"LINGUISTIC_TYPE_REF": "remark", "DEFAULT_LOCALE": "en", **below})
        for child in children:
            _annotate(remarks, "REF_ANNOTATION", {"ANNOTATION_ID": f"{child}00", "ANNOTATION_REF": child}, "sure")
        pieces = {"LINGUISTIC_TYPE_REF": "piece", "PARENT_REF": person, "TIER_ID": f"{person}-pieces"}
        subdivision = ElementTree.Element("TIER", pieces)
        ends = {"TIME_SLOT_REF1": "ts1", "TIME_SLOT_REF2": "ts900"}
        _annotate(subdivision, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}000", **ends}, "yawns")
        place = list(root).index(tier) + 1
        root.insert(place, subdivision)
        root.insert(place, remarks)
    ElementTree.SubElement(root, "LOCALE", {"COUNTRY_CODE": "US", "LANGUAGE_CODE": "en"})
    ElementTree.SubElement(
        root, "CONSTRAINT", {"DESCRIPTION": "1-1 association", "STEREOTYPE": "Symbolic_Association"}
    )
    vocabulary = ElementTree.SubElement(root, "CONTROLLED_VOCABULARY", {"CV_ID": "labels"})
    ElementTree.SubElement(vocabulary, "CV_ENTRY_ML", {"CVE_ID": "cveid_1"})
    path.write_bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))
    return path


def _annotate(tier, kind, attributes, text):
    annotation = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), kind, attributes)
    ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = text


def save_by_label_studio(tasks: Path, path: Path, corrections: Corrections, minimal: bool = False) -> Path:
    """label_studio.json as Label Studio exports it (JSON, or JSON-MIN) after one annotation was submitted."""
    (task,) = json.loads(tasks.read_text(encoding="utf-8"))
    result = []
    for number, (person, start, end, label) in enumerate(corrections):
        span = {"start": round(25 * start) + 1, "end": round(25 * end)}
        value = {"ranges": [span], "timelinelabels": [f"{person}: {label}"]}
        ends = {"from_name": person, "to_name": "video", "type": "timelinelabels", "origin": "prediction-changed"}
        result.append({"id": f"aB{number}", **ends, "value": value})
    times = {"created_at": "2026-11-29T09:29:31.297850Z", "updated_at": "2026-11-29T09:29:31.297895Z"}
    if minimal:
        by_person: dict[str, list] = {}
        for region in result:
            by_person.setdefault(region["from_name"], []).append(region["value"])
        whole = {**task["data"], "id": 1, **by_person, "annotator": 1, "annotation_id": 1, **times, "lead_time": 12.3}
    else:
        prediction = copy.deepcopy(task["predictions"][0]) | {"id": 1, "task": 1}
        remark = {"id": "cD", "from_name": "remark", "to_name": "video", "type": "textarea", "value": {"text": ["?"]}}
        annotation = {
            **{"id": 1, "completed_by": 1, "result": [*result, remark], "was_cancelled": False, "ground_truth": False},
            **{**times, "draft_created_at": None, "lead_time": 12.3, "prediction": prediction, "result_count": 3},
            **{"unique_id": "9a4deb39", "last_action": None, "task": 1, "project": 1, "parent_prediction": 1},
        }
        skipped = annotation | {"id": 2, "was_cancelled": True, "result": []}
        counts = {"total_annotations": 1, "cancelled_annotations": 1, "total_predictions": 1, "project": 1}
        whole = {
            **{"id": 1, "annotations": [skipped, annotation], "drafts": [], "predictions": [1], "data": task["data"]},
            **{"meta": {}, **times, "inner_id": 1, **counts, "updated_by": 1, "comment_authors": []},
        }
    path.write_text(json.dumps([whole], ensure_ascii=False), encoding="utf-8")
    return path
