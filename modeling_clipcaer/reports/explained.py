"""Which answers of an evaluation are worth a look: the surest mistakes, and what is typically right."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike

from modeling_clipcaer.explanations.explanation import Explainer
from modeling_clipcaer.explanations.page import describe_model, write_explanations
from modeling_clipcaer.explanations.samples import explain_clips
from modeling_clipcaer.explanations.texts import encode_texts
from modeling_clipcaer.metrics import predict_labels, predict_probabilities
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.models.measurement import read_measurement
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


def choose_answers(logits: ArrayLike, references: ArrayLike, count: int) -> dict[int, str]:
    """Places of the clips most worth a look, and why: of each label the surest mistake, then of each label the right
    answer whose confidence is in the middle, and then the next surest mistakes. Fewer, if the model makes no more.

    Args:
        logits: (num_clips, num_labels).
        references: true labels, 0-based.
        count: at most so many.
    """
    answers, references, num_labels = predict_labels(logits), np.asarray(references), np.shape(logits)[1]
    confidence = predict_probabilities(logits).max(axis=-1)
    surest = np.argsort(-confidence, kind="stable")
    wrong, right = answers != references, answers == references
    chosen: dict[int, str] = {}
    for number in range(num_labels):
        mistakes = [int(place) for place in surest if wrong[place] and references[place] == number]
        chosen |= dict.fromkeys(mistakes[:1], "the surest mistake of its label")
    for number in range(num_labels):
        hits = [int(place) for place in surest if right[place] and references[place] == number]
        chosen |= dict.fromkeys(hits[len(hits) // 2 :][:1], "typical of what is right of its label")
    for place in map(int, surest[wrong[surest]]):
        chosen.setdefault(place, "among the next surest mistakes")
    return dict(list(chosen.items())[:count])


def explain_answers(
    checkpoint: str,
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    rows: Dataset,
    chosen: dict[int, str],
    report: dict[str, Any],
    folder: Path,
    settings: dict[str, Any],
    **shown: Any,
) -> None:
    """Write what answers rest on into `folder`, see [`write_explanations`].

    Args:
        checkpoint: the model's name.
        model: where it is to compute.
        rows: the split that was measured.
        chosen: places of its clips, and why each was chosen; at least one.
        report: of the evaluation.
        settings: to be told beside them.
        shown: of [`explain_clips`].
    """
    explainer = Explainer(FrozenParts(model.eval()), processor, *encode_texts(model))
    found, layout = explain_clips(explainer, rows, list(chosen), list(chosen.values()), **shown)
    about = {
        **{"source": report["dataset"], "split": report["split"], "data": report["clips"]},
        **describe_model(checkpoint, model, read_measurement(report, explainer.labels)),
        "settings": settings,
    }
    write_explanations(found, layout, about, explainer.labels, folder)
