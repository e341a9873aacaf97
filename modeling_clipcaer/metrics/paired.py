"""Two models' answers to the same clips: how far apart, how sure, and how many clips it takes to see it."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.metrics.predictions import check_labels
from modeling_clipcaer.metrics.recalls import count_by_group


class Difference(NamedTuple):
    """A second model's figure less the first's, as fractions.

    Attributes:
        measured: on these clips.
        low, high: bounds of the 95 % interval.
        deviation: standard deviation of the difference by the bootstrap.
    """

    measured: float
    low: float
    high: float
    deviation: float

    @property
    def is_within_noise(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0 <= self.high


def paired_differences(
    references: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    num_labels: int | None = None,
    groups: ArrayLike | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Difference]:
    """
    UAR and WAR of `second` less those of `first`, with 95 % intervals by a Bayesian bootstrap (Rubin, 1981) that draws
    the same weights for both, so that what is hard for both cancels.

    Weights are those of [`bootstrap_confidence_intervals`]: of clips, or with `groups` of persons, and then the
    interval is widened to hold that by clip too. The prior of each label is half a clip that the first alone
    answers rightly and half a clip that the second alone does: two models that agree on all of few clips may still
    differ.

    Args:
        references, first, second (`num_clips` integers): True and predicted labels, 0-based.
        num_labels (`int`, *optional*): Labels that exist. By default up to the largest one that occurs.
        groups (`num_clips` names or numbers, *optional*): The person of each clip.
        num_resamples (`int`, *optional*, defaults to 2000): Draws.
        seed (`int`, *optional*, defaults to 0): Of the draws.
    """
    num_labels = max(check_labels(references, answers, num_labels)[2] for answers in (first, second))
    references, first, _ = check_labels(references, first, num_labels)
    second = np.asarray(second)
    gains = (second == references).astype(np.int64) - (first == references)
    is_present = np.bincount(references, minlength=num_labels) > 0
    support, losing, winning = (
        np.bincount(references, weights, num_labels)[is_present] for weights in (None, gains < 0, gains > 0)
    )
    generator = np.random.default_rng(seed)
    shape = (num_resamples, len(support))
    same, lost, won = (
        generator.standard_gamma(counts, shape) for counts in (support - losing - winning, losing + 0.5, winning + 0.5)
    )
    draws = [(won - lost) / (same + lost + won)]
    if groups is not None:
        clips, net = (
            count_by_group(references, groups, num_labels, weights)[:, is_present] for weights in (None, gains)
        )
        persons = generator.standard_exponential((num_resamples, len(clips)))
        lost, won = generator.standard_gamma(0.5, (2, *shape))
        draws.append((persons @ net + won - lost) / (persons @ clips + won + lost))
    shares = {"uar": np.full(len(support), 1 / len(support)), "war": support / support.sum()}
    found = {}
    for name, weights in shares.items():
        means = [drawn @ weights for drawn in draws]
        measured = float(weights @ ((winning - losing) / support))
        bounds = [measured, *np.ravel([np.percentile(mean, [2.5, 97.5]) for mean in means])]
        found[name] = Difference(
            measured, float(min(bounds)), float(max(bounds)), float(max(mean.std() for mean in means))
        )
    return found


def mcnemar_test(references: ArrayLike, first: ArrayLike, second: ArrayLike) -> dict[str, int | float]:
    """
    McNemar's test (1947), exact whatever the number of clips: of those that one model alone answers rightly, either
    model has half if both are equally good. Clips count as independent.

    Returns:
        `only_first` and `only_second`, clips that one alone answers rightly, and the two-sided `p_value`.
    """
    references, first, _ = check_labels(references, first, None)
    _, second, _ = check_labels(references, second, None)
    only_first = int(np.count_nonzero((first == references) & (second != references)))
    only_second = int(np.count_nonzero((first != references) & (second == references)))
    tried, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(tried, hits) for hits in range(fewer + 1))
    # Keep: whole numbers up to here. Two to the power of some thousand is no float.
    return {"only_first": only_first, "only_second": only_second, "p_value": min(1.0, 2 * tail / 2**tried)}


def clips_to_see(difference: float, disagreement: float, power: float = 0.8, level: float = 0.05) -> int | None:
    """
    Clips with which McNemar's test at `level` finds a difference of accuracy with probability `power` (Miettinen,
    1968; Connor, 1987): (z₁ √ψ + z₂ √(ψ - δ²))² / δ², of the difference δ and the share ψ of clips that one model
    alone answers rightly; z₁ and z₂ are the normal quantiles of 1 - level / 2 and power.

    Args:
        difference (`float`): Of the accuracies, as a fraction.
        disagreement (`float`): Share of clips that one alone answers rightly, at least |difference|.

    Returns:
        Their number, rounded up; `None` where there is no difference to see.
    """
    if difference == 0:
        return None
    quantile = NormalDist().inv_cdf
    spread = quantile(1 - level / 2) * math.sqrt(disagreement)
    spread += quantile(power) * math.sqrt(max(disagreement - difference**2, 0.0))
    return math.ceil((spread / difference) ** 2)


def clips_for_interval(difference: float, deviation: float, num_clips: int, power: float = 0.8) -> int | None:
    """
    Clips, of as many persons more, with which the 95 % interval leaves 0 out with probability `power`, where
    `num_clips` gave the standard deviation `deviation`: it falls with the root of their number, so that they are
    num_clips ((z₁ + z₂) deviation / difference)² (Cohen, 1988). It holds for UAR and for clips that hang together.

    Returns:
        Their number, rounded up; `None` where there is no difference to see.
    """
    if difference == 0:
        return None
    quantile = NormalDist().inv_cdf
    return math.ceil(num_clips * ((quantile(0.975) + quantile(power)) * deviation / difference) ** 2)
