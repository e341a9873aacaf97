"""A folder as `clipcaer explain` writes it, without a model."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_clipcaer.explanations.page import CONTENT, FIGURES, SCHEMA_VERSION


LABELS = ["calm", "busy"]


def write_explained(folder: Path, count: int, name: str = "a.mp4", size=(913, 330), shown: bool = False) -> Path:
    """Answers about `count` windows, whose figures are of noise, which takes the most bytes."""
    (folder / FIGURES).mkdir(parents=True)
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (size[1] // 30, size[0] // 30, 3), dtype=np.uint8)
    for number in range(count):
        Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(folder / FIGURES / f"{number + 1}.png")
    texts = [{"label": label, "sentence": f"a {label} student {number}"} for label in LABELS for number in range(2)]
    samples = [
        {
            **{"name": f"{name}, person-1, {number} to {number + 10} s", "reason": "the surest of its label"},
            **{"person": "person-1", "start": float(number), "end": number + 10.0},
            **{"label": None, "answer": "busy", "scores": {"calm": 0.2, "busy": 0.8}, "shown": shown},
            "streams": {
                "context": {"logit": 0.5, "probability": 0.25, "answer_without": "calm"},
                "face": {"logit": -0.1, "probability": -0.0004, "answer_without": "busy"},
            },
            "frames": {"context": [0.02, -0.1, 0.004, 0.0], "face": [0.3, 0.0, 0.0, 0.006]}
            if number % 2 == 0
            else {"context": [0.004, -0.1, 0.0, 0.0], "face": [0.0] * 4},
            "sentences": {view: [text | {"cosine": 0.5} for text in texts[:3]] for view in ("descriptive", "soft")},
            "maps": {stream: [[[0.25, 0.25], [0.25, 0.25]]] * 4 for stream in ("context", "face")},
        }
        for number in range(count)
    ]
    points = [{"kind": "explained", "label": "busy", "name": sample["name"]} for sample in samples]
    points += [{"kind": "descriptive", "label": text["label"], "name": text["sentence"]} for text in texts]
    content = {
        **{"schema_version": SCHEMA_VERSION, "source": name, "model": "best", "measured": "not yet measured"},
        **{"calibrated": False, "notice": "n", "caveat": "c", "labels": LABELS, "samples": samples},
        "map": {
            "method": "principal components",
            "variance": [0.5, 0.25],
            "points": [point | {"x": float(place), "y": place / 2} for place, point in enumerate(points)],
        },
    }
    (folder / CONTENT).write_text(json.dumps(content))
    return folder
