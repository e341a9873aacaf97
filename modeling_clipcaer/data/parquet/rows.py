"""What a row of a parquet shard holds of a clip: where its frames are, the frames, or the crops made of them.

Each class makes rows of one dataset, for a `DataLoader` that hands it one clip at a time, and knows their columns.
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from datasets import Dataset, Features, List, Value
from PIL import Image

from modeling_clipcaer.data.cached_clips import CROPS_COLUMNS, ClipCutter
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, check_frame_folder, open_row, require_form
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import check_regular
from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


CLIP_COLUMNS = ("clip_id", "person_id", "label", "votes")
BY_FRAME = (*BOX_COLUMNS, "face_box_sources")


class PathRows:
    """Rows as they are: the files of the frames stay where they are."""

    def __init__(self, rows: Dataset):
        names = (*CLIP_COLUMNS, *require_form(rows.column_names), *BY_FRAME)
        self.features = Features({name: rows.features[name] for name in names if name in rows.features})

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The row of a clip."""
        (row,) = rows
        return {name: row[name] for name in self.features}


def check_ids(row: Mapping[str, Any]) -> None:
    """Refuse ids that would tell this machine's folders to whoever reads the shards, as builds before 0.2 wrote them.

    Raises:
        InputError: the id of the clip or of the person is an absolute path.
    """
    for name in ("clip_id", "person_id"):
        if PurePosixPath(row.get(name) or "").is_absolute() or PureWindowsPath(row.get(name) or "").is_absolute():
            raise InputError(f"clip {row['clip_id']}: `{name}` is a path of this machine; build the dataset again")


class FrameRows:
    """Rows with the bytes of the frames: those of the image files as they are, and of a video lossless PNG.

    Args:
        rows: of one split.
        max_frames (`int`): the frames kept of a clip, evenly spaced, and the boxes of these; 0 keeps all.
    """

    def __init__(self, rows: Dataset, max_frames: int = 0):
        self.max_frames = max_frames
        frames = {"frames": List(Value("large_binary")), "frame_names": List(Value("string"))}
        kept = {name: rows.features[name] for name in (*CLIP_COLUMNS, *BY_FRAME) if name in rows.features}
        self.features = Features(kept | frames)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The row of a clip."""
        (row,) = rows
        try:
            total = len(open_row(row))
            wanted = min(total, self.max_frames or total)
            kept = sample_frame_indices(total, wanted, "eval").tolist()
            names, images = read_files(row, kept)
        except InputError as error:
            raise InputError(f"clip {row['clip_id']}: {error}") from error
        made = {name: row[name] for name in self.features if name in row}
        check_ids(made)
        for name in set(BY_FRAME) & set(made):
            if len(made[name]) == total:  # not: one box for all frames, or none
                made[name] = [made[name][index] for index in kept]
        return made | {"frames": images, "frame_names": names}


def read_files(row: Mapping[str, Any], indices: Sequence[int]) -> tuple[list[str], list[bytes]]:
    """Names and bytes of the image files of the frames at `indices` of a clip.

    Raises:
        InputError: a file cannot be read.
    """
    if "video" in row:
        # Keep: the zeros; in whichever order a processor sorts names, it is the order of the video.
        names = [f"{row['first_frame'] + index:07d}.png" for index in indices]
        return names, [encode_png(frame) for frame in open_row(row).read(indices)]
    names = [row["frame_names"][index] for index in indices]
    if "frames" in row:
        return names, [row["frames"][index] for index in indices]
    check_frame_folder(row)
    try:
        return names, [_read_file(Path(row["frame_dir"], name)) for name in names]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _read_file(path: Path) -> bytes:
    if path.exists():
        check_regular(path, "an image file")
    return path.read_bytes()


def encode_png(frame) -> bytes:
    """A frame, uint8 (3, height, width), as a PNG file."""
    file = BytesIO()
    # The least compression is four times as fast as Pillow's own, and its files are a tenth larger.
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(file, format="PNG", compress_level=1)
    return file.getvalue()


class CropRows:
    """Rows with the crops of both streams, as [`~cached_clips.CachedCropsCollator`] reads them.

    Args:
        rows: of one split.
        processor ([`ClipCaerVideoProcessor`]): cuts the pixels.
        mode (`str`): "train" keeps the frames that training draws from, "eval" those that evaluation looks at.
        max_frames (`int`): in training, the frames kept of a clip, evenly spaced; 0 keeps all.
    """

    def __init__(self, rows: Dataset, processor: ClipCaerVideoProcessor, mode: str, max_frames: int = 0):
        self.cutter = ClipCutter(processor, "both", mode, max_frames)
        kept = {name: rows.features[name] for name in CLIP_COLUMNS if name in rows.features}
        sizes = {"num_views": Value("int32"), "num_frames": Value("int32"), "cut_settings": Value("string")}
        self.features = Features(kept | dict.fromkeys(CROPS_COLUMNS, Value("large_binary")) | sizes)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The row of a clip."""
        (row,) = rows
        streams = [crops for crops in self.cutter(rows) if crops is not None]
        made = {name: row[name] for name in self.features if name in row}
        check_ids(made)
        made |= {name: crops.numpy().tobytes() for name, crops in zip(CROPS_COLUMNS, streams, strict=True)}
        num_views, num_frames = streams[0].shape[:2]
        settings = json.dumps(self.cutter.settings)
        return made | {"num_views": num_views, "num_frames": num_frames, "cut_settings": settings}
