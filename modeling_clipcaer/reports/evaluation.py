"""The report of an evaluation: report.json, report.md, the confusion matrix, two diagrams."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.files import complete_file, staged_folder, write_json
from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.versions import list_versions
from modeling_clipcaer.data.label_counts import find_absent, find_few, tell_few, tell_gaps
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import (
    absent_labels,
    accuracy_by_coverage,
    bootstrap_confidence_intervals,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    per_class_scores,
    predict_labels,
    predict_probabilities,
    reliability_bins,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.models.frozen_parts import describe_tower_dtype
from modeling_clipcaer.names import public_name
from modeling_clipcaer.reports.breakdowns import break_down
from modeling_clipcaer.reports.page import compare_models, render_page
from modeling_clipcaer.reports.plots import draw_confusion_matrix, draw_reliability, draw_training_curves
from modeling_clipcaer.reports.predictions import Predictions
from modeling_clipcaer.training.trainer import ClipCaerTrainer


PACKAGES = ("clipcaer", "torch", "transformers", "datasets", "accelerate", "numpy", "av", "pillow")
# What report.json may hold when it is published: fields of `build_report`, and those that training adds. Persons and
# places by name, and the command with its paths, stay in the folder; so do the pages that show them.
REPORT_FIELDS = {
    *("uar", "war", "macro_f1", "uar_ci95", "war_ci95", "majority_baseline", "per_class", "confusion_matrix"),
    *("labels", "absent_labels", "ece", "calibration", "reliability", "num_clips", "units", "checkpoint", "dataset"),
    *("model_revision", "members", "views", "origin"),
    *("split", "split_protocol", "seed", "tower_dtype", "versions", "caveats"),
    *("result", "selected", "last_epoch", "training_clips", "class_priors", "split_clips", "training_caveats"),
    *("calibration_fit", "unused_flags", "baselines"),
    *("num_persons", "uar_ci95_by_person", "war_ci95_by_person", "by_length", "by_boxes", "abstention", "clips"),
    "recall_ci95",
}
UNITS = "percent, but for ece and reliability, which are fractions; null where undefined (0 of 0)"
MEANING = (
    "UAR is the mean recall over the labels that occur in the test clips: every label counts alike. "
    "WAR is the accuracy: every clip counts alike. [low, high] is a 95 % interval (Bayesian bootstrap over clips with "
    "Jeffreys' prior, which stays wide where clips are few); clips of one person resemble each other, so the true one "
    "is wider."
)
DRAWN = "the clips are drawn by a computer: the figures are of drawings and say nothing about people"
COVERAGES = (100, 90, 80, 70, 50)  # percent of the clips
CURVE_POINTS = 101


def _rounded(number: float, digits: int = 4) -> float | None:
    return None if np.isnan(number) else round(float(number), digits)


def _percent(fraction: float) -> float | None:
    return _rounded(100 * fraction, 6)


def build_report(
    logits: ArrayLike,
    references: ArrayLike,
    labels: Sequence[str],
    *,
    checkpoint: str,
    dataset: str,
    split: str,
    seed: int,
    split_protocol: str | None = None,
    origin: dict[str, Any] | None = None,
    tower_dtype: str = "float32",
    calibration_temperature: float | None = None,
    answers: Predictions | None = None,
) -> dict[str, Any]:
    """
    Everything `report.json` holds. It depends on the arguments and the installed versions alone, and is rounded, so
    that one process and several, whose logits differ in the last bits, write the same file.

    Args:
        logits (`(num_clips, num_labels)` numbers): The model's logits, unadjusted.
        references (`num_clips` integers): True labels, 0-based.
        labels (sequence of `num_labels` strings): Names, in the order of the logits.
        checkpoint, dataset, split (`str`): What was measured on what. Of a path the report holds the name alone.
        seed (`int`): The run's seed; also that of the bootstrap.
        split_protocol (`str`, *optional*): How the dataset's splits were made.
        origin (`dict`, *optional*): What data the dataset was built from, as in its build's record.
        tower_dtype (`str`): What the vision tower computed in.
        calibration_temperature (`float`, *optional*): Of the checkpoint.
        answers (`Predictions`, *optional*): What is known of the clips, in the order of the logits: their persons,
            for intervals by person, and more for results by group.
    """
    labels = list(labels)
    if np.ndim(logits) != 2 or np.shape(logits)[1] != len(labels):
        raise InputError(f"logits must have one column for each of the {len(labels)} labels, got {np.shape(logits)}")
    predictions, probabilities = predict_labels(logits), predict_probabilities(logits)
    measured = (references, predictions, len(labels))
    persons = None if answers is None else answers.persons
    matrix, scores = confusion_matrix(*measured), per_class_scores(*measured)
    intervals = bootstrap_confidence_intervals(*measured, seed=seed)
    majority = int(scores["support"].argmax())
    always_majority = (references, np.full_like(predictions, majority), len(labels))
    ece = _rounded(expected_calibration_error(probabilities, references))
    told = predict_probabilities(np.asarray(logits) / (calibration_temperature or 1))
    calibration = _describe_calibration(told, references, calibration_temperature)
    caveats = [DRAWN] if origin and origin["is_drawn"] else []
    caveats += tell_few(split, dict(zip(labels, scores["support"].tolist(), strict=True)))
    if calibration is not None and ece is not None and calibration["ece"] > ece:
        caveats.append(
            "the checkpoint's temperature does not help here: calibration error "
            f"{100 * calibration['ece']:.1f} % with it, {100 * ece:.1f} % without"
        )
    return {
        "uar": _percent(unweighted_average_recall(*measured)),
        "war": _percent(weighted_average_recall(*measured)),
        "macro_f1": _percent(macro_f1(*measured)),
        "uar_ci95": [_percent(bound) for bound in intervals["uar"]],
        "war_ci95": [_percent(bound) for bound in intervals["war"]],
        "majority_baseline": {
            "label": labels[majority],
            "uar": _percent(unweighted_average_recall(*always_majority)),
            "war": _percent(weighted_average_recall(*always_majority)),
        },
        "per_class": {
            label: {name: _percent(scores[name][index]) for name in ("recall", "precision", "f1")}
            | {"support": int(scores["support"][index])}
            for index, label in enumerate(labels)
        },
        "confusion_matrix": matrix.tolist(),
        "labels": labels,
        "absent_labels": [labels[index] for index in absent_labels(references, len(labels))],
        "ece": ece,
        "calibration": calibration,
        "reliability": _describe_bins(probabilities, references),
        "recall_ci95": _recall_intervals(references, predictions, labels, seed, persons),
        "abstention": _describe_abstention(told, references),
        **_describe_persons(persons, measured, seed),
        **({} if answers is None else break_down(answers, seed)),
        "num_clips": int(matrix.sum()),
        "caveats": caveats,
        "units": UNITS,
        "checkpoint": public_name(checkpoint),
        "dataset": public_name(dataset),
        "split": split,
        "split_protocol": split_protocol,
        "origin": origin,
        "seed": seed,
        "tower_dtype": tower_dtype,
        "versions": list_versions(PACKAGES),
    }


def _describe_persons(
    persons: list[str] | None, measured: tuple[ArrayLike, np.ndarray, int], seed: int
) -> dict[str, Any]:
    """How many persons, and intervals by person; `None` where they are not known or there is one alone."""
    count = None if persons is None else len(set(persons))
    by_person = bootstrap_confidence_intervals(*measured, seed=seed, groups=persons) if count and count > 1 else {}
    bounds = {name: [_percent(bound) for bound in by_person[name]] if by_person else None for name in ("uar", "war")}
    return {"num_persons": count, **{f"{name}_ci95_by_person": bound for name, bound in bounds.items()}}


def _recall_intervals(
    references: ArrayLike, predictions: np.ndarray, labels: list[str], seed: int, persons: list[str] | None
) -> dict[str, list[float | None] | None]:
    """Of each label, in percent; `None` of one without a clip. By person where its clips show several."""
    found: dict[str, list[float | None] | None] = {}
    for index, label in enumerate(labels):
        held = np.asarray(references) == index
        seen = None if persons is None else np.array(persons)[held]
        groups = seen if seen is not None and len(set(seen)) > 1 else None
        measured = (np.asarray(references)[held], predictions[held], len(labels))
        bounds = bootstrap_confidence_intervals(*measured, seed=seed, groups=groups)["war"] if held.any() else None
        found[label] = bounds and [_percent(bound) for bound in bounds]
    return found


def _describe_abstention(probabilities: np.ndarray, references: ArrayLike) -> dict[str, Any]:
    """Accuracy in percent of the most confident clips, by the share of clips that they are, and its area."""
    accuracy = accuracy_by_coverage(probabilities, references)

    def at(coverage: float) -> float | None:
        return _percent(accuracy[max(math.ceil(coverage / 100 * len(accuracy)), 1) - 1])

    return {
        "area": _percent(accuracy.mean()),
        "accuracy_at": {str(coverage): at(coverage) for coverage in COVERAGES},
        "curve": [at(coverage) for coverage in np.linspace(0, 100, CURVE_POINTS)],
    }


def describe_computation(trainer: ClipCaerTrainer, is_whole: bool = True) -> dict[str, Any]:
    """What a trainer's figures depend on besides its model's weights, for `build_report`. The model's temperature is
    not that of an answer to which others are joined, so that the model is not the whole of it."""
    return {
        "tower_dtype": describe_tower_dtype(trainer.args.tower_dtype, trainer.model),
        "calibration_temperature": trainer.model.config.calibration_temperature if is_whole else None,
    }


def _describe_calibration(told: np.ndarray, references: ArrayLike, temperature: float | None) -> dict | None:
    """The checkpoint's temperature, and the ECE and the bins of the probabilities that its pipeline tells."""
    if temperature is None:
        return None
    return {
        "temperature": _rounded(temperature),
        "ece": _rounded(expected_calibration_error(told, references)),
        "reliability": _describe_bins(told, references),
    }


def _describe_bins(probabilities: np.ndarray, references: ArrayLike) -> dict[str, list]:
    """Clips by their confidence, and how sure and how right the model is in each bin."""
    bins = reliability_bins(probabilities, references)
    means = {name: [_rounded(value) for value in bins[name]] for name in ("confidence", "accuracy")}
    return {"count": bins["count"].tolist(), **means}


def describe_fit(fit: dict[str, Any]) -> dict[str, Any]:
    """`calibrate_temperature`'s findings on validation clips, rounded, for `report.json`."""
    pairs = {
        name: {when: _rounded(value) for when, value in fit[name].items()} for name in ("nll", "ece") & fit.keys()
    }
    temperature = None if fit["temperature"] is None else _rounded(fit["temperature"])
    return {**fit, **dict(sorted(pairs.items())), "temperature": temperature, "split": "validation"}


def tell_calibration(report: dict[str, Any]) -> str:
    """Whether the checkpoint's probabilities are calibrated, on what, and with what success; or why they are not."""
    fit, calibration = report.get("calibration_fit"), report["calibration"]
    if calibration is None:
        reason = f": {fit['reason']}" if fit else ""
        return f"Probabilities are not calibrated{reason}. A score orders answers; it is no frequency of being right."
    origin = f" fitted on {fit['num_clips']} validation clips" if fit else ""
    return (
        f"Probabilities are calibrated by the temperature {calibration['temperature']:g}{origin}: calibration error "
        f"{100 * calibration['ece']:.1f} % on these clips, {100 * report['ece']:.1f} % without it."
    )


def doubt_training(counts: dict[str, dict[str, int]], is_selected: bool) -> list[str]:
    """What the numbers of training and validation clips by label make doubtful of a result."""
    doubts = [sentence for split in ("train", "validation") for sentence in tell_gaps(split, counts[split])]
    if is_selected and (find_few(counts["validation"]) or find_absent(counts["validation"])):
        doubts.append(f"the epoch was chosen by these {sum(counts['validation'].values())} validation clips")
    return doubts


def tell_result(report: dict[str, Any]) -> str:
    """`test UAR 44.4 % [25.1, 66.0], WAR 55.6 % [26.0, 81.6] on 9 clips`, for those who read no further."""
    figures = [
        f"{name.upper()} {report[name]:.1f} % [{report[f'{name}_ci95'][0]:.1f}, {report[f'{name}_ci95'][1]:.1f}]"
        for name in ("uar", "war")
    ]
    clips = "clip" if report["num_clips"] == 1 else "clips"
    return f"{report['split']} {', '.join(figures)} on {report['num_clips']} {clips}"


def list_caveats(report: dict[str, Any]) -> list[str]:
    """All that makes a report's figures doubtful, as far as it is known."""
    return [*report["caveats"], *report.get("training_caveats", [])]


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, its first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _show_interval(bounds: Sequence[float] | None) -> str:
    return f"[{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds else "–"


def _render_breakdowns(report: dict[str, Any]) -> list[str]:
    """Results by group of clips, without those that name persons or places: this page may be published."""
    parts = []
    for name, title in (("by_length", "length of the clip"), ("by_boxes", "what is known of the face")):
        if groups := report.get(name):
            rows = [
                [
                    f"{group['group']}{' (few)' if group['is_small'] else ''}",
                    *(f"{group['war']:.1f}", _show_interval(group["war_ci95"])),
                    *(f"{group['uar']:.1f}", _show_interval(group["uar_ci95"]), group["num_clips"]),
                ]
                for group in groups
            ]
            header = ["clips", "WAR", "95 % interval", "UAR", "95 % interval", "number"]
            parts += [f"## By {title}, %", _table(header, rows)]
    if report.get("by_person") or report.get("by_place"):
        parts.append("Results by person and by place are in `report.html`, which is not for others.")
    return parts


def render_report(report: dict[str, Any]) -> str:
    """`report.json` as a page to read, in Markdown."""

    def show(number: float | None) -> str:
        return "–" if number is None else f"{number:.1f}"

    def headline(name: str) -> str:
        low, high = report[f"{name}_ci95"]
        return f"**{name.upper()} {report[name]:.1f} %** [{low:.1f}, {high:.1f}]"

    labels, baseline, accuracy_at = report["labels"], report["majority_baseline"], report["abstention"]["accuracy_at"]
    shown = {label: markdown_text(label) for label in labels}
    scores = [
        [
            *(shown[label], show(score["recall"]), _show_interval(report["recall_ci95"][label])),
            *(show(score["precision"]), show(score["f1"]), score["support"]),
        ]
        for label, score in ((label, report["per_class"][label]) for label in labels)
    ]
    origin = ["checkpoint", "dataset", "split", *(["split_protocol"] if report["split_protocol"] else []), "seed"]
    origin = [*origin, *(["model_revision"] if report.get("model_revision") else [])]
    origin = [*origin, *(["views"] if report.get("views", 1) > 1 else [])]
    counts = [[shown[label], *row] for label, row in zip(labels, report["confusion_matrix"], strict=True)]
    rates = [[label, *(show(100 * count / sum(row) if sum(row) else None) for count in row)] for label, *row in counts]
    persons = f" of {report['num_persons']} persons" if report.get("num_persons") else ""
    parts = [
        f"# {markdown_text(report['split'])} split, {report['num_clips']} clips{persons}",
        f"{headline('uar')} · {headline('war')}",
        f"Macro F1 {report['macro_f1']:.1f} %, calibration error (ECE) {100 * report['ece']:.1f} %. "
        f"Always answering {shown[baseline['label']]} gives UAR {baseline['uar']:.1f} %, WAR {baseline['war']:.1f} %.",
        MEANING,
    ]
    if report["absent_labels"]:
        names = ", ".join(map(markdown_text, report["absent_labels"]))
        parts.append(f"**No clip of: {names}.** These labels have no recall and no part in UAR and macro F1.")
    if caveats := "\n".join(f"- {markdown_text(sentence)}" for sentence in list_caveats(report)):
        parts.append(f"**Before believing these figures:**\n\n{caveats}")
    if report.get("uar_ci95_by_person"):
        bounds = " · ".join(
            f"{name.upper()} [{', '.join(map(show, report[f'{name}_ci95_by_person']))}]" for name in ("uar", "war")
        )
        parts.insert(2, f"By person: {bounds}")
    beside = [
        [markdown_text(row.name), show(row.value), _show_interval(row.interval), show(other.value)]
        for row, other in zip(*(compare_models(report, name) for name in ("uar", "war")), strict=True)
    ]
    parts += [
        tell_calibration(report),
        "## Beside it, %",
        _table(["model", "UAR", "95 % interval", "WAR"], beside),
        "## By label, %",
        _table(["label", "recall", "95 % interval", "precision", "F1", "clips"], scores),
        "## Confusion matrix, clips (rows: reference, columns: prediction)",
        _table(["", *shown.values()], counts),
        "## Confusion matrix, % of the reference's clips",
        _table(["", *shown.values()], rates),
        "![Confusion matrix](confusion_matrix.png)",
        "![Reliability diagram](reliability.png)",
        "## Accuracy where the least certain clips stay unanswered, %",
        _table(["clips answered", "accuracy"], [[f"{at} %", show(value)] for at, value in accuracy_at.items()]),
        f"In the mean over all shares: {show(report['abstention']['area'])} %.",
        *_render_breakdowns(report),
        "## How it was measured",
        "\n".join(f"- {name}: {markdown_code(report[name])}" for name in origin)
        + (
            f"\n- clips: {report['clips']['clips']}, SHA-256 `{report['clips']['sha256']}`"
            if "clips" in report
            else ""
        )
        + "\n- versions: "
        + ", ".join(f"{name} {number or 'not installed'}" for name, number in report["versions"].items()),
        RESPONSIBLE_USE,
    ]
    return "\n\n".join(parts) + "\n"


def write_report(report: dict[str, Any], output_dir: str | os.PathLike, explained: Path | None = None) -> None:
    """Writes report.md and .html, confusion_matrix.csv and .png, and reliability.png into `output_dir`, and last
    report.json. The page shows what the folder `explained` in it says of what answers rest on."""
    with staged_folder(output_dir, last="report.json") as folder:
        with (folder / "confusion_matrix.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(safe_row(["reference", *report["labels"]]))
            rows = zip(report["labels"], report["confusion_matrix"], strict=True)
            writer.writerows(safe_row([label, *row]) for label, row in rows)
        draw_confusion_matrix(report, folder / "confusion_matrix.png")
        draw_reliability(report, folder / "reliability.png")
        (folder / "report.md").write_text(render_report(report), encoding="utf-8")
        page = render_page(report, list_caveats(report), MEANING, tell_calibration(report), explained)
        (folder / "report.html").write_text(page, encoding="utf-8")
        write_json(report, folder / "report.json")


def plot_training_curves(
    log_history: list[dict[str, Any]], path: str | os.PathLike, selected: float | None = None
) -> None:
    """
    Draws `Trainer.state.log_history` into the PNG `path`: `eval_uar` with its interval and `eval_war`, `loss` and
    every `loss_*` in training and, where logged, on validation (`eval_*`), and the learning rates (`lr/<group>`, else
    `learning_rate`). The epoch `selected` is marked.
    """
    with complete_file(path) as partial:
        draw_training_curves(log_history, partial, selected)
