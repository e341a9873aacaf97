"""Frames with the face of the astronaut, whose picture comes with scikit-image."""

import numpy as np
import torch
from PIL import Image
from skimage import data


FACE = (180, 70, 268, 180)  # of the astronaut, in her picture


def to_frame(picture):
    """A picture (height, width, 3) as a frame (3, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)


def place(places, scale, degrees=0.0, brightness=1.0):
    """Frames of 1280x720 with the astronaut at `places`, and where her face then is."""
    canvas = Image.new("RGB", (1280, 720), (90, 100, 110))
    picture = Image.fromarray(data.astronaut()[:300, 90:390]).rotate(degrees, Image.Resampling.BICUBIC)
    side = round(300 * scale)
    picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    boxes = []
    for left, top in places:
        canvas.paste(picture, (left, top))
        boxes.append([left + (FACE[0] - 90) * scale, top + FACE[1] * scale])
        boxes[-1] += [left + (FACE[2] - 90) * scale, top + FACE[3] * scale]
    return to_frame((np.asarray(canvas) * brightness).astype(np.uint8)), boxes


def overlap(left, right):
    """Intersection over union of two boxes."""
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (left, right)]
    return both / (sum(areas) - both)
