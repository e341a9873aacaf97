"""The colours of plots and timelines."""

from collections.abc import Sequence


BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"  # told apart by colour-blind readers and in grey print


COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def channels(colour: str) -> list[int]:
    """Red, green and blue of `#RRGGBB`, each from 0 to 255."""
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def colour_labels(labels: Sequence[str]) -> dict[str, str]:
    """A colour (`#RRGGBB`) for each label, told apart by colour-blind readers.

    There are six such colours; further labels take them paler, then darker, then from the start again.
    """
    shades = [("#FFFFFF", 0.0), ("#FFFFFF", 0.55), ("#000000", 0.5)]
    palette = [_mix(colour, other, share) for other, share in shades for colour in COLOURS]
    return {label: palette[index % len(palette)] for index, label in enumerate(labels)}


def _mix(colour: str, other: str, share: float) -> str:
    mixed = (round((1 - share) * a + share * b) for a, b in zip(channels(colour), channels(other), strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


# Of plots. None is a label's: what is measured, text and lines around it, and what stands back.
ACCENT, INK, SLATE, GRID = "#6A3D9A", "#1F2933", "#616E7C", "#E4E7EB"
MORE, LESS = ACCENT, "#B35C00"  # of differences
RAMP = ("#FFFFFF", "#D9CCE6", "#A583C4", "#6A3D9A", "#3D1F63")  # from none to all
SPLITS = ("#8A96A3", "#52606D", "#1F2933")  # training, validation, test: told apart in grey
SEVERITIES = {"error": "#B3261E", "warning": "#8A5A00", "info": "#52606D"}
