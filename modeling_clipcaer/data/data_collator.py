"""ClipCaerCollator: rows of the dataset -> a batch of uint8 pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.processing_clipcaer import STREAMS, ClipCaerVideoProcessor


# Column of a row that is drawn with replacement: how often it was drawn before in this epoch.
DRAWN_BEFORE = "drawn_before"


class ClipCaerCollator:
    """Decodes the sampled frames of a batch of rows and cuts both streams from them. Pixels leave as uint8, a quarter
    of float32; [`ClipCaerVideoProcessor.normalize`] belongs on the device.

    Training draws (frames, augmentation) depend on nothing but `seed`, `epoch`, the clip and how often it was drawn
    before, by the column `drawn_before` and in the batch: a resumed run repeats them with any number of workers and
    any batches, and a clip drawn twice is seen twice differently.

    Args:
        processor ([`ClipCaerVideoProcessor`]): cuts the pixels.
        mode (`str`): "train", or "eval" for the same frames every time and no augmentation.
        seed (`int`): of the training draws.
        streams (`str`): "both", or "face" or "context" where the model has no use for the other.
        face_dropout (`float`): in training, the probability that the model is told that a clip shows no face.
    """

    stream_names = ("pixel_values", "face_pixel_values")

    def __init__(
        self,
        processor: ClipCaerVideoProcessor,
        mode: str = "train",
        seed: int = 0,
        streams: str = "both",
        face_dropout: float = 0.0,
    ):
        if mode not in ("train", "eval"):
            raise InputError(f"`mode` must be 'train' or 'eval', got {mode!r}")
        if streams not in STREAMS:
            raise InputError(f"`streams` must be one of {', '.join(STREAMS)}, got {streams!r}")
        self.processor, self.mode, self.seed, self.streams = processor, mode, seed, streams
        self.face_dropout = face_dropout if streams == "both" else 0.0
        # Keep: shared memory; workers that outlive an epoch hold a copy of this object and would stay at its number.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch of the training draws, to be set before each."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Batch `rows`.

        Returns:
            `pixel_values` and `face_pixel_values`, uint8 of shape `(batch_size, num_frames, 3, size, size)`, without
            the stream that is not wanted, and `labels` of shape `(batch_size,)` where the rows have them; in training
            also `votes` of shape `(batch_size, num_labels)` where the rows have those, and `face_present` of shape
            `(batch_size,)` where faces drop out.

        Raises:
            InputError: a clip cannot be read; the message begins with its `clip_id`.
        """
        clip_ids = [row["clip_id"] for row in rows]
        generators = [self._generator(row, clip_ids[:place]) for place, row in enumerate(rows)]
        clips = [self.read_clip(row, generator) for row, generator in zip(rows, generators, strict=True)]
        streams = zip(self.stream_names, zip(*clips, strict=True), strict=True)
        batch = {name: torch.stack(pixels) for name, pixels in streams if pixels[0] is not None}
        if self.face_dropout > 0 and self.mode == "train":
            batch["face_present"] = torch.stack(
                [self._keeps_face(row, clip_ids[:place]) for place, row in enumerate(rows)]
            )
        labels = [row.get("label") for row in rows]
        if None not in labels:
            batch["labels"] = torch.tensor(labels)
            if self.mode == "train" and all("votes" in row for row in rows):
                batch["votes"] = torch.tensor([row["votes"] for row in rows])
        elif self.mode == "train" or set(labels) != {None}:
            raise InputError(f"clip {clip_ids[labels.index(None)]}: expected a label, found none")
        return batch

    def read_clip(self, row: Mapping[str, Any], generator: torch.Generator | None) -> tuple:
        """Context and face of one clip, `None` for a stream that is not wanted; `generator` draws in training."""
        try:
            return self.processor.process_clip(
                open_row(row),
                row["face_boxes"],
                row["body_boxes"],
                mode=self.mode,
                generator=generator,
                streams=self.streams,
            )
        except InputError as error:
            raise InputError(f"clip {row['clip_id']}: {error}") from error

    def _keeps_face(self, row: Mapping[str, Any], clip_ids_before: list[str]) -> torch.Tensor:
        # Keep: a generator of its own. What else is drawn of a clip is then the same with and without dropout.
        return torch.rand((), generator=self._generator(row, clip_ids_before, "face")) >= self.face_dropout

    def _generator(self, row: Mapping[str, Any], clip_ids_before: list[str], *purpose: str) -> torch.Generator | None:
        if self.mode == "eval":
            return None
        # Keep: nothing else of the batch. Several processes share the same clips out into other batches.
        times = row[DRAWN_BEFORE] if DRAWN_BEFORE in row else clip_ids_before.count(row["clip_id"])
        return seed_generator(self.seed, self.epoch, row["clip_id"], times, *purpose)


def seed_generator(*key: int | str) -> torch.Generator:
    """A generator whose draws depend on `key` alone, and are other ones for any other."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
