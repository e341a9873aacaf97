"""The Expression-Aware Adapter."""

import torch
from torch import nn


class FaceAdapter(nn.Module):
    r"""
    Expression-Aware Adapter (EAA): a bottleneck on frame embeddings, blended with its input as in CLIP-Adapter
    (Gao et al., 2021): `r A(x) + (1 - r) x` with `A(x) = ReLU(W_up ReLU(W_down x))`, without bias.

    Args:
        embed_dim: width D of the frame embeddings.
        reduction: D over the bottleneck's width.
        residual_ratio: `r`. At 0 the module is the identity, at 1 the residual is gone.
    """

    def __init__(self, embed_dim: int, reduction: int, residual_ratio: float):
        super().__init__()
        self.residual_ratio = residual_ratio
        self.down_proj = nn.Linear(embed_dim, max(embed_dim // reduction, 1), bias=False)
        self.up_proj = nn.Linear(max(embed_dim // reduction, 1), embed_dim, bias=False)

    def forward(self, frame_embeds: torch.Tensor) -> torch.Tensor:
        """Adapt (..., embed_dim) frame embeddings; the shape is kept."""
        adapted = self.up_proj(self.down_proj(frame_embeds).relu()).relu()
        return self.residual_ratio * adapted + (1 - self.residual_ratio) * frame_embeds
