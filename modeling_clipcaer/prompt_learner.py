"""Soft prompts, and the CLIP text tower on token embeddings."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask

from .configuration_clipcaer import ClipCaerConfig


def encode_token_embeds(clip: CLIPModel, token_embeds: torch.Tensor, eos_positions: torch.Tensor) -> torch.Tensor:
    """CLIP's text features of prompts given as token embeddings; real tokens give what `get_text_features` gives.

    Args:
        clip: the model whose text tower and projection are used.
        token_embeds: (num_prompts, length, text_width), without position embeddings. What follows a prompt's end
            token is never looked at: attention is causal.
        eos_positions: (num_prompts,) position of each end token.

    Returns:
        (num_prompts, projection_dim), not normalised.
    """
    tower = clip.text_model
    hidden_states = tower.embeddings(inputs_embeds=token_embeds)
    mask = create_causal_mask(
        config=tower.config, inputs_embeds=hidden_states, attention_mask=None, past_key_values=None
    )
    hidden_states = tower.encoder(inputs_embeds=hidden_states, attention_mask=mask, is_causal=True).last_hidden_state
    rows = torch.arange(len(hidden_states), device=hidden_states.device)
    return clip.text_projection(tower.final_layer_norm(hidden_states[rows, eos_positions]))


def pad_token_ids(prompts: list[list[int]]) -> torch.Tensor:
    """(num_prompts, longest) ids, padded behind the end token with 0."""
    longest = max(len(ids) for ids in prompts)
    return torch.tensor([ids + [0] * (longest - len(ids)) for ids in prompts])


def as_list(prompts: str | Sequence[str]) -> list[str]:
    """The sentences of a label that may have one."""
    return [prompts] if isinstance(prompts, str) else list(prompts)


def layout_prompt(num_tokens: int, longest: int, num_context_tokens: int, position: str) -> list[int]:
    """Where each token of a soft prompt comes from, as indices into `longest` text tokens followed by the context.

    `num_tokens` counts the text's own tokens with begin and end; the rest up to `longest` is padding and stays last.
    """
    context = list(range(longest, longest + num_context_tokens))
    text, end_and_padding = list(range(1, num_tokens - 1)), list(range(num_tokens - 1, longest))
    before = {"end": num_context_tokens, "middle": num_context_tokens // 2, "front": 0}[position]
    return [0, *context[:before], *text, *context[before:], *end_and_padding]


class SoftPromptLearner(nn.Module):
    r"""
    Context optimisation (CoOp, Zhou et al., 2022): prompts `[SOS][context tokens][label's text][EOS]` in which the
    context tokens are learned.

    Prompts end at the longest one's end token instead of filling the text tower's whole length: causal attention
    makes that exact.

    Args:
        config: its `soft_prompt_token_ids` are the prompts' texts; `num_context_tokens`, `class_specific_context` and
            `class_token_position` say how many context tokens there are, for which prompts and in which place.
    """

    token_ids: torch.Tensor
    layout: torch.Tensor
    eos_positions: torch.Tensor

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.config = config
        num_sets = (len(config.soft_prompt_token_ids),) if config.class_specific_context else ()
        shape = (*num_sets, config.num_context_tokens, config.text_tower_config.hidden_size)
        self.context_tokens = nn.Parameter(torch.empty(shape))
        for name, value in self._tables().items():
            self.register_buffer(name, value, persistent=False)

    def _tables(self) -> dict[str, torch.Tensor]:
        prompts, num_context_tokens = self.config.soft_prompt_token_ids, self.config.num_context_tokens
        token_ids = pad_token_ids(prompts)  # (num_prompts, longest)
        position, longest = self.config.class_token_position, token_ids.shape[1]
        layout = [layout_prompt(len(ids), longest, num_context_tokens, position) for ids in prompts]
        ends = [len(ids) + num_context_tokens - 1 for ids in prompts]
        return {"token_ids": token_ids, "layout": torch.tensor(layout), "eos_positions": torch.tensor(ends)}

    def reset_parameters(self):
        """Draw the context tokens and fill the tables of token positions.

        Keep: `from_pretrained` builds on the meta device, where buffers that are not in the checkpoint lose their
        values; `init` leaves alone what was loaded.
        """
        init.normal_(self.context_tokens, std=self.config.initializer_range)
        for name, value in self._tables().items():
            init.copy_(getattr(self, name), value)

    def forward(self, clip: CLIPModel) -> torch.Tensor:
        """CLIP's text features of the soft prompts: (num_prompts, projection_dim), not normalised."""
        text = clip.text_model.embeddings.token_embedding(self.token_ids)
        context = self.context_tokens.expand(len(text), -1, -1)
        tokens = torch.cat([text, context.to(text.dtype)], dim=1)
        token_embeds = tokens.gather(1, self.layout[..., None].expand(-1, -1, tokens.shape[-1]))
        return encode_token_embeds(clip, token_embeds, self.eos_positions)


class DescriptivePrompts(nn.Module):
    r"""
    The descriptive view: one embedding per label, computed once from fixed sentences and kept with the weights.

    A module of its own, because a buffer right on the model would have no device in a `device_map` that splits it.

    Args:
        config: its labels and its `projection_dim` say how many embeddings there are, and their width.
    """

    text_embeds: torch.Tensor

    def __init__(self, config: ClipCaerConfig):
        super().__init__()
        self.register_buffer("text_embeds", torch.empty(config.num_labels, config.projection_dim))
        self.reset_parameters()

    def reset_parameters(self):
        """One axis per label, until [`~DescriptivePrompts.encode`] is called."""
        num_labels, dim = self.text_embeds.shape
        init.copy_(self.text_embeds, F.one_hot(torch.arange(num_labels) % dim, dim).to(self.text_embeds))

    @torch.no_grad()
    def encode(self, clip: CLIPModel, token_ids: list[list[list[int]]]):
        """Keep the unit mean of the unit text features of each label's sentences (label, sentence, token)."""
        for row, sentences in zip(self.text_embeds, token_ids, strict=True):
            ids = pad_token_ids(sentences).to(clip.device)
            eos_positions = torch.tensor([len(sentence) - 1 for sentence in sentences], device=clip.device)
            tokens = clip.text_model.embeddings.token_embedding(ids)
            features = F.normalize(encode_token_embeds(clip, tokens, eos_positions), dim=-1)
            row.copy_(F.normalize(features.mean(dim=0), dim=-1))

    def forward(self) -> torch.Tensor:
        """(num_labels, projection_dim) unit vectors."""
        return F.normalize(self.text_embeds, dim=-1)
