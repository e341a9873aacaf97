"""How well predicted labels match the references. Functions return fractions; logs and reports show percent."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError


# Below it, whether a temperature helps cannot be told: of a label or two there is no clip to hold out.
FEWEST_TO_CALIBRATE = 20


def _checked_labels(
    references: ArrayLike, predictions: ArrayLike, num_labels: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    references, predictions = np.asarray(references), np.asarray(predictions)
    if references.ndim != 1 or references.shape != predictions.shape:
        raise InputError(
            "references and predictions must be two lists of one label per clip, "
            f"got shapes {references.shape} and {predictions.shape}"
        )
    if not len(references):
        raise InputError("no clips to measure: the references are empty")
    if num_labels is None:
        num_labels = int(max(references.max(), predictions.max())) + 1
    for name, labels in (("reference", references), ("prediction", predictions)):
        wrong = np.flatnonzero(~np.isin(labels, np.arange(num_labels)))
        if len(wrong):
            found = f"{name} of clip {wrong[0]} is {labels[wrong[0]]}"
            raise InputError(f"{found}, expected a whole number from 0 to {num_labels - 1}")
    return references.astype(np.int64), predictions.astype(np.int64), num_labels


def confusion_matrix(references: ArrayLike, predictions: ArrayLike, num_labels: int | None = None) -> np.ndarray:
    """
    Clips per (reference, prediction).

    Args:
        references (`num_clips` integers): True labels, 0-based.
        predictions (`num_clips` integers): Predicted labels, 0-based.
        num_labels (`int`, *optional*): Labels that exist. By default up to the largest one that occurs.

    Returns:
        `np.ndarray` of shape `(num_labels, num_labels)`, int64, rows = references.
    """
    references, predictions, num_labels = _checked_labels(references, predictions, num_labels)
    return np.bincount(references * num_labels + predictions, minlength=num_labels**2).reshape(num_labels, num_labels)


def per_class_scores(
    references: ArrayLike, predictions: ArrayLike, num_labels: int | None = None
) -> dict[str, np.ndarray]:
    """
    `recall`, `precision`, `f1` in [0, 1] and `support` (clips in the references), each of shape `(num_labels,)`.
    NaN where undefined: recall of an absent label, precision of one never predicted, F1 of one that is both.
    """
    matrix = confusion_matrix(references, predictions, num_labels)
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision, f1 = hits / support, hits / predicted, 2 * hits / (support + predicted)
    return {"recall": recall, "precision": precision, "f1": f1, "support": support}


def unweighted_average_recall(references: ArrayLike, predictions: ArrayLike, num_labels: int | None = None) -> float:
    """
    UAR in [0, 1]: the mean recall over the labels that occur in the references. Rare labels count like frequent ones.
    The research code counts an absent label as 0 where it is predicted: that punishes a model for the test set.
    """
    scores = per_class_scores(references, predictions, num_labels)
    return float(scores["recall"][scores["support"] > 0].mean())


def weighted_average_recall(references: ArrayLike, predictions: ArrayLike, num_labels: int | None = None) -> float:
    """WAR in [0, 1]: recall weighted by how often each label occurs, which is the accuracy."""
    matrix = confusion_matrix(references, predictions, num_labels)
    return float(matrix.trace() / matrix.sum())


def macro_f1(references: ArrayLike, predictions: ArrayLike, num_labels: int | None = None) -> float:
    """Mean F1 in [0, 1] over the labels that occur in the references, as in UAR."""
    scores = per_class_scores(references, predictions, num_labels)
    return float(scores["f1"][scores["support"] > 0].mean())


def absent_labels(references: ArrayLike, num_labels: int) -> list[int]:
    """Labels without a clip in the references: they have no recall, and no part in UAR and macro F1."""
    return np.flatnonzero(per_class_scores(references, references, num_labels)["support"] == 0).tolist()


def bootstrap_confidence_intervals(
    references: ArrayLike,
    predictions: ArrayLike,
    num_labels: int | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """
    95 % intervals of UAR and WAR, by a Bayesian bootstrap over clips (Rubin, 1981) with Jeffreys' prior.

    The recall of a label with h hits in n clips is drawn from `Beta(h + 1/2, n - h + 1/2)`, each label by itself, so
    that UAR means the same in every draw; the interval of one label alone is Jeffreys', which holds its 95 % for few
    clips too (Brown, Cai and DasGupta, 2001). Redrawing the clips themselves gives the same for many, but for 9 clips
    of which all are right the interval [100, 100]. The interval is widened to hold what was measured. One limit: clips
    count as independent, and those of one person are not.

    Returns:
        `{"uar": (low, high), "war": (low, high)}` in [0, 1]; they depend on the confusion matrix and `seed` alone.
    """
    matrix = confusion_matrix(references, predictions, num_labels)
    support = matrix.sum(axis=1)
    hits, support = matrix.diagonal()[support > 0], support[support > 0]
    shape = (num_resamples, len(support))
    drawn = np.random.default_rng(seed).beta(hits + 0.5, support - hits + 0.5, size=shape)
    shares = {"uar": np.full(len(support), 1 / len(support)), "war": support / support.sum()}
    intervals = {}
    for name, weights in shares.items():
        measured = float(weights @ (hits / support))
        low, high = np.percentile(drawn @ weights, [2.5, 97.5])
        intervals[name] = (min(float(low), measured), max(float(high), measured))
    return intervals


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
    references, predictions, _ = _checked_labels(references, predictions, probabilities.shape[1])
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
    checked = _checked_logits(logits)
    references, _, _ = _checked_labels(references, checked.argmax(axis=1), checked.shape[1])
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

    checked = _checked_logits(logits)

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

    logits, references = _checked_logits(logits), np.asarray(references)
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


def _checked_logits(logits: ArrayLike) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2:
        raise InputError(f"logits must have the shape (num_clips, num_labels), got {logits.shape}")
    # Keep: argmax takes NaN for the highest logit, and a model that diverged would be measured as if it answered.
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise InputError(f"logits of clip {broken[0]} are {logits[broken[0]].tolist()}, expected finite numbers")
    return logits


def predict_labels(logits: ArrayLike) -> np.ndarray:
    """(num_clips, num_labels) -> (num_clips,), the label of the highest logit."""
    return _checked_logits(logits).argmax(axis=1)


def predict_probabilities(logits: ArrayLike) -> np.ndarray:
    """(num_clips, num_labels) -> (num_clips, num_labels), the softmax in float64."""
    logits = _checked_logits(logits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def compute_uar_war(eval_prediction: Any) -> dict[str, float]:
    """
    `compute_metrics` of the Trainer.

    Args:
        eval_prediction (`transformers.EvalPrediction`):
            `label_ids` of shape `(num_clips,)`, `predictions` = logits of shape `(num_clips, num_labels)`, or a tuple
            that begins with them.

    Returns:
        `{"uar": …, "war": …}` in percent.
    """
    logits = eval_prediction.predictions
    logits = logits[0] if isinstance(logits, tuple | list) else logits
    predictions, num_labels = predict_labels(logits), np.shape(logits)[1]
    return {
        "uar": 100 * unweighted_average_recall(eval_prediction.label_ids, predictions, num_labels),
        "war": 100 * weighted_average_recall(eval_prediction.label_ids, predictions, num_labels),
    }
