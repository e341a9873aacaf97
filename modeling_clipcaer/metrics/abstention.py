"""How right a model is where it may leave its least certain clips unanswered."""

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.metrics.predictions import check_labels


def accuracy_by_coverage(probabilities: ArrayLike, references: ArrayLike) -> np.ndarray:
    """
    Accuracy on the k most confident clips, for k = 1 to `num_clips`: the complement of the curve of risk (El-Yaniv
    and Wiener, 2010; Geifman and El-Yaniv, 2017). Its mean is the area below it. Clips of one confidence are taken in
    the mean over all orders.

    Args:
        probabilities (`(num_clips, num_labels)` numbers): Rows that sum to 1; the highest is the confidence.
        references (`num_clips` integers): True labels, 0-based.

    Returns:
        `np.ndarray` of shape `(num_clips,)`, float64 in [0, 1].
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    references, predictions, _ = check_labels(references, probabilities.argmax(axis=1), probabilities.shape[1])
    # Keep: rounded, so that logits that differ in the last bits, as of several processes, give the same curve.
    _, step = np.unique(-probabilities.max(axis=1).round(6), return_inverse=True)
    size = np.bincount(step)
    right = np.bincount(step, predictions == references) / size
    return np.cumsum(np.repeat(right, size)) / np.arange(1, len(references) + 1)
