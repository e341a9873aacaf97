"""A dataset as parquet shards with a card, for the Hub, object storage and streaming."""

from pathlib import Path

from datasets import Dataset
from datasets.utils.py_utils import size_str
from torch.utils.data import DataLoader

from modeling_clipcaer.common.progress import track
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.data.clip_rows import find_form
from modeling_clipcaer.data.loading import count_frames
from modeling_clipcaer.data.parquet.rows import CropRows, FrameRows, PathRows
from modeling_clipcaer.data.parquet.shards import (
    ShardWriter,
)
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


def choose_rows(
    rows: Dataset,
    split: str,
    place: str,
    embed: str,
    max_frames: int,
    processor: ClipCaerVideoProcessor | None,
) -> PathRows | FrameRows | CropRows:
    """What makes the rows of a split.

    Args:
        rows, split, place: the split, its name, and the dataset's folder.
        embed: what a row holds, a key of `EMBEDDED`.
        max_frames: most frames of a training clip, 0 for all.
        processor: cuts the crops, with `embed` "crops".

    Raises:
        InputError: the split does not hold what this takes.
    """
    # Keep: the limit for training alone; what evaluation measures must not depend on how a dataset is kept.
    mode, max_frames = ("train", max_frames) if split == "train" else ("eval", 0)
    form = find_form(rows.column_names)
    if form is None:
        raise InputError(f"{place}: split `{split}` holds crops, expected frames")
    if processor is not None:
        return CropRows(rows, processor, mode, max_frames)
    if embed == "none":
        if "frames" in form:
            raise InputError(f"{place}: split `{split}` holds its frames, expected --embed frames or crops")
        return PathRows(rows)
    if "video" in form:
        frames = sum(min(number, max_frames or number) for number in count_frames(rows))
        tell(f"{split}: {frames} frames of videos become PNG files, lossless and large")
    return FrameRows(rows, max_frames)


def write_split(
    rows: Dataset,
    maker: PathRows | FrameRows | CropRows,
    folder: Path,
    split: str,
    shard_size: int,
    num_proc: int,
) -> None:
    """Write the shards of a split, and tell how large they come out."""
    writer = ShardWriter(folder, split, maker.features.arrow_schema, shard_size)
    # One process makes rows as it goes; several make them ahead, two each, in the order of the split all the same.
    workers = num_proc if num_proc > 1 else 0
    loader = DataLoader(rows, collate_fn=maker, num_workers=workers)
    for number, row in enumerate(track(loader, f"writing {split}", len(rows))):
        num_bytes = writer.write(row)
        if number == 0:
            tell(f"{split}: {len(rows)} clips, about {size_str(num_bytes * len(rows))} uncompressed")
    writer.close()
    tell(f"{split}: {size_str(writer.num_bytes)} in {len(writer.shards)} files")
