"""The losses of training, as pure functions of tensors.

Logits, text embeddings and labels come in; a scalar goes out.
Start with `functions.py`.
"""

from .functions import (
    REFERENCE_SMOOTHING_DISTRIBUTION,
    adjust_logits,
    class_balanced_weights,
    dc_loss,
    focal_loss,
    ldam_loss,
    mi_loss,
    ramp_weight,
    smoothed_cross_entropy,
    smoothed_targets,
)


__all__ = [
    "REFERENCE_SMOOTHING_DISTRIBUTION",
    "adjust_logits",
    "class_balanced_weights",
    "dc_loss",
    "focal_loss",
    "ldam_loss",
    "mi_loss",
    "ramp_weight",
    "smoothed_cross_entropy",
    "smoothed_targets",
]
