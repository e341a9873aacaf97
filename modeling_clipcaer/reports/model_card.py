"""README.md and LICENSE of a checkpoint."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modeling_clipcaer.common.flags import differ_from_defaults, flags_with_choices
from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.reports.evaluation import list_caveats, tell_calibration
from modeling_clipcaer.reports.page import order_epochs
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES


TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

{% if is_drawn -%}
> **Drawings, not people.** All clips are drawn by a computer, those that it was trained on and those that it was
> measured on. It shows that the method's parts work together. It says nothing about people.

{% endif -%}
Tells from a clip of a {{ "drawn student" if is_drawn else "student" }}'s face and the context around it which of these
states it shows: {{ labels }}. Trained on {{ dataset }} from {{ base }} by CLIP-CAER's method (ICCV 2025): two streams
of frames, a face adapter, temporal encoders, and the labels' texts in two views.

> {{ responsible_use }}

## Results

**UAR {{ uar }} %** [{{ uar_ci95 }}] · **WAR {{ war }} %** [{{ war_ci95 }}] on the {{ split }} split of {{ dataset }}:
{{ num_clips }} {{ "drawn clips" if is_drawn else "clips" }}{{ protocol }}.

UAR is the mean recall of the labels, each counting alike; WAR is the accuracy, each clip counting alike. In brackets
are 95 % intervals, bootstrapped over clips. Clips of one person resemble each other, so the true ones are wider
{%- if by_person %}: bootstrapped over persons UAR has [{{ by_person.uar }}], WAR [{{ by_person.war }}]{% endif %}.
Always answering {{ majority.label }} gives UAR {{ majority.uar }} %, WAR {{ majority.war }} %.
The checkpoint is that of epoch {{ epoch }}, {{ choice }}; {{ other }} has UAR {{ other_uar }} %.
All figures: [report.json](report.json), [report.md](report.md).

| label | recall, % | test clips | training clips |
|---|---:|---:|---:|
{% for row in rows -%}
| {{ row | join(" | ") }} |
{% endfor %}
| what is taken for what | how often it is right, by how sure it is |
|---|---|
| ![Confusion matrix](confusion_matrix.png) | ![Reliability](reliability.png) |

{{ calibration }}
{% if baselines %}
Baselines on the same clips, UAR: {{ baselines }}. Linear probe and MLP learn from the frozen towers' frame embeddings
without any text.
{% endif %}
{%- if caveats %}
Before believing these figures:
{% for caveat in caveats %}
* {{ caveat }}{% endfor %}
{% endif %}
## How to run it

`THIS_FOLDER` is where this file lies, or the repository's name.

Without this project, with `pip install transformers torch av pillow`. Both streams then see the whole frame:

```python
from transformers import pipeline

pipe = pipeline("video-classification", model="THIS_FOLDER", trust_remote_code=True)
print(pipe("lesson.mp4"))
```

With its package `clipcaer` installed, and boxes of the face and the body (left, top, right, bottom in pixels):

```python
import modeling_clipcaer
from transformers import pipeline

pipe = pipeline("academic-emotion-recognition", model="THIS_FOLDER")
print(pipe({"video": "lesson.mp4", "face_boxes": [412, 80, 560, 260], "body_box": [300, 40, 700, 700]}))
```

The code of the model lies beside the weights: [modeling_clipcaer.py](modeling_clipcaer.py) and the files that it
imports. The method is that of [the paper's repository](https://github.com/zgsfer/CLIP-CAER).

## Training

{{ num_training_clips }} clips of {{ dataset }}{{ home }}. Preset: {{ preset }}.

![Training curves](training_curves.png)

<details>
<summary>Settings that differ from the defaults, and versions</summary>

```yaml
{{ settings }}
```

{{ withheld }}Versions: {{ versions }}.

</details>

## Intended and prohibited use

* Intended: research on academic emotions and on methods that recognise them, on clips of people who have consented.
* Prohibited: watching students or employees; grades, admission, discipline or any other decision about a person;
  diagnosis; recording people without their knowledge; identifying people.
* Faces and their expression differ between people, ages and cultures. What the model answers is the label that the
  annotators of its training clips would most likely have chosen, not what a person feels.
* Results hold for clips like the training clips. A label with few clips above has a recall that says little.

## Citation

```bibtex
@inproceedings{Zhao_2025_ICCV,
  author    = {Zhao, Luming and Xuan, Jingwen and Lou, Jiamin and Yu, Yonghui and Yang, Wenwu},
  title     = {Context-Aware Academic Emotion Dataset and Benchmark},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2025}
}
```

## Licence

{{ licence }}
"""

RESTRICTED = "RAER is for non-commercial research and may not be passed on. "
LICENCE = (
    "The weights carry the terms of the data they were trained on ({dataset}) and of the model they were trained from "
    "({base}); who publishes them answers for that. {terms}"
    "The code beside them, the files that end in .py, is licensed under the Apache License 2.0."
)


def render_model_card(report: dict[str, Any], base_model: str, presets: list[str], flags: dict) -> str:
    """
    Model card of a training run, as it is in its folder; [`address_card`] makes that of a repository of it.

    Args:
        report: of the test split, as in `report.json`.
        base_model: id on the Hub or folder of the CLIP checkpoint.
        presets: names of the files of flags that the run was given.
        flags: all that it was given. The card has those that cannot name a place of this machine.
    """
    base = public_name(base_model)
    origin, name = report.get("origin") or {}, f"ClipCaer on {printable(_dataset_name(report))}"
    dataset = markdown_text(origin["name"]) if origin.get("name") else markdown_code(_dataset_name(report))
    data = ModelCardData(
        model_name=name,
        # Keep: on the Hub the name of a folder would be the id of somebody else's model.
        base_model=None if Path(base_model).exists() and "/" not in base else base,
        datasets=[_dataset_id(report)] if origin.get("name") else None,
        language="en",
        license="other",
        license_name="terms-of-data-and-base-model",
        license_link="LICENSE",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=["clipcaer", "emotion-recognition", "learning-analytics", *(["synthetic"] * _is_drawn(report))],
        metrics=["recall", "accuracy"],
        eval_results=_eval_results(report),
    )
    clips = report["training_clips"]
    scores = ((label, report["per_class"][label]) for label in report["labels"])
    settings, withheld = public_settings(differ_from_defaults(ARGUMENT_TYPES, flags))
    result, other = order_epochs(report)
    card = ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=markdown_text(name),
        is_drawn=_is_drawn(report),
        labels=", ".join(map(markdown_text, report["labels"])),
        base=markdown_code(base),
        dataset=dataset,
        home=f" (<{origin['link']}>)" if origin.get("link") else "",
        protocol=f" (splits: {markdown_text(report['split_protocol'])})" if report["split_protocol"] else "",
        split=markdown_text(report["split"]),
        num_clips=report["num_clips"],
        **{name: _percent(report[name]) for name in ("uar", "war")},
        **{name: ", ".join(map(_percent, report[name])) for name in ("uar_ci95", "war_ci95")},
        by_person={
            name: ", ".join(map(_percent, report[f"{name}_ci95_by_person"]))
            for name in ("uar", "war")
            if report.get(f"{name}_ci95_by_person")
        },
        epoch=f"{report[result]['epoch']:g}",
        choice="the last" if result == "last_epoch" else "chosen on the validation split",
        other="the last" if other == "last_epoch" else "the one chosen on the validation split",
        other_uar=_percent(report[other]["uar"]),
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


def address_card(text: str, repo_id: str, names: Collection[str], example: str = "") -> str:
    """A card that says which repository it is in, and of a model what its page shows.

    Args:
        text: of README.md in its folder, of a model or of a dataset.
        repo_id: id of the repository.
        names: the files beside it there.
        example: name of the one that the widget offers, if it is a model's.
    """
    text = re.sub(r"`THIS_FOLDER` is where this file lies, or the repository's name\.\s*", "", text)
    text = text.replace("THIS_FOLDER", repo_id)
    place = f"https://huggingface.co/{repo_id}/resolve/main"
    card = ModelCard(text, ignore_metadata_errors=True)
    if "confusion_matrix.png" in names:
        card.data.thumbnail = f"{place}/confusion_matrix.png"
    if example in names:
        card.data.widget = [{"src": f"{place}/{example}", "example_title": "A drawn student, no person"}]
    return str(card) if {"confusion_matrix.png", example} & {*names} else text


def find_restriction(origin: Mapping[str, Any] | None) -> str | None:
    """Why weights that were learned from such data may not be passed on; `None`: nothing is known of such."""
    name = (origin or {}).get("name")
    if name == "RAER":
        return RESTRICTED.strip()
    return None if name else f"It is not known what data the weights were learned from. {RESTRICTED.strip()}"


def render_licence(report: dict[str, Any], base_model: str) -> str:
    """LICENSE of a checkpoint: what holds for the weights, then the text of the code's licence."""
    code = Path(find_preset("LICENSE", suffix=""))
    return f"{_licence(report, base_model)}\n\n\n{code.read_text(encoding='utf-8')}"


def _licence(report: dict[str, Any], base_model: str) -> str:
    terms = RESTRICTED if find_restriction(report.get("origin")) else ""
    text = LICENCE.format(dataset=_dataset_name(report), base=public_name(base_model), terms=terms)
    return printable(text)


def _eval_results(report: dict[str, Any]) -> list[EvalResult]:
    """UAR and WAR with their intervals, and the recall of every label that occurs, for the Hub's model index."""
    name, split = printable(_dataset_name(report)), printable(report["split"])
    origin, protocol = report.get("origin") or {}, report["split_protocol"]
    dataset = f"{name} (computer drawings, not people)" if _is_drawn(report) else name

    def result(metric: str, name: str, value: float, **metric_args) -> EvalResult:
        return EvalResult(
            task_type="video-classification",
            dataset_type=_dataset_id(report),
            dataset_name=dataset,
            dataset_split=split,
            dataset_revision=origin.get("commit"),
            dataset_args={"split protocol": printable(protocol)} if protocol else None,
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
    """The data's own name, or else that of the folder."""
    return (report.get("origin") or {}).get("name") or public_name(report["dataset"]).rpartition("/")[2]


def _dataset_id(report: dict[str, Any]) -> str:
    """The data's id on the Hub, or else their name as the Hub spells ids."""
    origin = report.get("origin") or {}
    spelled = re.sub(r"[^\w.-]+", "-", printable(_dataset_name(report)), flags=re.ASCII).strip("-.")
    return origin.get("hub_id") or spelled or "data"


def _is_drawn(report: dict[str, Any]) -> bool:
    return bool((report.get("origin") or {}).get("is_drawn"))


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
