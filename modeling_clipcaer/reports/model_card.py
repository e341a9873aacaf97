"""README.md and LICENSE of a checkpoint."""

import math
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modeling_clipcaer.common.flags import flags_with_choices
from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.reports.evaluation import list_caveats, tell_calibration
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES


TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

Tells from a clip of a student's face and its surroundings which of these states it shows: {{ labels }}.
Trained from {{ base }} by CLIP-CAER's method (ICCV 2025): two streams of frames, a face adapter, temporal encoders,
and the labels' texts in two views.

## Results

{{ split | capitalize }} split of {{ dataset }}{{ protocol }}, {{ num_clips }} clips, measured once at the end of
training. The checkpoint is that of epoch {{ epoch }}, {{ choice }};
{{ other }} has UAR {{ other_uar }} %.

| | % | 95 % interval |
|---|---:|---:|
| UAR: mean recall of the labels, each counting alike | {{ uar }} | {{ uar_ci95 }} |
| WAR: accuracy, each clip counting alike | {{ war }} | {{ war_ci95 }} |

| label | recall, % | clips | training clips |
|---|---:|---:|---:|
{% for row in rows -%}
| {{ row | join(" | ") }} |
{% endfor %}
The intervals are bootstrapped over clips. Clips of one person resemble each other, so the true ones are wider. Always
answering {{ majority.label }} gives UAR {{ majority.uar }} %, WAR {{ majority.war }} %. All figures: `report.json`.
{% if baselines %}
Baselines on the same clips, UAR: {{ baselines }}. Linear probe and MLP learn from the frozen towers' frame embeddings
without any text.
{% endif %}
{{ calibration }}
{% if caveats %}
Before believing these figures:
{% for caveat in caveats %}
* {{ caveat }}{% endfor %}
{% endif %}

## How to run it

Without this project, with `pip install transformers torch av pillow`. Both streams then see the whole frame:

```python
from transformers import pipeline

pipe = pipeline("video-classification", model="{{ place }}", trust_remote_code=True)
pipe("lesson.mp4")
```

With its package `clipcaer` installed, and boxes of the face and the body (left, top, right, bottom in pixels):

```python
import modeling_clipcaer
from transformers import pipeline

pipe = pipeline("academic-emotion-recognition", model="{{ place }}")
pipe({"video": "lesson.mp4", "face_boxes": [412, 80, 560, 260], "body_box": [300, 40, 700, 700]})
```

## Training

Data: {{ dataset }}, {{ num_training_clips }} clips. Preset: {{ preset }}. Settings of the run beside the defaults:

```yaml
{{ settings }}
```

{{ withheld }}Versions: {{ versions }}.

## Intended and prohibited use

{{ responsible_use }}

* Intended: research on academic emotions and on methods that recognise them, on clips of people who have consented.
* Prohibited: watching students or employees; grades, admission, discipline or any other decision about a person;
  diagnosis; recording people without their knowledge; identifying people.
* Faces and their expression differ between people, ages and cultures. What the model answers is the label that the
  annotators of its training clips would most likely have chosen, not what a person feels.
* Results hold for clips like the training clips. A label with few clips above has a recall that says little.

## Licence

{{ licence }}
"""

LICENCE = (
    "The weights carry the terms of the data they were trained on ({dataset}) and of the model they were trained from "
    "({base}); who publishes them answers for that. RAER is for non-commercial research and may not be passed on. "
    "The code beside them, the files that end in .py, is licensed under the Apache License 2.0."
)


def render_model_card(
    report: dict[str, Any], base_model: str, presets: list[str], flags: dict, repository: str | None
) -> str:
    """
    Model card of a training run.

    Args:
        report: of the test split, as in `report.json`.
        base_model: id on the Hub or folder of the CLIP checkpoint.
        presets: names of the files of flags that the run was given.
        flags: all that it was given. The card has those that cannot name a place of this machine.
        repository: id of the checkpoint on the Hub, where it is pushed.
    """
    base = public_name(base_model)
    name, dataset = f"ClipCaer on {printable(_dataset_name(report))}", markdown_code(_dataset_name(report))
    data = ModelCardData(
        model_name=name,
        # Keep: on the Hub the name of a folder would be the id of somebody else's model.
        base_model=None if Path(base_model).exists() and "/" not in base else base,
        license="other",
        license_name="terms-of-data-and-base-model",
        license_link="LICENSE",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=["clipcaer", "emotion-recognition", "learning-analytics"],
        metrics=["recall", "accuracy"],
        eval_results=_eval_results(report),
    )
    clips = report["training_clips"]
    scores = ((label, report["per_class"][label]) for label in report["labels"])
    settings, withheld = public_settings(flags)
    card = ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=markdown_text(name),
        place=repository or "THIS_FOLDER",
        labels=", ".join(map(markdown_text, report["labels"])),
        base=markdown_code(base),
        dataset=dataset,
        protocol=f" (splits: {markdown_text(report['split_protocol'])})" if report["split_protocol"] else "",
        split=markdown_text(report["split"]),
        num_clips=report["num_clips"],
        **{name: _percent(report[name]) for name in ("uar", "war")},
        **{name: " to ".join(map(_percent, report[name])) for name in ("uar_ci95", "war_ci95")},
        epoch=f"{report[report['result']]['epoch']:g}",
        choice="the last" if report["result"] == "last_epoch" else "chosen on the validation split",
        other="the last" if report["result"] == "selected" else "the one chosen on the validation split",
        other_uar=_percent(report["selected" if report["result"] == "last_epoch" else "last_epoch"]["uar"]),
        rows=[
            (markdown_text(label), _percent(score["recall"]), score["support"], clips[label])
            for label, score in scores
        ],
        majority={
            name: markdown_text(value) if name == "label" else _percent(value)
            for name, value in report["majority_baseline"].items()
        },
        baselines=", ".join(f"{rival['name']} {_percent(rival['uar'])} %" for rival in report.get("baselines", [])),
        calibration=tell_calibration(report),
        caveats=list(map(markdown_text, list_caveats(report))),
        num_training_clips=sum(clips.values()),
        preset=", ".join(map(markdown_code, presets)) or "none",
        # Keep: one line a setting. A line of a long text could close the fence around them.
        settings=yaml.safe_dump(settings, allow_unicode=True, width=math.inf).strip() if settings else "# none",
        withheld=f"Not told, as they may name places of a machine: {', '.join(withheld)}.\n\n" if withheld else "",
        versions=", ".join(f"{package} {number}" for package, number in report["versions"].items() if number),
        responsible_use=RESPONSIBLE_USE,
        licence=markdown_text(_licence(report, base_model)),
    )
    return f"{card}\n"


def render_licence(report: dict[str, Any], base_model: str) -> str:
    """LICENSE of a checkpoint: what holds for the weights, then the text of the code's licence."""
    code = Path(find_preset("LICENSE", suffix=""))
    return f"{_licence(report, base_model)}\n\n\n{code.read_text(encoding='utf-8')}"


def _licence(report: dict[str, Any], base_model: str) -> str:
    return printable(LICENCE.format(dataset=_dataset_name(report), base=public_name(base_model)))


def _eval_results(report: dict[str, Any]) -> list[EvalResult]:
    """UAR and WAR with their intervals, and the recall of every label that occurs, for the Hub's model index."""
    dataset, split = printable(_dataset_name(report)), printable(report["split"])

    def result(metric: str, name: str, value: float, **metric_args) -> EvalResult:
        return EvalResult(
            task_type="video-classification",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type=metric,
            metric_name=printable(name),
            metric_value=round(value, 2),
            metric_args={key: [round(bound, 2) for bound in bounds] for key, bounds in metric_args.items()} or None,
        )

    recalls = {label: report["per_class"][label]["recall"] for label in report["labels"]}
    return [
        result("recall", "UAR, %", report["uar"], confidence_interval_95=report["uar_ci95"]),
        result("accuracy", "WAR, %", report["war"], confidence_interval_95=report["war_ci95"]),
        *(
            result("recall", f"recall of {label}, %", recall)
            for label, recall in recalls.items()
            if recall is not None
        ),
    ]


def _dataset_name(report: dict[str, Any]) -> str:
    return public_name(report["dataset"]).rpartition("/")[2]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def public_settings(flags: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The flags of a run that may be told, and the names of the others.

    Numbers and switches are told, and words of a known vocabulary. Any other text may be, or hold, a place of the
    machine that trained, or a name that somebody gave.
    """
    told = {name: value for name, value in flags.items() if name in _WORDS or not _holds_text(value)}
    if "clip_model" in flags:
        told["clip_model"] = printable(public_name(flags["clip_model"]))
    return dict(sorted(told.items())), sorted(flags.keys() - told.keys())


# Flags whose text is a word of a vocabulary: those that offer choices, and some of the Trainer's.
_WORDS = {
    *("eval_strategy", "save_strategy", "logging_strategy", "metric_for_best_model"),
    *flags_with_choices(ARGUMENT_TYPES),
} - {"hub_strategy"}


def _holds_text(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return any(map(_holds_text, [*value, *value.values()] if isinstance(value, dict) else value))
    return isinstance(value, str)
