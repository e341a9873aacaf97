"""One file of each kind that is kept for long, as this version of the code writes it.

    python tests/helpers/format_files.py tests/fixtures/VERSION

wrote `tests/fixtures/0.1.0`. Those of a version are never written again: that they load is what they are for.
"""

import json
import os
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from helpers import videos
from helpers.timelines import make_timeline
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.data.parquet.rows import encode_png
from modeling_clipcaer.data.record import FORMAT_VERSION
from modeling_clipcaer.exports.timeline_json import save_timeline
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.reports.predictions import Predictions, write_predictions
from modeling_clipcaer.training.checkpoints import write_record
from modeling_clipcaer.training.clip_cache import cache_clips
from modeling_clipcaer.training.settings import CacheArguments


LABELS = ["calm", "glad"]
ANSWERS = Predictions(LABELS, ["a", "b"], ["ann", "bo"], np.array([0, 1]), np.array([[1.0, -1.0], [0.5, 2.0]]))


def make_rows() -> DatasetDict:
    """Clips whose rows hold their frames, and so no place of a machine."""
    features = Features(
        {
            **{"clip_id": Value("string"), "person_id": Value("string"), "frame_names": List(Value("string"))},
            **{"frames": List(Value("large_binary")), "label": ClassLabel(names=LABELS)},
            **dict.fromkeys(("face_boxes", "body_boxes"), List(List(Value("float32")))),
        }
    )
    pictures = [torch.from_numpy(frame).permute(2, 0, 1) for frame in videos.stairs(3, (40, 30))]
    frames = {"frames": list(map(encode_png, pictures)), "frame_names": ["1.png", "2.png", "3.png"]}
    boxes = {"face_boxes": [[4.0, 5.0, 14.0, 15.0]] * 3, "body_boxes": [[0.0, 0.0, 30.0, 30.0]]}
    rows = [{"clip_id": f"clip {n}", "person_id": f"p{n}", "label": n % 2, **frames, **boxes} for n in range(2)]
    return DatasetDict({split: Dataset.from_list(rows, features) for split in ("train", "test")})


def make_processor() -> ClipCaerVideoProcessor:
    return ClipCaerVideoProcessor(image_size=32, num_frames=4)


def fill_cache(rows: DatasetDict, folder: Path) -> DatasetDict:
    """The clips of `rows` from the cache of crops in `folder`."""
    return cache_clips(tiny_model(), make_processor(), rows, CacheArguments(cache_crops=True), folder)


def main(folder: Path) -> None:
    torch.manual_seed(0)
    model = tiny_model()
    save_checkpoint(model, make_processor(), folder / "checkpoint")
    for code in (folder / "checkpoint").glob("*.py"):
        code.unlink()
    rows = make_rows()
    rows.save_to_disk(folder / "dataset")
    record = {"format_version": FORMAT_VERSION, "origin": {"name": "drawn", "link": None, "is_drawn": True}}
    (folder / "dataset" / "build.json").write_text(json.dumps(record | {"split": {"name": "person"}}))
    fill_cache(rows, folder / "cache")
    (folder / "run").mkdir()
    (folder / "run" / "trainer_state.json").write_text('{"global_step": 3, "max_steps": 9, "train_batch_size": 2}')
    write_record(folder / "run", 3, {"layout": {"processes": 1}, "labels": LABELS})
    save_timeline(make_timeline(), folder / "recording.json")
    write_predictions(ANSWERS, folder / "predictions.parquet")
    values = torch.arange(2 * 4 * 3 * 32 * 32, dtype=torch.float32).sin().view(2, 4, 3, 32, 32)
    with torch.no_grad():
        logits = model(pixel_values=values, face_pixel_values=values.flip(0)).logits
    (folder / "expected.json").write_text(json.dumps({"logits": logits.tolist()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
