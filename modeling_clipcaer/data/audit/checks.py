"""What an audit finds wrong: from the counts of every split to findings with a severity."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from modeling_clipcaer.data.audit.clips import KINDS, Found, Tally
from modeling_clipcaer.data.audit.duplicates import (
    Repeats,
    find_near_duplicates,
    find_overlaps,
    find_repeats_across,
    find_repeats_within,
)
from modeling_clipcaer.data.audit.thresholds import HASH_BITS, HASH_FRAMES, AuditThresholds


SEVERITIES = ("error", "warning", "info")
OF_BUILD = "_of_build"  # end of the names of checks that repeat what the build counted
EXPECTED_SPLITS = ("train", "validation", "test")
FILE_CHECKS = {
    "missing_files": "have no file",
    "empty_files": "are in empty files",
    "unreadable_frames": "cannot be read",
}
# Of the checks that count clips or frames: the unit, the severity, and what is wrong in words.
PLAIN_CHECKS = {
    "unknown_persons": ("clips", "info", "name no person, so that nobody can say whether splits share persons"),
    "broken_rows": ("clips", "error", "do not say which frames they have"),
    "no_frames": ("clips", "error", "have no frames"),
    "differing_sizes": ("clips", "warning", "have frames of different sizes, and may have boxes of another size"),
    "broken_votes": ("clips", "error", "have votes that are no counts"),
    "no_votes": ("clips", "info", "have no vote of a rater"),
    "outvoted_labels": ("clips", "info", "have a label that other labels have more votes than"),
    "blank_clips": ("clips", "warning", "show nothing: every frame looked at is of one colour"),
}
for _kind in KINDS:
    PLAIN_CHECKS |= {
        f"broken_{_kind}_boxes": ("frames", "error", f"have a {_kind} box that is none, or boxes of another number"),
        f"outside_{_kind}_boxes": ("frames", "error", f"have a {_kind} box that covers no pixel of them"),
        f"reaching_{_kind}_boxes": ("frames", "info", f"have a {_kind} box that reaches out of them"),
    }


def make_finding(
    check: str, severity: str, split: str | None, count: int, total: int, message: str, examples: Sequence[str] = ()
) -> dict[str, Any]:
    """A finding; `share` is `count` of `total`, `split` is `None` for the dataset as a whole."""
    share = round(count / total, 6) if total else None
    finding = {"check": check, "severity": severity, "split": split, "count": int(count), "share": share}
    return {**finding, "message": message, "examples": list(examples)}


def say_share(count: int, total: int, unit: str) -> str:
    """`3 of 75 frames (4.0%)`."""
    return f"{count:,} of {total:,} {unit} ({count / total:.1%})"


def summarise_tally(tally: Tally, labels: Sequence[str]) -> dict[str, Any]:
    """Counts of a split, in the form of build.json's."""
    clips, frames = tally.counts["clips"], tally.counts["frames"]
    per_label = [tally.labels[label] for label in range(len(labels))]
    shown = Counter(label for found in tally.persons.values() for label in found)
    histogram = dict(sorted(tally.lengths.items()))
    lengths = np.repeat(list(histogram), list(histogram.values())) if clips else [0]
    boxes = {
        f"{kind}_boxes": {
            "clips": tally.counts[f"{kind}_clips"],
            "clip_share": round(tally.counts[f"{kind}_clips"] / max(clips, 1), 4),
            "frames": tally.counts[f"{kind}_frames"],
            "frame_share": round(tally.counts[f"{kind}_frames"] / max(frames, 1), 4),
            "side_histogram": tally.sides[kind].tolist(),
        }
        for kind in KINDS
    }
    return {
        "num_clips": clips,
        "num_frames": frames,
        "labels": dict(zip(labels, per_label, strict=True)),
        "absent_labels": [name for name, count in zip(labels, per_label, strict=True) if not count],
        "imbalance": round(max(per_label) / min(filter(None, per_label)), 2) if any(per_label) else None,
        "num_persons": len(tally.persons),
        "persons_by_label": {name: shown[label] for label, name in enumerate(labels)},
        "frames_per_clip": {
            "min": int(min(lengths)),
            "median": float(np.median(lengths)),
            "max": int(max(lengths)),
            "histogram": {str(length): count for length, count in histogram.items()},
        },
        **boxes,
        **summarise_votes(tally),
    }


def summarise_votes(tally: Tally) -> dict[str, Any]:
    """Votes of a clip, where the rows have any."""
    if not tally.votes:
        return {}
    sums = np.repeat([total for _, total in tally.votes], list(tally.votes.values()))
    return {"votes_per_clip": {"min": int(sums.min()), "median": float(np.median(sums)), "max": int(sums.max())}}


def check_splits(tallies: Mapping[str, Tally]) -> Iterator[dict[str, Any]]:
    """Splits that are not there, or hold nothing."""
    for split in EXPECTED_SPLITS:
        if split not in tallies:
            yield make_finding("missing_split", "error", split, 1, 0, f"the dataset has no split `{split}`")
    for split, tally in tallies.items():
        if not tally.counts["clips"]:
            yield make_finding("empty_split", "error", split, 1, 0, "the split holds no clip")


def check_labels(split: str, summary: Mapping[str, Any], limit: float) -> Iterator[dict[str, Any]]:
    """Labels that are absent, unknown, or much rarer than others."""
    clips, counts = summary["num_clips"], summary["labels"]
    unknown = clips - sum(counts.values())
    if unknown:
        message = f"{say_share(unknown, clips, 'clips')} have no label, or one without a name"
        yield make_finding("unknown_labels", "error", split, unknown, clips, message)
    if absent := summary["absent_labels"]:
        message = f"no clip of {', '.join(absent)}"
        severity = "error" if split == "train" else "warning"
        yield make_finding("absent_labels", severity, split, len(absent), len(counts), message)
    if summary["imbalance"] is not None and summary["imbalance"] > limit:
        most = max(counts, key=counts.get)
        fewest = min((name for name in counts if counts[name]), key=counts.get)
        message = (
            f"{counts[most]:,} clips of {most} and {counts[fewest]:,} of {fewest}, {summary['imbalance']:g} to one; "
            f"expected at most {limit:g} (--max-imbalance)"
        )
        yield make_finding("imbalance", "warning", split, counts[fewest], clips, message)


def check_votes(split: str, summary: Mapping[str, Any], tally: Tally) -> Iterator[dict[str, Any]]:
    """Votes that are of another number of labels."""
    labels, clips = len(summary["labels"]), summary["num_clips"]
    wrong = sum(count for (counts, _), count in tally.votes.items() if counts != labels)
    if wrong:
        message = f"{say_share(wrong, clips, 'clips')} have votes for another number of labels than {labels}"
        yield make_finding("broken_votes", "error", split, wrong, clips, message)


def check_label_names(summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Splits whose labels are not those of the first, or stand in another order."""
    lists = {split: list(summary["labels"]) for split, summary in summaries.items()}
    for split, names in list(lists.items())[1:]:
        first, expected = next(iter(lists.items()))
        differing = sorted(set(names) ^ set(expected))
        if differing:
            message = f"its labels are not those of {first}: {', '.join(differing)}; no recipe takes them together"
            yield make_finding("label_names", "error", split, len(differing), len(names), message)
        elif names != expected:
            message = f"its labels stand in another order than those of {first}; recipes map them by name"
            yield make_finding("label_order", "info", split, len(names), len(names), message)


def check_boxes(
    split: str, summary: Mapping[str, Any], tally: Tally, thresholds: AuditThresholds
) -> Iterator[dict[str, Any]]:
    """Too few clips with boxes of their own, and too many tiny boxes."""
    for kind in KINDS:
        clips, boxes = summary["num_clips"], summary[f"{kind}_boxes"]
        minimum = getattr(thresholds, f"min_{kind}_share")
        if boxes["clips"] < minimum * clips:
            message = (
                f"{say_share(boxes['clips'], clips, 'clips')} and {boxes['frame_share']:.1%} of the frames have a "
                f"{kind} box of their own; expected {minimum:.1%} of the clips (--min-{kind}-share)"
            )
            yield make_finding(f"few_{kind}_boxes", "warning", split, boxes["clips"], clips, message)
        tiny = tally.found.get(f"tiny_{kind}_boxes")
        if tiny is not None:
            severity = "warning" if tiny.count > thresholds.max_tiny_share * boxes["frames"] else "info"
            message = (
                f"{say_share(tiny.count, boxes['frames'], f'{kind} boxes')} have a side below "
                f"{getattr(thresholds, f'min_{kind}_side'):g} pixels (--min-{kind}-side)"
            )
            check = f"tiny_{kind}_boxes"
            yield make_finding(check, severity, split, tiny.count, boxes["frames"], message, tiny.examples)


def check_frames(
    split: str, summary: Mapping[str, Any], tally: Tally, thresholds: AuditThresholds
) -> Iterator[dict[str, Any]]:
    """What was found in single clips: short ones, files and pictures, boxes that cannot be right."""
    totals = {"clips": summary["num_clips"], "frames": summary["num_frames"]}
    nothing = Found()
    lost = sum(tally.found.get(check, nothing).count for check in FILE_CHECKS)
    severity = "error" if lost > thresholds.max_missing_share * totals["frames"] else "warning"
    checks = {check: ("frames", severity, words) for check, words in FILE_CHECKS.items()}
    short = f"have fewer than {thresholds.min_frames} frames (--min-frames)"
    for check, (unit, level, words) in {**checks, **PLAIN_CHECKS, "short_clips": ("clips", "warning", short)}.items():
        if (found := tally.found.get(check)) is not None:
            first = f"; first: {found.reason}" if found.reason else ""
            # Keep: the boxes of a row without frames to count have no share.
            message = f"{say_share(found.count, max(totals[unit], 1), unit)} {words}{first}"
            yield make_finding(check, level, split, found.count, totals[unit], message, found.examples)


def check_persons(tallies: Mapping[str, Tally], protocol: str) -> Iterator[dict[str, Any]]:
    """Persons in two splits, which the official protocol, by clip, has by design."""
    for first, second in combinations(tallies, 2):
        shared = len(tallies[first].persons.keys() & tallies[second].persons.keys())
        if shared:
            total = len(tallies[second].persons)
            message = f"{say_share(shared, total, 'persons')} of {second} are in {first} too (protocol `{protocol}`)"
            severity = "info" if protocol == "official" else "warning"
            yield make_finding("shared_persons", severity, f"{first}/{second}", shared, total, message)


def find_all_repeats(
    tallies: Mapping[str, Tally], thresholds: AuditThresholds, decoded: bool
) -> Iterator[tuple[str, str, str, str, Repeats, str]]:
    """Check, severity, the split of the first clips and of their repeats, the repeats, and what they are in words."""

    def gather(name: str, width: int) -> dict[str, np.ndarray]:
        arrays = {split: np.array(getattr(tally, name), dtype=np.uint64) for split, tally in tallies.items()}
        return {split: array.reshape(-1, width) if width > 1 else array for split, array in arrays.items()}

    ids, files = gather("ids", 1), gather("files", 1)
    stretches, pictures = gather("stretches", 3), gather("pictures", HASH_FRAMES)
    for split in tallies:
        yield "repeated_ids", "error", split, split, find_repeats_within(ids[split]), "have the id of another clip"
        repeats = find_repeats_within(files[split])
        yield "repeated_files", "warning", split, split, repeats, "have the files of another clip"
    for first, second in combinations(tallies, 2):
        repeats = find_repeats_across(ids[first], ids[second])
        yield "repeated_ids", "error", first, second, repeats, f"have the id of a clip of {first}"
        repeats = find_repeats_across(files[first], files[second])
        yield "repeated_files", "error", first, second, repeats, f"have the files of a clip of {first}"
        repeats = find_overlaps(stretches[first], stretches[second])
        words = f"share frames of a video with a clip of {first}"
        yield "overlapping_stretches", "error", first, second, repeats, words
        if decoded:
            words = (
                f"look like a clip of {first} (at most {thresholds.max_hash_distance} of {HASH_BITS} bits differ, "
                "--max-hash-distance)"
            )
            repeats = find_near_duplicates(pictures[first], pictures[second], thresholds.max_hash_distance)
            yield "near_duplicates", "warning", first, second, repeats, words


def check_record(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Boxes that the build had to cut to their frames or to replace, as its record, build.json, counts them."""
    for split, summary in record.get("splits", {}).items():
        for kind in KINDS:
            for name, severity, words in (
                ("clamped", "info", "were cut to their frames by the build"),
                ("outside", "warning", "lay outside their frames, and the build left them out"),
            ):
                # The builders of video files and tables count them beside the boxes, RAER's among them.
                count = summary.get(f"{kind}_boxes", {}).get(name) or summary.get(f"{kind}_boxes_{name}", 0)
                if count:
                    message = f"{count:,} {kind} boxes {words}"
                    yield make_finding(f"{name}_{kind}_boxes{OF_BUILD}", severity, split, count, 0, message)
