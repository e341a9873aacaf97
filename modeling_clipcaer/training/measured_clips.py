"""Every clip of a split is measured, and once: whatever the flags, the processes and the batches."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, has_length

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import mean_log_loss


# How accelerate shares clips out in evaluation. Each is the one way in which it knows how many of a last batch repeat.
EVALUATION_LOADING = {"split_batches": False, "dispatch_batches": None, "even_batches": True}


@contextmanager
def whole_split(args: TrainingArguments, loading: Any) -> Iterator[None]:
    """Loaders that are made within give every clip of their rows; the flags for training are back afterwards.

    Args:
        args: whose `dataloader_drop_last` and `dataloader_persistent_workers` are of training alone.
        loading (`accelerate.DataLoaderConfiguration`): how clips are shared out.
    """
    with ExitStack() as stack:
        # Keep: workers of a loader that is made anew each time would outlive it, two more after every evaluation.
        _swap(stack, args, dataloader_drop_last=False, dataloader_persistent_workers=False)
        _swap(stack, loading, **EVALUATION_LOADING)
        yield


def _swap(stack: ExitStack, settings: Any, **values: Any) -> None:
    for name, value in values.items():
        stack.callback(setattr, settings, name, getattr(settings, name))
        setattr(settings, name, value)


def account_for_clips(rows: Any, output: EvalLoopOutput, prefix: str) -> None:
    """Put the loss into an evaluation's `output.metrics`: the mean over the clips, each counted once.

    Raises:
        InputError: the clips that were measured are not those of `rows`, in their order.
    """
    logits, labels = output.predictions, output.label_ids
    logits = logits[0] if isinstance(logits, tuple | list) else logits
    measured = 0 if logits is None else len(logits)
    if has_length(rows) and measured != len(rows):
        raise InputError(f"{measured} clips were measured, the split has {len(rows)}: nothing can be said of it")
    if labels is None:
        return
    if isinstance(rows, Dataset) and not np.array_equal(labels, rows["label"][:]):
        raise InputError(f"the {measured} clips that were measured are not those of the split: some repeat")
    loss = mean_log_loss(logits, labels)
    output.metrics.update({f"{prefix}_loss": loss, f"{prefix}_loss_classification": loss})
