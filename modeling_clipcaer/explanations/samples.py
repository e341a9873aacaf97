"""Clips of a dataset as what is explained, and as points of the map."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from modeling_clipcaer.data.data_collator import ClipCaerCollator
from modeling_clipcaer.data.views.samples import SOURCES, choose_clips, view_clip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.explanations.attention import PIXELS_OF
from modeling_clipcaer.explanations.explanation import Explainer, Explanation, Sample
from modeling_clipcaer.explanations.page import lay_out_map
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


BATCH_SIZE = 8  # clips of the map that are encoded at a time


def read_clips(
    rows: Dataset,
    places: Sequence[int],
    processor: ClipCaerVideoProcessor,
    streams: str,
    with_frames: bool = False,
    show_faces: bool = False,
) -> Iterator[Sample]:
    """The clips at `places`, one at a time, as the model sees them in evaluation.

    Args:
        rows: a split.
        streams: of the model.
        with_frames: whether people may be shown the frames; their faces are hidden, see [`view_clip`].
        show_faces: whether they may be shown faces as well.
    """
    if with_frames:
        check_sources(rows)
    collator = ClipCaerCollator(processor, mode="eval", streams=streams)
    for place in places:
        row = rows[place]
        pixels = dict(zip(PIXELS_OF, collator.read_clip(row, None), strict=True))
        shown = {}
        if with_frames:
            view = view_clip(rows, place, processor, show_faces=show_faces)
            shown = {"context": view.context, "face": view.face}
        label = rows.features["label"].int2str(row["label"])
        yield Sample(row["clip_id"], {stream: cut for stream, cut in pixels.items() if cut is not None}, label, shown)


def check_sources(rows: Dataset) -> None:
    """Refuse a split of which nobody can say whether a face box is the frame's own."""
    if SOURCES not in rows.column_names:
        raise InputError(f"clip {rows[0]['clip_id']}: no column `{SOURCES}`, without which no face can be hidden")


def explain_clips(
    explainer: Explainer,
    rows: Dataset,
    places: Sequence[int],
    reasons: Sequence[str] = (),
    *,
    with_frames: bool = False,
    show_faces: bool = False,
    map_clips: int = 200,
    seed: int = 0,
    num_workers: int = 0,
) -> tuple[list[Explanation], dict[str, Any]]:
    """Explanations of the clips at `places`, and the map on which they lie beside others.

    Args:
        rows: a split.
        reasons: why each of them was chosen.
        with_frames, show_faces: see [`read_clips`].
        map_clips: clips of the split on the map, drawn at random by `seed`, beside those explained.
        num_workers: processes that decode them.
    """
    processor, streams = explainer.processor, explainer.model.config.streams
    found = []
    for sample, reason in zip_longest(read_clips(rows, places, processor, streams, with_frames, show_faces), reasons):
        sample.reason = reason
        found.append(explainer.explain(sample))
    others = rows.select([place for place in choose_clips(rows, None, map_clips, seed) if place not in places])
    names = [explainer.labels[number] for number in others["label"][:]]
    return found, lay_out_map(
        found,
        list(zip(others["clip_id"][:], names, strict=True)),
        embed_clips(explainer.parts, processor, others, num_workers),
        *(explainer.texts, explainer.text_embeds, explainer.labels),
    )


@torch.no_grad()
def embed_clips(
    parts: FrozenParts, processor: ClipCaerVideoProcessor, rows: Dataset, num_workers: int
) -> torch.Tensor:
    """Video embeddings (num_clips, projection_dim) of `rows`, on the CPU."""
    config = parts.model.config
    collator = ClipCaerCollator(processor, mode="eval", streams=config.streams)
    embeds = [torch.empty(0, config.projection_dim)]
    for batch in DataLoader(rows, BATCH_SIZE, collate_fn=collator, num_workers=num_workers):
        pixels = {
            name: processor.normalize(batch[name].to(parts.model.device))
            for name in PIXELS_OF.values()
            if name in batch
        }
        inputs = parts({**pixels, "use_soft_prompts": config.soft_prompts_classify})
        embeds.append(parts.model(**inputs).video_embeds.cpu())
    return torch.cat(embeds)
