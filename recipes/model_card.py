"""The README.md of a checkpoint."""

from .reporting import RESPONSIBLE_USE


TEMPLATE = """---
library_name: transformers
pipeline_tag: video-classification
base_model: {base_model}
tags:
- clipcaer
- emotion-recognition
- learning-analytics
metrics:
- uar
- war
---

# ClipCaer: {labels}

Recognises, from a clip of the face and its context, which of these states a student shows. Trained from `{base_model}`
with [CLIP-CAER](https://github.com/zgsfer/CLIP-CAER)'s method: face adapter, temporal encoders, two views of the text.

| measured on {split} ({num_clips} clips of `{dataset}`) | % | 95 % interval |
|---|---|---|
| UAR (mean recall) | {uar:.1f} | {uar_low:.1f} to {uar_high:.1f} |
| WAR (accuracy) | {war:.1f} | {war_low:.1f} to {war_high:.1f} |

{recalls}

## Use

```python
from transformers import pipeline

pipe = pipeline("video-classification", model="THIS_FOLDER_OR_HUB_ID", trust_remote_code=True)
pipe("lesson.mp4")
```

## Intended and prohibited use

{responsible_use}

The weights carry the licence terms of the data that they were trained on and of `{base_model}`; RAER is for
non-commercial research and may not be passed on.
"""


def render_model_card(report: dict, base_model: str) -> str:
    """Model card of a checkpoint from its test report."""
    rows = [f"| {label} | {scores['recall']:.1f} | {scores['support']} |" for label, scores in _present(report)]
    return TEMPLATE.format(
        base_model=base_model,
        labels=", ".join(report["labels"]),
        **{name: report[name] for name in ("split", "num_clips", "dataset", "uar", "war")},
        **dict(zip(("uar_low", "uar_high"), report["uar_ci95"], strict=True)),
        **dict(zip(("war_low", "war_high"), report["war_ci95"], strict=True)),
        recalls="\n".join(["| label | recall, % | clips |", "|---|---|---|", *rows]),
        responsible_use=RESPONSIBLE_USE,
    )


def _present(report: dict):
    return ((label, report["per_class"][label]) for label in report["labels"] if report["per_class"][label]["support"])
