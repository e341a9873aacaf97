"""Pictures of a report and of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from modeling_clipcaer.common.lettering import Lettering, cut_label
from modeling_clipcaer.common.palette import ACCENT, GREY, GRID, INK, RAMP, SLATE
from modeling_clipcaer.names import printable
from modeling_clipcaer.reports.reliability import read_reliability


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Losses with a panel of their own; the others are parts of the whole.
APART = {"loss_mi": "MI loss (logarithmic)", "loss_dc": "DC loss"}
LOGARITHMIC = ("MI loss (logarithmic)", "Learning rate")


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
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _tell_interval(report: dict[str, Any], name: str) -> str:
    low, high = report[f"{name}_ci95"]
    return f"{name.upper()} {report[name]:.1f} % [{low:.1f}, {high:.1f}]"


def _tell_clips(report: dict[str, Any]) -> str:
    drawn = "drawn " if (report.get("origin") or {}).get("is_drawn") else ""
    return f"{report['split'][:1].upper()}{report['split'][1:]} split, {report['num_clips']:,} {drawn}clips"


def draw_confusion_matrix(report: dict[str, Any], path: Path) -> None:
    """Clips per true label (rows) and predicted label, coloured and labelled by the share of the row."""
    lettering = Lettering(report["labels"])
    with _with_fonts(lettering):
        _draw_matrix(report, [cut_label(lettering[label]) for label in report["labels"]], path)


def _draw_matrix(report: dict[str, Any], labels: list[str], path: Path) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    matrix = np.array(report["confusion_matrix"])
    support = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(support, 1)
    longest = max(len(label) for label in labels)
    figure = _new_figure(1.05 * len(labels) + 0.1 * longest + 1.4, 0.85 * len(labels) + 2.2)
    axes = figure.subplots()
    axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("shares", RAMP), vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.5 else INK if count else GREY
        told = f"{count:,}" if support[row, 0] else "–"
        axes.text(column, row - 0.07 * bool(count), told, ha="center", fontsize=13, color=colour)
        if count:
            share = f"{100 * shares[row, column]:.1f} %"
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
    axes.set_xlabel("Predicted label", fontsize=12, labelpad=8)
    axes.set_ylabel("True label", fontsize=12, labelpad=8)
    title = f"{_tell_interval(report, 'uar')}   {_tell_interval(report, 'war')}\n{_tell_clips(report)}"
    _title(figure, title)
    figure.savefig(path)


def _title(figure: Figure, text: str) -> None:
    figure.suptitle("\n".join(map(printable, text.split("\n"))), fontsize=12, parse_math=False)


def draw_reliability(report: dict[str, Any], path: Path) -> None:
    """Accuracy against confidence: a dot for each bin, as large as it has clips, with its 95 % interval."""
    found = read_reliability(report)
    _, _, clips, confidence, accuracy, interval = map(np.array, zip(*found.bins, strict=True))
    figure = _new_figure(5.6, 6.1)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.vlines(confidence, *interval.T, color=INK, linewidth=1.2)
    axes.scatter(confidence, accuracy, 20 + 380 * clips / clips.max(), color=ACCENT, edgecolor="white", zorder=3)
    for x, number in zip(confidence, clips, strict=True):
        axes.text(x, 1.09, f"{number:,}", ha="center", va="center", fontsize=9, color=GREY)
    axes.text(0.03, 1.09, "clips", va="center", fontsize=9, color=GREY)
    axes.set(xlim=(0, 1.04), ylim=(0, 1.14), aspect="equal")
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks, [f"{100 * tick:.0f}" for tick in ticks])
    axes.set_yticks(ticks, [f"{100 * tick:.0f}" for tick in ticks])
    axes.set_xlabel("Confidence: highest probability of a clip, %", fontsize=11)
    axes.set_ylabel("Clips answered rightly, %", fontsize=11)
    _clean(axes)
    axes.set_title("Above the line it is right more often than it says", fontsize=9, color=GREY)
    _title(figure, f"{found.words}\n{_tell_clips(report)}")
    figure.savefig(path)


@dataclass(frozen=True)
class Curve:
    """A line of a panel: what it is called, and its points."""

    legend: str
    epochs: list[float]
    values: list[float]


def _curve(log_history: list[dict[str, Any]], key: str, legend: str) -> Curve:
    entries = [entry for entry in log_history if entry.get(key) is not None]
    return Curve(legend, [entry["epoch"] for entry in entries], [entry[key] for entry in entries])


def _keys(log_history: list[dict[str, Any]], prefix: str) -> list[str]:
    """The logged keys with a prefix."""
    # Keep: sorted. The log of a run that was resumed is, and its plot must be that of one that was not.
    return sorted({key for entry in log_history for key in entry if key.startswith(prefix)})


def _join_equal(curves: list[Curve]) -> list[Curve]:
    """Curves with points that are not all zero, those of the same points as one."""
    names: dict[tuple, list[str]] = {}
    for curve in curves:
        if any(curve.values):
            names.setdefault((tuple(curve.epochs), tuple(curve.values)), []).append(curve.legend)
    return [Curve(", ".join(legends), list(epochs), list(values)) for (epochs, values), legends in names.items()]


def _panels(log_history: list[dict[str, Any]]) -> dict[str, list[Curve]]:
    """Title of each small panel and its curves; none of a panel without any."""
    parts = [key for key in _keys(log_history, "loss_") if key not in APART]
    panels = {
        "Loss": [
            _curve(log_history, "loss", "training"),
            *(_curve(log_history, key, f"training, {_name_loss(key)} alone") for key in parts),
            _curve(log_history, "eval_loss", "validation"),
        ]
    }
    for key, title in APART.items():
        panels[title] = [_curve(log_history, key, "training"), _curve(log_history, f"eval_{key}", "validation")]
    groups = _keys(log_history, "lr/") or ["learning_rate"]
    panels["Learning rate"] = [_curve(log_history, key, _name_loss(key.removeprefix("lr/"))) for key in groups]
    joined = {title: _join_equal(curves) for title, curves in panels.items()}
    return {title: curves for title, curves in joined.items() if curves}


def _name_loss(key: str) -> str:
    return key.removeprefix("loss_").replace("_", " ")


def _mark_epoch(axes: Axes, epoch: float | None) -> None:
    if epoch is not None:
        axes.axvline(epoch, color=ACCENT, linewidth=1, linestyle=(0, (4, 3)), zorder=0)


def _draw_validation(axes: Axes, log_history: list[dict[str, Any]], selected: float | None) -> None:
    """Validation UAR with its 95 % interval, and WAR."""
    uar, low, high, war = (
        _curve(log_history, f"eval_{name}", legend)
        for name, legend in (("uar", "UAR"), ("uar_low", ""), ("uar_high", ""), ("war", "WAR"))
    )
    if low.values:
        axes.fill_between(low.epochs, low.values, high.values, color=ACCENT, alpha=0.15, linewidth=0)
    marker = "o" if len(uar.epochs) < 4 else None
    if war.values != uar.values:
        axes.plot(war.epochs, war.values, color=GREY, linewidth=1.4, linestyle="--", label="WAR", marker=marker)
    axes.plot(uar.epochs, uar.values, color=ACCENT, linewidth=2.4, marker=marker, label="UAR, with its 95 % interval")
    axes.set_title(f"Validation, %{_tell_selected(uar, selected)}", fontsize=13, loc="left")
    if selected in uar.epochs:
        value = uar.values[uar.epochs.index(selected)]
        axes.plot([selected], [value], "o", color=ACCENT, markersize=9)
    axes.set_ylim(max(axes.get_ylim()[0], 0), min(axes.get_ylim()[1], 101))
    axes.legend(frameon=False, fontsize=10, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)


def _tell_selected(uar: Curve, selected: float | None) -> str:
    if selected is None:
        return ""
    reached = f": UAR {uar.values[uar.epochs.index(selected)]:.1f}" if selected in uar.epochs else ""
    return f". The checkpoint is that of epoch {selected:g}{reached}"


def _draw_panel(axes: Axes, title: str, curves: list[Curve]) -> None:
    colours, lines = {"validation": ACCENT}, cycle(["-", ":", "--", "-."])
    for curve in curves:
        colour = colours.get(curve.legend, SLATE)
        line = "-" if curve.legend in colours else next(lines)
        marker = "o" if len(curve.epochs) < 4 else None
        axes.plot(
            curve.epochs, curve.values, color=colour, linestyle=line, linewidth=1.8, label=curve.legend, marker=marker
        )
    axes.set_title(title, fontsize=11, loc="left")
    if title in LOGARITHMIC:
        axes.set_yscale("log")
    legend = axes.legend(frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_text("\n".join(wrap(text.get_text(), 26)))


def draw_training_curves(log_history: list[dict[str, Any]], path: Path, selected: float | None = None) -> None:
    """Validation UAR and WAR by epoch, large; below them losses and learning rates. The epoch of the checkpoint,
    `selected`, is marked in all of them."""
    from matplotlib.ticker import MaxNLocator

    panels, has_validation = _panels(log_history), bool(_curve(log_history, "eval_uar", "").values)
    rows = [1.6] * has_validation + [1] * bool(panels)
    figure = _new_figure(12, 0.4 + 2.8 * sum(rows) if rows else 2)
    if not rows:
        figure.suptitle("No losses were logged")
    grid = figure.add_gridspec(max(len(rows), 1), max(len(panels), 1), height_ratios=rows or None)
    if has_validation:
        _draw_validation(figure.add_subplot(grid[0, :]), log_history, selected)
    for column, (title, curves) in enumerate(panels.items()):
        _draw_panel(figure.add_subplot(grid[-1, column]), title, curves)
    for axes in figure.get_axes():
        _clean(axes)
        _mark_epoch(axes, selected)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlabel("epoch", fontsize=10)
    figure.savefig(path)


def draw_differences(comparison: dict[str, Any], path: Path) -> None:
    """Differences of UAR and WAR with their intervals, a row for each pair of runs."""
    pairs = comparison["pairs"]
    names = [f"{pair['second']} less {pair['first']}" for pair in pairs]
    lettering = Lettering(names)
    with _with_fonts(lettering):
        figure = _new_figure(8, 1.9 + 0.8 * len(pairs))
        axes = figure.subplots()
        for shift, name, colour, mark in ((-0.14, "uar", ACCENT, "o"), (0.14, "war", SLATE, "s")):
            places = np.arange(len(pairs)) + shift
            values = np.array([pair[name]["difference"] for pair in pairs])
            low, high = np.array([pair[name]["ci95"] for pair in pairs]).T
            errors = np.abs([low - values, high - values])
            axes.errorbar(values, places, xerr=errors, fmt=mark, color=colour, capsize=3, label=name.upper())
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(pairs)), [lettering[name] for name in names], parse_math=False)
        axes.set(ylim=(len(pairs) - 0.5, -0.5), xlabel="Difference in points, 95 % interval")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        figure.savefig(path)
