"""The table of an ablation: for each cell its effect on the last epoch, with an interval, and what it rests on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.experiments.ablations import Cell, Table
from modeling_clipcaer.experiments.grids import FAILURE, Task, read_flags
from modeling_clipcaer.experiments.runs import MEASURES, RECORD, FinishedRun, choose_epochs, read_run
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.metrics import predict_labels
from modeling_clipcaer.metrics.effects import count_pairs_needed, mean_interval
from modeling_clipcaer.reports.predictions import read_predictions


POINT = 1.0  # of UAR, in percent: the effect that runs are counted for
METHOD = (
    "An effect is the mean difference to the default in UAR on the test clips after the last epoch, over pairs of "
    "runs with the same clips and seed; ± is half its 95 % interval, Student's t over the pairs. Pairs of one drawing "
    "(or fold) have their test clips in common: where its own mean effects differ much, the interval is too narrow. "
    "The last column says how many pairs of runs would be needed to see an effect of one point (two-sided, 5 %, power "
    "80 %)."
)
Key = tuple[str, int]  # what a pair has in common: the material's name and the seed


def measure_epochs(run: FinishedRun, folder: Path) -> dict[str, list[float]]:
    """Percent of every measure on the test clips, epoch by epoch; of a baseline those that it has, once."""
    if not run.logits:
        return {name: [value] for name, value in run.record["figures"].items()}
    references = read_predictions(folder).references
    answers = [predict_labels(logits) for logits in run.logits["test"]]
    num_labels = run.logits["test"].shape[-1]
    return {
        name: [100 * measure(references, predictions, num_labels) for predictions in answers]
        for name, measure in MEASURES.items()
    }


def summarise_table(table: Table, tasks: Sequence[Task], output_dir: Path) -> dict[str, Any]:
    """Every cell of a table with what its finished runs say."""
    by_cell: dict[str, list[Task]] = {cell.folder: [] for cell in table.cells}
    for task in tasks:
        if task.cell in by_cell:
            by_cell[task.cell].append(task)
    default: dict[Key, tuple[FinishedRun, dict[str, list[float]]]] = {}
    rows: list[dict[str, Any]] = []
    gains: dict[str, list[float]] = {name: [] for name in ("best validation UAR", "least validation loss")}
    for cell in table.cells:
        found, errors = {}, []
        for task in by_cell[cell.folder]:
            folder, key = task.find_folder(output_dir), (task.material.name, task.seed)
            if (folder / RECORD).is_file():
                run = read_run(folder)
                found[key] = run, measure_epochs(run, folder)
                chosen = choose_epochs(run) if run.logits else {}
                for name, values in gains.items() if chosen else ():
                    uar = found[key][1]["uar"]
                    values.append(uar[chosen[name]] - uar[chosen["last"]])
            elif (folder / FAILURE).is_file():
                errors.append(read_object(folder / FAILURE)["error"])
        if cell is table.cells[0]:
            default = found
        rows.append(_summarise_cell(cell, found, default, errors, len(by_cell[cell.folder])))
    return {
        "table": table.name,
        "about": table.about,
        "imbalance": table.imbalance,
        "cells": rows,
        "selection": {name: _summarise_differences(values) for name, values in gains.items() if values},
    }


def _summarise_cell(
    cell: Cell, found: Mapping, default: Mapping, errors: Sequence[str], wanted: int
) -> dict[str, Any]:
    pairs = [key for key in found if key in default]
    differences = {key: found[key][1]["uar"][-1] - default[key][1]["uar"][-1] for key in pairs}
    same = bool(pairs) and all(
        np.array_equal(found[key][0].logits.get("test", ()), default[key][0].logits["test"]) for key in pairs
    )
    runs = [
        {"clips": name, "seed": seed, **{measure: _rounded(values[-1]) for measure, values in figures.items()}}
        | {"seconds": run.record["seconds"]}
        for (name, seed), (run, figures) in found.items()
    ]
    row: dict[str, Any] = {
        "name": cell.name,
        "changes": dict(cell.changes),
        "runs_wanted": wanted,
        "runs": runs,
        "errors": sorted(set(errors)),
        "unused_flags": {
            name: reason
            for name, reason in read_flags(cell.words).unused.items()
            if name in {change.replace("-", "_") for change in cell.changes}
        },
    }
    for measure in MEASURES if runs else ():
        values = [run[measure] for run in runs if measure in run]
        if not values:  # a baseline has no macro F1
            continue
        row[measure] = {"mean": _rounded(np.mean(values)), "deviation": _rounded(np.std(values, ddof=1), len(values))}
    if found is not default and pairs:
        names = list(dict.fromkeys(name for name, _ in pairs))
        row["effect"] = _summarise_differences(list(differences.values())) | {
            "by_clips": {
                name: _rounded(np.mean([value for key, value in differences.items() if key[0] == name]))
                for name in names
            },
            "same_logits": same,
        }
    return row


def _summarise_differences(differences: Sequence[float]) -> dict[str, Any]:
    mean, margin = mean_interval(differences)
    return {
        "uar": _rounded(mean),
        "margin": _rounded(margin, len(differences)),
        "pairs": len(differences),
        "pairs_to_see_a_point": count_pairs_needed(differences, POINT),
    }


def _rounded(value: Any, count: int = 2) -> float | None:
    return round(float(value), 6) if count > 1 else None


def judge(row: Mapping[str, Any]) -> str:
    """What an effect comes to, in words."""
    effect = row.get("effect")
    if effect is None:
        return ""
    if effect["same_logits"]:
        return "no effect: the default's logits, bit for bit"
    if effect["margin"] is None:
        return "one pair: not to be told"
    if abs(effect["uar"]) <= effect["margin"]:
        return "within noise"
    return "better" if effect["uar"] > 0 else "worse"


def render_table(summary: Mapping[str, Any]) -> str:
    """A table as Markdown."""
    lines = [f"## {markdown_text(summary['table'])}"]
    if summary["about"]:
        lines.append(markdown_text(summary["about"]))
    head = [
        "| changed | UAR | effect | by drawing or fold | comes to | pairs | pairs to see 1 point |",
        "|---|---:|---:|---|---|---:|---:|",
    ]
    lines.append("\n".join([*head, *map(_render_row, summary["cells"])]))
    selection = summary["selection"]
    if selection:
        told = "; ".join(
            f"{name} {_signed(found['uar'])}{_margin(found['margin'])}" for name, found in selection.items()
        )
        pairs = next(iter(selection.values()))["pairs"]
        lines.append(f"Test UAR of a selected epoch less that of the last one, over {pairs} runs: {told}.")
    lines.append(f"![effects]({summary['table']}.png)")
    return "\n\n".join(lines)


def _render_row(row: Mapping[str, Any]) -> str:
    name, effect = markdown_text(row["name"]), row.get("effect")
    uar = f"{row['uar']['mean']:.1f}{_margin(row['uar']['deviation'])}" if "uar" in row else "–"
    notes = [judge(row), *(f"failed: {markdown_text(error)}" for error in row["errors"])]
    if not row["runs"] and not row["errors"]:
        notes.append("not yet measured")
    if row["unused_flags"]:
        notes.append("without an effect: " + ", ".join(f"`{flag}`" for flag in row["unused_flags"]))
    note = "; ".join(filter(None, notes))
    if effect is None:
        return f"| {name} | {uar} | | | {note} | {len(row['runs'])} | |"
    by_clips = ", ".join(_signed(value) for value in effect["by_clips"].values())
    shown = f"{_signed(effect['uar'])}{_margin(effect['margin'])}"
    return f"| {name} | {uar} | {shown} | {by_clips} | {note} | {effect['pairs']} | {effect['pairs_to_see_a_point']} |"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _margin(value: float | None) -> str:
    return "" if value is None else f" ± {value:.1f}"


def render_ablation(report: Mapping[str, Any]) -> str:
    """`ablation.json` as a page to read, in Markdown."""
    parts = ["# Ablation", METHOD, *map(render_table, report["tables"]), "## How it was measured"]
    origin = [f"- {name}: {markdown_code(report[name])}" for name in ("command", "recipe", "seeds", "clips")]
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in report["versions"].items())
    return "\n\n".join([*parts, "\n".join([*origin, f"- versions: {versions}"]), RESPONSIBLE_USE]) + "\n"


def draw_effects(summary: Mapping[str, Any], path: Path) -> None:
    """The effects of a table with their intervals, one above the other."""
    from matplotlib.figure import Figure

    from modeling_clipcaer.common.lettering import Lettering
    from modeling_clipcaer.common.palette import BLUE, GREY, ORANGE

    rows = [row for row in summary["cells"] if "effect" in row][::-1]
    lettering = Lettering([row["name"] for row in rows], word="cell")
    # Keep: Figure without pyplot, which needs a display and leaves state behind.
    figure = Figure(figsize=(8, 1.6 + 0.32 * max(len(rows), 1)), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=1)
    for place, row in enumerate(rows):
        effect, margin = row["effect"]["uar"], row["effect"]["margin"] or 0
        colour = GREY if abs(effect) <= margin or row["effect"]["same_logits"] else BLUE if effect > 0 else ORANGE
        axes.errorbar(effect, place, xerr=margin, fmt="o", color=colour, capsize=3, markersize=5)
        points = list(row["effect"]["by_clips"].values())
        axes.plot(points, [place] * len(points), "|", color=colour, markersize=9, alpha=0.6)
    axes.set_yticks(range(len(rows)), [lettering[row["name"]] for row in rows], parse_math=False)
    axes.set_xlabel("difference to the default in UAR, points; 95 % interval; strokes: each drawing or fold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.savefig(path)
