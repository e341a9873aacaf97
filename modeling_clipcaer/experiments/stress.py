"""A model's answers to clips with which something is wrong, and how much worse they are."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from modeling_clipcaer.common.progress import track
from modeling_clipcaer.data.clip_labels import align_labels
from modeling_clipcaer.data.clip_rows import find_form, open_row
from modeling_clipcaer.data.data_collator import seed_generator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.corruptions import CORRUPTIONS, UNTOUCHED, Corruption, Look
from modeling_clipcaer.frames import FrameSource
from modeling_clipcaer.metrics import (
    bootstrap_confidence_intervals,
    paired_differences,
    predict_labels,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.models.streams import keep_stream
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor, boxes_per_frame


Condition = tuple[Corruption, float]  # and its strength


def list_conditions(streams: str, corruptions: Sequence[Corruption] = CORRUPTIONS) -> list[Condition]:
    """The untouched clips, and each corruption at each strength, for a model with these `streams`. Of one stream
    nothing can be removed."""
    return [
        (corruption, strength)
        for corruption in (UNTOUCHED, *corruptions)
        for strength in corruption.strengths
        if streams == "both" or not corruption.needs_both
    ]


class DecodedFrames:
    """Frames of which each is decoded once, at full size, however often it is looked at."""

    def __init__(self, source: FrameSource):
        self.source = source
        self.frames: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]):
        """Yield the frames at `indices`."""
        missing = [index for index in indices if index not in self.frames]
        self.frames.update(zip(missing, self.source.read(missing), strict=True))
        return (self.frames[index] for index in indices)


class StressCollator:
    """Rows -> what is to be encoded of each: every square once, however many conditions show it.

    Args:
        processor: cuts the pixels.
        conditions: under which the clips are seen.
        seed: of what the corruptions draw.
        streams: of the model.
    """

    def __init__(
        self, processor: ClipCaerVideoProcessor, conditions: Sequence[Condition], seed: int, streams: str = "both"
    ):
        self.processor, self.conditions, self.seed, self.streams = processor, conditions, seed, streams

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each row, distinct squares, uint8 (num_squares, 3, size, size), and which of them context and face show
        under each condition, int64 (num_conditions, 2, num_frames), -1 for a stream that is not there.

        Raises:
            InputError: a clip cannot be read; the message begins with its `clip_id`.
        """
        return [self._see(row) for row in rows]

    def _see(self, row: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        squares: list[torch.Tensor] = []
        numbers: dict[bytes, int] = {}
        try:
            look = self.look_at(row)
            places = [
                [self._place(stream, squares, numbers) for stream in self._cut(row, look, condition)]
                for condition in self.conditions
            ]
        except InputError as error:
            raise InputError(f"clip {row['clip_id']}: {error}") from error
        return torch.stack(squares), torch.tensor(places)

    def look_at(self, row: Mapping[str, Any]) -> Look:
        """The clip of a row as evaluation looks at it."""
        source = self.processor.open_clip(open_row(row))
        faces, bodies = (
            [box if box is not None and len(box) else None for box in boxes_per_frame(row[name], len(source))]
            for name in ("face_boxes", "body_boxes")
        )
        return Look(DecodedFrames(source), faces, bodies, self.processor.frame_indices(source), self.streams)

    def _cut(self, row: Mapping[str, Any], look: Look, condition: Condition) -> tuple:
        corruption, strength = condition
        draw = partial(seed_generator, self.seed, corruption.name, row["clip_id"])
        seen = corruption.function(look, strength, draw)
        return self.processor.process_clip(
            seen.frames, seen.face_boxes, seen.body_boxes, seen.indices, streams=seen.streams
        )

    def _place(self, stream: torch.Tensor | None, squares: list[torch.Tensor], numbers: dict[bytes, int]) -> list[int]:
        """The numbers of a stream's squares, of which new ones are added to `squares`."""
        if stream is None:
            return [-1] * self.processor.num_frames
        places = []
        for square in stream:
            places.append(numbers.setdefault(square.contiguous().numpy().tobytes(), len(squares)))
            if places[-1] == len(squares):
                squares.append(square)
        return places


@torch.no_grad()
def answer_conditions(
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    rows: Dataset,
    conditions: Sequence[Condition],
    *,
    seed: int = 42,
    batch_size: int = 8,
    num_workers: int = 2,
    tower_dtype: str = "float32",
) -> np.ndarray:
    """The model's logits (num_conditions, num_clips, num_labels).

    Raises:
        InputError: the rows hold no frames, or a clip cannot be read.
    """
    if find_form(rows.column_names) is None:
        raise InputError("the clips hold no frames, only what was cut from them: expected a dataset with frames")
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    rows = align_labels(rows, labels, "the split", "the model's")
    own = model.config.streams
    parts = FrozenParts(model, tower_dtype)
    models: dict[str, ClipCaerForVideoClassification] = {own: model}
    models |= {name: keep_stream(model, name) for name in ("face", "context")} if own == "both" else {}
    collator = StressCollator(processor, conditions, seed, own)
    loader = DataLoader(rows, batch_size, collate_fn=collator, num_workers=num_workers)
    logits = []
    for batch in track(loader, "stress", len(loader)):
        embeds = [_encode(parts, processor, squares) for squares, _ in batch]
        places = torch.stack([shown for _, shown in batch])  # (batch_size, num_conditions, 2, num_frames)
        logits.append(torch.stack([_answer(models, parts, embeds, shown) for shown in places.unbind(dim=1)]).cpu())
    return torch.cat(logits, dim=1).float().numpy()


def _encode(parts: FrozenParts, processor: ClipCaerVideoProcessor, squares: torch.Tensor) -> torch.Tensor:
    """(num_squares, projection_dim)."""
    return parts.encode_frames(processor.normalize(squares.to(parts.model.device))[None])[0]


def _answer(
    models: dict[str, ClipCaerForVideoClassification],
    parts: FrozenParts,
    embeds: list[torch.Tensor],
    places: torch.Tensor,
) -> torch.Tensor:
    """Logits (batch_size, num_labels) where the streams show `places` (batch_size, 2, num_frames)."""
    inputs = {
        f"{stream}_embeds": torch.stack([own[place.to(own.device)] for own, place in zip(embeds, shown, strict=True)])
        for stream, shown in (("context", places[:, 0]), ("face", places[:, 1]))
        if (shown >= 0).all()
    }
    streams = "both" if len(inputs) == 2 else next(iter(inputs)).removesuffix("_embeds")
    return models[streams](**inputs, soft_prompt_embeds=parts.soft_prompt_embeds).logits


def measure_conditions(
    conditions: Sequence[Condition],
    logits: np.ndarray,
    references: Sequence[int],
    persons: Sequence[str] | None,
    seed: int,
) -> list[dict[str, Any]]:
    """A row of figures in percent for each condition, of which the first is the untouched clips.

    Args:
        conditions: in the order of the logits.
        logits: (num_conditions, num_clips, num_labels).
        references: true labels.
        persons: of each clip, for intervals by person; `None` where they are not known.
        seed: of the bootstrap.
    """
    num_labels, first = logits.shape[2], predict_labels(logits[0])
    groups = persons if persons and len(set(persons)) > 1 else None
    settings: dict[str, Any] = {"num_labels": num_labels, "seed": seed, "groups": groups}
    rows = []
    for (corruption, strength), own in zip(conditions, logits, strict=True):
        answers = predict_labels(own)
        intervals = bootstrap_confidence_intervals(references, answers, **settings)
        changes = paired_differences(references, first, answers, **settings)
        row: dict[str, Any] = {"corruption": corruption.name, "strength": strength, "meaning": corruption.meaning}
        for name, measure in (("uar", unweighted_average_recall), ("war", weighted_average_recall)):
            row[name] = _percent(measure(references, answers, num_labels))
            row[f"{name}_ci95"] = [_percent(bound) for bound in intervals[name]]
            if corruption is not UNTOUCHED:
                row[f"{name}_change"] = _percent(changes[name].measured)
                row[f"{name}_change_ci95"] = [_percent(changes[name].low), _percent(changes[name].high)]
        row["answers_changed"] = _percent(np.mean(answers != first))
        rows.append(row)
    return rows


def _percent(fraction: float) -> float:
    return round(100 * float(fraction), 6)
