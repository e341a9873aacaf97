"""Shapes in frame coordinates, seen through a camera."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from modeling_clipcaer.synthetic.world import to_colour


FRAME_SIZE = (320, 180)  # width, height; coordinates are in these pixels before zoom and shift
FINE = 2  # drawn this many times larger and averaged down: smooth edges


Box = tuple[float, float, float, float]


@dataclass
class Canvas:
    """Draws shapes given in frame coordinates through the camera of `setting`.

    Attributes:
        cues: where what tells a label is, by name: left, top, right, bottom in the picture's pixels. What covers it,
            and the picture's edge, are left aside.
    """

    image: Image.Image
    zoom: float
    shift: tuple[float, float]
    pen: ImageDraw.ImageDraw = field(init=False)
    cues: dict[str, Box] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.pen = ImageDraw.Draw(self.image)

    def place(self, points: ArrayLike) -> np.ndarray:
        """Frame coordinates (count, 2) as seen by the camera."""
        centre = np.array([FRAME_SIZE[0] / 2, FRAME_SIZE[1] / 2])
        return (np.asarray(points, dtype=float) - centre) * self.zoom + centre + self.shift

    def mark(self, name: str, points: np.ndarray) -> None:
        """Tell where a cue is: around points in frame coordinates, and those that it had before."""
        corners = self.place(points)
        if name in self.cues:
            corners = np.concatenate([corners, np.reshape(self.cues[name], (2, 2))])
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        self.cues[name] = left, top, right, bottom

    def polygon(self, points, fill: tuple[int, int, int]) -> None:
        """Fill a polygon."""
        self.pen.polygon([tuple(point) for point in self.place(points) * FINE], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: tuple[int, int, int]) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def line(self, points, fill: tuple[int, int, int], width: float) -> None:
        """Draw a line of a width."""
        thick = max(1, round(width * self.zoom * FINE))
        self.pen.line([tuple(point) for point in self.place(points) * FINE], fill=fill, width=thick, joint="curve")

    def limb(self, points, fill: tuple[int, int, int], width: float) -> None:
        """A thick line with round ends."""
        self.line(points, fill, width)
        for point in (points[0], points[-1]):
            self.polygon(oval(point, (width / 2, width / 2)), fill)


def oval(centre, radii, start: float = 0, end: float = 360, count: int = 26) -> np.ndarray:
    """Points (count, 2) on an ellipse from `start` to `end` degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angle) * radii[0], np.sin(angle) * radii[1]], axis=1) + centre


def shade(colour, factor: float) -> tuple[int, int, int]:
    """A colour made lighter or darker."""
    return to_colour(np.array(colour) * factor)
