"""The page of plots of an audit: numbers only. matplotlib is imported where the figure begins, not on import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # told apart by colour-blind readers
GREY = "#767676"
MAX_BINS = 40


def draw_audit(audit: Mapping[str, Any], path: Path) -> None:
    """Labels, lengths, how many clips and frames have boxes, and how large those are, each by split."""
    # Keep: Figure without pyplot. It needs no display and leaves no global state in a process that builds or trains.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), layout="constrained", dpi=120)
    (labels, lengths), (coverage, sides) = figure.subplots(2, 2)
    splits = audit["splits"]
    _draw_labels(labels, splits)
    _draw_lengths(lengths, splits)
    _draw_coverage(coverage, splits)
    _draw_sides(sides, splits)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
    clips = sum(split["num_clips"] for split in splits.values())
    found = ", ".join(f"{count} {name}" for name, count in audit["severities"].items())
    name = audit["split"].get("name", audit["split"]["protocol"])
    title = f"{clips:,} clips, split: {name}. Findings: {found}"
    figure.suptitle(printable(title), fontsize=13, parse_math=False)
    # Keep: the name that is written has no suffix of an image yet.
    figure.savefig(path, format="png")


def _draw_bars(axes: Axes, names: list[str], heights: Mapping[str, list[float]], text: str) -> None:
    """A group of bars for each of `names`, one bar for each entry of `heights`."""
    width = 0.8 / max(len(heights), 1)
    for number, (legend, values) in enumerate(heights.items()):
        places = np.arange(len(names)) + (number - (len(heights) - 1) / 2) * width
        bars = axes.bar(places, values, width * 0.92, color=COLOURS[number % len(COLOURS)], label=legend)
        axes.bar_label(bars, fmt=text, fontsize=8, color=GREY, padding=1)
    is_long = sum(map(len, names)) > 80
    slanted: dict[str, Any] = {"rotation": 25, "rotation_mode": "anchor", "ha": "right"} if is_long else {}
    axes.set_xticks(range(len(names)), list(map(printable, names)), fontsize=9, parse_math=False, **slanted)


def _draw_labels(axes: Axes, splits: Mapping[str, Any]) -> None:
    names = list(dict.fromkeys(name for split in splits.values() for name in split["labels"]))
    heights = {name: [split["labels"].get(label, 0) for label in names] for name, split in splits.items()}
    _draw_bars(axes, names, heights, "%d")
    axes.legend(frameon=False, fontsize=9)
    axes.set_title("Clips by label", fontsize=12, loc="left")


def _draw_lengths(axes: Axes, splits: Mapping[str, Any]) -> None:
    histograms = {
        name: {int(length): count for length, count in split["frames_per_clip"]["histogram"].items()}
        for name, split in splits.items()
    }
    longest = max((length for histogram in histograms.values() for length in histogram), default=0)
    # Whole frames to a bin, so that no bin is fuller than its neighbour by having one length more.
    width = -(-(longest + 1) // MAX_BINS)
    edges = np.arange(0, longest + 1 + width, width) - 0.5
    for colour, (name, histogram) in zip(COLOURS, histograms.items(), strict=False):
        counts = np.histogram(list(histogram), edges, weights=list(histogram.values()))[0]
        axes.stairs(counts, edges, color=colour, linewidth=1.8, label=name)
    axes.set_title("Clips by length", fontsize=12, loc="left")
    axes.set_xlabel("frames")
    axes.legend(frameon=False, fontsize=9)


def _draw_coverage(axes: Axes, splits: Mapping[str, Any]) -> None:
    names = [f"{kind} box,\n{unit}s" for kind in ("face", "body") for unit in ("clip", "frame")]
    heights = {
        name: [
            100 * split[f"{kind}_boxes"][f"{unit}_share"] for kind in ("face", "body") for unit in ("clip", "frame")
        ]
        for name, split in splits.items()
    }
    _draw_bars(axes, names, heights, "%.1f")
    axes.set_ylim(0, 108)
    axes.set_title("With a box of their own, %", fontsize=12, loc="left")


def _draw_sides(axes: Axes, splits: Mapping[str, Any]) -> None:
    for colour, kind in zip(COLOURS, ("face", "body"), strict=False):
        counts = np.sum([split[f"{kind}_boxes"]["side_histogram"] for split in splits.values()], axis=0)
        edges = np.linspace(0, 100, len(counts) + 1)
        axes.stairs(100 * counts / max(counts.sum(), 1), edges, color=colour, linewidth=1.8, label=kind)
    axes.set_title("Boxes by size, %", fontsize=12, loc="left")
    axes.set_xlabel("side of a box as a share of its frame's (square roots of the areas), %")
    axes.legend(frameon=False, fontsize=9)
