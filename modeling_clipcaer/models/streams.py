"""A model of both streams with one of them taken out."""

from copy import deepcopy
from typing import Literal

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification


def keep_stream(
    model: ClipCaerForVideoClassification, stream: Literal["face", "context"]
) -> ClipCaerForVideoClassification:
    """`model` as `--streams face` or `--streams context` builds it, with its own weights and its own CLIP.

    The fusion keeps the stream's columns and its bias: the clip embedding of the other one counts as 0, as the model
    has it for a face that is not there (`face_present` False). It was not trained for a context that is not there.

    Args:
        model: of both streams.
        stream: "face" or "context".

    Raises:
        InputError: the model has one stream alone.
    """
    if model.config.streams != "both":
        raise InputError(f"the model has the {model.config.streams} stream alone: expected both")
    config = deepcopy(model.config)
    config.streams = stream
    # Keep: a copy. What is made of a CLIP model may draw its weights anew.
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    alone = ClipCaerForVideoClassification(config, clip_model=model.model.clip).to(model.device)
    columns = weights["model.fusion.weight"].chunk(2, dim=1)  # of the face, then of the context
    weights["model.fusion.weight"] = columns[stream == "context"]
    alone.load_state_dict({name: weights[name] for name in alone.state_dict()})
    return alone.eval()
