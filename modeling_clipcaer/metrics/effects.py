"""What a change does, from runs with it and without it that are alike in all else."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.predictions import check_labels
from modeling_clipcaer.metrics.recalls import macro_f1


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """
    Mean of independent values and half the width of its interval by Student's t; infinite for a single value.

    Args:
        values (`num_values` numbers): such as paired differences.
        level (`float`, *optional*, defaults to 0.95): share of such intervals that hold the true mean.
    """
    from scipy.stats import t as student  # half a second, which `import modeling_clipcaer` need not take

    if not len(values):
        raise InputError("no values to average")
    if len(values) == 1:
        return float(values[0]), math.inf
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(student.ppf((1 + level) / 2, len(values) - 1) * error)


def macro_f1_interval(
    references: ArrayLike, predictions: ArrayLike, groups: ArrayLike, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """
    95 % interval in [0, 1] of the mean F1 over the labels that occur, by a Bayesian bootstrap over persons (Rubin,
    1981): all clips of a person share one weight, drawn from Exp(1). It is widened to hold what was measured. Where
    every clip is right it has no width.

    Args:
        references, predictions (`num_clips` integers): True and predicted labels, 0-based.
        groups (`num_clips` names or numbers): The person of each clip.
        num_resamples (`int`, *optional*, defaults to 2000): Draws.
        seed (`int`, *optional*, defaults to 0): Of the draws.
    """
    references, predictions, num_labels = check_labels(references, predictions, None)
    _, persons = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((persons.max() + 1, 3, num_labels))  # of a label: references, predictions, hits
    for place, (labels, weight) in enumerate(
        ((references, 1), (predictions, 1), (references, references == predictions))
    ):
        np.add.at(counts[:, place], (persons, labels), weight)
    occurs = counts[:, 0].any(axis=0)
    drawn = np.random.default_rng(seed).standard_exponential((num_resamples, len(counts)))
    support, predicted, hits = np.einsum("rp,pkl->krl", drawn, counts[:, :, occurs])
    low, high = np.percentile((2 * hits / (support + predicted)).mean(axis=1), [2.5, 97.5])
    measured = macro_f1(references, predictions, num_labels)
    return min(float(low), measured), max(float(high), measured)


def count_pairs_needed(differences: Sequence[float], effect: float, power: float = 0.8) -> int | None:
    """
    Pairs of runs with which an effect of this size would be told from none with the given power, by a two-sided test
    at 5 % with the deviation of the differences: `((z_0.975 + z_power) s / effect)²`, at least 2. `None`: a single
    difference has no deviation.
    """
    from scipy.stats import norm

    if len(differences) < 2:
        return None
    deviation = float(np.std(differences, ddof=1))
    return max(2, math.ceil(((norm.ppf(0.975) + norm.ppf(power)) * deviation / effect) ** 2))
