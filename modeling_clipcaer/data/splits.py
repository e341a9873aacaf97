"""Cutting a part off a list of clips: by clip or by person, stratified by label."""

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from modeling_clipcaer.data.annotations import AnnotatedClip
from modeling_clipcaer.errors import InputError


Clips = list[AnnotatedClip]


def cut_part(
    clips: Sequence[AnnotatedClip], share: float, by: str, seed: int, part: str = "validation"
) -> tuple[Clips, Clips]:
    """Split clips into the rest and a part, stratified by label; both keep the order of `clips`.

    The choice depends on the clips, `share`, `by` and `seed` alone, not on the order of the lines.

    Args:
        share: the part's share of the clips of every label, at least one clip where the label has two.
        by: "clip" draws clips, as the official test split does; "person" draws whole persons: nobody is in both.
        part: what it is for, for the message where it cannot be cut.
    """
    chosen = draw_clips(clips, share, seed) if by == "clip" else draw_persons(clips, share, seed)
    if not chosen:
        raise InputError(
            f"{clips[0].place}: no {part} split by {by} that leaves the rest every label can be cut from "
            f"{len(clips)} clips of {len({clip.person_id for clip in clips})} persons; expected more, "
            "or a list of its own"
        )
    rest = [clip for clip in clips if clip.clip_id not in chosen]
    return rest, [clip for clip in clips if clip.clip_id in chosen]


def cut_folds(clips: Sequence[AnnotatedClip], folds: int, seed: int) -> list[Clips]:
    """`folds` parts of about the same size and the same labels, with nobody in two of them.

    One after the other is cut off what is left, so that a fold depends on the clips, `folds` and `seed` alone.
    """
    rest, parts = list(clips), []
    for left in range(folds, 1, -1):
        rest, part = cut_part(rest, 1 / left, "person", seed, f"{folds}-fold")
        parts.append(part)
    return [*parts, rest]


def count_targets(totals: Sequence[int], share: float) -> list[int]:
    """Clips wanted of every label: the share, but at least one and never all."""
    return [min(total - 1, max(1, round(total * share))) if total > 1 else 0 for total in totals]


def draw_clips(clips: Sequence[AnnotatedClip], share: float, seed: int) -> set[str]:
    chosen: set[str] = set()
    for label in sorted({clip.label for clip in clips}):
        clip_ids = sorted(clip.clip_id for clip in clips if clip.label == label)
        random.Random(f"{seed}/{label}").shuffle(clip_ids)
        chosen.update(clip_ids[: count_targets([len(clip_ids)], share)[0]])
    return chosen


def draw_persons(clips: Sequence[AnnotatedClip], share: float, seed: int) -> set[str]:
    """Whole persons in a seeded order, greedily: first one for every label, the rarest first; then persons enter or
    leave as long as that brings the counts closer to the targets. The distance is relative to each label's target, so
    that rare labels weigh as much as common ones. The rest never loses its last clip of a label.
    """
    clips_of: dict[str, list[AnnotatedClip]] = defaultdict(list)
    for clip in clips:
        if not clip.layout.names_persons(clip.clip_id):
            raise InputError(
                f"{clip.place}: clip '{clip.clip_id}', expected a person folder like P012 above the clip; "
                "--person-pattern tells persons in other layouts"
            )
        clips_of[clip.person_id].append(clip)
    persons = sorted(clips_of)
    random.Random(str(seed)).shuffle(persons)
    num_labels = max(clip.label for clip in clips) + 1
    counts = np.array(
        [np.bincount([clip.label for clip in clips_of[person]], minlength=num_labels) for person in persons]
    )
    return {clip.clip_id for index in np.flatnonzero(choose_rows(counts, share)) for clip in clips_of[persons[index]]}


def choose_rows(counts: np.ndarray, share: float) -> np.ndarray:
    """Mask (num_persons,) of the rows of `counts` (num_persons, num_labels) for the part, see `draw_persons`."""
    totals = counts.sum(axis=0)
    targets = np.array(count_targets(totals.tolist(), share))
    inside = np.zeros(len(counts), dtype=bool)

    def measure(have: np.ndarray) -> np.ndarray:
        return (np.abs(targets - have) / np.maximum(targets, 1)).sum(axis=-1)

    def move_one(wanted: np.ndarray, needed: bool) -> bool:
        """Move the first wanted row that lessens the distance; where one is needed, else the one that adds least."""
        have = counts[inside].sum(axis=0)
        after = have + np.where(inside[:, None], -counts, counts)
        allowed = (
            wanted & (totals - after >= np.minimum(totals, 1)).all(axis=1) & (after >= np.minimum(have, 1)).all(axis=1)
        )
        distances = np.where(allowed, measure(after), np.inf)
        better = distances < measure(have)
        index = int(better.argmax()) if better.any() else int(distances.argmin())
        moves = better[index] or (needed and distances[index] < np.inf)
        inside[index] ^= moves
        return bool(moves)

    for label in np.argsort(totals, kind="stable"):
        if not counts[inside, label].any():
            move_one(counts[:, label] > 0, needed=True)
    while move_one(np.ones(len(counts), dtype=bool), needed=False):
        pass
    return inside
