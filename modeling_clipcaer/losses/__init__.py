"""The losses of training, and the table of them.

Logits, text embeddings and labels come in; a scalar goes out.
Start with `functions.py`; `table.py` says by which flags each is used.
"""

from importlib import import_module


__all__ = [
    "REFERENCE_SMOOTHING_DISTRIBUTION",
    "adjust_logits",
    "class_balanced_weights",
    "dc_loss",
    "distribution_loss",
    "focal_loss",
    "ldam_loss",
    "mi_loss",
    "near_label_loss",
    "ramp_weight",
    "smoothed_cross_entropy",
    "smoothed_targets",
]


def __getattr__(name: str):
    # Keep: when it is asked for. The table is read by `--help`, which is not to wait for torch.
    if name in __all__:
        return getattr(import_module(f"{__name__}.functions"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
