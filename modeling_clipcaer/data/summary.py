"""What a build found, filled in and left out: the numbers of build.json and their table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset

from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.label_counts import find_absent, find_few, tell_absent, tell_few
from modeling_clipcaer.data.rows import FINDINGS
from modeling_clipcaer.names import identity_key, printable


SOURCE_TITLES = {"annotated": "%s box of the frame itself", "frame": "  whole frame"}
FINDING_TITLES = {
    "clamped": "%s boxes cut at the frame's edge",
    "outside": "%s boxes outside their frame",
    "without_frame": "%s boxes of frames not there",
    "respelled": "%s boxes matched by number",
}


def summarise_split(rows: Dataset) -> dict[str, Any]:
    """Counts of one split, from its rows with their audit columns."""
    # Keep the [:]: a column read item by item decodes its whole row each time.
    lengths, listed = (np.array(rows[name][:]) for name in ("found_frames", "listed_frames"))
    names = rows.features["label"].names
    counts = np.bincount(rows["label"][:], minlength=len(names)).tolist()
    labels = dict(zip(names, counts, strict=True))
    differing = np.flatnonzero(lengths != listed)
    return {
        "num_clips": len(rows),
        "num_frames": int(lengths.sum()),
        "labels": labels,
        "label_shares": {name: share(count, len(rows)) for name, count in labels.items()},
        "absent_labels": find_absent(labels),
        "few_clips": find_few(labels),
        "imbalance": round(max(counts) / min(count for count in counts if count), 2),
        "num_persons": len(set(rows["person_id"][:])),
        "frames_per_clip": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "max": int(lengths.max()),
            "histogram": {str(length): count for length, count in sorted(Counter(lengths.tolist()).items())},
        },
        **{f"{kind}_boxes": summarise_boxes(rows, kind, int(lengths.sum())) for kind in ("face", "body")},
        "num_frames_differing": {
            "clips": len(differing),
            "clip_share": share(len(differing), len(rows)),
            "examples": [
                {"clip_id": rows[int(index)]["clip_id"], "listed": int(listed[index]), "found": int(lengths[index])}
                for index in differing[:5]
            ],
        },
        "repeated_lines_dropped": sum(rows["list_lines"][:]) - len(rows),
    }


def summarise_boxes(rows: Dataset, kind: str, num_frames: int) -> dict[str, Any]:
    """Clips and frames with a box of their own, what stands in for the others, and what happened to the boxes."""

    def add_up(name: str) -> int:
        return sum(rows[f"{kind}_boxes_{name}"][:])

    wanted = BOX_SOURCES if kind == "face" else tuple(source for source in BOX_SOURCES if source != "body")
    sources = {source: add_up(source) for source in wanted}
    clips = int(np.count_nonzero(rows[f"{kind}_boxes_annotated"][:]))
    found = {finding: add_up(finding) for finding in FINDINGS if finding != "for_all"}
    return {
        "clips": clips,
        "clip_share": share(clips, len(rows)),
        "clips_with_one_for_all": add_up("for_all"),
        "frames": sources["annotated"],
        "frame_share": share(sources["annotated"], num_frames),
        "sources": sources,
        "source_shares": {source: share(count, num_frames) for source, count in sources.items()},
        **found,
        "finding_shares": {finding: share(found[finding], found["given"]) for finding in FINDING_TITLES},
    }


def share(count: int, total: int) -> float:
    """Of nothing, nothing: a file may give no boxes at all."""
    return round(count / max(total, 1), 4)


def count_shared_persons(persons: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Persons that two splits have in common, for every pair of splits."""
    sets = {split: set(map(identity_key, names)) for split, names in persons.items()}
    return {f"{first}/{second}": len(sets[first] & sets[second]) for first, second in combinations(sets, 2)}


def format_table(audit: Mapping[str, Any]) -> str:
    """The audit as aligned text, one column per split."""
    splits = audit["splits"]
    rows = [("", list(splits)), *list_clip_cells(splits)]
    for kind in ("face", "body"):
        rows += list_box_cells(splits, kind)
    widths = [max(len(row[1][column]) for row in rows) for column in range(len(splits))]
    title_width = max(len(title) for title, _ in rows)
    lines = [
        f"{title:<{title_width}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for title, cells in rows
    ]
    shared = ", ".join(f"{pair} {count}" for pair, count in audit["shared_persons"].items())
    absent = [sentence for name, split in splits.items() for sentence in tell_absent(name, split["labels"])]
    return "\n".join([f"split: {audit['split']['name']}", *lines, f"persons in two splits: {shared}", *absent])


def list_few_clips(audit: Mapping[str, Any]) -> list[str]:
    """A warning for each split that has few clips of a label."""
    splits = audit["splits"].items()
    return [f"warning: {sentence}" for name, split in splits for sentence in tell_few(name, split["labels"])]


def list_clip_cells(splits: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of the table on clips: a title, and a cell for each split."""
    labels = next(iter(splits.values()))["labels"]
    cells = {
        "clips": lambda split: split["num_clips"],
        **{f"  {printable(name)}": lambda split, name=name: split["labels"][name] for name in labels},
        "most / fewest of a label": lambda split: split["imbalance"],
        "persons": lambda split: split["num_persons"],
        "frames per clip": lambda split: "{min} / {median:g} / {max}".format(**split["frames_per_clip"]),
        "frame count differs from list": lambda split: with_share(
            split["num_frames_differing"]["clips"], split["num_clips"]
        ),
        "repeated lines dropped": lambda split: with_share(
            split["repeated_lines_dropped"], split["num_clips"] + split["repeated_lines_dropped"]
        ),
    }
    return [(title, [str(cell(split)) for split in splits.values()]) for title, cell in cells.items()]


def list_box_cells(splits: Mapping[str, Any], kind: str) -> list[tuple[str, list[str]]]:
    """Lines of the table on the boxes of one kind."""
    tables = [(split[f"{kind}_boxes"], split) for split in splits.values()]
    lines = [(f"clips with a {kind} box", [with_share(boxes["clips"], split["num_clips"]) for boxes, split in tables])]
    for source in tables[0][0]["sources"]:
        title = SOURCE_TITLES.get(source, f"  {source}").replace("%s", kind)
        lines.append((title, [with_share(boxes["sources"][source], split["num_frames"]) for boxes, split in tables]))
    for finding, title in FINDING_TITLES.items():
        lines.append((title % kind, [with_share(boxes[finding], boxes["given"]) for boxes, _ in tables]))
    return lines


def with_share(count: int, total: int) -> str:
    return f"{count} ({count / max(total, 1):.1%})"
