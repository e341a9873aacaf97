"""What a stress test found: stress.json, stress.md, stress.csv and stress.png."""

import csv
from itertools import groupby
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.palette import ACCENT, GREY, GRID


PANELS_A_ROW = 5
MEANING = (
    "Each row is the same clips with one thing wrong. [low, high] is a 95 % interval, by person where persons are "
    "known; the change is that against the untouched clips, paired clip by clip, so that its interval is the narrower "
    "one. *Changed* is the share of clips that are answered otherwise. A removed stream is not black pixels: it is "
    "not built, as with `--streams`, and counts as 0 in the fusion."
)
UNITS = "percent; changes in points"


def is_within_noise(row: dict[str, Any]) -> bool:
    """Whether the interval of a row's change of UAR holds 0."""
    low, high = row["uar_change_ci95"]
    return low <= 0 <= high


def render_stress(report: dict[str, Any]) -> str:
    """`stress.json` as a page to read, in Markdown."""
    untouched, *rows = report["rows"]
    name, split = markdown_text(report["checkpoint"]), markdown_text(report["split"])
    lines = [
        "| what is wrong | strength | UAR | change of UAR | WAR | change of WAR | changed |",
        "|---|---:|---:|---:|---:|---:|---:|",
        f"| untouched | | {_show(untouched, 'uar')} | | {_show(untouched, 'war')} | | |",
    ]
    for title, group in groupby(rows, key=lambda row: row["corruption"]):
        for row in group:
            changes = [f"{_show(row, f'{figure}_change', sign='+')}" for figure in ("uar", "war")]
            noise = ", within noise" if is_within_noise(row) else ""
            lines.append(
                f"| {title}, {row['meaning']} | {row['strength']:g} | {_show(row, 'uar')} | {changes[0]}{noise} "
                f"| {_show(row, 'war')} | {changes[1]} | {row['answers_changed']:.1f} |"
            )
    persons = f" of {report['num_persons']} persons" if report["num_persons"] else ""
    origin = {
        field: report[field] for field in ("command", "checkpoint", "model_revision", "dataset", "split", "seed")
    }
    parts = [
        f"# {name} under stress: {split} split, {report['num_clips']} clips{persons}",
        MEANING,
        "\n".join(lines),
        "![UAR by strength](stress.png)",
        "## How it was measured",
        "\n".join(f"- {field}: {markdown_code(value)}" for field, value in origin.items())
        + f"\n- clips: {report['clips']['clips']}, SHA-256 `{report['clips']['sha256']}`\n- versions: "
        + ", ".join(f"{package} {number or 'not installed'}" for package, number in report["versions"].items()),
        RESPONSIBLE_USE,
    ]
    return "\n\n".join(parts) + "\n"


def _show(row: dict[str, Any], name: str, sign: str = "") -> str:
    low, high = row[f"{name}_ci95"]
    return f"{row[name]:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def draw_stress(rows: list[dict[str, Any]], path: Path) -> None:
    """UAR by strength, one small panel a corruption, each beginning at the untouched clips, with its interval."""
    from matplotlib.figure import Figure

    untouched, *others = rows
    groups = [(title, list(group)) for title, group in groupby(others, key=lambda row: row["corruption"])]
    height = -(-len(groups) // PANELS_A_ROW)
    figure = Figure(figsize=(2.6 * PANELS_A_ROW, 2.3 * height + 0.6), layout="constrained", dpi=150)
    grid = figure.subplots(height, PANELS_A_ROW, squeeze=False, sharey=True).ravel()
    for axes, (title, group) in zip(grid, groups, strict=False):
        points = [untouched, *group]
        places = range(len(points))
        low, high = zip(*(row["uar_ci95"] for row in points), strict=True)
        axes.axhline(untouched["uar"], color=GREY, linewidth=1, linestyle="--")
        axes.fill_between(places, low, high, color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(places, [row["uar"] for row in points], color=ACCENT, marker="o", markersize=3.5, linewidth=1.5)
        axes.set_xticks(places, ["–", *(f"{row['strength']:g}" for row in group)], fontsize=8)
        axes.set_xlabel(group[0]["meaning"], fontsize=7, color=GREY)
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
    for axes in grid[len(groups) :]:
        axes.set_visible(False)
    figure.supylabel("UAR, %", fontsize=10)
    figure.savefig(path)


def write_stress(report: dict[str, Any], output_dir: str | Path) -> None:
    """Write the four files into `output_dir`, stress.json last."""
    with staged_folder(output_dir, last="stress.json") as folder:
        with (folder / "stress.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            fields = list(report["rows"][-1])
            writer.writerow(safe_row([name for field in fields for name in _columns(field)]))
            for row in report["rows"]:
                cells = [row.get(field, ["", ""] if field.endswith("ci95") else "") for field in fields]
                flat = [value for cell in cells for value in (cell if isinstance(cell, list) else [cell])]
                writer.writerow(safe_row(flat))
        draw_stress(report["rows"], folder / "stress.png")
        (folder / "stress.md").write_text(render_stress(report), encoding="utf-8")
        write_json(report, folder / "stress.json")


def _columns(field: str) -> list[str]:
    return [f"{field}_low", f"{field}_high"] if field.endswith("ci95") else [field]
