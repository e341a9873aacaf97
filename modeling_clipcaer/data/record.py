"""The build's record, `build.json`: what a build found, filled in and left out, as numbers, a table and sentences."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.data.box_fitting import FINDINGS
from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.label_counts import find_absent, find_few, tell_few
from modeling_clipcaer.names import identity_key, printable


RECORD_NAME = "build.json"
# Of datasets; raise it when an earlier reader would misunderstand what is written.
FORMAT_VERSION = 1
# Where the boxes of frames are from.
SOURCE_TITLES = {
    "annotated": "frames with a %s box",
    "nearest": "  with that of a frame near by",
    "median": "  with the clip's median box",
    "body": "  with the body's upper part",
    "frame": "  with none: the whole frame",
}
FINDING_TITLES = {
    "clamped": "%s boxes cut at the frame's edge",
    "outside": "%s boxes outside their frame",
    "without_frame": "%s boxes of frames not there",
    "respelled": "%s boxes matched by number",
}


def make_record(rows: DatasetDict, files: Iterable[Path], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What can be said of any build.

    Args:
        rows: with their counts of repairs.
        files: lists, tables and box files that were read.
        arguments: of the build.
    """
    return {
        "format_version": FORMAT_VERSION,
        "splits": {split: {**summarise_split(rows[split]), **sum_repairs(rows[split])} for split in rows},
        "shared_persons": count_shared_persons({split: rows[split]["person_id"][:] for split in rows}),
        "sources": {str(path.absolute()): file_sha256(path) for path in files},
        "arguments": dict(arguments),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("datasets", "numpy", "av")},
        },
    }


def summarise_split(rows: Dataset) -> dict[str, Any]:
    """Counts of one split, from its rows with their counts of repairs."""
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


def sum_repairs(rows: Dataset) -> dict[str, int]:
    """How often a clip was cut at a frame that cannot be read, ends with a video that holds less than it states, and
    is listed to end beyond its video."""
    cut = rows["frames_cut"][:]
    beyond, early = (sum(rows[name][:]) for name in ("beyond_video", "ends_early"))
    counts = {"frames_cut": sum(cut), "clips_cut": sum(map(bool, cut))}
    return {**counts, "clips_ending_early": early, "clips_beyond_video": beyond}


def share(count: int, total: int) -> float:
    """Of nothing, nothing: a file may give no boxes at all."""
    return round(count / max(total, 1), 4)


def count_shared_persons(persons: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Persons that two splits have in common, for every pair of splits."""
    sets = {split: set(map(identity_key, names)) for split, names in persons.items()}
    return {f"{first}/{second}": len(sets[first] & sets[second]) for first, second in combinations(sets, 2)}


def format_table(record: Mapping[str, Any]) -> str:
    """The record as aligned text, one column per split. Of what may be wrong it has what is."""
    splits = record["splits"]
    faults = [*list_list_faults(splits), *list_box_faults(splits)]
    found = [(title, cells) for title, cells in faults if any(not cell.startswith("0 ") for cell in cells)]
    rows = [("", list(splits)), *list_clip_cells(splits)]
    for kind in ("face", "body"):
        rows += list_box_cells(splits, kind)
    rows += found
    widths = [max(len(row[1][column]) for row in rows) for column in range(len(splits))]
    title_width = max(len(title) for title, _ in rows)
    lines = [
        f"{title:<{title_width}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for title, cells in rows
    ]
    clean = ["the rest is clean"] if len(found) < len(faults) else []
    if record["split"].get("persons_known", True) and not any(record["shared_persons"].values()):
        clean.append("no person is in two splits")
    return "\n".join([f"split: {record['split']['name']}", *lines, *clean])


def list_few_clips(record: Mapping[str, Any]) -> list[str]:
    """A warning for each split that has few clips of a label."""
    splits = record["splits"].items()
    return [f"warning  {sentence}" for name, split in splits for sentence in tell_few(name, split["labels"])]


def list_clip_cells(splits: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of the table on clips: a title, and a cell for each split."""
    labels = next(iter(splits.values()))["labels"]

    def count_label(name: str) -> Callable[[Mapping[str, Any]], object]:
        return lambda split: split["labels"][name]

    cells: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "clips": lambda split: split["num_clips"],
        **{f"  {printable(name)}": count_label(name) for name in labels},
        "most / fewest of a label": lambda split: split["imbalance"],
        "persons": lambda split: split["num_persons"],
        "frames per clip": lambda split: "{min} / {median:g} / {max}".format(**split["frames_per_clip"]),
    }
    return [(title, [str(cell(split)) for split in splits.values()]) for title, cell in cells.items()]


def list_box_cells(splits: Mapping[str, Any], kind: str) -> list[tuple[str, list[str]]]:
    """Lines of the table on the boxes of one kind: clips that have one, and where those of the frames are from."""
    tables = [(split[f"{kind}_boxes"], split) for split in splits.values()]
    lines = [(f"clips with a {kind} box", [with_share(boxes["clips"], split["num_clips"]) for boxes, split in tables])]
    for source in tables[0][0]["sources"]:
        if any(boxes["sources"][source] for boxes, _ in tables):
            title = SOURCE_TITLES[source].replace("%s", kind)
            cells = [with_share(boxes["sources"][source], split["num_frames"]) for boxes, split in tables]
            lines.append((title, cells))
    return lines


def list_list_faults(splits: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of the table on what may be wrong with the lists of clips."""
    tables = splits.values()
    repeated = [(split["repeated_lines_dropped"], split["num_clips"]) for split in tables]
    return [
        (
            "frame count differs from list",
            [with_share(split["num_frames_differing"]["clips"], split["num_clips"]) for split in tables],
        ),
        ("repeated lines dropped", [with_share(dropped, clips + dropped) for dropped, clips in repeated]),
    ]


def list_box_faults(splits: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of the table on what may be wrong with boxes."""
    return [
        (
            title % kind,
            [with_share(split[f"{kind}_boxes"][name], split[f"{kind}_boxes"]["given"]) for split in splits.values()],
        )
        for kind in ("face", "body")
        for name, title in FINDING_TITLES.items()
    ]


def with_share(count: int, total: int) -> str:
    """A count, and its share of a total in percent."""
    return f"{count} ({count / max(total, 1):.1%})"


def say_findings(record: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the table."""
    sentences = []
    persons_from = record["split"].get("persons_from")
    if not record["split"].get("persons_known", True):
        sentences.append(
            f"warning  nothing says who is seen, so that one person may be in two splits and the measures too good: "
            f"{persons_from}; --person-pattern finds persons in the paths"
        )
    elif persons_from:
        sentences.append(f"persons: {persons_from}")
    if merged := record["split"].get("persons_merged"):
        sentences.append(merged)
    for split, counts in record["splits"].items():
        if counts["clips_beyond_video"]:
            clips = with_share(counts["clips_beyond_video"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips are listed beyond their video's end and end with it")
        if counts["clips_ending_early"]:
            clips = with_share(counts["clips_ending_early"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips end early, with a video that holds less than it states")
        if counts["clips_cut"]:
            clips = with_share(counts["clips_cut"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips end at a frame that cannot be read: {counts['frames_cut']} cut")
    for kind, count in record["box_keys_without_clip"].items():
        if count:
            share = count / record["box_keys"][kind]
            sentences.append(f"{count} keys of the {kind} box file belong to no clip, {share:.1%} of all")
    if notes := record["notes_on_videos"]:
        clip, found = next(iter(notes.items()))
        sentences.append(f"{len(notes)} clips are of videos to know something of, see build.json; {clip}: {found[0]}")
    if skipped := record["unreadable_clips_left_out"]:
        sentences.append(f"{len(skipped)} clips cannot be read and are left out; the first: {skipped[0]['problem']}")
    return sentences
