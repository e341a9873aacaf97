"""Faces by OpenCV's cascade of Haar features."""

import cv2
import numpy as np
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import Box, FaceDetection
from modeling_clipcaer.faces.pictures import asking_opencv, describe_failure, shrink, to_detections, to_picture


# Longest side, in pixels, that frames are shrunk to.
SIDE = 960
# Of a shrunk frame. Below, what is found is mostly texture.
SMALLEST_FACE = 24
# Coarse steps in a large picture find more per millisecond than fine ones in a small picture: 1.2 at 960 pixels found
# 310 of 328 pasted faces, 1.1 at 640 pixels 265 in the same time.
SCALE_STEP, MIN_NEIGHBORS = 1.2, 2
# The threshold of the cascade's last stage, as its XML states it; sums reach 64.5, faces mostly 55 to 58.
LAST_STAGE = 53.7556
# Keep: it leaves 9 of 16 false finds in 304 pictures, and takes two of 306 faces.
MIN_SCORE = 0.5
# Median grey level below which a picture counts as dark.
DARK = 64


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
        if not hasattr(cv2, "CascadeClassifier") or not hasattr(cv2, "data"):
            raise InputError(
                f"haar: expected opencv-python-headless 4, found OpenCV {cv2.__version__} without cascades"
            )
        folder = cv2.data.haarcascades  # type: ignore[attr-defined]
        self._cascade = cv2.CascadeClassifier(folder + "haarcascade_frontalface_alt2.xml")

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        picture = to_picture(frame)
        with asking_opencv(describe_failure(self.name, picture)):
            grey = shrink(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), SIDE)
            boxes, _, sums = self._cascade.detectMultiScale3(
                self._brighten(grey),
                scaleFactor=SCALE_STEP,
                minNeighbors=MIN_NEIGHBORS,
                minSize=(SMALLEST_FACE, SMALLEST_FACE),
                outputRejectLevels=True,
            )
        scores = 1 - np.exp(LAST_STAGE - np.ravel(sums))
        found = [
            (left, top, left + width, top + height, score)
            for (left, top, width, height), score in zip(boxes, scores, strict=True)
            if score >= MIN_SCORE
        ]
        # Keep: the cascade joins its finds at one place, not a face and what it saw within it.
        return _suppress_overlaps(to_detections(found, grey, picture))

    def _brighten(self, grey: np.ndarray) -> np.ndarray:
        """Stretch a dark picture (height, width): the cascade passes over places of little contrast.

        Of 32 faces at an eighth of the light it finds none without, 29 with it.
        """
        sample = grey[::4, ::4]
        if np.median(sample) >= DARK:
            return grey
        stretched = cv2.convertScaleAbs(grey, alpha=max(240 / max(np.percentile(sample, 99), 1), 1))
        # Keep: by tiles. Before a bright window a single curve leaves faces dark, on a black page it flattens them.
        return cv2.createCLAHE(clipLimit=4, tileGridSize=(8, 8)).apply(stretched)


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
