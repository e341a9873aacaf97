"""The colours of plots and timelines."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from modeling_clipcaer.common.colour_sight import channels, difference
from modeling_clipcaer.names import NEUTRAL


# Of plots, and no label's: what is measured; text, and lines beside what is measured; what stands back.
ACCENT, INK, SLATE, GREY, GRID = "#0072B2", "#1F2933", "#616E7C", "#767676", "#E4E7EB"
RAMP = ("#FFFFFF", "#CFE1EE", "#7FB2D2", "#0072B2", "#00375A")  # from none to all
MORE, LESS = ACCENT, "#B35C00"  # of differences
SPLITS = ("#8A96A3", "#52606D", "#1F2933")  # training, validation, test: told apart in grey
SEVERITIES = {"error": "#B3261E", "warning": "#8A5A00", "info": "#52606D"}
# Of labels: any two are told apart by normal sight and without red, green or blue cones, as the tests measure. The
# neutral label, mostly the commonest, takes the quiet one.
COLOURS = ("#00966C", "#D55E00", "#6F4E9B", "#E6A117", "#62BDF0", "#8C2D5B", "#F2D7E0")
NEUTRAL_COLOUR = "#9AA5B1"
LEAST_DIFFERENCE = 12  # by CIEDE2000, of colours that are told apart
FACE_BOX, BODY_BOX = COLOURS[:2]  # of boxes on frames, where no label is shown


def is_neutral(label: str) -> bool:
    """Whether a label says that nothing is to be seen: "Neutrality", "neutral"."""
    return label.casefold().startswith(NEUTRAL)


def colour_labels(labels: Sequence[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """A colour (`#RRGGBB`) for each label; the first eight are told apart by colour-blind readers.

    The neutral label takes slate, or the eighth where none is. Further labels take the colours paler, then darker.
    None takes a colour that looks like another's, as long as there is one that does not; then a pattern tells them
    apart, where that can be.

    Args:
        labels: their names.
        chosen: a configuration's `label_colours`: of some labels, as they are asked for.
    """
    chosen = dict(chosen or {})
    if NEUTRAL not in chosen.values() and (neutral := next((label for label in labels if is_neutral(label)), None)):
        chosen.setdefault(neutral, NEUTRAL)
    taken = {label: NEUTRAL_COLOUR if colour == NEUTRAL else colour.upper() for label, colour in chosen.items()}
    shades = [("#FFFFFF", 0.0), ("#FFFFFF", 0.45), ("#000000", 0.5)]
    palette = [_mix(colour, other, share) for other, share in shades for colour in (*COLOURS, NEUTRAL_COLOUR)]
    again = itertools.cycle(palette)
    for label in labels:
        if label not in taken:
            unused = [colour for colour in palette if colour not in taken.values()]
            apart = (colour for colour in unused if not find_alike(colour, taken.values()))
            taken[label] = next(apart, None) or next(iter(unused or again))
    return {label: taken[label] for label in labels}


def find_alike(colour: str, others: Iterable[str]) -> str | None:
    """The first of `others` that with some kind of colour sight looks like `colour`."""
    return next((other for other in others if difference(colour, other) < LEAST_DIFFERENCE), None)


def _mix(colour: str, other: str, share: float) -> str:
    mixed = (round((1 - share) * a + share * b) for a, b in zip(channels(colour), channels(other), strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)
