"""Clips whose frames were cut, or even encoded, once before training: how they are read, and what they are made from.

A cached clip is a row with, of each stream, the bytes of one array, and the sizes that give the array its shape:
`context_embeds` and `face_embeds`, float32 of shape `(num_views, num_frames, projection_dim)`, or `context_crops` and
`face_crops`, uint8 of shape `(num_views, num_frames, 3, image_size, image_size)` with one view. Crops that travel say
in `cut_settings`, as JSON, by which of the processor's settings they were cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.data.data_collator import ClipCaerCollator, seed_generator
from modeling_clipcaer.data.fetching import fetch_pictures
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frames import FrameSource, sample_frame_indices
from modeling_clipcaer.json_files import parse_json
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


EMBEDS_COLUMNS = ("context_embeds", "face_embeds")
CROPS_COLUMNS = ("context_crops", "face_crops")
# The processor's settings that crops depend on; those of evaluation are of the frames that it looks at besides.
CUT_SETTINGS = (
    *("image_size", "face_margin", "context", "resample", "letterbox", "frame_order", "exif_orientation"),
    "scaled_decoding",
)
SAMPLING_SETTINGS = ("num_frames", "frame_sampling")
AUGMENTATION_SETTINGS = ("flip_prob", "rotation_degrees", "color_jitter", "augment_per_stream")


def augments(settings: object) -> bool:
    """Whether the settings of a processor, or the flags of the same names, change anything of a training clip."""
    return any(getattr(settings, name) > 0 for name in ("flip_prob", "rotation_degrees", "color_jitter"))


class _CachedCollator(ClipCaerCollator):
    """Draws frames as [`ClipCaerCollator`] does, with the same numbers of the same generator."""

    columns: tuple[str, str]
    dtype: type[np.generic]

    def _pick(self, row: Mapping[str, Any], name: str, view: int, indices: np.ndarray) -> torch.Tensor | None:
        if row.get(name) is None or self.streams not in ("both", name.partition("_")[0]):
            return None
        frames = np.frombuffer(row[name], self.dtype).reshape(row["num_views"], row["num_frames"], -1)
        return torch.from_numpy(frames[view, indices])

    def _draw_frames(self, row: Mapping[str, Any], generator: torch.Generator | None) -> np.ndarray:
        wanted, sampling = self.processor.num_frames, self.processor.frame_sampling
        return sample_frame_indices(row["num_frames"], wanted, self.mode, generator, sampling).numpy()


class CachedEmbedsCollator(_CachedCollator):
    """Rows with frame embeddings -> a batch of `context_embeds` and `face_embeds` of shape `(batch_size, num_frames,
    projection_dim)`, and labels. In training the view is drawn as well as the frames, of the first `most_views`."""

    stream_names, columns, dtype = EMBEDS_COLUMNS, EMBEDS_COLUMNS, np.float32
    most_views: int | None = None  # of a cache that runs share which ask for more

    def read_clip(self, row: Mapping[str, Any], generator: torch.Generator | None) -> tuple:
        """Embeddings of the drawn frames in one view."""
        indices = self._draw_frames(row, generator)
        views = min(row["num_views"], self.most_views or row["num_views"])
        view = 0 if generator is None else int(torch.randint(views, (), generator=generator))
        return tuple(self._pick(row, name, view, indices) for name in self.columns)


class CachedCropsCollator(_CachedCollator):
    """Rows with crops -> the batch that [`ClipCaerCollator`] gives of the files, to the last bit."""

    columns, dtype = CROPS_COLUMNS, np.uint8

    def read_clip(self, row: Mapping[str, Any], generator: torch.Generator | None) -> tuple:
        """Crops of the drawn frames, augmented in training."""
        row = fetch_pictures(row)
        self._check_settings(row)
        indices, size = self._draw_frames(row, generator), self.processor.image_size
        picked = [self._pick(row, name, 0, indices) for name in self.columns]
        context, face = (None if frames is None else frames.unflatten(-1, (3, size, size)) for frames in picked)
        return (context, face) if generator is None else self.processor.augment_clip(context, face, generator)

    def _check_settings(self, row: Mapping[str, Any]) -> None:
        for name, value in parse_json(row.get("cut_settings") or "{}", "`cut_settings`").items():
            found = getattr(self.processor, name)
            if found != value:
                raise InputError(
                    f"clip {row['clip_id']}: its crops were cut with `{name}` {value!r}, expected {found!r} as here"
                )


COLLATORS = (ClipCaerCollator, CachedEmbedsCollator, CachedCropsCollator)


def find_collator(column_names: Sequence[str]) -> type[ClipCaerCollator]:
    """The collator for rows with these columns."""
    cached = (kind for kind in (CachedEmbedsCollator, CachedCropsCollator) if set(kind.columns) & set(column_names))
    return next(cached, ClipCaerCollator)


class ClipCutter:
    r"""
    Cuts the frames of a clip that are to be cached, for a `DataLoader` of rows, one at a time.

    Args:
        processor ([`ClipCaerVideoProcessor`]): cuts the pixels.
        streams (`str`): "both", "face" or "context".
        mode (`str`): "eval" for the frames that evaluation looks at, "train" for those that training draws from.
        max_frames (`int`): in training, the frames kept of a clip, evenly spaced; 0 keeps all.
        num_views (`int`): in training, the first view is as it is, and each other one has one draw of augmentation,
            which depends on the clip and the view alone: runs of any seed share them.
    """

    def __init__(
        self, processor: ClipCaerVideoProcessor, streams: str, mode: str, max_frames: int = 0, num_views: int = 1
    ):
        self.processor, self.streams, self.mode = processor, streams, mode
        self.max_frames, self.num_views = max_frames, num_views

    @property
    def settings(self) -> dict[str, Any]:
        """What the frames and their pixels depend on, of the processor's settings."""
        names: tuple[str, ...] = CUT_SETTINGS
        names += SAMPLING_SETTINGS if self.mode == "eval" else ()
        names += AUGMENTATION_SETTINGS if self.num_views > 1 else ()
        return {name: getattr(self.processor, name) for name in names}

    def count_frames(self, total: int) -> int:
        """Frames kept of a clip with `total` frames."""
        if self.mode == "eval":
            return self.processor.num_frames
        return min(total, self.max_frames or total)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> tuple[torch.Tensor | None, ...]:
        """Context and face of the one clip in `rows`: uint8 (num_views, num_frames, 3, image_size, image_size)."""
        (row,) = rows
        try:
            source = open_row(row)
            streams = self.processor.process_clip(
                source, row["face_boxes"], row["body_boxes"], self._choose_frames(source), streams=self.streams
            )
        except InputError as error:
            raise InputError(f"clip {row['clip_id']}: {error}") from error
        views = [streams, *(self._augment(row["clip_id"], view, *streams) for view in range(1, self.num_views))]
        return tuple(None if view[0] is None else torch.stack(view) for view in zip(*views, strict=True))

    def _choose_frames(self, source: FrameSource) -> torch.Tensor:
        processor = self.processor
        if self.mode == "eval":
            return processor.frame_indices(source)
        every = processor.frame_indices(source, do_sample_frames=False)
        return every[sample_frame_indices(len(every), self.count_frames(len(every)), "eval")]

    def _augment(self, clip_id: str, view: int, context, face) -> tuple:
        return self.processor.augment_clip(context, face, seed_generator(clip_id, view))
