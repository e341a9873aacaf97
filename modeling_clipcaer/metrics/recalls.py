"""How well predicted labels match the references. Functions return fractions; logs and reports show percent."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.predictions import check_labels, predict_labels


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
    references, predictions, num_labels = check_labels(references, predictions, num_labels)
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
    groups: ArrayLike | None = None,
) -> dict[str, tuple[float, float]]:
    """
    95 % intervals of UAR and WAR, by a Bayesian bootstrap over clips or persons (Rubin, 1981) with Jeffreys' prior.

    The recall of a label with h hits in n clips is drawn from `Beta(h + 1/2, n - h + 1/2)`, each label by itself, so
    that UAR means the same in every draw; the interval of one label alone is Jeffreys', which holds its 95 % for few
    clips too (Brown, Cai and DasGupta, 2001). Redrawing the clips themselves gives the same for many, but for 9 clips
    of which all are right the interval [100, 100]. The interval is widened to hold what was measured.

    By clip, clips count as independent, and those of one person are not. With `groups` all clips of a person share one
    weight, drawn from Exp(1), in every label (the Bayesian form of the bootstrap of clusters: Davison and Hinkley,
    1997, 3.8); the prior is the same, half a clip right and half a clip wrong of each label. Persons who are each
    answered alike would give an interval without a width, and few persons one too narrow (Cameron, Gelbach and Miller,
    2008): it is therefore widened to hold that by clip too. Below some ten persons it still is too narrow.

    Args:
        references, predictions, num_labels: as in [`confusion_matrix`].
        num_resamples (`int`, *optional*, defaults to 2000): Draws.
        seed (`int`, *optional*, defaults to 0): Of the draws.
        groups (`num_clips` names or numbers, *optional*): The person of each clip. By default each clip is by itself.

    Returns:
        `{"uar": (low, high), "war": (low, high)}` in [0, 1]; by clip they depend on the confusion matrix and `seed`
        alone.
    """
    references, predictions, num_labels = check_labels(references, predictions, num_labels)
    matrix = confusion_matrix(references, predictions, num_labels)
    is_present = matrix.any(axis=1)
    hits, support = matrix.diagonal()[is_present], matrix.sum(axis=1)[is_present]
    shape = (num_resamples, len(support))
    generator = np.random.default_rng(seed)
    draws = [generator.beta(hits + 0.5, support - hits + 0.5, size=shape)]
    if groups is not None:
        clips, right = (
            count_by_group(references, groups, num_labels, weights)[:, is_present]
            for weights in (None, references == predictions)
        )
        persons = generator.standard_exponential((num_resamples, len(clips)))
        half_right, half_wrong = generator.standard_gamma(0.5, (2, *shape))
        draws.append((persons @ right + half_right) / (persons @ clips + half_right + half_wrong))
    shares = {"uar": np.full(len(support), 1 / len(support)), "war": support / support.sum()}
    intervals = {}
    for name, weights in shares.items():
        bounds = [np.percentile(drawn @ weights, [2.5, 97.5]) for drawn in draws]
        held = [*np.ravel(bounds), weights @ (hits / support)]
        intervals[name] = (float(min(held)), float(max(held)))
    return intervals


def count_by_group(
    references: ArrayLike, groups: ArrayLike, num_labels: int, weights: ArrayLike | None = None
) -> np.ndarray:
    """Clips of each label, or the sums of their `weights`, in each group: (num_groups, num_labels), groups sorted.

    Raises:
        InputError: there is not one group for each clip.
    """
    references, groups = np.asarray(references), np.asarray(groups)
    if groups.shape != references.shape:
        raise InputError(f"groups must be one for each of the {len(references)} clips, got shape {groups.shape}")
    names, group_of_clip = np.unique(groups, return_inverse=True)
    size = len(names) * num_labels
    return np.bincount(group_of_clip * num_labels + references, weights, size).reshape(len(names), num_labels)


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
