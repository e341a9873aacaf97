"""Where the faces of a frame are: three detectors behind one protocol, and the box of a body grown from a face.

YuNet is the one to have, but its file must be fetched. Haar is always there: it finds upright faces that look at the
camera, from some 35 pixels in a 720p frame on.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from transformers.utils import logging

from modeling_clipcaer.errors import InputError, first_line


logger = logging.get_logger(__name__)

Box = tuple[float, float, float, float]
DETECTORS = ("auto", "yunet", "haar", "mtcnn")
YUNET_REPOSITORY = "opencv/face_detection_yunet"
YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_BYTES = 232_589
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
# Seconds that the Hub may take to answer before it counts as out of reach.
HUB_TIMEOUT = 3

# Longest side, in pixels, that frames are shrunk to. YuNet was trained on faces of 10 to 300 pixels: in a 720p frame
# those are faces of 20 pixels up to 600.
HAAR_SIDE, NETWORK_SIDE = 960, 640
# Of a shrunk frame. Below, what is found is mostly texture.
HAAR_SMALLEST_FACE = 24
# Coarse steps in a large picture find more per millisecond than fine ones in a small picture: 1.2 at 960 pixels found
# 310 of 328 pasted faces, 1.1 at 640 pixels 265 in the same time.
HAAR_SCALE_STEP, HAAR_MIN_NEIGHBORS = 1.2, 2
# The threshold of the cascade's last stage, as its XML states it; sums reach 64.5, faces mostly 55 to 58.
HAAR_LAST_STAGE = 53.7556
# Keep: it leaves 9 of 16 false finds in 304 pictures, and takes two of 306 faces.
HAAR_MIN_SCORE = 0.5
# Median grey level below which a picture counts as dark.
DARK = 64
# Our choice, between OpenCV's demo (0.9), which drops faces in profile, and its zoo's class (0.6).
YUNET_MIN_SCORE = 0.7
# Median level below which a picture is brightened for YuNet, until this percentile of it is at 240. Keep: by the 99th
# small faces turn white, and a quarter as many are found.
YUNET_DARK, YUNET_BRIGHTEST = 24, 99.9
# Shortest side that YuNet is shown; less is filled up with black. Keep: in pictures of up to 32 pixels OpenCV 4.14
# reads memory that nobody wrote, and finds faces there: in 28 of 300 small pictures, others at each run.
YUNET_MIN_SIDE = 64
MTCNN_MIN_SCORE = 0.9


class FaceDetection(NamedTuple):
    """A face: `box` is left, top, right, bottom in pixels of the frame; `score` is in [0, 1]."""

    box: Box
    score: float


class FaceDetector(Protocol):
    """Finds faces. `name` goes into what is written about a recording."""

    name: str

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        ...


class HaarDetector:
    """OpenCV's cascade of Haar features (Viola and Jones, 2001; Lienhart et al., 2003), inside its package.

    It misses faces in profile, tilted by more than some 15 degrees, or smaller than some 35 pixels in a 720p frame,
    and it takes a cat's face for one now and then. Of OpenCV's frontal cascades "alt2" had the fewest false finds at
    its speed. The one for profiles is not run: it takes a pass for either side, and no picture at hand could tell what
    it finds.

    The score is `1 - exp(-m)`, where m is what the last stage's sum has over its threshold: an order, no probability.

    Raises:
        InputError: OpenCV has no cascades: from version 5 on they are gone.
    """

    name = "haar"

    def __init__(self) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier") or not hasattr(cv2, "data"):
            raise InputError(
                f"haar: expected opencv-python-headless 4, found OpenCV {cv2.__version__} without cascades"
            )
        self._cv2 = cv2
        folder = cv2.data.haarcascades  # type: ignore[attr-defined]
        self._cascade = cv2.CascadeClassifier(folder + "haarcascade_frontalface_alt2.xml")

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture = _to_picture(frame)
        with _asking_opencv(_describe_failure(self.name, picture)):
            grey = _shrink(self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2GRAY), HAAR_SIDE)
            boxes, _, sums = self._cascade.detectMultiScale3(
                self._brighten(grey),
                scaleFactor=HAAR_SCALE_STEP,
                minNeighbors=HAAR_MIN_NEIGHBORS,
                minSize=(HAAR_SMALLEST_FACE, HAAR_SMALLEST_FACE),
                outputRejectLevels=True,
            )
        scores = 1 - np.exp(HAAR_LAST_STAGE - np.ravel(sums))
        found = [
            (left, top, left + width, top + height, score)
            for (left, top, width, height), score in zip(boxes, scores, strict=True)
            if score >= HAAR_MIN_SCORE
        ]
        # Keep: the cascade joins its finds at one place, not a face and what it saw within it.
        return _suppress_overlaps(_to_detections(found, grey, picture))

    def _brighten(self, grey: np.ndarray) -> np.ndarray:
        """Stretch a dark picture (height, width): the cascade passes over places of little contrast.

        Of 32 faces at an eighth of the light it finds none without, 29 with it.
        """
        sample = grey[::4, ::4]
        if np.median(sample) >= DARK:
            return grey
        stretched = self._cv2.convertScaleAbs(grey, alpha=max(240 / max(np.percentile(sample, 99), 1), 1))
        # Keep: by tiles. Before a bright window a single curve leaves faces dark, on a black page it flattens them.
        return self._cv2.createCLAHE(clipLimit=4, tileGridSize=(8, 8)).apply(stretched)


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
        import cv2

        self._cv2 = cv2
        content = _read_yunet(weights)
        expected = f"{weights}: expected YuNet's file {YUNET_FILE} of {YUNET_BYTES:,} bytes, found"
        with _asking_opencv(f"{expected} {_describe_content(content)}"):
            # Keep: from bytes. By its path OpenCV takes a file without the ending .onnx for no network.
            self._network = cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(content, np.uint8), np.empty(0, np.uint8), (32, 32), YUNET_MIN_SCORE
            )
            # Keep: another network loads as well, and would fail, or find nothing, at the first frame.
            finds_face = all(self._finds_drawn_face(*size) for size in ((151, 123), (203, 331)))
        if not finds_face:
            raise InputError(f"{expected} a network that does not find a drawn face")
        if hashlib.sha256(content).hexdigest() != YUNET_SHA256:
            logger.warning(f"{weights} is not {YUNET_FILE} as published: what it finds may differ")

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture = _to_picture(frame)
        with _asking_opencv(_describe_failure(self.name, picture)):
            return self._detect(picture)

    def _detect(self, picture: np.ndarray) -> list[FaceDetection]:
        shrunk = self._brighten(_shrink(picture, NETWORK_SIDE))
        height, width = (max(YUNET_MIN_SIDE - side, 0) for side in shrunk.shape[:2])
        shown = np.pad(shrunk, ((0, height), (0, width), (0, 0)))
        # Keep: OpenCV refuses a picture of another size than the last one's, and reads colours as blue, green, red.
        self._network.setInputSize((shown.shape[1], shown.shape[0]))
        _, rows = self._network.detect(self._cv2.cvtColor(shown, self._cv2.COLOR_RGB2BGR))
        # A row is left, top, width, height, five points as x and y, score. Without a face there are no rows at all.
        found = [(row[0], row[1], row[0] + row[2], row[1] + row[3], row[14]) for row in ([] if rows is None else rows)]
        return _to_detections(found, shrunk, picture)

    def _brighten(self, picture: np.ndarray) -> np.ndarray:
        """Stretch a dark picture (height, width, 3).

        Of 100 faces at a sixteenth of the light 7 are found without, 95 with it.
        """
        sample = picture[::2, ::2]
        if np.median(sample) >= YUNET_DARK:
            return picture
        return self._cv2.convertScaleAbs(picture, alpha=max(240 / max(np.percentile(sample, YUNET_BRIGHTEST), 1), 1))

    def _finds_drawn_face(self, height: int, width: int) -> bool:
        """Whether the one face of a drawing is all that is found, each side of its box within 20 pixels."""
        found = self._detect(_draw_face(height, width))
        face = (width / 2 - 27, height / 2 - 36, width / 2 + 27, height / 2 + 36)
        return len(found) == 1 and np.allclose(found[0].box, face, rtol=0, atol=20)


class MtcnnDetector:
    """MTCNN (Zhang et al., 2016), from facenet-pytorch, which needs a torchvision that fits the torch installed.

    Raises:
        InputError: facenet-pytorch cannot be imported.
    """

    name = "mtcnn"

    def __init__(self) -> None:
        try:
            from facenet_pytorch import MTCNN
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
            found = f"its import failed: {first_line(error)}"
            raise InputError(f"mtcnn: needs `pip install facenet-pytorch`, {found}") from error
        self._network = MTCNN(keep_all=True)

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture = _to_picture(frame)
        shrunk = _shrink(picture, NETWORK_SIDE)
        boxes, scores = self._network.detect(shrunk)
        if boxes is None:
            return []
        found = [(*box, score) for box, score in zip(boxes, scores, strict=True) if score >= MTCNN_MIN_SCORE]
        return _to_detections(found, shrunk, picture)


def build_face_detector(kind: str = "auto", weights: str | None = None) -> FaceDetector:
    """Build the detector `kind`; "auto" is YuNet where its file can be had, Haar elsewhere, and says so in the log.

    Args:
        kind (`str`, *optional*, defaults to `"auto"`): "auto", "yunet", "haar" or "mtcnn".
        weights (`str`, *optional*): path of YuNet's file; else it comes from the Hub's cache or from the Hub.

    Raises:
        InputError: unknown kind, weights for a detector without any, a file that is missing or is not YuNet, or a
            detector that cannot run here.
    """
    if kind not in DETECTORS:
        raise InputError(f"unknown face detector `{kind}`: expected one of {', '.join(DETECTORS)}")
    if weights is not None and kind not in ("auto", "yunet"):
        raise InputError(f"the face detector `{kind}` takes no weights, got `{weights}`: they belong to `yunet`")
    if kind == "mtcnn":
        return MtcnnDetector()
    if kind == "haar":
        return HaarDetector()
    try:
        path = weights or _fetch_yunet()
    except InputError as error:
        if kind == "yunet":
            raise
        logger.warning(f"Faces are found by haar, which misses tilted, turned and small ones: {error}")
        return HaarDetector()
    logger.info(f"Faces are found by yunet: {path}")
    return YuNetDetector(path)


def grow_context_box(face_box: Box, height: int, width: int) -> Box:
    """Grow a face into the box of the body and the desk before it, within a frame of `height` and `width` pixels.

    The box is 4 faces wide and reaches from 3/4 of a face above to 3 1/2 faces below: shoulders, arms, and the table
    that a seated person works at. It is at least a pixel wide and high, also for a face beyond the frame.
    """
    face_width, face_height = face_box[2] - face_box[0], face_box[3] - face_box[1]
    left, right = _clip(face_box[0] - 1.5 * face_width, face_box[2] + 1.5 * face_width, width)
    top, bottom = _clip(face_box[1] - 0.75 * face_height, face_box[3] + 3.5 * face_height, height)
    return left, top, right, bottom


def _clip(start: float, end: float, length: int) -> tuple[float, float]:
    """The part of a stretch that lies within 0 and `length`, or the pixel next to it: never less than one."""
    start = min(max(start, 0.0), length - 1.0)
    return start, max(min(end, float(length)), start + 1)


def _fetch_yunet() -> str:
    """Path of YuNet's file: from the Hub's cache without a look at the network, else from the Hub."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            return hf_hub_download(YUNET_REPOSITORY, YUNET_FILE, local_files_only=True)
        except LocalEntryNotFoundError:
            pass
        # Keep: asked once, and shortly. The download asks six times: without a network 23 seconds pass in silence.
        get_hf_file_metadata(hf_hub_url(YUNET_REPOSITORY, YUNET_FILE), timeout=HUB_TIMEOUT)
        return hf_hub_download(YUNET_REPOSITORY, YUNET_FILE, etag_timeout=HUB_TIMEOUT)
    except Exception as error:  # whatever HTTP library the Hub's client uses raises errors of its own
        found = f"is not in the Hub's cache and cannot be fetched ({first_line(error)})"
        raise InputError(f"YuNet's {YUNET_FILE} {found}") from error


def _read_yunet(weights: str) -> bytes:
    """The bytes of a file of weights."""
    try:
        return Path(weights).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: expected YuNet's file {YUNET_FILE}, found no file") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{weights}: expected YuNet's file {YUNET_FILE}, cannot read it ({reason})") from error


def _describe_content(content: bytes) -> str:
    """How long a file is and, of text, the beginning: a page or a pointer that was saved in place of the file."""
    beginning = content[:60].decode("latin-1").split("\n")[0].strip()
    is_text = beginning.isascii() and beginning.isprintable() and beginning
    return f"{len(content):,} bytes" + (f" that begin with '{beginning}'" if is_text else "")


@contextmanager
def _asking_opencv(failure: str) -> Iterator[None]:
    """OpenCV's errors as an InputError of one line that begins with `failure`, without its own lines on stderr."""
    import cv2

    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    except cv2.error as error:
        # Errors from below OpenCV have no `err`.
        reason = " ".join((getattr(error, "err", None) or str(error)).split())
        raise InputError(f"{failure}, OpenCV says: {reason}") from error
    finally:
        log.setLogLevel(level)


def _describe_failure(name: str, picture: np.ndarray) -> str:
    return f"the face detector `{name}` failed on a frame of {picture.shape[1]}x{picture.shape[0]} pixels"


def _draw_face(height: int, width: int) -> np.ndarray:
    """A face of 54x72 pixels in the middle of a grey picture (height, width, 3), RGB."""
    import cv2

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


def _to_picture(frame: torch.Tensor) -> np.ndarray:
    """A frame (3, height, width) as OpenCV has it: (height, width, 3)."""
    if frame.ndim != 3 or len(frame) != 3 or frame.dtype != torch.uint8 or not frame.numel():
        raise InputError(
            f"frame of shape {tuple(frame.shape)} and {frame.dtype}: expected pixels, uint8 (3, height, width)"
        )
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())


def _shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (height, width, ...) no longer than `side`."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(height, width) / side
    if scale <= 1:
        return picture
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _to_detections(found: list[tuple], shrunk: np.ndarray, picture: np.ndarray) -> list[FaceDetection]:
    """Finds (left, top, right, bottom, score) in a shrunk picture as detections in the picture, from left to right."""
    height, width = picture.shape[:2]
    # Keep: one for either side. What is left of the short side of a panorama is rounded to whole pixels.
    across, down = width / shrunk.shape[1], height / shrunk.shape[0]
    detections = []
    for left, top, right, bottom, score in found:
        left, right = max(float(left) * across, 0.0), min(float(right) * across, float(width))
        top, bottom = max(float(top) * down, 0.0), min(float(bottom) * down, float(height))
        if left < right and top < bottom:
            detections.append(FaceDetection((left, top, right, bottom), float(score)))
    return sorted(detections)


def _suppress_overlaps(detections: list[FaceDetection]) -> list[FaceDetection]:
    """Of detections that share more than half of the smaller one, the likelier ones."""
    kept: list[FaceDetection] = []
    for detection in sorted(detections, key=lambda found: (-found.score, found.box)):
        if all(_shared(detection.box, other.box) <= 0.5 for other in kept):
            kept.append(detection)
    return sorted(kept)


def _shared(box: Box, other: Box) -> float:
    """Area of the intersection over that of the smaller box."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(width, 0.0) * max(height, 0.0) / smaller
