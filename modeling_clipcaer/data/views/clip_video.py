"""Clips of a dataset as one video, with its boxes."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, open_row
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.processing_clipcaer import boxes_per_frame


SQUARE = 360  # side in pixels


def read_clip(dataset: str, split: str, number: int) -> dict:
    """Row `number` of a split."""
    rows = load_clips(dataset, (split,))[split]
    if not 0 <= number < len(rows):
        raise InputError(f"{dataset}: split `{split}` has clips 0 to {len(rows) - 1}, asked for {number}")
    return rows[number]


def read_views(clip: dict) -> Iterator[tuple[Image.Image, list[float], list[float]]]:
    """Frames of a clip, each with its face box and its body box, `None` or empty where there is none."""
    source = open_row(clip)
    boxes = (boxes_per_frame(clip[name], len(source)) for name in BOX_COLUMNS)
    for frame, face, body in zip(source.read(range(len(source))), *boxes, strict=True):
        yield Image.fromarray(frame.permute(1, 2, 0).numpy()), face, body


def view_clips(clips: list[dict]) -> list[tuple[Image.Image, list[float]]]:
    """The frames of a video of these clips, each with its face box; those of several clips as squares."""
    if len(clips) > 1:
        return [fit_to_square(*view) for clip in clips for view in read_views(clip)]
    return [(frame, face) for frame, face, _ in read_views(clips[0])]


def fit_to_square(frame: Image.Image, face: list[float], body: list[float]) -> tuple[Image.Image, list[float]]:
    """What `body` (empty: the whole frame) shows of `frame`, centred on a black square, and the face box there."""
    left, top, right, bottom = body or (0, 0, *frame.size)
    scale = SQUARE / max(right - left, bottom - top)
    width, height = round((right - left) * scale), round((bottom - top) * scale)
    corner = ((SQUARE - width) // 2, (SQUARE - height) // 2)
    square = Image.new("RGB", (SQUARE, SQUARE))
    square.paste(frame.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom)), corner)
    if not face:
        return square, []
    sides = zip(face, (left, top, left, top), corner * 2, strict=True)
    return square, [(side - start) * scale + shift for side, start, shift in sides]


def write_clip_video(clips: list[dict], views: list[tuple[Image.Image, list[float]]], output: Path, fps: int) -> None:
    """Write the video, and beside it the boxes of faces, and of the body where one clip has one."""
    name = output.name
    faces = {str(number): box for number, (_, box) in enumerate(views) if box}
    bodies = clips[0]["body_boxes"] if len(clips) == 1 else []
    with locked_name(output), staged_folder(output.parent, last=name) as folder:
        write_video((frame for frame, _ in views), folder / name, fps)
        write_json({name: faces} if faces else {}, (folder / name).with_suffix(".face.json"), indent=None)
        write_json({name: bodies[0]} if bodies else {}, (folder / name).with_suffix(".body.json"), indent=None)


def write_video(frames: Iterable[Image.Image], output: Path, fps: int) -> None:
    """Frames at a steady rate and high quality, in the first one's size, cut to even sides as H.264 wants them."""
    with av.open(str(output), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "12", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            if number == 0:
                stream.width, stream.height = frame.width // 2 * 2, frame.height // 2 * 2
            pixels = np.ascontiguousarray(np.asarray(frame)[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
