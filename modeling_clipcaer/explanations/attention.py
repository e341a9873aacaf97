"""Where the vision tower looks: gradient-weighted attention rollout over the patches of every frame.

A map says which patches the answer's score reacts to along the paths of attention. It is no proof of the reason: a map
may look right for a wrong reason, and what a frame's map leaves out may still matter (Jain and Wallace, 2019).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification


STREAMS = ("context", "face")  # in the order in which the model encodes them
PIXELS_OF = {"context": "pixel_values", "face": "face_pixel_values"}


@contextmanager
def eager_tower(model: ClipCaerForVideoClassification) -> Iterator[None]:
    """Let the vision tower hand out its attention weights; its own attention comes back at the end, come what may.

    Keep: fused attention (SDPA, flash) never holds the weights, and transformers then returns an empty tuple.
    """
    tower = model.model.clip.vision_model
    before = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    try:
        yield
    finally:
        tower.set_attn_implementation(before)


def rollout(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    r"""
    What each token of the last layer is made of: `(I + W_L) ... (I + W_1)`, where the identity stands for the residual
    connection, with rows that sum to 1.

    With the heads' mean attention this is attention rollout (Abnar and Zuidema, 2020); with the mean of
    `relu(gradient * attention)` it is the relevance of Chefer et al. (2021).

    Args:
        weights: of each layer, the first one first, (batch_size, num_tokens, num_tokens), nowhere negative.

    Returns:
        (batch_size, num_tokens, num_tokens); row i holds the shares of the input tokens in token i.
    """
    identity = torch.eye(weights[0].shape[-1]).to(weights[0])
    relevance = identity.expand_as(weights[0])
    for layer in weights:
        relevance = relevance + layer @ relevance
    return relevance / relevance.sum(dim=-1, keepdim=True)


def patch_shares(relevance: torch.Tensor) -> torch.Tensor:
    """What the class token drew from each patch, as shares of the patches.

    Args:
        relevance: (batch_size, 1 + num_patches, 1 + num_patches), the class token first.

    Returns:
        (batch_size, side, side) maps, each of which sums to 1, or is 0 everywhere where no patch has a part.
    """
    patches = relevance[:, 0, 1:]
    total = patches.sum(dim=-1, keepdim=True)
    side = round(patches.shape[-1] ** 0.5)
    return torch.where(total > 0, patches / total, 0).unflatten(-1, (side, side))


def attend_patches(
    model: ClipCaerForVideoClassification, inputs: Mapping[str, torch.Tensor], answer: int | None = None
) -> dict[str, torch.Tensor]:
    """Maps of one clip: for each stream and frame, where the tower looks for the answer.

    The weights of a layer are the mean over heads of `relu(gradient * attention)` (Chefer et al., 2021). The gradient
    is that of the answer's logit less the mean of the others', so that what speaks for every label alike has no part,
    and that a sure answer, whose probability hardly moves, has a map as well.

    Args:
        model: in evaluation mode.
        inputs: of `model.forward`, of one clip, with the normalised pixels of each stream that is built, (1,
            num_frames, num_channels, height, width).
        answer: number of the label that is explained, by default the model's answer.

    Returns:
        By stream, (num_frames, side, side), where side is the number of patches along a side of a frame.
    """
    built = [name for name in STREAMS if model.config.streams in (name, "both")]
    pixels = {PIXELS_OF[name]: inputs[PIXELS_OF[name]].detach().requires_grad_() for name in built}
    with eager_tower(model), torch.enable_grad():
        outputs = model(**{**inputs, **pixels}, output_attentions=True)
        logits = outputs.logits[0]
        chosen = int(logits.argmax()) if answer is None else answer
        margin = logits[chosen] - (logits.sum() - logits[chosen]) / (len(logits) - 1)
        gradients = torch.autograd.grad(margin, outputs.attentions)
    weights = [
        (gradient * attention.detach()).relu().mean(dim=1)
        for gradient, attention in zip(gradients, outputs.attentions, strict=True)
    ]
    maps = patch_shares(rollout(weights))  # (num_streams * num_frames, side, side)
    return dict(zip(built, maps.unflatten(0, (len(built), -1)), strict=True))
