"""What a model computes from weights that stand still, computed once for many forward passes."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn

from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.frame_encoder import FrameEncoder


EMBEDS_OF = {"pixel_values": "context_embeds", "face_pixel_values": "face_embeds"}


class FrozenParts:
    """Inputs of a model's forward pass with all that its frozen parts make of them: frame embeddings in place of
    pixels, and the soft prompts' embeddings.

    It belongs to one evaluation, one prediction or one epoch, in which nothing writes the weights of these parts. In
    training, what keeps a gradient is left to the model.

    ```python
    >>> parts = FrozenParts(model)  # doctest: +SKIP
    >>> for batch in loader:  # doctest: +SKIP
    ...     logits = model(**parts(batch)).logits

    ```

    Args:
        model: the classifier, or PEFT's model of it.
        tower_dtype: type that the vision tower computes in, see [`FrameEncoder`].
    """

    def __init__(self, model: ClipCaerForVideoClassification, tower_dtype: str = "float32"):
        # PEFT's model has the classifier, with its adapters in place, as its base.
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tower_dtype = tower_dtype

    @cached_property
    def frame_encoder(self) -> FrameEncoder:
        """Encodes frames, see [`FrameEncoder`]."""
        return FrameEncoder(self.model.model.clip, self.tower_dtype)

    @cached_property
    def soft_prompt_embeds(self) -> torch.Tensor:
        """(num_labels, num_sentences, projection_dim) unit embeddings."""
        with torch.no_grad():
            return self.model.model.encode_soft_prompts()

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` of `model.forward` to others that give the same outputs, to the precision of `tower_dtype`."""
        inputs, encoder = dict(inputs), self.model.model
        if not _keep_gradient((encoder.clip.vision_model, encoder.clip.visual_projection)):
            inputs |= self._encode_frames(inputs)
        text_side = (encoder.prompt_learner, encoder.clip.text_model, encoder.clip.text_projection)
        if inputs.get("use_soft_prompts", True) and not _keep_gradient(text_side):
            inputs["soft_prompt_embeds"] = self.soft_prompt_embeds
        return inputs

    def _encode_frames(self, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Take the pixels of each stream that is built out of `inputs`, for the frame embeddings of one pass."""
        built = self.model.config.streams
        names = [name for name in EMBEDS_OF if name in inputs and built in ("both", EMBEDS_OF[name].split("_")[0])]
        if len({inputs[name].shape for name in names}) != 1:
            return {}  # nothing to encode, or streams that do not fit each other, which the model refuses by name
        embeds = self.frame_encoder(torch.cat([inputs.pop(name) for name in names], dim=1))
        return dict(zip((EMBEDS_OF[name] for name in names), embeds.chunk(len(names), dim=1), strict=True))


def _keep_gradient(modules: Iterable[nn.Module]) -> bool:
    return torch.is_grad_enabled() and any(p.requires_grad for module in modules for p in module.parameters())
