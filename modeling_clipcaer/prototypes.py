"""The Instance-Enhanced Classifier: label prototypes that move towards the video."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .configuration_clipcaer import ClipCaerConfig


# Within this sine of parallel or opposite the general formula divides rounding errors by each other.
_SINE_FLOOR = 1e-4


def _any_orthogonal(unit: torch.Tensor) -> torch.Tensor:
    """A unit vector orthogonal to each of the (..., dim) unit vectors."""
    axis = F.one_hot(unit.abs().argmin(dim=-1), unit.shape[-1]).to(unit)
    return F.normalize(axis - (axis * unit).sum(-1, keepdim=True) * unit, dim=-1)


def slerp(start: torch.Tensor, end: torch.Tensor, weight: float | torch.Tensor) -> torch.Tensor:
    r"""
    Spherical linear interpolation (Shoemake, 1985): `sin((1-w)θ)/sin(θ) start + sin(wθ)/sin(θ) end`, with θ the angle
    between `start` and `end`. For unit vectors the result is a unit vector and `end · slerp(start, end, w) =
    cos((1-w)θ)`.

    It is finite everywhere, and so is its gradient: parallel vectors take the limit, the straight line; opposite
    ones, where the great circle is not unique, go round a fixed orthogonal direction. It runs in fp32 under autocast.

    Args:
        start, end: (..., dim), broadcast against each other.
        weight: 0 gives `start`, 1 gives `end`; a number, or (..., 1).

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
        turn = weight * math.pi
        cos, sin = (turn.cos(), turn.sin()) if isinstance(turn, torch.Tensor) else (math.cos(turn), math.sin(turn))
        around = cos * start + sin * sideways
        return torch.where(degenerate, torch.where(cosine > 0, straight, around), general)


def instance_logits(
    video_embeds: torch.Tensor,
    prototypes: torch.Tensor,
    slerp_weight: float | torch.Tensor,
    temperature: float,
    slerp_target: str = "video",
) -> torch.Tensor:
    r"""
    Logits of videos against prototypes moved towards them: `z · slerp(t, z, λ) / temperature`, averaged over a
    label's sentences. Without rounding this is `cos((1 - λ)θ) / temperature`.

    Args:
        video_embeds: (batch_size, dim) unit vectors.
        prototypes: (num_labels, num_sentences, dim) unit vectors.
        slerp_weight: λ, a number or (num_labels,); 0 leaves the prototypes where they are.
        temperature: divides the cosines.
        slerp_target: "video"; or "prototypes", where [`mix_prototypes`] takes the place of z in `slerp`.

    Returns:
        (batch_size, num_labels) in fp32, or fp64 for fp64 input.
    """
    with torch.autocast(video_embeds.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(video_embeds.dtype, prototypes.dtype), torch.float32)
        video_embeds, prototypes = video_embeds.to(dtype), prototypes.to(dtype)
        if not isinstance(slerp_weight, torch.Tensor) and slerp_weight == 0:
            cosines = torch.einsum("bd,ksd->bks", video_embeds, prototypes)
        else:
            mixed = slerp_target == "prototypes"
            target = mix_prototypes(video_embeds, prototypes, temperature) if mixed else video_embeds
            moved = instance_prototypes(target, prototypes, slerp_weight)
            cosines = torch.einsum("bd,bksd->bks", video_embeds, moved)
        return cosines.mean(dim=-1) / temperature


def instance_prototypes(
    target_embeds: torch.Tensor, prototypes: torch.Tensor, slerp_weight: float | torch.Tensor
) -> torch.Tensor:
    """Prototypes moved towards each video.

    Args:
        target_embeds: (batch_size, dim), the videos, or what stands for them.
        prototypes: (num_labels, num_sentences, dim).
        slerp_weight: how far, from 0 to 1; a number or (num_labels,).

    Returns:
        (batch_size, num_labels, num_sentences, dim)
    """
    if isinstance(slerp_weight, torch.Tensor):
        slerp_weight = slerp_weight.float()[:, None, None]
    return slerp(prototypes[None], target_embeds[:, None, None], slerp_weight)


def mix_prototypes(video_embeds: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""
    For each video z the mixture of all prototypes by how near they are to it: `m(z) = normalise(Σ_j p_j t_j)` with
    `p = softmax_j(z · t_j / temperature)`, over labels and sentences. Attention over the texts; ours in this place.

    Args:
        video_embeds: (batch_size, dim) unit vectors.
        prototypes: (num_labels, num_sentences, dim) unit vectors.
        temperature: towards 0 the mixture is the nearest prototype.

    Returns:
        (batch_size, dim) unit vectors, or 0 where the prototypes cancel each other.
    """
    texts = prototypes.flatten(0, 1)
    return F.normalize((video_embeds @ texts.T / temperature).softmax(dim=-1) @ texts, dim=-1)


class LearnedPrototypes(nn.Module):
    r"""
    A cosine classifier in the place of a view of the text, from which it begins: the semantic-aware initialisation of
    Shi et al. (2024), in whose experiments heavy fine-tuning of the towers hurts rare labels.

    Args:
        config: its labels and its `projection_dim` say how many prototypes there are, and their width.
    """

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.num_labels, config.projection_dim))

    def reset_parameters(self):
        """One axis per label, until [`~LearnedPrototypes.begin_as`] is called."""
        num_labels, dim = self.weight.shape
        init.copy_(self.weight, F.one_hot(torch.arange(num_labels) % dim, dim).to(self.weight))

    @torch.no_grad()
    def begin_as(self, embeds: torch.Tensor):
        """Start at (num_labels, projection_dim) embeddings."""
        self.weight.copy_(embeds)

    def forward(self) -> torch.Tensor:
        """(num_labels, projection_dim) unit vectors."""
        return F.normalize(self.weight, dim=-1)


class SlerpWeight(nn.Module):
    r"""
    λ of the Instance-Enhanced Classifier: `config.slerp_weight`, or what training made of it.

    Args:
        config: with its `learned_slerp_weight` λ is the sigmoid of a weight, one for all labels ("shared") or one for
            each ("per_label"), which can change a decision. It begins at `slerp_weight`.
    """

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.config = config
        if config.learned_slerp_weight is not None:
            count = config.num_labels if config.learned_slerp_weight == "per_label" else 1
            self.logits = nn.Parameter(torch.empty(count))

    def reset_parameters(self):
        """λ is `slerp_weight`."""
        if self.config.learned_slerp_weight is not None:
            start = self.config.slerp_weight
            init.constant_(self.logits, math.log(start / (1 - start)))

    def forward(self) -> float | torch.Tensor:
        """A number; where it is learned (num_labels,)."""
        if self.config.learned_slerp_weight is None:
            return self.config.slerp_weight
        return self.logits.float().sigmoid().expand(self.config.num_labels)
