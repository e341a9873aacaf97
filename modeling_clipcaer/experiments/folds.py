"""All folds of a person-disjoint k-fold, their answers pooled: every clip is tested once, by a model that has seen
nobody of its person."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.runs import MEASURES, choose_epochs, read_run
from modeling_clipcaer.metrics import (
    bootstrap_confidence_intervals,
    confusion_matrix,
    per_class_scores,
    predict_labels,
)
from modeling_clipcaer.metrics.effects import macro_f1_interval
from modeling_clipcaer.reports.predictions import Predictions, read_predictions


def pool_folds(folders: Sequence[Path]) -> tuple[Predictions, list[dict[str, Any]]]:
    """The answers of the folds of one seed after the last epoch, each clip once, and each fold's own figures.

    Args:
        folders: of the finished runs, in the order of the folds.

    Raises:
        InputError: a clip or a person was tested in two folds.
    """
    parts = [read_predictions(folder) for folder in folders]
    seen: dict[str, int] = {}
    for number, part in enumerate(parts, start=1):
        for person in part.person_ids:
            if seen.setdefault(person, number) != number:
                raise InputError(f"person {person} was tested in folds {seen[person]} and {number}; expected one")
    pooled = Predictions(
        parts[0].labels,
        [clip_id for part in parts for clip_id in part.clip_ids],
        [person for part in parts for person in part.person_ids],
        np.concatenate([part.references for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
    if len(set(pooled.clip_ids)) < len(pooled.clip_ids):
        raise InputError("a clip was tested in two folds; expected one")
    figures = []
    for number, (folder, part) in enumerate(zip(folders, parts, strict=True), start=1):
        run = read_run(folder)
        figures.append(
            {
                "fold": number,
                "clips": len(part.clip_ids),
                "persons": len(set(part.person_ids)),
                **measure(part.references, part.logits),
                **find_intervals(part),
                "validation_uar": round(run.evaluations[-1]["eval_uar"], 6),
                "seconds": run.record["seconds"],
            }
        )
    return pooled, figures


def measure(references: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Percent of UAR, WAR and macro F1."""
    measured = (references, predict_labels(logits), logits.shape[1])
    return {name: round(100 * compute(*measured), 6) for name, compute in MEASURES.items()}


def find_intervals(answers: Predictions) -> dict[str, list[float]]:
    """95 % intervals of the measures, in percent, by bootstrap over persons."""
    measured = (answers.references, predict_labels(answers.logits))
    intervals = bootstrap_confidence_intervals(*measured, len(answers.labels), groups=answers.person_ids)
    intervals["macro_f1"] = macro_f1_interval(*measured, answers.person_ids)
    return {f"{name}_ci95": [round(100 * end, 6) for end in ends] for name, ends in intervals.items()}


def describe_pool(
    seed: int, pooled: Predictions, figures: Sequence[Mapping[str, Any]], chosen: np.ndarray
) -> dict[str, Any]:
    """What `folds.json` says of a seed: the figures of all clips, with intervals by person, and those of each fold.

    Args:
        seed: of the runs.
        pooled: the answers of all folds after the last epoch.
        figures: each fold's own.
        chosen: the answers of all folds after the epoch that each one's validation split selects, float32 of shape
            (num_clips, num_labels).
    """
    measured = (pooled.references, predict_labels(pooled.logits), len(pooled.labels))
    scores = per_class_scores(*measured)
    return {
        "seed": seed,
        "clips": len(pooled.clip_ids),
        "persons": len(set(pooled.person_ids)),
        **measure(pooled.references, pooled.logits),
        **find_intervals(pooled),
        "selected_epoch": measure(pooled.references, chosen),
        "per_class": {
            label: {name: _percent(scores[name][number]) for name in ("recall", "precision", "f1")}
            | {"support": int(scores["support"][number])}
            for number, label in enumerate(pooled.labels)
        },
        "confusion_matrix": confusion_matrix(*measured).tolist(),
        "per_fold": list(figures),
    }


def _percent(fraction: float) -> float | None:
    return None if np.isnan(fraction) else round(100 * float(fraction), 6)


def select_answers(folders: Sequence[Path]) -> np.ndarray:
    """The test logits of every fold after the epoch with its best validation UAR."""
    runs = [read_run(folder) for folder in folders]
    return np.concatenate([run.logits["test"][choose_epochs(run)["best validation UAR"]] for run in runs])


def summarise_seeds(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation of every measure over the seeds."""
    values = {name: [seed[name] for seed in seeds] for name in ("uar", "war", "macro_f1")}
    return {
        name: {"mean": round(float(np.mean(found)), 6), "deviation": round(float(np.std(found, ddof=1)), 6)}
        if len(found) > 1
        else {"mean": found[0], "deviation": None}
        for name, found in values.items()
    }


def render_folds(report: Mapping[str, Any]) -> str:
    """`folds.json` as a page to read, in Markdown."""
    first = report["per_seed"][0]
    titles = {"uar": "UAR", "war": "WAR", "macro_f1": "macro F1"}

    def told(name: str) -> str:
        found = report["summary"][name]
        deviation = "" if found["deviation"] is None else f" ± {found['deviation']:.1f}"
        return f"**{titles[name]} {found['mean']:.1f} %**{deviation}"

    def with_interval(found: Mapping[str, Any], name: str) -> str:
        low, high = found[f"{name}_ci95"]
        return f"{found[name]:.1f} [{low:.1f}, {high:.1f}]"

    seeds = [
        f"| {seed['seed']} | {' | '.join(with_interval(seed, name) for name in titles)} | "
        f"{seed['selected_epoch']['uar']:.1f} |"
        for seed in report["per_seed"]
    ]
    folds = [
        f"| {seed['seed']} | {fold['fold']} | {fold['clips']} | {fold['persons']} | "
        + " | ".join(with_interval(fold, name) for name in titles)
        + " |"
        for seed in report["per_seed"]
        for fold in seed["per_fold"]
    ]
    labels = [
        f"| {markdown_text(label)} | {' | '.join(_shown(scores[name]) for name in ('recall', 'precision', 'f1'))} | "
        f"{scores['support']} |"
        for label, scores in first["per_class"].items()
    ]
    origin = [f"- {name}: {markdown_code(report[name])}" for name in ("command", "dataset", "seeds", "split")]
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in report["versions"].items())
    of_seeds = "" if len(report["per_seed"]) == 1 else f", mean ± deviation of {len(report['per_seed'])} seeds"
    parts = [
        f"# {report['folds']} folds by person, {first['clips']} clips of {first['persons']} persons, each tested once",
        " · ".join(map(told, titles)) + of_seeds,
        "Last epoch. [low, high] is a 95 % interval by bootstrap over persons. Nobody is in two folds, nor in the "
        "training and validation part of one.",
        "\n".join(["| seed | UAR | WAR | macro F1 | UAR, selected epoch |", "|---:|---|---|---|---:|", *seeds]),
        "## By fold, %",
        "\n".join(
            [
                "| seed | fold | clips | persons | UAR | WAR | macro F1 |",
                "|---:|---:|---:|---:|---|---|---|",
                *folds,
            ]
        ),
        f"## By label, %, seed {first['seed']}",
        "\n".join(["| label | recall | precision | F1 | clips |", "|---|---:|---:|---:|---:|", *labels]),
        "## How it was measured",
        "\n".join([*origin, f"- versions: {versions}"]),
        RESPONSIBLE_USE,
    ]
    return "\n\n".join(parts) + "\n"


def _shown(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f}"
