"""Where a model is right: by person, place, length of the clip, and whether a face was found in its frames."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modeling_clipcaer.metrics import (
    bootstrap_confidence_intervals,
    predict_labels,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.reports.predictions import Predictions


FEW_CLIPS = 30  # below it a group's figures are chance as much as anything
LENGTHS = 3  # groups of about as many clips each


def break_down(answers: Predictions, seed: int) -> dict[str, list[dict[str, Any]]]:
    """`by_person`, `by_place`, `by_length` and `by_boxes`, as far as they are known of the clips.

    Each is a list of groups: `group`, `num_clips`, `num_persons` (`None`: not known), `is_small` (below 30 clips), and
    in percent `uar` over the labels that the group has, `war`, and their intervals `uar_ci95` and `war_ci95`, which
    are by person where there are several.
    """
    found: dict[str, Sequence[str]] = {}
    if answers.persons is not None:
        found["by_person"] = answers.persons
    if any(answers.places):
        found["by_place"] = [place or "not known" for place in answers.places]
    if answers.num_frames is not None:
        found["by_length"] = _name_lengths(answers.num_frames)
    if answers.face_shares is not None:
        found["by_boxes"] = [_name_boxes(share) for share in answers.face_shares]
    return {name: _measure_groups(answers, groups, seed) for name, groups in found.items()}


def _name_lengths(num_frames: np.ndarray) -> list[str]:
    """The third of all lengths that each clip is in, as `8 to 12 frames`."""
    edges = np.unique(np.quantile(num_frames, np.linspace(0, 1, LENGTHS + 1)[1:], method="inverted_cdf"))
    third = np.searchsorted(edges, num_frames)
    names = {}
    for number in np.unique(third):
        lengths = num_frames[third == number]
        low, high = int(lengths.min()), int(lengths.max())
        names[number] = f"{low} frames" if low == high else f"{low} to {high} frames"
    return [names[number] for number in third]


def _name_boxes(share: float) -> str:
    return "face found in every frame" if share == 1 else "face found in some frames" if share else "no face found"


def _measure_groups(answers: Predictions, groups: Sequence[str], seed: int) -> list[dict[str, Any]]:
    predictions, names = predict_labels(answers.logits), np.array(groups)
    persons = None if answers.persons is None else np.array(answers.persons)
    rows = []
    for name in sorted(set(groups), key=_by_number):
        held = names == name
        seen = None if persons is None else persons[held]
        count = None if seen is None else len(set(seen))
        measured = (answers.references[held], predictions[held], len(answers.labels))
        bounds = bootstrap_confidence_intervals(*measured, seed=seed, groups=seen if count and count > 1 else None)
        scores: dict[str, Callable] = {"uar": unweighted_average_recall, "war": weighted_average_recall}
        rows.append(
            {
                "group": name,
                "num_clips": int(held.sum()),
                "num_persons": count,
                "is_small": bool(held.sum() < FEW_CLIPS),
                **{score: round(100 * measure(*measured), 6) for score, measure in scores.items()},
                **{f"{score}_ci95": [round(100 * bound, 6) for bound in bounds[score]] for score in scores},
            }
        )
    return rows


def _by_number(name: str) -> tuple[int, str]:
    """`8 to 12 frames` before `13 frames`."""
    first = name.split(" ", 1)[0]
    return (int(first) if first.isdecimal() else 0, name)
