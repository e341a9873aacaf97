"""The page of an audit: its findings in words, and plots of numbers. matplotlib is imported where the figure begins,
not on import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from modeling_clipcaer.common.lettering import cut_label
from modeling_clipcaer.common.palette import GREY, GRID, INK, SEVERITIES, SPLITS
from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BINS = 40
MAX_FINDINGS = 8  # said on the page; audit.json has all
LINE, LINE_LENGTH = 0.2, 150  # inches of a line of text, and its characters
HEAD, PLOTS = 0.55, 7.2  # inches of the title, and of the plots


def draw_audit(audit: Mapping[str, Any], path: Path) -> None:
    """What was found, and by split labels, persons, lengths of clips and sizes of boxes."""
    # Keep: Figure without pyplot. It needs no display and leaves no global state in a process that builds or trains.
    from matplotlib.figure import Figure

    lines = list_lines(audit)
    height = HEAD + LINE * (len(lines) + 1)
    figure = Figure(figsize=(12, height + PLOTS), dpi=120)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, PLOTS / (height + PLOTS)))
    _write_lines(figure, height + PLOTS, _tell_title(audit), lines)
    (labels, persons), (lengths, sides) = figure.subplots(2, 2)
    splits = audit["splits"]
    _draw_bars(labels, splits, "labels", "Clips by label")
    _draw_bars(persons, splits, "persons_by_label", "Persons by label")
    _draw_lengths(lengths, splits)
    _draw_sides(sides, splits)
    for axes in figure.get_axes():
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    # Keep: the name that is written has no suffix of an image yet.
    figure.savefig(path, format="png")


def _tell_title(audit: Mapping[str, Any]) -> str:
    clips = sum(split["num_clips"] for split in audit["splits"].values())
    return f"{clips:,} clips, split: {audit['split'].get('name', audit['split']['protocol'])}"


def list_lines(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page says in words: the severity of each finding, worst first, and the finding; then of the clips and
    frames how many have no box of their own."""
    findings = []
    for found in audit["findings"]:
        message = found["message"].partition("; first: ")[0]  # the rest is a path
        findings.append((found["severity"], f"{found['split']}: {message}" if found["split"] else message))
    more = len(findings) - MAX_FINDINGS
    lines = findings[:MAX_FINDINGS] + ([("", f"and {more} more findings, see audit.json")] if more > 0 else [])
    return [*(lines or [("", "nothing was found that is wrong")]), ("boxes", _tell_missing(audit["splits"]))]


def _tell_missing(splits: Mapping[str, Any]) -> str:
    """How many frames have no box of their own."""

    def tell(kind: str) -> str:
        shares = {name: 1 - split[f"{kind}_boxes"]["frame_share"] for name, split in splits.items()}
        if not any(shares.values()):
            return f"every frame has a {kind} box of its own"
        told = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
        return f"frames without a {kind} box of their own: {told}"

    return f"{tell('face')}; {tell('body')}"


def _write_lines(figure: Figure, height: float, title: str, lines: list[tuple[str, str]]) -> None:
    figure.text(0.012, 1 - 0.3 / height, printable(title), fontsize=14, color=INK, va="center", parse_math=False)
    for number, (severity, text) in enumerate(lines):
        y = 1 - (HEAD + LINE * (number + 0.5)) / height
        colour = SEVERITIES.get(severity, GREY)
        figure.text(0.012, y, severity, fontsize=10, color=colour, va="center", weight="bold")
        shown = shorten(printable(text), LINE_LENGTH, placeholder=" …")
        figure.text(0.08, y, shown, fontsize=10, color=INK, va="center", parse_math=False)


def _draw_bars(axes: Axes, splits: Mapping[str, Any], key: str, title: str) -> None:
    """A group of bars for each label, a bar for each split."""
    names = list(dict.fromkeys(name for split in splits.values() for name in split[key]))
    width = 0.8 / max(len(splits), 1)
    for number, (split, counts) in enumerate(splits.items()):
        places = np.arange(len(names)) + (number - (len(splits) - 1) / 2) * width
        heights = [counts[key].get(name, 0) for name in names]
        bars = axes.bar(places, heights, width * 0.92, color=_colour(number), label=split)
        axes.bar_label(bars, fmt="%d", fontsize=8, color=GREY, padding=1)
    shown = [cut_label(printable(name)) for name in names]
    is_long = sum(map(len, shown)) > 80
    slanted: dict[str, Any] = {"rotation": 25, "rotation_mode": "anchor", "ha": "right"} if is_long else {}
    axes.set_xticks(range(len(names)), shown, fontsize=9, parse_math=False, **slanted)
    _add_title(axes, title)


def _colour(number: int) -> str:
    return SPLITS[number % len(SPLITS)]


def _draw_lengths(axes: Axes, splits: Mapping[str, Any]) -> None:
    histograms = {
        name: {int(length): count for length, count in split["frames_per_clip"]["histogram"].items()}
        for name, split in splits.items()
    }
    lengths = [length for histogram in histograms.values() for length in histogram] or [0]
    # Whole frames to a bin, so that no bin is fuller than its neighbour by having one length more.
    width = -(-(max(lengths) - min(lengths) + 1) // MAX_BINS)
    edges = np.arange(min(lengths), max(lengths) + 1 + width, width) - 0.5
    for number, (name, histogram) in enumerate(histograms.items()):
        counts = np.histogram(list(histogram), edges, weights=list(histogram.values()))[0]
        axes.stairs(counts, edges, color=_colour(number), linewidth=2, label=name)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("frames")
    _add_title(axes, "Clips by length")


def _draw_sides(axes: Axes, splits: Mapping[str, Any]) -> None:
    for kind, line in (("face", "-"), ("body", "--")):
        counts = np.sum([split[f"{kind}_boxes"]["side_histogram"] for split in splits.values()], axis=0)
        edges = np.linspace(0, 100, len(counts) + 1)
        shares = 100 * counts / max(counts.sum(), 1)
        axes.stairs(shares, edges, color=INK, linestyle=line, linewidth=1.8, label=kind)
    axes.set_xlabel("side of a box as a share of its frame's (square roots of the areas), %")
    _add_title(axes, "Boxes by size, % of the boxes")


def _add_title(axes: Axes, title: str) -> None:
    """The title, and beside it what the lines and bars are."""
    axes.set_title(title, fontsize=12, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderpad=0)
