"""What the files and the pictures of a clip say about themselves. Nothing here writes anything."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from modeling_clipcaer.data.audit.thresholds import HASH_FRAMES
from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.data.image_damage import check_undamaged
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.image_files import read_image, read_image_size


Size = tuple[int, int]  # width, height
# An eighth of a JPEG file's sides is enough to find it unreadable, since all of its data is gone through, and to
# compare pictures by, unless that leaves fewer pixels than this.
SMALL_SIDE = 32
BLANK_RANGE = 8  # levels of grey between the darkest and the brightest part of a picture that shows nothing
ENDS = 1 << 16  # bytes of a video's start and end by which it is known


def list_images(row: Mapping[str, Any]) -> list[str] | list[bytes]:
    """The image files of a row, or their bytes; none for a row of a video."""
    if row.get("frames") is not None:
        return row["frames"]
    return [os.path.join(row["frame_dir"], name) for name in row["frame_names"]] if "frame_names" in row else []


def measure_file(image: str | bytes) -> int | None:
    """Bytes of a file; `None` where there is none."""
    if isinstance(image, bytes):
        return len(image)
    try:
        found = os.stat(image)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def read_bytes(image: str | bytes) -> bytes:
    """The bytes of a file."""
    if isinstance(image, bytes):
        return image
    with open(image, "rb") as file:
        return file.read()


def make_key(*parts: object) -> int:
    """64 bits that equal parts share; never 0, which stands for no key."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "little") or 1


def know_files(images: Sequence[str | bytes], lengths: Sequence[int | None]) -> int:
    """A key of a clip's files: their lengths, and the content of the first and the middle one."""
    ends = (images[0], images[len(images) // 2])
    return make_key(*lengths, *(hashlib.sha256(read_bytes(image)).hexdigest() for image in ends))


@lru_cache(maxsize=64)
def know_video(path: str) -> int:
    """A key of a video file: its length, its start and its end. Clips are often stretches of one file."""
    with open(path, "rb") as file:
        start = file.read(ENDS)
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - ENDS, 0))
        return make_key(length, hashlib.sha256(start + file.read()).hexdigest())


def decode_images(row: Mapping[str, Any], places: Sequence[int]) -> Iterator[tuple[int, Size | None, Any]]:
    """Decode the image files at `places` with the reader of training: yields the place, the frame's size and its
    small pixels (3, height, width), or the place, `None` and the error."""
    images = list_images(row)
    for place in places:
        try:
            name = os.path.join(row["clip_id"], row["frame_names"][place])
            pixels = read_image(images[place], SMALL_SIDE, name)
            check_undamaged(images[place], name)
            yield place, read_image_size(images[place], name), pixels.numpy()
        except InputError as error:
            yield place, None, error


def decode_video(row: Mapping[str, Any]) -> Iterator[tuple[int, Size | None, Any]]:
    """As `decode_images`, for all frames of a stretch of a video, whose pixels are not small."""
    place = 0
    try:
        for pixels in open_row(row).read(range(row["num_frames"])):
            yield place, (pixels.shape[2], pixels.shape[1]), pixels.numpy()
            place += 1
    except (InputError, OSError) as error:  # what comes after it cannot be reached either
        for rest in range(place, row["num_frames"]):
            yield rest, None, error


def choose_hashed(total: int) -> list[int]:
    """Places of the frames by which a clip is compared: the middles of its thirds."""
    return sample_frame_indices(total, HASH_FRAMES, mode="eval").tolist()


def hash_picture(pixels: np.ndarray) -> int:
    """64 bits of a picture (3, height, width): whether each of 8 x 8 places is darker than its right neighbour.

    Equal pictures keep most bits at another size, quality or brightness. A picture that shows nothing is 0.
    """
    grey = Image.fromarray(pixels.mean(axis=0, dtype=np.float32))
    tiles = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    if tiles.max() - tiles.min() < BLANK_RANGE:
        return 0
    return int.from_bytes(np.packbits(tiles[:, 1:] > tiles[:, :-1]).tobytes(), "little")
