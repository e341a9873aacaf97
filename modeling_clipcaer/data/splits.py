"""Cutting a part off a list of clips: by clip or by person, stratified by label."""

import random
from collections.abc import Sequence

import numpy as np

from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


Clips = list[SourceClip]


def cut_part(
    clips: Sequence[SourceClip],
    share: float,
    by: str,
    seed: int,
    part: str = "validation split",
    labels: Sequence[str] | None = None,
) -> tuple[Clips, Clips]:
    """Split clips into the rest and a part, stratified by label; both keep the order of `clips`.

    The choice depends on the clips, `share`, `by`, `seed` and the order of `labels` alone, not on that of the lines.

    Args:
        share: the part's share of the clips of every label, at least one clip where the label has two.
        by: "clip" draws clips, as the official test split does; "person" draws whole persons: nobody is in both.
        part: what it is, for the message where it cannot be cut.
        labels: those of the clips in their order, by default sorted.
    """
    chosen = draw_clips(clips, share, seed) if by == "clip" else draw_persons(clips, share, seed, labels)
    if not chosen:
        place = f"{clips[0].place}: " if clips else ""
        raise InputError(
            f"{place}no {part} by {by} that leaves training every label can be cut from {len(clips)} clips of "
            f"{len({clip.person_id for clip in clips})} persons; expected more, or a list of its own"
        )
    rest = [clip for clip in clips if clip.clip_id not in chosen]
    return rest, [clip for clip in clips if clip.clip_id in chosen]


def cut_folds(clips: Sequence[SourceClip], folds: int, seed: int) -> list[Clips]:
    """`folds` parts of about the same size and the same labels, with nobody in two of them.

    One after the other is cut off what is left, so that a fold depends on the clips, `folds` and `seed` alone.
    """
    rest, parts = list(clips), []
    for left in range(folds, 1, -1):
        rest, part = cut_part(rest, 1 / left, "person", seed, f"{folds}-fold split")
        parts.append(part)
    return [*parts, rest]


def count_targets(totals: Sequence[int], share: float) -> list[int]:
    """Clips wanted of every label: the share, but at least one and never all."""
    return [min(total - 1, max(1, round(total * share))) if total > 1 else 0 for total in totals]


def draw_clips(clips: Sequence[SourceClip], share: float, seed: int) -> set[str]:
    """Names of the clips that are drawn, so many of each label as its share comes to."""
    chosen: set[str] = set()
    for label in sorted({clip.label for clip in clips}):
        clip_ids = sorted(clip.clip_id for clip in clips if clip.label == label)
        random.Random(f"{seed}/{label}").shuffle(clip_ids)
        chosen.update(clip_ids[: count_targets([len(clip_ids)], share)[0]])
    return chosen


def draw_persons(
    clips: Sequence[SourceClip], share: float, seed: int, labels: Sequence[str] | None = None
) -> set[str]:
    """Whole persons in a seeded order, greedily: first one for every label, the rarest first; then persons enter or
    leave as long as that brings the counts closer to the targets. The distance is relative to each label's target, so
    that rare labels weigh as much as common ones. The rest never loses its last clip of a label.
    """
    persons = sorted({clip.person_id for clip in clips})
    if len(persons) == len(clips):
        # Keep: moving persons one by one takes minutes where each of 100,000 clips has one of its own.
        return draw_clips(clips, share, seed)
    random.Random(str(seed)).shuffle(persons)
    order = sorted({clip.label for clip in clips}) if labels is None else labels
    rows, columns = ({name: place for place, name in enumerate(names)} for names in (persons, order))
    counts = np.zeros((len(rows), len(columns)), dtype=int)
    for clip in clips:
        counts[rows[clip.person_id], columns[clip.label]] += 1
    chosen = {persons[row] for row in np.flatnonzero(choose_rows(counts, share))}
    return {clip.clip_id for clip in clips if clip.person_id in chosen}


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
