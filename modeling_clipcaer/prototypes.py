"""The Instance-Enhanced Classifier: label prototypes that move towards the video."""

import math

import torch
from torch.nn import functional as F


# Within this sine of parallel or opposite the general formula divides rounding errors by each other.
_SINE_FLOOR = 1e-4


def _any_orthogonal(unit: torch.Tensor) -> torch.Tensor:
    """A unit vector orthogonal to each of the (..., dim) unit vectors."""
    axis = F.one_hot(unit.abs().argmin(dim=-1), unit.shape[-1]).to(unit)
    return F.normalize(axis - (axis * unit).sum(-1, keepdim=True) * unit, dim=-1)


def slerp(start: torch.Tensor, end: torch.Tensor, weight: float) -> torch.Tensor:
    r"""
    Spherical linear interpolation (Shoemake, 1985): `sin((1-w)θ)/sin(θ) start + sin(wθ)/sin(θ) end`, with θ the angle
    between `start` and `end`. For unit vectors the result is a unit vector and `end · slerp(start, end, w) =
    cos((1-w)θ)`.

    It is finite everywhere, and so is its gradient: parallel vectors take the limit, the straight line; opposite
    ones, where the great circle is not unique, go round a fixed orthogonal direction. It runs in fp32 under autocast.

    Args:
        start, end: (..., dim), broadcast against each other.
        weight: 0 gives `start`, 1 gives `end`.

    Returns:
        (..., dim) in fp32, or fp64 for fp64 input.
    """
    with torch.autocast(start.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(start.dtype, end.dtype), torch.float32)
        start, end = torch.broadcast_tensors(start.to(dtype), end.to(dtype))
        unit_start, unit_end = F.normalize(start, dim=-1), F.normalize(end, dim=-1)
        cosine = (unit_start * unit_end).sum(-1, keepdim=True)
        rejection = unit_end - cosine * unit_start
        degenerate = rejection.detach().norm(dim=-1, keepdim=True) < _SINE_FLOOR
        # Keep: the norm's gradient at 0 would be NaN, and `where` passes NaN on from the branch that it does not take.
        sine = torch.where(degenerate, torch.ones_like(rejection), rejection).norm(dim=-1, keepdim=True)
        angle = torch.atan2(sine, cosine)
        general = (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / sine
        straight = (1 - weight) * start + weight * end
        sideways = start.norm(dim=-1, keepdim=True) * _any_orthogonal(unit_start.detach())
        around = math.cos(weight * math.pi) * start + math.sin(weight * math.pi) * sideways
        return torch.where(degenerate, torch.where(cosine > 0, straight, around), general)


def instance_logits(
    video_embeds: torch.Tensor, prototypes: torch.Tensor, slerp_weight: float, temperature: float
) -> torch.Tensor:
    r"""
    Logits of videos against prototypes moved towards them: `z · slerp(t, z, λ) / temperature`, averaged over a
    label's sentences. Without rounding this is `cos((1 - λ)θ) / temperature`.

    Args:
        video_embeds: (batch_size, dim) unit vectors.
        prototypes: (num_labels, num_sentences, dim) unit vectors.
        slerp_weight: λ; 0 leaves the prototypes where they are.
        temperature: divides the cosines.

    Returns:
        (batch_size, num_labels) in fp32.
    """
    with torch.autocast(video_embeds.device.type, enabled=False):
        video_embeds, prototypes = video_embeds.float(), prototypes.float()
        if slerp_weight == 0:
            cosines = torch.einsum("bd,ksd->bks", video_embeds, prototypes)
        else:
            moved = instance_prototypes(video_embeds, prototypes, slerp_weight)
            cosines = torch.einsum("bd,bksd->bks", video_embeds, moved)
        return cosines.mean(dim=-1) / temperature


def instance_prototypes(video_embeds: torch.Tensor, prototypes: torch.Tensor, slerp_weight: float) -> torch.Tensor:
    """Prototypes moved towards each video.

    Args:
        video_embeds: (batch_size, dim).
        prototypes: (num_labels, num_sentences, dim).
        slerp_weight: how far, from 0 to 1.

    Returns:
        (batch_size, num_labels, num_sentences, dim)
    """
    return slerp(prototypes[None], video_embeds[:, None, None], slerp_weight)
