"""How well probabilities match how often they are right, and the temperature that makes them match better."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.predictions import check_labels, check_logits, predict_probabilities


# Below it, whether a temperature helps cannot be told: of a label or two there is no clip to hold out.
FEWEST_TO_CALIBRATE = 20


def reliability_bins(probabilities: ArrayLike, references: ArrayLike, bins: int = 15) -> dict[str, np.ndarray]:
    """
    `count`, mean `confidence` and `accuracy` of the clips whose highest probability falls in each of `bins` equally
    wide intervals (low, high], each of shape `(bins,)`; confidence and accuracy are NaN where there is no clip.

    Args:
        probabilities (`(num_clips, num_labels)` numbers): Rows that sum to 1.
        references (`num_clips` integers): True labels, 0-based.
        bins (`int`, *optional*, defaults to 15): As in Guo et al., 2017.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or not np.allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise InputError(f"probabilities must be rows that sum to 1, got an array of shape {probabilities.shape}")
    predictions, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    references, predictions, _ = check_labels(references, predictions, probabilities.shape[1])
    bin_of_clip = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(bin_of_clip, minlength=bins)
    with np.errstate(invalid="ignore"):
        return {
            "count": count,
            "confidence": np.bincount(bin_of_clip, confidence, minlength=bins) / count,
            "accuracy": np.bincount(bin_of_clip, references == predictions, minlength=bins) / count,
        }


def expected_calibration_error(probabilities: ArrayLike, references: ArrayLike, bins: int = 15) -> float:
    """ECE in [0, 1] (Guo et al., 2017): mean over clips of |accuracy - confidence| of the clip's bin."""
    found = reliability_bins(probabilities, references, bins)
    gaps = np.abs(found["accuracy"] - found["confidence"])
    return float(np.nansum(gaps * found["count"]) / found["count"].sum())


def log_losses(logits: ArrayLike, references: ArrayLike) -> np.ndarray:
    """Negative log-likelihood of each clip's own label, (num_clips,) in float64: the cross-entropy, unreduced."""
    checked = check_logits(logits)
    references, _, _ = check_labels(references, checked.argmax(axis=1), checked.shape[1])
    checked = checked - checked.max(axis=1, keepdims=True)
    return np.log(np.exp(checked).sum(axis=1)) - checked[np.arange(len(checked)), references]


def mean_log_loss(logits: ArrayLike, references: ArrayLike) -> float:
    """Mean negative log-likelihood over clips: `F.cross_entropy` of the whole split."""
    return float(log_losses(logits, references).mean())


def fit_temperature(logits: ArrayLike, references: ArrayLike) -> float:
    """
    The temperature from 0.5 to 10 by which to divide logits so that their probabilities fit best (least mean negative
    log-likelihood; Guo et al., 2017).

    Args:
        logits (`(num_clips, num_labels)` numbers): Of clips that were not trained on.
        references (`num_clips` integers): True labels, 0-based.
    """
    # Not above: half a second, which `import modeling_clipcaer` need not take.
    from scipy.optimize import minimize_scalar

    checked = check_logits(logits)

    def mean_loss(scale: float) -> float:  # convex in the scale
        return mean_log_loss(scale * checked, references)

    # Keep: the bounds. A small split that is answered without an error asks for endless confidence.
    return 1 / float(minimize_scalar(mean_loss, bounds=(0.1, 2.0), method="bounded").x)


def assign_folds(references: ArrayLike, num_folds: int) -> np.ndarray:
    """(num_clips,) number of each clip's fold: the clips of a label go to the folds in turn, in their order."""
    references = np.asarray(references)
    order = np.argsort(references, kind="stable")
    folds = np.empty(len(references), dtype=np.int64)
    folds[order] = np.arange(len(references)) % num_folds
    return folds


def calibrate_temperature(logits: ArrayLike, references: ArrayLike, num_folds: int = 5) -> dict[str, Any]:
    """
    A temperature, where it helps clips that it was not fitted on: each of `num_folds` folds is scored with the one
    fitted on the others. It helps if the mean negative log-likelihood falls by more than chance (the 95 % interval of
    the clips' differences, Student's t, lies below 0) and the ECE does not rise.

    Args:
        logits (`(num_clips, num_labels)` numbers): Of clips that were not trained on.
        references (`num_clips` integers): True labels, 0-based.
        num_folds (`int`, *optional*, defaults to 5): At least 2.

    Returns:
        `temperature`, fitted on all clips, or `None`; `reason`, why there is none, or `None`; `num_clips`;
        `num_folds`; and where there are clips enough to try, `nll` and `ece` of the held-out clips, each with its
        value `before` and `after`. ECE is in [0, 1].
    """
    from scipy.stats import t as student

    logits, references = check_logits(logits), np.asarray(references)
    before = log_losses(logits, references)
    found: dict[str, Any] = {"temperature": None, "reason": None, "num_clips": len(logits), "num_folds": num_folds}
    if len(logits) < FEWEST_TO_CALIBRATE:
        reason = f"{len(logits)} clips are too few to tell whether it helps, which takes {FEWEST_TO_CALIBRATE}"
        return {**found, "reason": reason}
    folds, held_out = assign_folds(references, num_folds), np.empty_like(logits)
    for fold in range(num_folds):
        is_held = folds == fold
        held_out[is_held] = logits[is_held] / fit_temperature(logits[~is_held], references[~is_held])
    after = log_losses(held_out, references)
    gain = before - after
    margin = student.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    ece = [expected_calibration_error(predict_probabilities(scores), references) for scores in (logits, held_out)]
    found["nll"] = {"before": float(before.mean()), "after": float(after.mean())}
    found["ece"] = dict(zip(("before", "after"), ece, strict=True))
    if gain.mean() <= margin:
        words = f"{before.mean():.3f} without and {after.mean():.3f} with it, ± {margin:.3f}"
        return {**found, "reason": f"it does not help held-out clips beyond chance: log-likelihood loss {words}"}
    if ece[1] > ece[0]:
        words = f"{100 * ece[0]:.1f} % without and {100 * ece[1]:.1f} % with it"
        return {**found, "reason": f"it makes the calibration error of held-out clips larger: {words}"}
    return {**found, "temperature": fit_temperature(logits, references)}
