"""From frame embeddings to one embedding of the clip."""

import torch
from torch import nn
from torch.nn import functional as F


class TemporalAttention(nn.Module):
    """Multi-head self-attention over frames; queries, keys and values without bias."""

    def __init__(self, embed_dim: int, num_heads: int, head_dim: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.qkv_proj = nn.Linear(embed_dim, 3 * num_heads * head_dim, bias=False)
        self.out_proj = nn.Linear(num_heads * head_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
        num_queries: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend over (batch_size, length, embed_dim); the mask is (batch_size, 1, 1, length), True = attend.

        Returns:
            (batch_size, num_queries, embed_dim), what the first `num_queries` (all) tokens attend to, and the weights
            (batch_size, num_heads, num_queries, length) where asked for.
        """
        batch_size, length, _ = hidden_states.shape
        qkv = self.qkv_proj(hidden_states).view(batch_size, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query = query[:, :, :num_queries]
        weights = None
        if output_attentions:
            scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
            if attention_mask is not None:
                scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
            weights = scores.softmax(dim=-1)
            mixed = weights @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        return self.dropout(self.out_proj(mixed.transpose(1, 2).flatten(2))), weights


class TemporalLayer(nn.Module):
    """Pre-norm transformer layer with a tanh-GELU MLP."""

    def __init__(self, embed_dim: int, num_heads: int, head_dim: int, mlp_dim: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.attention = TemporalAttention(embed_dim, num_heads, head_dim, dropout)
        self.mlp_norm = nn.LayerNorm(embed_dim)
        self.mlp_up = nn.Linear(embed_dim, mlp_dim)
        self.mlp_down = nn.Linear(mlp_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
        num_queries: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(batch_size, length, embed_dim) to the first `num_queries` (all) tokens' new states, and the attention
        weights where asked for."""
        normed = self.attention_norm(hidden_states)
        mixed, weights = self.attention(normed, attention_mask, output_attentions, num_queries)
        hidden_states = hidden_states[:, :num_queries] + mixed
        mlp = self.dropout(F.gelu(self.mlp_up(self.mlp_norm(hidden_states)), approximate="tanh"))
        return hidden_states + self.dropout(self.mlp_down(mlp)), weights


class TemporalEncoder(nn.Module):
    r"""
    A small transformer over the frames of one stream.

    Args:
        embed_dim: width D of the frame embeddings.
        num_frames: greatest number of frames; there is one position embedding for each.
        num_layers, num_heads, head_dim, mlp_dim, dropout: sizes of the transformer.
        pooling: `"cls"` prepends a class token and returns it; `"attention"` returns the average of the frames
            weighted by `softmax_t(w tanh(W h_t))`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_frames: int,
        num_layers: int,
        num_heads: int,
        head_dim: int,
        mlp_dim: int,
        dropout: float,
        pooling: str,
    ):
        super().__init__()
        self.num_frames = num_frames
        self.pooling = pooling
        if pooling == "cls":
            self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        else:
            self.pooling_hidden = nn.Linear(embed_dim, embed_dim)
            self.pooling_score = nn.Linear(embed_dim, 1, bias=False)
        self.position_embeds = nn.Parameter(torch.zeros(1, num_frames + (pooling == "cls"), embed_dim))
        self.layers = nn.ModuleList(
            TemporalLayer(embed_dim, num_heads, head_dim, mlp_dim, dropout) for _ in range(num_layers)
        )

    def forward(
        self,
        frame_embeds: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        states: dict[str, list[torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """Encode a batch of clips.

        Args:
            frame_embeds: (batch_size, num_frames, embed_dim), at most `self.num_frames` frames.
            frame_mask: bool (batch_size, num_frames), False where a shorter clip is padded.
            states: the lists to fill. `"hidden_states"` gets the input of the first layer and the output of each,
                (batch_size, length, embed_dim); `"attentions"` each layer's weights, (batch_size, num_heads, length,
                length). The length is num_frames, plus the class token in front where there is one.

        Returns:
            (batch_size, embed_dim)
        """
        if frame_embeds.shape[1] > self.num_frames:
            raise ValueError(f"got {frame_embeds.shape[1]} frames, `num_frames` allows at most {self.num_frames}")
        hidden_states = frame_embeds
        if self.pooling == "cls":
            hidden_states = torch.cat([self.cls_token.expand(frame_embeds.shape[0], -1, -1), hidden_states], dim=1)
            frame_mask = None if frame_mask is None else F.pad(frame_mask, (1, 0), value=True)
        hidden_states = hidden_states + self.position_embeds[:, : hidden_states.shape[1]]
        attention_mask = None if frame_mask is None else frame_mask[:, None, None, :]
        states = {} if states is None else states
        states.get("hidden_states", []).append(hidden_states)
        for place, layer in enumerate(self.layers, start=1):
            # Of the last layer only the class token is looked at, unless its states are asked for.
            class_token_alone = self.pooling == "cls" and place == len(self.layers) and not states
            num_queries = 1 if class_token_alone else None
            hidden_states, weights = layer(hidden_states, attention_mask, "attentions" in states, num_queries)
            states.get("hidden_states", []).append(hidden_states)
            states.get("attentions", []).append(weights)
        if self.pooling == "cls":
            return hidden_states[:, 0]
        return self._pool(hidden_states, frame_mask)

    def _pool(self, hidden_states: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        scores = self.pooling_score(self.pooling_hidden(hidden_states).tanh())
        if frame_mask is not None:
            scores = scores.masked_fill(~frame_mask[..., None], torch.finfo(scores.dtype).min)
        return (scores.softmax(dim=1) * hidden_states).sum(dim=1)
