"""Labels and logits as the measures take them, and what logits predict."""

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError


def check_labels(
    references: ArrayLike, predictions: ArrayLike, num_labels: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Both as int64 (num_clips,), and the number of labels: by default up to the largest one that occurs.

    Raises:
        InputError: they are not two lists of labels of the same clips, from 0 and below `num_labels`, or empty.
    """
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


def check_logits(logits: ArrayLike) -> np.ndarray:
    """Logits as float64 (num_clips, num_labels).

    Raises:
        InputError: they are of another shape, or not finite.
    """
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
    return check_logits(logits).argmax(axis=1)


def predict_probabilities(logits: ArrayLike) -> np.ndarray:
    """(num_clips, num_labels) -> (num_clips, num_labels), the softmax in float64."""
    logits = check_logits(logits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
