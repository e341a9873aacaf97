"""Several answers to the same clips as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.predictions import check_logits


def average_answers(logits: Sequence[ArrayLike]) -> np.ndarray:
    """
    The logarithm of the mean probability over members (Lakshminarayanan et al., 2017): `log (1/M) Σ softmax(z_m)`.

    Its log loss is at most the mean of the members' (Jensen, 1906). One member's logits stay as they are, to the last
    bit.

    Args:
        logits (`M` arrays of shape `(num_clips, num_labels)`): Of each member, labels in one order.

    Returns:
        `np.ndarray` of shape `(num_clips, num_labels)`: logits whose softmax is the mean probability; float64 of
        several members.

    Raises:
        InputError: there is no member, or they are of different shapes.
    """
    shapes = sorted({np.shape(member) for member in logits})
    if len(shapes) != 1:
        raise InputError(f"members must answer the same clips and labels, got shapes {shapes}")
    if len(logits) == 1:
        return np.asarray(logits[0])
    scaled = np.stack([check_logits(member) for member in logits])
    scaled = scaled - np.logaddexp.reduce(scaled, axis=2, keepdims=True)
    return np.logaddexp.reduce(scaled, axis=0) - np.log(len(scaled))
