"""YuNet beside Haar: faces found, false finds and milliseconds a frame, as Markdown tables.

python benchmarks/faces.py --face_detector_weights face_detection_yunet_2023mar.onnx

The pictures come with scikit-image: the astronaut, and the faces of `lfw_subset`, 25x25 grey pixels that are enlarged.
Each is pasted into a grey frame of 640x360 pixels. A face is found where a box has its centre within a quarter of the
face's width around the face's, and is 0.6 to 1.7 times as wide; every other box is a false find.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from machine import print_report, render_table
from PIL import Image
from skimage import data

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.faces.boxes import FaceDetection
from modeling_clipcaer.faces.face_detection import FaceDetector, build_face_detector


FRAME = (640, 360)  # width, height
GREY = (110, 110, 110)
# Centre and width, in pixels of the picture: the astronaut's face read off by eye, of `lfw_subset` from brow to chin.
ASTRONAUT, CROP = ((224, 125), 88), ((12.5, 13), 20)
NAMES = (
    *("brick", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse"),
    *("hubble_deep_field", "immunohistochemistry", "microaneurysms", "moon", "page", "retina", "rocket", "text"),
)
SIDES = (320, 640, 1280)  # longest, of a picture without a face
TIMED = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))


@dataclass
class FacesBenchmarkArguments:
    """What is measured."""

    face_detector_weights: str | None = option(None, "YuNet's file, where it is not to come from the Hub.")
    num_faces: int = option(100, "Faces of `lfw_subset`, which has 100, and as many of its crops without a face.")
    repeats: int = option(15, "Timed frames of each size; the table has the fastest.")


@dataclass
class View:
    """How a face is shown: its width in pixels, degrees counterclockwise, mirrored, and its share of the light."""

    name: str
    width: int = 96
    degrees: int = 0
    mirrored: bool = False
    light: float = 1.0


VIEWS = (
    *(View(f"{width} pixels wide", width=width) for width in (8, 12, 16, 24, 32, 48, 96, 192)),
    *(View(f"turned by {degrees}°", degrees=degrees) for degrees in (15, 30, 45, 90, 180)),
    View("mirrored", mirrored=True),
    *(View(f"1/{share} of the light", light=1 / share) for share in (2, 4, 8, 16)),
)


def main() -> None:
    (args,) = parse_arguments((FacesBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before = os.getloadavg()[0]
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detectors = build_face_detector("yunet", args.face_detector_weights), build_face_detector("haar")
    crops = [_to_colours(crop) for crop in data.lfw_subset()]
    faces, others = crops[: args.num_faces], crops[100 : 100 + args.num_faces]
    columns = [f"{name}: {what}" for name in ("YuNet", "Haar") for what in ("astronaut", f"of {len(faces)}", "false")]
    seen = [[view.name, *count_finds(detectors, faces, view)] for view in VIEWS]
    empty = [[name, *count_false(detectors, frames)] for name, frames in list_empty_frames(others)]
    timed = [[f"{width}x{height}", *time_frames(detectors, width, height, args.repeats)] for width, height in TIMED]
    print_report(
        load_before,
        f"OpenCV's threads: 1. Milliseconds: fastest of {args.repeats}.",
        render_table(["a face in 640x360", *columns], seen),
        render_table(["frames without a face", "frames", "YuNet: finds", "Haar: finds"], empty),
        render_table(["frame", "YuNet, ms", "Haar, ms"], timed),
        packages=("opencv-python-headless", "scikit-image"),
    )


def count_finds(detectors: tuple[FaceDetector, ...], faces: list[np.ndarray], view: View) -> list[str]:
    """The cells of a row: of each detector, whether it finds the astronaut, how many of `faces`, and false finds."""
    frames = [show(data.astronaut(), *ASTRONAUT, view), *(show(face, *CROP, view) for face in faces)]
    cells = []
    for detector in detectors:
        hits, false = [], 0
        for frame in frames:
            found = detector.detect(frame)
            right = sum(is_face(detection, view.width) for detection in found)
            hits.append(right > 0)
            false += len(found) - min(right, 1)
        cells += ["yes" if hits[0] else "no", str(sum(hits[1:])), str(false)]
    return cells


def show(picture: np.ndarray, centre: tuple[float, float], face_width: int, view: View) -> torch.Tensor:
    """A frame with the face in its middle, and no more of the picture around it than the frame holds."""
    scale = view.width / face_width
    side = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    image = Image.fromarray(picture).resize(side, Image.Resampling.BICUBIC)
    # The centre stays where it is when the picture is turned.
    where = (centre[0] * scale, centre[1] * scale)
    image = image.convert("RGBA").rotate(view.degrees, Image.Resampling.BICUBIC, expand=False, center=where)
    frame = Image.new("RGB", FRAME, GREY)
    corner = (round(FRAME[0] / 2 - where[0]), round(FRAME[1] / 2 - where[1]))
    frame.paste(image, corner, image)
    pixels = np.asarray(frame)[:, :: -1 if view.mirrored else 1] * view.light
    return _to_frame(pixels.astype(np.uint8))


def is_face(detection: FaceDetection, width: int) -> bool:
    """Whether a box is about that of the face in the middle."""
    left, top, right, bottom = detection.box
    off = max(abs((left + right - FRAME[0]) / 2), abs((top + bottom - FRAME[1]) / 2))
    return off <= 0.25 * width and 0.6 * width <= right - left <= 1.7 * width


def list_empty_frames(crops: list[np.ndarray]) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Frames without a face, under a name."""
    yield "crops of `lfw_subset` without one", [show(crop, *CROP, View("")) for crop in crops]
    frames = []
    for name in NAMES:
        picture = Image.fromarray(_to_colours(getattr(data, name)()))
        for side in SIDES:
            scale = side / max(picture.size)
            size = (round(picture.width * scale), round(picture.height * scale))
            frames.append(_to_frame(np.array(picture.resize(size, Image.Resampling.BICUBIC))))
    yield f"{len(NAMES)} pictures in {len(SIDES)} sizes", frames


def count_false(detectors: tuple[FaceDetector, ...], frames: list[torch.Tensor]) -> list[str]:
    """The cells of a row: how many frames, and what each detector finds there."""
    finds = [sum(len(detector.detect(frame)) for frame in frames) for detector in detectors]
    return [str(len(frames)), *map(str, finds)]


def time_frames(detectors: tuple[FaceDetector, ...], width: int, height: int, repeats: int) -> list[str]:
    """The cells of a row: the fastest milliseconds of each detector, in turns, with the astronaut in the frame."""
    side = min(width, height)
    canvas = Image.new("RGB", (width, height), GREY)
    canvas.paste(Image.fromarray(data.astronaut()).resize((side, side)), (0, 0))
    frame = _to_frame(np.array(canvas))
    seconds: list[list[float]] = [[] for _ in detectors]
    for _ in range(repeats + 1):
        for detector, taken in zip(detectors, seconds, strict=True):
            start = time.perf_counter()
            detector.detect(frame)
            taken.append(time.perf_counter() - start)
    return [f"{1000 * min(taken):.1f}" for taken in seconds]


def _to_colours(picture: np.ndarray) -> np.ndarray:
    """A picture of any kind as uint8 (height, width, 3)."""
    if picture.dtype == bool or picture.dtype.kind == "f":
        picture = (picture * 255.0).astype(np.uint8)
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]


def _to_frame(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
