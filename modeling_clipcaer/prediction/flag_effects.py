"""Which flags of `predict` have an effect on what is predicted."""

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.common.flag_effects import Rule, describe_unused, find_unused
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.recordings.settings import TimelineSettings


if TYPE_CHECKING:
    from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
    from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


# A run has, beside the flags, the model's `config`, and `reads_frames` for inputs that are folders.
PREDICTION_RULES = (
    Rule(
        ("face_detector", "face_detector_weights"),
        lambda run: run.config.face_stream,
        "the model looks at no faces",
    ),
    Rule(
        ("face_detector", "face_detector_weights"),
        lambda run: run.bounding_box_face is None,
        "`bounding_box_face` has the boxes",
    ),
    Rule(
        ("context", "bounding_box_body"),
        lambda run: run.config.context_stream,
        "the model looks at faces alone",
    ),
    Rule(("bounding_box_body",), lambda run: run.context == "body", "the context is the whole frame"),
    Rule(("fps",), lambda run: run.reads_frames, "no input is a folder of frames"),
)


def describe_idle_flags(
    args: PredictionArguments,
    settings: TimelineSettings,
    given: dict[str, Any],
    sources: list[str],
    model: "ClipCaerForVideoClassification",
    processor: "ClipCaerVideoProcessor",
) -> str:
    """One line on the flags that were given and have no effect on these recordings with this model, if there are."""
    run = SimpleNamespace(**vars(args), **vars(settings))
    run.config, run.reads_frames = model.config, any(map(os.path.isdir, sources))
    run.context = settings.context or processor.context
    return describe_unused(find_unused(PREDICTION_RULES, given, run))
