"""Faces by MTCNN, of facenet-pytorch."""

import torch

from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.faces.boxes import FaceDetection
from modeling_clipcaer.faces.pictures import NETWORK_SIDE, shrink, to_detections, to_picture


MIN_SCORE = 0.9


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
        picture = to_picture(frame)
        shrunk = shrink(picture, NETWORK_SIDE)
        boxes, scores = self._network.detect(shrunk)
        if boxes is None:
            return []
        found = [(*box, score) for box, score in zip(boxes, scores, strict=True) if score >= MIN_SCORE]
        return to_detections(found, shrunk, picture)
