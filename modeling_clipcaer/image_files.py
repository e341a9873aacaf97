"""Image files: what may be opened, how much of it, which way up it is, and its pixels."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .errors import InputError
from .frame_files import check_regular


if TYPE_CHECKING:
    import torch

try:
    from cv2 import IMREAD_COLOR_RGB, IMREAD_IGNORE_ORIENTATION, imdecode
except ImportError:  # the model's own files ask for Pillow only, whose pixels are the same
    imdecode = None  # type: ignore[assignment]

# Pixels of the largest image that is decoded, the square of 8192: above every video and most cameras, and 0.7 GB while
# it is converted. A header may claim millions of times that, and a file of 30 kB hold it.
MAX_PIXELS = 1 << 26
# Keep: no others. Pillow would hand a file named like a photo to Ghostscript where its first bytes ask for it.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF", "TIFF", "PPM", "JPEG2000")
# Of these that may be films. The second picture in a phone's JPEG file is the first one's map of depth or light.
ANIMATED = ("PNG", "WEBP", "GIF")
# Where Pillow finds an orientation in a PNG file: a chunk of its own, or a text of ImageMagick's or Adobe's.
PNG_EXIF = re.compile(rb"eXIf|[tzi](?:EX|TX)t(?:Raw profile type exif|XML:com\.adobe\.xmp)\0")
LONGEST_KEYWORD = 32  # bytes that hold either
ORIENTATION = 0x0112  # the EXIF tag
# Pillow warns of what is above our own bound, in a line beside our error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)


def read_image(
    image: str | Path | bytes | Image.Image, min_side: int = 0, name: str | None = None, upright: bool = True
) -> torch.Tensor:
    """Decode an image, a file, a file's bytes or one that Pillow has opened, to a uint8 tensor (3, height, width),
    RGB; grey, palette, CMYK and alpha are converted. Errors call it `name`.

    With `min_side` a JPEG file is decoded at the smallest of an eighth, a quarter, a half and all of its size whose
    shorter side keeps so many pixels: most of the transform and of the memory is spared.

    A picture is turned upright as its EXIF orientation says, mirrored ones too, as Pillow's `exif_transpose`,
    transformers' `load_image` and `cv2.imread` do, and boxes are in pixels of the upright one. `upright=False` leaves
    it as it is stored, as the research code does.

    Raises:
        InputError: the file is missing, no regular one, corrupt, truncated, larger than `MAX_PIXELS`, or holds more
            than 8 bits a channel, or more than one picture.
    """
    import torch  # Keep: here. Builds read sizes alone, in processes that need not wait for it.

    name = _call(image, name)
    with _open_image(image, name) as opened:
        if opened.mode.startswith(("I", "F")):
            # Keep: Pillow cuts deeper images off at 255, which makes them white, instead of scaling them.
            raise InputError(f"{name}: expected an image of 8 bits a channel, found Pillow's mode {opened.mode}")
        pictures = getattr(opened, "n_frames", 1) if opened.format in ANIMATED else 1
        if pictures > 1:
            # Keep: refused. Of all its pictures one would be seen, and nobody would know of the others.
            raise InputError(f"{name}: expected a single picture, found an animation of {pictures}")
        pixels = None if isinstance(image, Image.Image) else _decode_jpeg(image, opened, min_side)
        if pixels is None:
            pixels = np.array(opened if opened.mode == "RGB" else opened.convert("RGB"))
        if upright:
            pixels = _turn(pixels, _read_orientation(opened))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def read_image_size(image: str | Path | bytes | Image.Image, name: str | None = None) -> tuple[int, int]:
    """(width, height) of the upright image, from the file's header; nothing is decoded.

    Raises:
        InputError: the file is missing, no regular one, no image, or larger than `MAX_PIXELS`.
    """
    with _open_image(image, _call(image, name)) as opened:
        width, height = opened.size
        has_exif = isinstance(image, Image.Image) or opened.format != "PNG" or _png_has_exif(image)
        turns = width != height and has_exif
        return (height, width) if turns and _read_orientation(opened) >= 5 else (width, height)


def _call(image: str | Path | bytes | Image.Image, name: str | None) -> str:
    return name or ("an image" if isinstance(image, bytes | Image.Image) else str(image))


@contextmanager
def _open_image(image: str | Path | bytes | Image.Image, name: str) -> Iterator[Image.Image]:
    """An image whose header was read and can be borne; what goes wrong is an `InputError` that calls it `name`."""
    try:
        if isinstance(image, Image.Image):
            _check_pixels(image.size, name)
            yield image  # Keep: what was opened elsewhere is closed elsewhere.
            return
        if not isinstance(image, bytes):
            check_regular(image, "an image file", name)
        with Image.open(BytesIO(image) if isinstance(image, bytes) else image, formats=FORMATS) as opened:
            _check_pixels(opened.size, name)
            yield opened
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: expected an image of at most {MAX_PIXELS} pixels, found: {error}") from error
    # Pillow's decoders report broken files by any of these; a part that claims gigabytes by the last.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, MemoryError) as error:
        raise InputError(f"{name}: cannot be read as an image ({str(error) or 'not enough memory'})") from error


def _check_pixels(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{name}: expected an image of at most {MAX_PIXELS} pixels, found one of {size[0]}x{size[1]}")


def _decode_jpeg(image: str | Path | bytes, opened: Image.Image, min_side: int) -> np.ndarray | None:
    """The pixels of a colour JPEG file, the same as Pillow's in two thirds of the time, or `None` where Pillow is to
    decode the file, now perhaps at a smaller size, or to say what is wrong with it."""
    size = opened.size
    if min_side:
        opened.draft(None, (min_side, min_side))
    if imdecode is None or opened.size != size or (opened.format, opened.mode) != ("JPEG", "RGB"):
        return None
    encoded = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else np.fromfile(image, np.uint8)
    return imdecode(encoded, IMREAD_COLOR_RGB | IMREAD_IGNORE_ORIENTATION)


def _read_orientation(opened: Image.Image) -> int:
    """How the image is stored, 1 (upright) to 8, as EXIF numbers it."""
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    # Keep: any. EXIF is another file within the file, and what is wrong with it is not wrong with the picture.
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` (height, width, 3) upright: from 5 on rows are columns, then an axis or both are mirrored."""
    if orientation == 1:
        return pixels
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return np.ascontiguousarray(turned)  # Keep: torch refuses negative strides.


def _png_has_exif(image: str | Path | bytes) -> bool:
    """Whether a PNG file holds an orientation anywhere; Pillow decodes the whole picture to find what stands behind
    it."""
    with BytesIO(image) if isinstance(image, bytes) else open(image, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            begin = file.read(min(length, LONGEST_KEYWORD))
            if PNG_EXIF.match(kind + begin):
                return True
            file.seek(length - len(begin) + 4, 1)
    return False
