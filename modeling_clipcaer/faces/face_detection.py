"""Where the faces of a frame are: three detectors behind one protocol.

YuNet is the one to have, but its file must be fetched. Haar is always there: it finds upright faces that look at the
camera, from some 35 pixels in a 720p frame on.
"""

import logging
from typing import TYPE_CHECKING, Protocol

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import FaceDetection


if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

DETECTORS = ("auto", "yunet", "haar", "mtcnn")


class FaceDetector(Protocol):
    """Finds faces. `name` goes into what is written about a recording."""

    name: str

    def detect(self, frame: "torch.Tensor") -> list[FaceDetection]:
        """The faces of a uint8 frame (3, height, width), RGB, from left to right."""
        ...


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
        from modeling_clipcaer.faces.mtcnn import MtcnnDetector

        return MtcnnDetector()
    from modeling_clipcaer.faces.haar import HaarDetector
    from modeling_clipcaer.faces.yunet import YuNetDetector, fetch_yunet

    if kind == "haar":
        return HaarDetector()
    try:
        path = weights or fetch_yunet()
    except InputError as error:
        if kind == "yunet":
            raise
        logger.warning(f"Faces are found by haar, which misses tilted, turned and small ones: {error}")
        return HaarDetector()
    logger.info(f"Faces are found by yunet: {path}")
    return YuNetDetector(path)
