"""How often answers are right, by how sure they are: what plot and page show of a report."""

from typing import Any, NamedTuple


class Bin(NamedTuple):
    """Clips of a range of confidence: their number, and how sure and how right the answers are. All but the number
    are fractions; `interval` is that of `accuracy`, 95 %, by Jeffreys' prior."""

    low: float
    high: float
    clips: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


class Reliability(NamedTuple):
    """Of the probabilities that a checkpoint tells: its bins that have clips, the calibration error as a fraction, and
    both in words."""

    bins: list[Bin]
    error: float
    words: str


def read_reliability(report: dict[str, Any]) -> Reliability:
    """That of the probabilities with the checkpoint's temperature, where it has one."""
    calibration = report["calibration"]
    told = report if calibration is None else calibration
    found = told["reliability"]
    width = 1 / len(found["count"])
    bins = [
        Bin(width * place, width * (place + 1), count, confidence, accuracy, _interval(accuracy, count))
        for place, (count, confidence, accuracy) in enumerate(
            zip(found["count"], found["confidence"], found["accuracy"], strict=True)
        )
        if count
    ]
    how = "no temperature"
    if calibration is not None:
        how = f"temperature {calibration['temperature']:.2f} (without {100 * report['ece']:.1f} %)"
    return Reliability(bins, told["ece"], f"Calibration error {100 * told['ece']:.1f} %, {how}")


def _interval(accuracy: float, count: int) -> tuple[float, float]:
    from scipy.stats import beta

    right = round(accuracy * count)
    low, high = beta.ppf([0.025, 0.975], right + 0.5, count - right + 0.5).tolist()
    return min(low, accuracy), max(high, accuracy)
