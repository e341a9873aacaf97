"""The table of an ablation: for each cell its effect on the last epoch, with an interval, and what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from modeling_clipcaer.names import printable
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
    found = {
        cell.folder: _read_cell([task for task in tasks if task.cell == cell.folder], output_dir)
        for cell in table.cells
    }
    default = found[table.cells[0].folder]
    rows = [_summarise_cell(cell, found[cell.folder], default) for cell in table.cells]
    runs = [finished for cell in found.values() for finished in cell.finished.values() if finished.run.logits]
    return {
        "table": table.name,
        "about": table.about,
        "imbalance": table.imbalance,
        "cells": rows,
        "selection": _summarise_selection(runs) if runs else {},
    }


@dataclass
class _Measured:
    """A finished run, and percent of every measure on its test clips, epoch by epoch."""

    run: FinishedRun
    figures: Mapping[str, list[float]]


@dataclass
class _MeasuredCell:
    """The finished runs of a cell, what was wrong with others, and how many there are to be."""

    finished: dict[Key, _Measured]
    errors: list[str]
    wanted: int


def _read_cell(tasks: Sequence[Task], output_dir: Path) -> _MeasuredCell:
    cell = _MeasuredCell({}, [], len(tasks))
    for task in tasks:
        folder = task.find_folder(output_dir)
        if (folder / RECORD).is_file():
            run = read_run(folder)
            cell.finished[task.material.name, task.seed] = _Measured(run, measure_epochs(run, folder))
        elif (folder / FAILURE).is_file():
            cell.errors.append(read_object(folder / FAILURE)["error"])
    return cell


def _summarise_selection(runs: Sequence[_Measured]) -> dict[str, Any]:
    """UAR on the test clips of each way to choose an epoch, less that of the last one."""
    chosen = [choose_epochs(measured.run) for measured in runs]
    uars = [
        {name: measured.figures["uar"][epoch] for name, epoch in epochs.items()}
        for measured, epochs in zip(runs, chosen, strict=True)
    ]
    return {
        name: _summarise_differences([uar[name] - uar["last"] for uar in uars]) for name in chosen[0] if name != "last"
    }


def _summarise_cell(cell: Cell, found: _MeasuredCell, default: _MeasuredCell) -> dict[str, Any]:
    changed = {change.replace("-", "_") for change in cell.changes}
    runs = [
        {"clips": name, "seed": seed, "seconds": measured.run.record["seconds"]}
        | {measure: _rounded(values[-1]) for measure, values in measured.figures.items()}
        for (name, seed), measured in found.finished.items()
    ]
    row: dict[str, Any] = {
        "name": cell.name,
        "changes": dict(cell.changes),
        "runs_wanted": found.wanted,
        "runs": runs,
        "errors": sorted(set(found.errors)),
        "unused_flags": {name: why for name, why in read_flags(cell.words).unused.items() if name in changed},
    }
    for measure in MEASURES:
        values = [run[measure] for run in runs if measure in run]  # a baseline has no macro F1
        if values:
            deviation = _rounded(np.std(values, ddof=1)) if len(values) > 1 else None
            row[measure] = {"mean": _rounded(np.mean(values)), "deviation": deviation}
    pairs = [key for key in found.finished if key in default.finished]
    if found is not default and pairs:
        row["effect"] = _summarise_effect({key: (found.finished[key], default.finished[key]) for key in pairs})
    return row


def _summarise_effect(pairs: Mapping[Key, tuple[_Measured, _Measured]]) -> dict[str, Any]:
    """Difference of the first of each pair to the second, the default."""
    differences = {
        key: changed.figures["uar"][-1] - plain.figures["uar"][-1] for key, (changed, plain) in pairs.items()
    }
    by_clips: dict[str, list[float]] = {}
    for (name, _), difference in differences.items():
        by_clips.setdefault(name, []).append(difference)
    logits = [
        (changed.run.logits.get("test", np.empty(0)), plain.run.logits["test"]) for changed, plain in pairs.values()
    ]
    return _summarise_differences(list(differences.values())) | {
        "by_clips": {name: _rounded(np.mean(values)) for name, values in by_clips.items()},
        "same_logits": all(np.array_equal(changed, plain) for changed, plain in logits),
    }


def _summarise_differences(differences: Sequence[float]) -> dict[str, Any]:
    mean, margin = mean_interval(differences)
    return {
        "uar": _rounded(mean),
        "margin": _rounded(margin) if len(differences) > 1 else None,
        "pairs": len(differences),
        "pairs_to_see_a_point": count_pairs_needed(differences, POINT),
    }


def _rounded(value: Any) -> float:
    return round(float(value), 6)


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
    origin = [f"- command: {markdown_code(report['command'])}", f"- seeds: {', '.join(map(str, report['seeds']))}"]
    for name, splits in report["clips"].items():
        counted = ", ".join(f"{split} {found['clips']} ({found['sha256'][:12]})" for split, found in splits.items())
        origin.append(f"- clips of {markdown_code(name)}: {counted}")
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in report["versions"].items())
    # Indented, since no line of a recipe can end such a block.
    recipe = "\n".join(f"    {printable(line)}" for line in report["recipe"].splitlines())
    parts += ["\n".join([*origin, f"- versions: {versions}"]), "The recipe:", recipe, RESPONSIBLE_USE]
    return "\n\n".join(parts) + "\n"


def draw_effects(summary: Mapping[str, Any], path: Path) -> None:
    """The effects of a table with their 95 % intervals, one above the other, and a stroke for each drawing or fold."""
    from matplotlib.figure import Figure

    from modeling_clipcaer.common.lettering import Lettering
    from modeling_clipcaer.common.palette import GREY, GRID, LESS, MORE

    rows = [row for row in summary["cells"] if "effect" in row][::-1]
    lettering = Lettering([row["name"] for row in rows], word="cell")
    # Keep: Figure without pyplot, which needs a display and leaves state behind.
    figure = Figure(figsize=(8, 1.6 + 0.32 * max(len(rows), 1)), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=1)
    for place, row in enumerate(rows):
        effect, margin = row["effect"]["uar"], row["effect"]["margin"] or 0
        colour = GREY if abs(effect) <= margin or row["effect"]["same_logits"] else MORE if effect > 0 else LESS
        axes.errorbar(effect, place, xerr=margin, fmt="o", color=colour, capsize=3, markersize=5)
        points = list(row["effect"]["by_clips"].values())
        axes.plot(points, [place] * len(points), "|", color=colour, markersize=9, alpha=0.6)
    axes.set_yticks(range(len(rows)), [lettering[row["name"]] for row in rows], parse_math=False)
    axes.set_xlabel("difference to the default in UAR, points")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    figure.savefig(path)
