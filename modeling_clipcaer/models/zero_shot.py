"""A plain CLIP checkpoint as a model of ours: the baseline that training has to beat."""

import torch

from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerOutput


class ZeroShotModel(ClipCaerForVideoClassification):
    """A plain CLIP checkpoint behind the call of a trained model: what it knew before any training."""

    def forward(
        self,
        context_embeds: torch.Tensor | None = None,
        face_embeds: torch.Tensor | None = None,
        face_present: torch.Tensor | None = None,
        use_soft_prompts: bool = False,
    ) -> ClipCaerOutput:
        """Cosines with the descriptive view, in CLIP's own scale: logits (batch_size, num_labels).

        Args:
            context_embeds, face_embeds: (batch_size, num_frames, projection_dim), either or both.
            face_present: (batch_size,), False where the context stands alone.
            use_soft_prompts: False: nothing was learned for the soft view.
        """
        streams = [to_unit(embeds).mean(dim=1) for embeds in (context_embeds, face_embeds) if embeds is not None]
        if face_present is not None and face_embeds is not None:
            streams[-1] = streams[-1] * face_present[:, None]
        video_embeds = to_unit(torch.stack(streams).sum(dim=0))
        text = to_unit(self.model.descriptive_text_embeds)
        return ClipCaerOutput(
            logits=self.model.clip.logit_scale.exp() * video_embeds @ text.T,
            video_embeds=video_embeds,
            descriptive_text_embeds=text,
        )


def to_unit(embeds: torch.Tensor) -> torch.Tensor:
    """(..., dim) embeddings at unit length."""
    return embeds / embeds.norm(dim=-1, keepdim=True)
