"""Faces by YuNet, and its file."""

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np
import torch

from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.faces.boxes import FaceDetection
from modeling_clipcaer.faces.pictures import (
    NETWORK_SIDE,
    asking_opencv,
    describe_failure,
    shrink,
    to_detections,
    to_picture,
)


logger = logging.getLogger(__name__)

REPOSITORY = "opencv/face_detection_yunet"
FILE = "face_detection_yunet_2023mar.onnx"
BYTES = 232_589
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
# Seconds that the Hub may take to answer before it counts as out of reach.
HUB_TIMEOUT = 3
# Our choice, between OpenCV's demo (0.9), which drops faces in profile, and its zoo's class (0.6).
MIN_SCORE = 0.7
# Median level below which a picture is brightened for YuNet, until this percentile of it is at 240. Keep: by the 99th
# small faces turn white, and a quarter as many are found.
DARK, BRIGHTEST = 24, 99.9
# Shortest side that YuNet is shown; less is filled up with black. Keep: in pictures of up to 32 pixels OpenCV 4.14
# reads memory that nobody wrote, and finds faces there: in 28 of 300 small pictures, others at each run.
MIN_SIDE = 64


class YuNetDetector:
    """YuNet (Wu et al., 2023), run by OpenCV: small, turned and tilted faces too.

    Args:
        weights (`str`): path of `face_detection_yunet_2023mar.onnx`, from `opencv/face_detection_yunet` on the Hub.
            Another form of the same network (OpenCV's newer ones with a dynamic input, quantised ones) is taken with a
            warning if it finds a drawn face.

    Raises:
        InputError: the file cannot be read or is not YuNet.
    """

    name = "yunet"

    def __init__(self, weights: str) -> None:
        content = _read_yunet(weights)
        expected = f"{weights}: expected YuNet's file {FILE} of {BYTES:,} bytes, found"
        with asking_opencv(f"{expected} {_describe_content(content)}"):
            # Keep: from bytes. By its path OpenCV takes a file without the ending .onnx for no network.
            self._network = cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(content, np.uint8), np.empty(0, np.uint8), (32, 32), MIN_SCORE
            )
            # Keep: another network loads as well, and would fail, or find nothing, at the first frame.
            finds_face = all(self._finds_drawn_face(*size) for size in ((151, 123), (203, 331)))
        if not finds_face:
            raise InputError(f"{expected} a network that does not find a drawn face")
        if hashlib.sha256(content).hexdigest() != SHA256:
            logger.warning(f"{weights} is not {FILE} as published: what it finds may differ")

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture = to_picture(frame)
        with asking_opencv(describe_failure(self.name, picture)):
            return self._detect(picture)

    def _detect(self, picture: np.ndarray) -> list[FaceDetection]:
        shrunk = self._brighten(shrink(picture, NETWORK_SIDE))
        height, width = (max(MIN_SIDE - side, 0) for side in shrunk.shape[:2])
        shown = np.pad(shrunk, ((0, height), (0, width), (0, 0)))
        # Keep: OpenCV refuses a picture of another size than the last one's, and reads colours as blue, green, red.
        self._network.setInputSize((shown.shape[1], shown.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
        # A row is left, top, width, height, five points as x and y, score. Without a face there are no rows at all.
        found = [(row[0], row[1], row[0] + row[2], row[1] + row[3], row[14]) for row in ([] if rows is None else rows)]
        return to_detections(found, shrunk, picture)

    def _brighten(self, picture: np.ndarray) -> np.ndarray:
        """Stretch a dark picture (height, width, 3).

        Of 100 faces at a sixteenth of the light 7 are found without, 95 with it.
        """
        sample = picture[::2, ::2]
        if np.median(sample) >= DARK:
            return picture
        return cv2.convertScaleAbs(picture, alpha=max(240 / max(np.percentile(sample, BRIGHTEST), 1), 1))

    def _finds_drawn_face(self, height: int, width: int) -> bool:
        """Whether the one face of a drawing is all that is found, each side of its box within 20 pixels."""
        found = self._detect(_draw_face(height, width))
        face = (width / 2 - 27, height / 2 - 36, width / 2 + 27, height / 2 + 36)
        return len(found) == 1 and np.allclose(found[0].box, face, rtol=0, atol=20)


def fetch_yunet() -> str:
    """Path of YuNet's file: from the Hub's cache without a look at the network, else from the Hub."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            return hf_hub_download(REPOSITORY, FILE, local_files_only=True)
        except LocalEntryNotFoundError:
            pass
        # Keep: asked once, and shortly. The download asks six times: without a network 23 seconds pass in silence.
        get_hf_file_metadata(hf_hub_url(REPOSITORY, FILE), timeout=HUB_TIMEOUT)
        return hf_hub_download(REPOSITORY, FILE, etag_timeout=HUB_TIMEOUT)
    except Exception as error:  # whatever HTTP library the Hub's client uses raises errors of its own
        found = f"is not in the Hub's cache and cannot be fetched ({first_line(error)})"
        raise InputError(f"YuNet's {FILE} {found}") from error


def _read_yunet(weights: str) -> bytes:
    """The bytes of a file of weights."""
    try:
        return Path(weights).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: expected YuNet's file {FILE}, found no file") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{weights}: expected YuNet's file {FILE}, cannot read it ({reason})") from error


def _describe_content(content: bytes) -> str:
    """How long a file is and, of text, the beginning: a page or a pointer that was saved in place of the file."""
    beginning = content[:60].decode("latin-1").split("\n")[0].strip()
    is_text = beginning.isascii() and beginning.isprintable() and beginning
    return f"{len(content):,} bytes" + (f" that begin with '{beginning}'" if is_text else "")


def _draw_face(height: int, width: int) -> np.ndarray:
    """A face of 54x72 pixels in the middle of a grey picture (height, width, 3), RGB."""
    picture = np.full((height, width, 3), 110, np.uint8)

    def draw(right: int, down: int, radii: tuple[int, int], colour: tuple[int, int, int], start: int = 0) -> None:
        place = (width // 2 + right, height // 2 + down)
        cv2.ellipse(picture, place, radii, 0, start, 360, colour, cv2.FILLED, cv2.LINE_AA)

    draw(0, 0, (27, 36), (215, 170, 140))
    draw(0, -18, (28, 22), (60, 40, 30), start=180)  # hair
    for side in (-11, 11):
        draw(side, -7, (6, 3), (60, 50, 40))
        draw(side, -13, (7, 2), (90, 60, 50))
    draw(0, 6, (4, 7), (190, 140, 110))
    draw(0, 18, (10, 4), (170, 90, 90))
    return picture
