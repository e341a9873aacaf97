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

from helpers.places import ROOT
from helpers.small_material import make_material, run_main
from modeling_clipcaer.commands import train


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
