"""Maps drawn over frames, as the method's paper shows them: a row for each stream, a column for each frame."""

from pathlib import Path

import numpy as np

from modeling_clipcaer.common.palette import GREY, LESS, MORE
from modeling_clipcaer.explanations.explanation import Explanation


CELL = 0.9  # inches of a frame
COLOURS = "inferno"
STRENGTH = 0.7  # of a map over a frame, where it is highest


def draw_explanation(explanation: Explanation, path: Path) -> None:
    """Write a PNG: each stream's maps over its frames, and under them what each frame contributes.

    A map is stretched from its patches to the frame, and coloured from nothing to the highest share of its stream.
    Where no frames may be shown, the maps stand alone.
    """
    # Keep: Figure without pyplot. It needs no display and leaves no global state in the process.
    from matplotlib.figure import Figure

    streams = list(explanation.maps)
    columns = max(len(values) for values in explanation.maps.values())
    size = (CELL * columns + 1.1, (1.45 * CELL) * len(streams) + 0.4)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    ratios = [1, 0.4] * len(streams)
    axes = figure.subplots(len(ratios), columns, squeeze=False, gridspec_kw={"height_ratios": ratios})
    largest = max(float(values.abs().max()) for values in explanation.frames.values())
    for row, stream in enumerate(streams):
        heat, shares = explanation.maps[stream].numpy(), 100 * explanation.frames[stream].numpy()
        shown = explanation.sample.shown.get(stream)
        for column in range(columns):
            cell, bar = axes[2 * row, column], axes[2 * row + 1, column]
            _draw_map(cell, heat[column], float(heat.max()), None if shown is None else shown[column])
            if row == 0:
                cell.set_title(str(column + 1), fontsize=8, color=GREY)
            _draw_bar(bar, float(shares[column]), 100 * largest)
        axes[2 * row, 0].set_ylabel(stream, fontsize=9)
        axes[2 * row + 1, 0].set_ylabel("points", fontsize=7, color=GREY)
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw_map(axes, heat: np.ndarray, highest: float, frame: np.ndarray | None) -> None:
    extent = (0, 1, 1, 0)
    if frame is not None:
        axes.imshow(frame, extent=extent)
    axes.imshow(
        heat,
        cmap=COLOURS,
        vmin=0,
        vmax=highest or 1,
        # Keep: a frame is seen as it is where nothing is looked at.
        alpha=1 if frame is None else STRENGTH * heat / (highest or 1),
        extent=extent,
        interpolation="nearest" if frame is None else "bilinear",
    )
    axes.set(xticks=[], yticks=[])


def _draw_bar(axes, points: float, largest: float) -> None:
    """What a frame contributes, in points of probability, above or below a line."""
    axes.bar([0], [points], color=MORE if points >= 0 else LESS, width=0.6)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set(xlim=(-0.5, 0.5), ylim=(-1.05 * (largest or 1), 1.05 * (largest or 1)), xticks=[], yticks=[])
    axes.set_xlabel(f"{round(points, 1) + 0.0:+.1f}", fontsize=7, color=GREY, labelpad=1)
    for side in axes.spines.values():
        side.set_visible(False)
