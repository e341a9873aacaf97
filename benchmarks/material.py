"""What is measured: a model of random weights, and clips drawn onto the disk."""

from pathlib import Path

import av
import numpy as np
import torch
from datasets import Dataset, Features, Value, load_from_disk
from datasets.arrow_writer import ArrowWriter
from sizes import CLIP_SIZES, SizeArguments, build_model, draw_picture, frame_size
from transformers.utils import logging

from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.data.cached_clips import EMBEDS_COLUMNS
from modeling_clipcaer.data.features import FEATURES
from modeling_clipcaer.raer_labels import RAER_LABELS


NUM_PICTURES = 8


def build_processor(sizes: SizeArguments) -> ClipCaerVideoProcessor:
    """The processor for the model's frames and image size, with its own defaults."""
    return ClipCaerVideoProcessor(num_frames=sizes.num_frames, image_size=sizes.image_size)


def write_clips(folder: Path, num_clips: int, sizes: SizeArguments) -> Dataset:
    """Rows of `num_clips` clips of jpg files; the clips share a few pictures, which costs a reader the same."""
    rng = np.random.default_rng(0)
    pictures = [folder / f"{number}.jpg" for number in range(NUM_PICTURES)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in pictures:
        draw_picture(sizes.frame_width, rng).save(path, quality=85)
    rows = []
    for number in range(num_clips):
        clip_dir = folder / f"clip{number:03d}"
        clip_dir.mkdir()
        names = [f"{frame}.jpg" for frame in range(1, sizes.clip_frames + 1)]
        for frame, name in enumerate(names):
            (clip_dir / name).hardlink_to(pictures[(number + frame) % NUM_PICTURES])
        rows.append(make_row(clip_dir, names, number, sizes.frame_width))
    return Dataset.from_list(rows, features=FEATURES)


def write_video(path: Path, frame_width: int, seconds: float) -> Path:
    """An H.264 video at 30 frames a second, with x264's own distance of key frames, in which the picture drifts."""
    width, height = frame_size(frame_width)
    picture = np.asarray(draw_picture(2 * frame_width, np.random.default_rng(0)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(int(30 * seconds)):
            # Keep: there and back. A picture that starts over is a cut.
            left, top = swing(number, width), swing(number // 2, height)
            window = np.ascontiguousarray(picture[top : top + height, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
        container.mux(stream.encode())
    return path


def swing(number: int, length: int) -> int:
    """From 0 to `length` and back, one at a time."""
    return length - abs(length - number % (2 * length))


def make_row(clip_dir: Path, names: list[str], number: int, frame_width: int) -> dict:
    """A row of the dataset on disk: the face fills an eighth of the frame's width, the body three eighths."""
    width, height = frame_size(frame_width)
    face = [width * share for share in (0.44, 0.12, 0.56)] + [width * 0.27]
    return {
        "clip_id": clip_dir.name,
        "person_id": clip_dir.name,
        "frame_dir": str(clip_dir),
        "frame_names": names,
        "face_boxes": [face] * len(names),
        "face_box_sources": ["annotated"] * len(names),
        "body_boxes": [[width * 0.3, height * 0.12, width * 0.7, height]],
        "label": number % len(RAER_LABELS),
    }


def save_model(folder: Path, sizes: SizeArguments) -> None:
    """Write the model, for the processes that measure."""
    build_model(sizes).save_pretrained(folder / "model")


def save_rows(folder: Path, num_clips: int, sizes: SizeArguments) -> None:
    """Write clips and their rows."""
    write_clips(folder / "frames", num_clips, sizes).save_to_disk(folder / "rows")


def write_cached_rows(path: Path, num_clips: int, sizes: SizeArguments) -> None:
    """Rows as a cache of frame embeddings has them, one view of every frame of `num_clips` clips, with random ones."""
    rng, dim = np.random.default_rng(0), CLIP_SIZES[sizes.clip][-1]
    draws = [rng.standard_normal((sizes.clip_frames, dim), np.float32).tobytes() for _ in range(NUM_PICTURES)]
    columns = dict.fromkeys(EMBEDS_COLUMNS, Value("large_binary")) | {"clip_id": Value("string")}
    counts = dict.fromkeys(("num_views", "num_frames"), Value("int32"))
    with ArrowWriter(features=Features({**columns, **counts, "label": FEATURES["label"]}), path=str(path)) as writer:
        for number in range(num_clips):
            row = {name: draws[(number + place) % NUM_PICTURES] for place, name in enumerate(EMBEDS_COLUMNS)}
            sizes_of_row = {"num_views": 1, "num_frames": sizes.clip_frames}
            writer.write({**row, **sizes_of_row, "clip_id": str(number), "label": number % len(RAER_LABELS)})
        writer.finalize()


def load_model(folder: Path, device: str) -> ClipCaerForVideoClassification:
    """The model that `save_model` wrote."""
    logging.disable_progress_bar()
    return ClipCaerForVideoClassification.from_pretrained(folder / "model", dtype=torch.float32).to(device)


def load_rows(folder: Path) -> Dataset:
    """The rows that `save_rows` wrote, mapped into memory."""
    return load_from_disk(folder / "rows")
