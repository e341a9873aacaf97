"""What the ClipCaer models return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class ClipCaerOutput(ModelOutput):
    r"""
    Output of [`ClipCaerModel`] and [`ClipCaerForVideoClassification`].

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` is given):
            Plain cross-entropy. The trainer has the other losses.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`, *optional*):
            Classification scores before the softmax. Absent from [`ClipCaerModel`].
        video_embeds (`torch.FloatTensor` of shape `(batch_size, projection_dim)`):
            Fused embedding of both streams, of unit norm.
        face_video_embeds (`torch.FloatTensor` of shape `(batch_size, projection_dim)`, *optional*):
            The face stream's clip embedding before fusion.
        context_video_embeds (`torch.FloatTensor` of shape `(batch_size, projection_dim)`, *optional*):
            The context stream's clip embedding before fusion.
        soft_text_embeds (`torch.FloatTensor` of shape `(num_labels, projection_dim)`):
            Soft view: unit embeddings of the learned prompts; of an ensemble, their mean.
        descriptive_text_embeds (`torch.FloatTensor` of shape `(num_labels, projection_dim)`):
            Descriptive view: unit embeddings of the fixed sentences.
        soft_prompt_embeds (`torch.FloatTensor` of shape `(num_labels, num_sentences, projection_dim)`):
            The members of the soft view's ensemble.
        hidden_states (`tuple(torch.FloatTensor)`, *optional*, returned with `output_hidden_states=True`):
            Hidden states of the vision tower, one of its embeddings and one of each layer, of shape
            `(batch_size * num_streams * num_frames, num_patches + 1, hidden_size)`: of each clip the context frames,
            then the face frames. Only streams given as pixels are encoded; without any the tuple is absent.
        face_temporal_hidden_states, context_temporal_hidden_states (`tuple(torch.FloatTensor)`, *optional*):
            The same of a stream's temporal encoder, of shape `(batch_size, num_frames + 1, projection_dim)` with the
            class token in front, `(batch_size, num_frames, projection_dim)` under attention pooling.
        attentions (`tuple(torch.FloatTensor)`, *optional*, returned with `output_attentions=True`):
            Attention weights of each layer of the vision tower, of shape
            `(batch_size * num_streams * num_frames, num_heads, num_patches + 1, num_patches + 1)`. Empty unless the
            tower's attention is `"eager"`, as in CLIP.
        face_temporal_attentions, context_temporal_attentions (`tuple(torch.FloatTensor)`, *optional*):
            Attention weights of each layer of a stream's temporal encoder, of shape `(batch_size, temporal_heads,
            num_frames + 1, num_frames + 1)`; row 0 tells which frames the clip embedding was drawn from.

    The text tower's states are not returned: outside training its pass is made once and kept.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    video_embeds: torch.Tensor | None = None
    face_video_embeds: torch.Tensor | None = None
    context_video_embeds: torch.Tensor | None = None
    soft_text_embeds: torch.Tensor | None = None
    descriptive_text_embeds: torch.Tensor | None = None
    soft_prompt_embeds: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    face_temporal_hidden_states: tuple[torch.Tensor, ...] | None = None
    context_temporal_hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    face_temporal_attentions: tuple[torch.Tensor, ...] | None = None
    context_temporal_attentions: tuple[torch.Tensor, ...] | None = None
