"""A plain CLIP checkpoint as a model of ours: the baseline that training has to beat."""

import math
from collections.abc import Iterator

import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from modeling_clipcaer.common.progress import track
from modeling_clipcaer.data.cached_clips import EMBEDS_COLUMNS, find_collator
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerOutput
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


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


@torch.no_grad()
def embed_clips(
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    rows: Dataset,
    batch_size: int,
    num_workers: int,
    tower_dtype: str = "float32",
) -> Iterator[dict[str, torch.Tensor]]:
    """`context_embeds` and `face_embeds` of the streams that are built, each (batch_size, num_frames,
    projection_dim), of the frames that evaluation looks at, batch by batch: those that `rows` hold, or what the tower
    makes of clips that `num_workers` processes decode."""
    collator = find_collator(rows.column_names)(processor, mode="eval", streams=model.config.streams)
    parts = FrozenParts(model, tower_dtype)
    for batch in DataLoader(rows, batch_size, collate_fn=collator, num_workers=num_workers):
        inputs = {name: batch[name].to(model.device) for name in collator.stream_names if name in batch}
        if collator.stream_names != EMBEDS_COLUMNS:
            pixels = {name: processor.normalize(frames) for name, frames in inputs.items()}
            inputs = parts({**pixels, "use_soft_prompts": False})
        yield {name: inputs[name] for name in EMBEDS_COLUMNS if name in inputs}


@torch.no_grad()
def score_clips(
    model: ZeroShotModel,
    processor: ClipCaerVideoProcessor,
    rows: Dataset,
    batch_size: int,
    num_workers: int,
    tower_dtype: str = "float32",
) -> torch.Tensor:
    """The model's logits (num_clips, num_labels) for the rows of [`embed_clips`], on the CPU."""
    batches = embed_clips(model, processor, rows, batch_size, num_workers, tower_dtype)
    logits = [model(**embeds).logits for embeds in track(batches, "zero-shot", math.ceil(len(rows) / batch_size))]
    return torch.cat(logits).cpu()


def to_unit(embeds: torch.Tensor) -> torch.Tensor:
    """(..., dim) embeddings at unit length."""
    return embeds / embeds.norm(dim=-1, keepdim=True)
