"""What a change does, from runs with it and without it that are alike in all else."""

import math
from collections.abc import Sequence

import numpy as np

from modeling_clipcaer.errors import InputError


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
