"""From the clip embeddings of both streams to one embedding of the video."""

import torch
from torch import nn

from .configuration_clipcaer import ClipCaerConfig
from .temporal_encoder import TemporalAttention


class GatedFusion(nn.Linear):
    r"""
    A linear layer on streams that a gate weighs against each other, number by number: `W [g f; (1 - g) c] + b` with
    `g = sigmoid(W_g [f; c] + b_g)`, after the gated multimodal unit of Arevalo et al. (2017).

    A face that is not there has an embedding of 0, by which the gate can tell, and let the context through.

    Args:
        config: its `projection_dim` is the width D of an embedding.
    """

    def __init__(self, config: ClipCaerConfig):
        super().__init__(2 * config.projection_dim, config.projection_dim)
        self.gate = nn.Linear(2 * config.projection_dim, config.projection_dim)

    def forward(self, streams: torch.Tensor) -> torch.Tensor:
        """(batch_size, 2 D), the face's embedding in front of the context's, to (batch_size, D)."""
        face, context = streams.chunk(2, dim=-1)
        gate = self.gate(streams).sigmoid()
        return super().forward(torch.cat([gate * face, (1 - gate) * context], dim=-1))


class CrossAttentionFusion(nn.Linear):
    r"""
    A linear layer on streams that have attended to each other: `W [f'; c'] + b` with `x' = x + Attention(x, {f, c})`
    (Vaswani et al., 2017), whose heads are those of the temporal encoders.

    Each stream's clip embedding asks both, so that a head can let what one stream sees decide what is taken of the
    other. Keys and values have no bias: a face that is not there, whose embedding is 0, adds nothing to the context.

    Args:
        config: its `projection_dim` is the width D of an embedding; its `temporal_heads`, `temporal_head_dim` and
            `temporal_dropout` are the attention's.
    """

    def __init__(self, config: ClipCaerConfig):
        super().__init__(2 * config.projection_dim, config.projection_dim)
        self.attention = TemporalAttention(config)

    def forward(self, streams: torch.Tensor) -> torch.Tensor:
        """(batch_size, 2 D), the face's embedding in front of the context's, to (batch_size, D)."""
        attended, _ = self.attention(streams.unflatten(-1, (2, -1)))
        return super().forward(streams + attended.flatten(1))


def build_fusion(config: ClipCaerConfig) -> nn.Linear:
    """The fusion that `config.fusion` names; the streams that are built are its input, side by side."""
    if config.fusion == "linear":
        return nn.Linear(config.projection_dim * (config.face_stream + config.context_stream), config.projection_dim)
    return {"gated": GatedFusion, "cross_attention": CrossAttentionFusion}[config.fusion](config)
