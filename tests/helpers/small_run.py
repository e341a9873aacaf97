"""A training run and what a stranger makes of its folders."""

import functools
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from transformers import AutoModel, AutoModelForVideoClassification, pipeline
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from helpers.places import ROOT
from helpers.small_material import make_material, run_main
from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.commands import train


# The code that travels with a checkpoint.
CODE = {path.stem for path in (ROOT / "modeling_clipcaer").glob("*.py")} - {"__init__"}


@functools.cache
def train_small(session_folder: Path) -> Path:
    """Folder of a run of one epoch, made once for all modules of a session."""
    output_dir = session_folder / "small_run"
    flags = make_material(session_folder).flags
    assert run_main(train.main, *flags, "--epochs", 1, "--dataloader_num_workers", 0, "--output_dir", output_dir) == 0
    return output_dir


def write_clip(path: Path) -> Path:
    """A video of ten frames of noise."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def ask_stranger(clip: Path, folders: list[Path | str], output_dir: Path) -> list[dict]:
    """The answers of `stranger.py`, run where this project cannot be imported. Its HF_HOME is `output_dir`/home."""
    output_dir.mkdir(exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "HF_HOME": str(output_dir / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    words = [
        sys.executable,
        "-I",
        str(ROOT / "tests" / "helpers" / "stranger.py"),
        clip,
        *folders,
        "--output_dir",
        output_dir,
    ]
    result = subprocess.run(
        [str(word) for word in words], cwd=output_dir, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads((output_dir / f"{number}.json").read_text()) for number in range(len(folders))]


def answer_here(clip, folder) -> dict:
    """What `stranger.py` asks of a folder, with the package."""
    pixels = AutoVideoProcessor.from_pretrained(folder)(str(clip))
    with torch.no_grad():
        logits = AutoModelForVideoClassification.from_pretrained(folder).eval()(**pixels).logits
        embeds = AutoModel.from_pretrained(folder).eval()(**pixels).video_embeds
    pipe = pipeline("video-classification", model=str(folder))
    ranking = pipe(str(clip), top_k=5)
    return {
        "logits": logits[0].tolist(),
        "video_embeds": embeds[0].tolist(),
        "batched": pipe([str(clip)] * 7, batch_size=6, top_k=1),
        "scores": {entry["label"]: entry["score"] for entry in ranking},
    }


@functools.cache
def load(folder):
    """Model and processor of a folder, loaded once."""
    return ClipCaerForVideoClassification.from_pretrained(folder).eval(), ClipCaerVideoProcessor.from_pretrained(
        folder
    )


def score(trained, clip, face_boxes=None, body_box=None):
    """Probabilities straight from processor and model, whose few validation clips gave it no temperature."""
    model, processor = load(trained)
    pixels = processor([str(clip)], face_boxes=[face_boxes], body_boxes=[body_box])
    with torch.no_grad():
        return model(**pixels).logits[0].softmax(-1).tolist()
