"""Where the faces of a frame are: three detectors behind one protocol, and the box of a body grown from a face.

YuNet is the one to have, but its file must be fetched. Haar is always there: it finds upright faces that look at the
camera, from some 35 pixels in a 720p frame on.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from transformers.utils import logging

from .errors import InputError


logger = logging.get_logger(__name__)

Box = tuple[float, float, float, float]
DETECTORS = ("auto", "yunet", "haar", "mtcnn")
YUNET_REPOSITORY = "opencv/face_detection_yunet"
YUNET_FILE = "face_detection_yunet_2023mar.onnx"
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
        grey, scale = _shrink(self._cv2.cvtColor(_to_picture(frame), self._cv2.COLOR_RGB2GRAY), HAAR_SIDE)
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
        return _suppress_overlaps(_to_detections(found, scale, frame))

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

    Raises:
        InputError: the file is missing or is not YuNet.
    """

    name = "yunet"

    def __init__(self, weights: str) -> None:
        import cv2

        if not Path(weights).is_file():
            raise InputError(f"{weights}: expected YuNet's file {YUNET_FILE}, found no file")
        self._cv2 = cv2
        try:
            self._network = cv2.FaceDetectorYN.create(str(weights), "", (32, 32), score_threshold=YUNET_MIN_SCORE)
            # Keep: another network loads as well, and would fail at the first frame.
            self._network.detect(np.zeros((32, 32, 3), np.uint8))
        except cv2.error as error:
            reason = " ".join(error.err.split())
            raise InputError(f"{weights}: expected YuNet's file {YUNET_FILE}, OpenCV says: {reason}") from error

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture, scale = _shrink(_to_picture(frame), NETWORK_SIDE)
        height, width = picture.shape[:2]
        # Keep: OpenCV refuses a picture of another size than the last one's, and reads colours as blue, green, red.
        self._network.setInputSize((width, height))
        _, rows = self._network.detect(self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2BGR))
        # A row is left, top, width, height, five points as x and y, score. Without a face there are no rows at all.
        found = [(row[0], row[1], row[0] + row[2], row[1] + row[3], row[14]) for row in ([] if rows is None else rows)]
        return _to_detections(found, scale, frame)


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
            reason = str(error).splitlines()[0]
            raise InputError(f"mtcnn: needs `pip install facenet-pytorch`, its import failed: {reason}") from error
        self._network = MTCNN(keep_all=True)

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture, scale = _shrink(_to_picture(frame), NETWORK_SIDE)
        boxes, scores = self._network.detect(picture)
        if boxes is None:
            return []
        found = [(*box, score) for box, score in zip(boxes, scores, strict=True) if score >= MTCNN_MIN_SCORE]
        return _to_detections(found, scale, frame)


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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"YuNet's {YUNET_FILE} is not in the Hub's cache and cannot be fetched ({reason})") from error


def _to_picture(frame: torch.Tensor) -> np.ndarray:
    """A frame (3, height, width) as OpenCV has it: (height, width, 3)."""
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())


def _shrink(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """A picture no longer than `side`, and the factor that leads back to its first size."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(height, width) / side
    if scale <= 1:
        return picture, 1.0
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _to_detections(found: list[tuple], scale: float, frame: torch.Tensor) -> list[FaceDetection]:
    """Finds (left, top, right, bottom, score) in a shrunk frame as detections within the frame, from left to right."""
    height, width = frame.shape[-2:]
    detections = []
    for *corners, score in found:
        left, top, right, bottom = (float(corner) * scale for corner in corners)
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
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
