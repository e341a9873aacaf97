"""One answer from several checkpoints, and from several views of a clip."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from datasets import Dataset

from modeling_clipcaer.data.cached_clips import find_collator
from modeling_clipcaer.data.data_collator import ClipCaerCollator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.ensembles import average_answers
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.checkpoints import load_checkpoint, weights_revision
from modeling_clipcaer.names import identity_key, public_name
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.told_progress import telling_progress
from modeling_clipcaer.training.trainer import ClipCaerTrainer


Member = tuple[ClipCaerForVideoClassification, ClipCaerVideoProcessor]


def load_members(checkpoints: Sequence[str]) -> list[Member]:
    """Model and processor of each checkpoint.

    Raises:
        InputError: one cannot be loaded, or has other labels than the first.
    """
    members = [load_checkpoint(checkpoint) for checkpoint in checkpoints]
    first = list_labels(members[0][0])
    for checkpoint, (model, _) in zip(checkpoints, members, strict=True):
        found = list_labels(model)
        if set(map(identity_key, found)) != set(map(identity_key, first)):
            raise InputError(
                f"{checkpoint}: its labels are {', '.join(found)}, those of {checkpoints[0]} {', '.join(first)}"
            )
    return members


def list_labels(model: ClipCaerForVideoClassification) -> list[str]:
    """Names of a model's labels, in the order of its logits."""
    return [model.config.id2label[index] for index in range(model.config.num_labels)]


def predict_together(
    members: Sequence[Member], rows: Sequence[Dataset], args: ClipCaerTrainingArguments, views: int = 1
) -> tuple[np.ndarray, ClipCaerTrainer]:
    """The members' common answer to each clip, of all its views: see [`average_answers`].

    Args:
        members: of which the first one's order of the labels is that of the answer.
        rows: a split, as each member reads it.
        args: of the evaluation.
        views: of each clip. The first is what evaluation looks at; each other has other frames of each segment, and
            every second one is mirrored. They depend on the clip and the view alone.

    Returns:
        Logits (num_clips, num_labels), those of one member and view to the last bit, and a trainer of a member.
    """
    labels = [identity_key(label) for label in list_labels(members[0][0])]
    answers = []
    for (model, processor), read in zip(members, rows, strict=True):
        places = {identity_key(label): place for place, label in enumerate(list_labels(model))}
        order = [places[label] for label in labels]
        for view in range(views):
            look = make_view(read, processor, view, model.config.streams) if view else None
            # Keep: a call of the collator, not the collator, of which the Trainer would take the view away.
            trainer = ClipCaerTrainer(
                model, args, processing_class=processor, data_collator=look.__call__ if look else None
            )
            with telling_progress(trainer):
                logits = trainer.predict(read).predictions
            answers.append(logits if order == sorted(order) else logits[:, order])
    return average_answers(answers), trainer


def make_view(rows: Dataset, processor: ClipCaerVideoProcessor, view: int, streams: str) -> ClipCaerCollator:
    """What batches of `rows` look like in a view but the first: training's draw of frames, and of its augmentation
    the mirror alone."""
    processor = copy(processor)
    processor.flip_prob, processor.rotation_degrees, processor.color_jitter = float(view % 2), 0.0, 0.0
    collator = find_collator(rows.column_names)(processor, mode="train", streams=streams)
    collator.epoch = view
    return collator


def describe_members(checkpoints: Sequence[str], members: Sequence[Member], views: int) -> dict[str, Any]:
    """Whose answer it is, for a report: `checkpoint`, `model_revision`, `members` and `views`.

    Keep: no revision of several members or views. Beside a checkpoint it would say that this one alone answers so.
    """
    found = [
        {
            "checkpoint": public_name(checkpoint),
            "model_revision": weights_revision(checkpoint) or getattr(model.config, "_commit_hash", None),
        }
        for checkpoint, (model, _) in zip(checkpoints, members, strict=True)
    ]
    return {
        "checkpoint": " + ".join(map(public_name, checkpoints)),
        "model_revision": found[0]["model_revision"] if len(found) * views == 1 else None,
        "members": found,
        "views": views,
    }
