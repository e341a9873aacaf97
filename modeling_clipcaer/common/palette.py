"""The colours of plots and timelines."""

from collections.abc import Sequence


BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"  # told apart by colour-blind readers and in grey print
# Of labels: any two are told apart by normal sight and without red, green or blue cones, as the tests measure. The
# neutral label, mostly the commonest, takes the quiet one.
COLOURS = ("#00966C", "#D55E00", "#6F4E9B", "#E6A117", "#62BDF0", "#8C2D5B", "#F2D7E0")
NEUTRAL_COLOUR = "#9AA5B1"


def channels(colour: str) -> list[int]:
    """Red, green and blue of `#RRGGBB`, each from 0 to 255."""
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def is_neutral(label: str) -> bool:
    """Whether a label says that nothing is to be seen: "Neutrality", "neutral"."""
    return label.casefold().startswith("neutral")


def colour_labels(labels: Sequence[str]) -> dict[str, str]:
    """A colour (`#RRGGBB`) for each label; the first eight are told apart by colour-blind readers.

    The neutral label takes slate, or the eighth where none is. Further labels take the colours paler, then darker,
    then from the start again: where that can be, a pattern tells them apart.
    """
    neutral = next((label for label in labels if is_neutral(label)), None)
    hues = COLOURS if neutral else (*COLOURS, NEUTRAL_COLOUR)
    shades = [("#FFFFFF", 0.0), ("#FFFFFF", 0.45), ("#000000", 0.5)]
    palette = [_mix(colour, other, share) for other, share in shades for colour in hues]
    others = [label for label in labels if label != neutral]
    colours = {label: palette[index % len(palette)] for index, label in enumerate(others)}
    return {label: colours.get(label, NEUTRAL_COLOUR) for label in labels}


def _mix(colour: str, other: str, share: float) -> str:
    mixed = (round((1 - share) * a + share * b) for a, b in zip(channels(colour), channels(other), strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


# Of plots. None is a label's: what is measured, text and lines around it, and what stands back.
ACCENT, INK, SLATE, GRID = "#6A3D9A", "#1F2933", "#616E7C", "#E4E7EB"
MORE, LESS = ACCENT, "#B35C00"  # of differences
RAMP = ("#FFFFFF", "#D9CCE6", "#A583C4", "#6A3D9A", "#3D1F63")  # from none to all
SPLITS = ("#8A96A3", "#52606D", "#1F2933")  # training, validation, test: told apart in grey
SEVERITIES = {"error": "#B3261E", "warning": "#8A5A00", "info": "#52606D"}
