"""Pictures of a report and of a training run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modeling_clipcaer.common.lettering import Lettering
from modeling_clipcaer.common.palette import BLUE, COLOURS, GREY, ORANGE
from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _with_fonts(lettering: Lettering):
    """A context in which figures take each character from the first font that has it."""
    import matplotlib

    return matplotlib.rc_context({"font.family": lettering.families})


def _new_figure(width: float, height: float) -> Figure:
    # Keep: Figure without pyplot. It needs no display and leaves no global state in a process that trains.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def draw_confusion_matrix(report: dict[str, Any], path: Path) -> None:
    """Clips per reference (rows) and prediction, coloured and labelled by the share of the row."""
    lettering = Lettering(report["labels"])
    with _with_fonts(lettering):
        _draw_matrix(report, [lettering[label] for label in report["labels"]], path)


def _draw_matrix(report: dict[str, Any], labels: list[str], path: Path) -> None:
    matrix = np.array(report["confusion_matrix"])
    support = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(support, 1)
    longest = max(len(label) for label in labels)
    figure = _new_figure(1.05 * len(labels) + 0.1 * longest + 1.4, 0.85 * len(labels) + 1.9)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.65 else "black" if count else GREY
        share = f"{100 * shares[row, column]:.1f} %" if support[row, 0] else ""
        axes.text(column, row - 0.07, f"{count:,}" if share else "–", ha="center", fontsize=13, color=colour)
        axes.text(column, row + 0.24, share, ha="center", fontsize=9, color=colour)
    clips = [f"{label}\n{count:,} clips" for label, count in zip(labels, support[:, 0], strict=True)]
    slanted: dict[str, Any] = {"rotation": 30, "rotation_mode": "anchor", "ha": "right"} if longest > 12 else {}
    axes.set_xticks(range(len(labels)), labels, fontsize=11, parse_math=False, **slanted)
    axes.set_yticks(range(len(labels)), clips, fontsize=11, parse_math=False)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Prediction", fontsize=11, color=GREY)
    axes.set_ylabel("Reference", fontsize=11, color=GREY)
    title = (
        f"UAR {report['uar']:.1f} %, WAR {report['war']:.1f} % on {report['num_clips']:,} clips ({report['split']})"
    )
    figure.suptitle(printable(title), fontsize=13, parse_math=False)
    figure.savefig(path)


def draw_reliability(report: dict[str, Any], path: Path) -> None:
    """Accuracy against confidence, bin by bin, above the share of clips in each bin."""
    bins = report["reliability"]
    count = np.array(bins["count"])
    width = 1 / len(count)
    centres = (np.arange(len(count)) + 0.5) * width
    filled = np.flatnonzero(count)
    confidence, accuracy = (np.array([bins[name][index] for index in filled]) for name in ("confidence", "accuracy"))
    figure = _new_figure(5.2, 5.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    upper.bar(centres[filled], accuracy, 0.9 * width, color=BLUE, label="accuracy")
    upper.plot(confidence, confidence, "_", color=ORANGE, markersize=14, markeredgewidth=2.5, label="mean confidence")
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="Accuracy")
    upper.set_title(f"Calibration error (ECE) {100 * report['ece']:.1f} %", fontsize=14, loc="left", pad=12)
    upper.legend(frameon=False, loc="upper left")
    lower.bar(centres, 100 * count / count.sum(), 0.9 * width, color=GREY)
    lower.set(xlabel="Confidence (highest probability of a clip)", ylabel="Clips (%)")
    for axes in (upper, lower):
        _clean(axes)
    figure.savefig(path)


Curve = tuple[str, list[float], list[float]]  # legend, epochs, values


def _curve(log_history: list[dict[str, Any]], key: str, legend: str) -> Curve:
    entries = [entry for entry in log_history if entry.get(key) is not None]
    return legend, [entry["epoch"] for entry in entries], [entry[key] for entry in entries]


def _keys(log_history: list[dict[str, Any]], prefixes: tuple[str, ...]) -> Iterable[str]:
    """The logged keys with one of `prefixes`, in the order of their first entry."""
    return dict.fromkeys(key for entry in log_history for key in entry if key.startswith(prefixes))


def _panels(log_history: list[dict[str, Any]]) -> dict[str, list[Curve]]:
    """Title of each panel and its curves. Left out: curves without entries or of zeros only, panels without curves."""
    panels = {}
    for key in ("loss", *_keys(log_history, ("loss_",))):
        panels[key] = [_curve(log_history, key, "training"), _curve(log_history, f"eval_{key}", "validation")]
    panels["validation, %"] = [_curve(log_history, f"eval_{name}", name.upper()) for name in ("uar", "war")]
    groups = list(_keys(log_history, ("lr/",))) or ["learning_rate"]
    panels["learning rate"] = [_curve(log_history, key, key.removeprefix("lr/")) for key in groups]
    panels = {title: [curve for curve in curves if any(curve[2])] for title, curves in panels.items()}
    return {title: curves for title, curves in panels.items() if curves}


def _draw_panel(axes: Axes, title: str, curves: list[Curve]) -> None:
    for (legend, epochs, values), colour in zip(curves, COLOURS, strict=False):
        axes.plot(epochs, values, color=colour, linewidth=1.8, label=legend, marker="o" if len(epochs) < 4 else None)
    axes.set_title(title, fontsize=12, loc="left")
    _clean(axes)
    if title == "learning rate":
        axes.set_yscale("log")
    if title.startswith("validation"):
        _, epochs, values = curves[0]
        best = int(np.argmax(values))
        axes.plot(epochs[best], values[best], "o", color=BLUE, markersize=7)
        axes.set_title(f"{title}: best UAR {values[best]:.1f}, epoch {epochs[best]:g}", fontsize=12, loc="left")
    axes.legend(frameon=False, fontsize=9)


def draw_training_curves(log_history: list[dict[str, Any]], path: Path) -> None:
    """Losses by name, validation figures and learning rates by epoch, one small panel each."""
    panels = _panels(log_history)
    columns = min(3, max(len(panels), 1))
    rows = max(-(-len(panels) // columns), 1)
    figure = _new_figure(4.2 * columns, 2.9 * rows)
    if not panels:
        figure.suptitle("No losses were logged")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, (title, curves) in zip(grid, panels.items(), strict=False):
        _draw_panel(axes, title, curves)
        axes.tick_params(labelbottom=True)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch", fontsize=11)
    figure.savefig(path)


def draw_differences(comparison: dict[str, Any], path: Path) -> None:
    """Differences of UAR and WAR with their intervals, a row for each pair of runs."""
    pairs = comparison["pairs"]
    names = [f"{pair['second']} less {pair['first']}" for pair in pairs]
    lettering = Lettering(names)
    with _with_fonts(lettering):
        figure = _new_figure(8, 1.9 + 0.8 * len(pairs))
        axes = figure.subplots()
        for shift, name, colour, mark in ((-0.14, "uar", BLUE, "o"), (0.14, "war", ORANGE, "s")):
            places = np.arange(len(pairs)) + shift
            values = np.array([pair[name]["difference"] for pair in pairs])
            low, high = np.array([pair[name]["ci95"] for pair in pairs]).T
            errors = np.abs([low - values, high - values])
            axes.errorbar(values, places, xerr=errors, fmt=mark, color=colour, capsize=3, label=name.upper())
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(pairs)), [lettering[name] for name in names], parse_math=False)
        axes.set(ylim=(len(pairs) - 0.5, -0.5), xlabel="Difference in points, 95 % interval")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        figure.savefig(path)
