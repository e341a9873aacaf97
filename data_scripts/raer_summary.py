"""What a build found, filled in and left out: the numbers of build.json and their table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset

from data_scripts.raer_boxes import BOX_SOURCES


def summarise_split(rows: Dataset) -> dict[str, Any]:
    """Counts of one split, from its rows with their audit columns."""
    # Keep the [:]: a column read item by item decodes its whole row each time.
    lengths = np.array([len(names) for names in rows["frame_names"][:]])
    listed = np.array(rows["listed_frames"][:])
    names = rows.features["label"].names
    labels = np.bincount(rows["label"][:], minlength=len(names)).tolist()
    differing = np.flatnonzero(lengths != listed)
    return {
        "num_clips": len(rows),
        "num_frames": int(lengths.sum()),
        "labels": dict(zip(names, labels, strict=True)),
        "absent_labels": [name for name, count in zip(names, labels, strict=True) if count == 0],
        "imbalance": round(max(labels) / min(count for count in labels if count), 2),
        "num_persons": len(set(rows["person_id"][:])),
        "frames_per_clip": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "max": int(lengths.max()),
            "histogram": {str(length): count for length, count in sorted(Counter(lengths.tolist()).items())},
        },
        **summarise_boxes(rows, int(lengths.sum())),
        "num_frames_differing": {
            "clips": len(differing),
            "examples": [
                {"clip_id": rows[int(index)]["clip_id"], "listed": int(listed[index]), "found": int(lengths[index])}
                for index in differing[:5]
            ],
        },
        "repeated_lines_dropped": sum(rows["list_lines"][:]) - len(rows),
    }


def summarise_boxes(rows: Dataset, num_frames: int) -> dict[str, Any]:
    per_clip = [np.bincount(sources, minlength=len(BOX_SOURCES)) for sources in rows["face_box_sources"][:]]
    sources = np.sum(per_clip, axis=0)
    annotated = BOX_SOURCES.index("annotated")
    face_clips = sum(counts[annotated] > 0 for counts in per_clip)
    body_clips = sum(len(boxes) > 0 for boxes in rows["body_boxes"][:])
    return {
        "face_boxes": {
            "clips": int(face_clips),
            "clip_share": round(face_clips / len(rows), 4),
            "frames": int(sources[annotated]),
            "frame_share": round(sources[annotated] / num_frames, 4),
            "sources": dict(zip(BOX_SOURCES, sources.tolist(), strict=True)),
            "clamped": sum(rows["face_boxes_clamped"][:]),
            "outside": sum(rows["face_boxes_outside"][:]),
            "without_frame": sum(rows["face_boxes_without_frame"][:]),
        },
        "body_boxes": {
            "clips": body_clips,
            "clip_share": round(body_clips / len(rows), 4),
            "clamped": sum(rows["body_boxes_clamped"][:]),
            "outside": sum(rows["body_boxes_outside"][:]),
        },
    }


def count_shared_persons(persons: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Persons that two splits have in common, for every pair of splits."""
    sets = {split: set(names) for split, names in persons.items()}
    return {f"{first}/{second}": len(sets[first] & sets[second]) for first, second in combinations(sets, 2)}


def format_table(audit: Mapping[str, Any]) -> str:
    """The audit as aligned text, one column per split."""
    splits = audit["splits"]
    rows = [("", list(splits))]

    def add(title: str, cell: Any) -> None:
        rows.append((title, [str(cell(split)) for split in splits.values()]))

    add("clips", lambda split: split["num_clips"])
    for name in next(iter(splits.values()))["labels"]:
        add(f"  {name}", lambda split, name=name: split["labels"][name])
    add("most / fewest of a label", lambda split: split["imbalance"])
    add("persons", lambda split: split["num_persons"])
    add("frames per clip", lambda split: "{min} / {median:g} / {max}".format(**split["frames_per_clip"]))
    add("frame count differs from list", lambda split: split["num_frames_differing"]["clips"])
    add("repeated lines dropped", lambda split: split["repeated_lines_dropped"])
    add("clips with a face box", lambda split: f"{split['face_boxes']['clip_share']:.1%}")
    add("clips with a body box", lambda split: f"{split['body_boxes']['clip_share']:.1%}")
    for source in BOX_SOURCES:
        title = {"annotated": "face box of the frame itself", "frame": "  whole frame"}.get(source, f"  {source}")
        add(title, lambda split, source=source: split["face_boxes"]["sources"][source])
    for kind in ("face", "body"):
        for finding in ("clamped", "outside"):
            add(f"{kind} boxes {finding}", lambda split, kind=kind, key=finding: split[f"{kind}_boxes"][key])
    widths = [max(len(row[1][column]) for row in rows) for column in range(len(splits))]
    lines = [
        f"{title:<31}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for title, cells in rows
    ]
    shared = ", ".join(f"{pair} {count}" for pair, count in audit["shared_persons"].items())
    absent = [
        f"{name} has no clip of: {', '.join(split['absent_labels'])}"
        for name, split in splits.items()
        if split["absent_labels"]
    ]
    return "\n".join([*lines, f"persons in two splits: {shared}", *absent])
