"""A model of both streams with one of them taken out."""

from copy import deepcopy
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification


class _LoneFusion(nn.Module):
    """The fusion of both streams for one of them: the other one's clip embedding is 0."""

    def __init__(self, fusion: nn.Module, stream: str):
        super().__init__()
        self.fusion, self.stream = fusion, stream

    def forward(self, embeds: torch.Tensor) -> torch.Tensor:
        dim = embeds.shape[-1]
        return self.fusion(F.pad(embeds, (0, dim) if self.stream == "face" else (dim, 0)))


def keep_stream(
    model: ClipCaerForVideoClassification, stream: Literal["face", "context"]
) -> ClipCaerForVideoClassification:
    """`model` as `--streams face` or `--streams context` builds it, with its own weights, its own fusion and its own
    CLIP. To ask, not to save.

    The clip embedding of the other stream counts as 0 in the fusion, as the model has it for a face that is not there
    (`face_present` False). It was not trained for a context that is not there.

    Args:
        model: of both streams.
        stream: "face" or "context".

    Raises:
        InputError: the model has one stream alone.
    """
    if model.config.streams != "both":
        raise InputError(f"the model has the {model.config.streams} stream alone: expected both")
    config = deepcopy(model.config)
    config.fusion, config.streams = "linear", stream
    # Keep: a copy. What is made of a CLIP model may draw its weights anew.
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    alone = ClipCaerForVideoClassification(config, clip_model=model.model.clip).to(model.device)
    alone.model.fusion = _LoneFusion(deepcopy(model.model.fusion), stream)
    names = {name: name.replace("model.fusion.fusion.", "model.fusion.") for name in alone.state_dict()}
    alone.load_state_dict({name: weights[old] for name, old in names.items()})
    return alone.eval()
