"""Stand-ins for faces: coloured squares, a detector that finds them exactly, and what the processor makes of them."""

import torch

from helpers.videos import BLUE, GREEN, RED
from modeling_clipcaer.faces.boxes import FaceDetection


class SquareDetector:
    """Finds the squares of `videos.squares`, those of the first colour first; counts the frames that it was shown."""

    name = "squares"

    def __init__(self, colours=(RED, GREEN, BLUE)):
        self.colours, self.calls = colours, 0

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """Boxes of the squares in a frame (3, height, width)."""
        self.calls += 1
        masks = [(frame.int() - torch.tensor(colour)[:, None, None]).abs().amax(dim=0) < 70 for colour in self.colours]
        return [FaceDetection(find_box(mask), 1.0) for mask in masks if mask.sum() > 40]


def find_box(mask: torch.Tensor) -> tuple[float, float, float, float]:
    """The box around what is true in a mask (height, width)."""
    rows, columns = mask.nonzero().T
    return (
        float(columns.min()),
        float(rows.min()),
        float(columns.max() + 1),
        float(rows.max() + 1),
    )
