"""Frames as OpenCV has them, and what a detector finds in one shrunk, as detections in the frame."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import FaceDetection


# Longest side, in pixels, that frames are shrunk to for networks. YuNet was trained on faces of 10 to 300 pixels: in a
# 720p frame those are faces of 20 pixels up to 600.
NETWORK_SIDE = 640


@contextmanager
def asking_opencv(failure: str) -> Iterator[None]:
    """OpenCV's errors as an InputError of one line that begins with `failure`, without its own lines on stderr."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    except cv2.error as error:
        # Keep: `err` is the class's, of the last error that had one; errors from below OpenCV have none.
        whole, reason = str(error), getattr(error, "err", None)
        told = reason if reason and reason in whole else whole
        raise InputError(f"{failure}, OpenCV says: {' '.join(told.split())}") from error
    finally:
        log.setLogLevel(level)


def describe_failure(name: str, picture: np.ndarray) -> str:
    """How `asking_opencv` begins for the detector `name` at a frame."""
    return f"the face detector `{name}` failed on a frame of {picture.shape[1]}x{picture.shape[0]} pixels"


def to_picture(frame: torch.Tensor) -> np.ndarray:
    """A frame (3, height, width) as OpenCV has it: (height, width, 3)."""
    if frame.ndim != 3 or len(frame) != 3 or frame.dtype != torch.uint8 or not frame.numel():
        raise InputError(
            f"frame of shape {tuple(frame.shape)} and {frame.dtype}: expected pixels, uint8 (3, height, width)"
        )
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (height, width, ...) no longer than `side`."""
    height, width = picture.shape[:2]
    scale = max(height, width) / side
    if scale <= 1:
        return picture
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def to_detections(found: list[tuple], shrunk: np.ndarray, picture: np.ndarray) -> list[FaceDetection]:
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
