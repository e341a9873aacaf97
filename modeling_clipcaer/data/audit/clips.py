"""Looking at clips one by one, and what many of them come to. Tallies of parts add up to that of the whole."""

import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modeling_clipcaer.data.audit.images import (
    choose_hashed,
    decode_images,
    decode_video,
    hash_picture,
    know_files,
    know_video,
    list_images,
    make_key,
    measure_file,
)
from modeling_clipcaer.data.audit.thresholds import HASH_FRAMES, AuditThresholds
from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.clip_rows import find_foreign_frame, require_form
from modeling_clipcaer.data.votes import find_vote_fault
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.image_files import read_image_size
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.processing_clipcaer import boxes_per_frame


KINDS = ("face", "body")
SIDE_BINS = 20  # of the histograms of box sizes, which go from 0 to the frame's size
NUM_EXAMPLES = 5
REACH = 1  # pixels by which a box may reach out of its frame: rounding


@dataclass
class Found:
    """How often a check found something, in which clips first, and what it was in the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    reason: str = ""


@dataclass
class Tally:
    """Counts of some clips, and a few numbers of each for finding clips that are there twice."""

    counts: Counter = field(default_factory=Counter)
    labels: Counter = field(default_factory=Counter)
    lengths: Counter = field(default_factory=Counter)
    votes: Counter = field(default_factory=Counter)  # by how many counts a clip has of them, and their sum
    persons: dict[str, set[int]] = field(default_factory=dict)  # and the labels that each shows
    found: dict[str, Found] = field(default_factory=dict)
    sides: dict[str, np.ndarray] = field(default_factory=lambda: {k: np.zeros(SIDE_BINS, np.int64) for k in KINDS})
    # Of each clip: a key of its id, one of its files, a stretch of a video (its key, first frame, end), its hashes.
    ids: array = field(default_factory=lambda: array("Q"))
    files: array = field(default_factory=lambda: array("Q"))
    stretches: array = field(default_factory=lambda: array("Q"))
    pictures: array = field(default_factory=lambda: array("Q"))

    def note(self, check: str, clip_id: str, count: int = 1, reason: object = "") -> None:
        """Say that `check` found something, `count` times, in a clip."""
        if count:
            self._add_found(check, Found(int(count), [clip_id], str(reason)))

    def add(self, other: "Tally") -> None:
        """Take in the tally of the clips that follow."""
        for name in ("counts", "labels", "lengths", "votes"):
            getattr(self, name).update(getattr(other, name))
        for name in ("ids", "files", "stretches", "pictures"):
            getattr(self, name).extend(getattr(other, name))
        for person, labels in other.persons.items():
            self.persons.setdefault(person, set()).update(labels)
        for kind in KINDS:
            self.sides[kind] += other.sides[kind]
        for check, found in other.found.items():
            self._add_found(check, found)

    def _add_found(self, check: str, found: Found) -> None:
        mine = self.found.setdefault(check, Found())
        mine.count += found.count
        mine.examples = list(dict.fromkeys([*mine.examples, *found.examples]))[:NUM_EXAMPLES]
        mine.reason = mine.reason or found.reason


def look_at_clip(row: Mapping[str, Any], tally: Tally, thresholds: AuditThresholds, decode: bool) -> None:
    """Add what there is to say about a row to `tally`."""
    clip_id = str(row["clip_id"])
    tally.counts["clips"] += 1
    tally.ids.append(make_key(clip_id))
    label = -1 if row["label"] is None else row["label"]
    tally.labels[label] += 1
    if row.get("person_id"):
        tally.persons.setdefault(identity_key(row["person_id"]), set()).add(label)
    else:
        tally.note("unknown_persons", clip_id)
    if "votes" in row:
        look_at_votes(row, tally)
    fault = find_fault(row)
    tally.note("broken_rows", clip_id, fault is not None, fault)
    total = 0 if fault else row["num_frames"] if "video" in row else len(row["frame_names"])
    tally.counts["frames"] += total
    tally.lengths[total] += 1
    tally.note("no_frames", clip_id, total == 0 and not fault)
    tally.note("short_clips", clip_id, 0 < total < thresholds.min_frames)
    key, stretch, pictures = 0, (0, 0, 0), [0] * HASH_FRAMES
    if total:
        key, stretch, present = look_at_files(row, total, tally)
        sizes = np.full((total, 2), np.nan)
        if decode:
            pictures = look_at_pictures(row, present, sizes, tally)
        elif "video" not in row:
            look_at_headers(row, present, sizes, tally)
        for kind in KINDS:
            look_at_boxes(row, kind, sizes, tally, getattr(thresholds, f"min_{kind}_side"))
    tally.files.append(key)
    tally.stretches.extend(stretch)
    tally.pictures.extend(pictures)


def look_at_votes(row: Mapping[str, Any], tally: Tally) -> None:
    """Count a clip's votes, and say where there are none, where they are none, or where they are for other labels."""
    votes = row["votes"] or []
    fault = find_vote_fault(row["votes"], len(votes))
    tally.note("broken_votes", row["clip_id"], fault is not None, fault)
    if fault is not None:
        return
    tally.votes[len(votes), sum(votes)] += 1
    tally.note("no_votes", row["clip_id"], not any(votes))
    label = row["label"]
    tally.note("outvoted_labels", row["clip_id"], label in range(len(votes)) and votes[label] < max(votes))


def find_fault(row: Mapping[str, Any]) -> str | None:
    """Why a row does not say which frames it has, or `None`."""
    form = require_form(row)
    empty = next((name for name in form if row[name] is None), None)
    if empty is not None:
        return f"`{empty}` is empty"
    if any(value is None for name in ("frames", "frame_names") if name in form for value in row[name]):
        return "a frame without a name or content"
    if "frames" in form and len(row["frames"]) != len(row["frame_names"]):
        return f"{len(row['frames'])} frames and {len(row['frame_names'])} names"
    if "frame_dir" in form and (foreign := find_foreign_frame(row)) is not None:
        return f"the frame '{foreign}' lies elsewhere than in `frame_dir`"
    if "video" in form and (row["first_frame"] < 0 or row["num_frames"] < 0):
        return f"{row['num_frames']} frames from number {row['first_frame']} on"
    return None


def look_at_files(row: Mapping[str, Any], total: int, tally: Tally) -> tuple[int, tuple[int, int, int], list[int]]:
    """The key of a clip's files, its stretch of a video, and the places of the frames that have a file."""
    clip_id, is_video = row["clip_id"], "video" in row
    images = [row["video"]] if is_video else list_images(row)
    lengths = [measure_file(image) for image in images]
    # Keep: a video's frames go missing all at once.
    weight = total if is_video else 1
    for check, bad in (("missing_files", None), ("empty_files", 0)):
        worst = next((name for name, length in zip(images, lengths, strict=True) if length == bad), "")
        tally.note(check, clip_id, weight * lengths.count(bad), worst if isinstance(worst, str) else clip_id)
    places = [place for place, length in enumerate(lengths) if length]
    if is_video:
        places = list(range(total)) if places else []
    if not all(lengths):
        return 0, (0, 0, 0), places
    try:
        if not is_video:
            return know_files(images, lengths), (0, 0, 0), places
        video, first = know_video(row["video"]), row["first_frame"]
        return make_key(video, first, total), (video, first, first + total), places
    except OSError as error:
        tally.note("unreadable_frames", clip_id, weight, f"{error.filename}: {error.strerror}")
        return 0, (0, 0, 0), []


def look_at_headers(row: Mapping[str, Any], places: Sequence[int], sizes: np.ndarray, tally: Tally) -> None:
    """Fill the `sizes` (num_frames, 2) of the frames at `places` in, from the headers of their files."""
    images = list_images(row)
    for place in places:
        try:
            sizes[place] = read_image_size(images[place], os.path.join(row["clip_id"], row["frame_names"][place]))
        except InputError as error:
            tally.note("unreadable_frames", row["clip_id"], 1, error)
    note_sizes(row, sizes, tally)


def note_sizes(row: Mapping[str, Any], sizes: np.ndarray, tally: Tally) -> None:
    """Say whether the frames of a clip differ in size, as far as their `sizes` (num_frames, 2) are known."""
    known = sizes[~np.isnan(sizes[:, 0])]
    tally.note("differing_sizes", row["clip_id"], len(known) > 0 and bool((known != known[0]).any()))


def look_at_pictures(row: Mapping[str, Any], places: Sequence[int], sizes: np.ndarray, tally: Tally) -> list[int]:
    """Decode the frames at `places`, fill their `sizes` (num_frames, 2) in, and return the hashes of the clip."""
    hashed = choose_hashed(len(sizes))
    hashes: dict[int, int] = {}
    frames: Iterator = decode_video(row) if "video" in row and places else decode_images(row, places)
    for place, size, pixels in frames:
        if size is None:
            tally.note("unreadable_frames", row["clip_id"], 1, pixels)
            continue
        sizes[place] = size
        if place in hashed:
            hashes[place] = hash_picture(pixels)
    note_sizes(row, sizes, tally)
    complete = len(hashes) == len(set(hashed))
    tally.note("blank_clips", row["clip_id"], complete and not any(hashes.values()))
    return [hashes[place] for place in hashed] if complete else [0] * HASH_FRAMES


def look_at_boxes(row: Mapping[str, Any], kind: str, sizes: np.ndarray, tally: Tally, min_side: float) -> None:
    """Count the boxes of a clip that are its frames' own, and find those that cannot be right.

    Args:
        sizes: width and height of every frame (num_frames, 2), NaN where unknown.
        min_side: pixels below which a box is tiny.
    """
    try:
        boxes, own = spread_boxes(row[f"{kind}_boxes"], len(sizes))
        given = own
        if kind == "face" and row.get("face_box_sources"):
            own = own & (spread(row["face_box_sources"], len(sizes)) == BOX_SOURCES.index("annotated"))
    except InputError as error:
        tally.note(f"broken_{kind}_boxes", row["clip_id"], 1, error)
        return
    sides = boxes[:, 2:] - boxes[:, :2]
    seen = np.minimum(boxes[:, 2:], sizes) - np.maximum(boxes[:, :2], 0)
    sound = given & (sides > 0).all(axis=1)
    # Comparisons with an unknown size are false: what is not known to be wrong is not counted.
    outside = sound & (seen < 1).any(axis=1)
    beyond = (boxes[:, :2] < -REACH).any(axis=1) | (boxes[:, 2:] > sizes + REACH).any(axis=1)
    tiny = sound & own & (sides.min(axis=1) < min_side)
    masks = {"broken": given & ~sound, "outside": outside, "reaching": sound & beyond & ~outside, "tiny": tiny}
    for check, mask in masks.items():
        tally.note(f"{check}_{kind}_boxes", row["clip_id"], mask.sum(), boxes[mask.argmax()].tolist())
    tally.counts[f"{kind}_frames"] += int(own.sum())
    tally.counts[f"{kind}_clips"] += int(own.any())
    shown = sound & own & ~np.isnan(sizes[:, 0])
    shares = np.sqrt(sides[shown].prod(axis=1) / sizes[shown].prod(axis=1))
    tally.sides[kind] += np.histogram(shares.clip(0, 1), SIDE_BINS, (0, 1))[0]


def spread_boxes(boxes: Sequence | None, total: int) -> tuple[np.ndarray, np.ndarray]:
    """A row's boxes as (num_frames, 4), and which frames have one (num_frames,); the others are whole frames, NaN."""
    per_frame = boxes_per_frame(boxes, total)
    wrong = next((box for box in per_frame if box and len(box) != 4), None)
    if wrong is not None:
        raise InputError(f"box {wrong}, expected 4 numbers")
    numbers = np.array([box or [np.nan] * 4 for box in per_frame], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers, np.array([bool(box) for box in per_frame])


def spread(values: Sequence[int], total: int) -> np.ndarray:
    """One value for each frame, from one for all or one for each."""
    if len(values) not in (1, total):
        raise InputError(f"{len(values)} sources of boxes, expected one for each of {total} frames")
    return np.broadcast_to(np.array(values), total)
