"""From frame embeddings to one embedding of the clip."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from .configuration_clipcaer import ClipCaerConfig


class TemporalAttention(nn.Module):
    """Multi-head self-attention over frames; queries, keys and values without bias."""

    is_causal = False

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.config = config
        self.num_heads, self.scaling = config.temporal_heads, config.temporal_head_dim**-0.5
        width = config.temporal_heads * config.temporal_head_dim
        self.qkv_proj = nn.Linear(config.projection_dim, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, config.projection_dim)
        self.dropout = nn.Dropout(config.temporal_dropout)

    def forward(
        self, hidden_states: torch.Tensor, output_attentions: bool = False, num_queries: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend over (batch_size, length, embed_dim).

        Returns:
            (batch_size, num_queries, embed_dim), what the first `num_queries` (all) tokens attend to, and the weights
            (batch_size, num_heads, num_queries, length) where asked for, whatever the attention.
        """
        batch_size, length, _ = hidden_states.shape
        qkv = self.qkv_proj(hidden_states).view(batch_size, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        name = "eager" if output_attentions else self.config._attn_implementation
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager_attention_forward)
        mixed, weights = attend(self, query[:, :, :num_queries], key, value, None, scaling=self.scaling)
        return self.dropout(self.out_proj(mixed.flatten(2))), weights if output_attentions else None


class TemporalLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer with a tanh-GELU MLP."""

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        dim = config.projection_dim
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = TemporalAttention(config)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp_up = nn.Linear(dim, config.temporal_mlp_dim)
        self.mlp_down = nn.Linear(config.temporal_mlp_dim, dim)
        self.dropout = nn.Dropout(config.temporal_dropout)

    def forward(
        self, hidden_states: torch.Tensor, output_attentions: bool = False, num_queries: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(batch_size, length, embed_dim) to the first `num_queries` (all) tokens' new states, and the attention
        weights where asked for."""
        mixed, weights = self.attention(self.attention_norm(hidden_states), output_attentions, num_queries)
        hidden_states = hidden_states[:, :num_queries] + mixed
        mlp = self.dropout(F.gelu(self.mlp_up(self.mlp_norm(hidden_states)), approximate="tanh"))
        return hidden_states + self.dropout(self.mlp_down(mlp)), weights


class TemporalEncoder(nn.Module):
    r"""
    A small transformer over the frames of one stream.

    Args:
        config: its `temporal_*` fields say the sizes, `projection_dim` the width D of the frame embeddings, and
            `num_frames` the greatest number of frames; there is one position embedding for each. `temporal_pooling`
            `"cls"` prepends a class token and returns it; `"attention"` returns the average of the frames weighted by
            `softmax_t(w tanh(W h_t))`; `"mean"` is the average of the frame embeddings, without positions, layers and
            weights, by which to tell what their order is worth. Attention is that of `attn_implementation`.
    """

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.config = config
        self.num_frames, self.pooling = config.num_frames, config.temporal_pooling
        dim = config.projection_dim
        if self.pooling == "mean":
            self.layers = nn.ModuleList()
            return
        if self.pooling == "cls":
            self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        else:
            self.pooling_hidden = nn.Linear(dim, dim)
            self.pooling_score = nn.Linear(dim, 1, bias=False)
        self.position_embeds = nn.Parameter(torch.empty(1, self.num_frames + (self.pooling == "cls"), dim))
        self.layers = nn.ModuleList(TemporalLayer(config) for _ in range(config.temporal_layers))

    def reset_parameters(self):
        """Draw class token and position embeddings."""
        if self.pooling == "mean":
            return
        init.normal_(self.position_embeds, std=self.config.temporal_init_std)
        if self.pooling == "cls":
            init.normal_(self.cls_token, std=self.config.temporal_init_std)

    def forward(
        self, frame_embeds: torch.Tensor, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> BaseModelOutputWithPooling:
        """Encode a batch of clips, (batch_size, num_frames, embed_dim) with at most `self.num_frames` frames.

        Returns:
            `pooler_output`, (batch_size, embed_dim); where asked for `hidden_states`, the input of the first layer and
            the output of each, (batch_size, length, embed_dim), and `attentions`, each layer's weights, (batch_size,
            num_heads, length, length). The length is num_frames, plus the class token in front where there is one.
        """
        if frame_embeds.shape[1] > self.num_frames:
            raise ValueError(f"got {frame_embeds.shape[1]} frames, `num_frames` allows at most {self.num_frames}")
        hidden_states = frame_embeds
        if self.pooling == "cls":
            # Keep: no `len`, which is a constant to `torch.export`.
            hidden_states = torch.cat([self.cls_token.expand(frame_embeds.shape[0], -1, -1), hidden_states], dim=1)
        if self.pooling != "mean":
            hidden_states = hidden_states + self.position_embeds[:, : hidden_states.shape[1]]
        all_hidden_states, all_weights = [hidden_states], []
        for place, layer in enumerate(self.layers, start=1):
            # Of the last layer only the class token is looked at, unless its states are asked for.
            states_wanted = output_hidden_states or output_attentions
            class_token_alone = self.pooling == "cls" and place == len(self.layers) and not states_wanted
            hidden_states, weights = layer(hidden_states, output_attentions, 1 if class_token_alone else None)
            all_hidden_states.append(hidden_states)
            all_weights.append(weights)
        return BaseModelOutputWithPooling(
            pooler_output=self._pool(hidden_states),
            hidden_states=tuple(all_hidden_states) if output_hidden_states else None,
            attentions=tuple(all_weights) if output_attentions else None,
        )

    def _pool(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return hidden_states[:, 0]
        if self.pooling == "mean":
            return hidden_states.mean(dim=1)
        scores = self.pooling_score(self.pooling_hidden(hidden_states).tanh())  # (batch_size, num_frames, 1)
        return (scores.softmax(dim=1) * hidden_states).sum(dim=1)
