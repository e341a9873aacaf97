"""How a timeline looks wherever it is shown: one colour a label, times, shares and what to beware of."""

from collections.abc import Sequence
from typing import Any

from modeling_clipcaer.common.palette import COLOURS
from modeling_clipcaer.recordings.timeline import UNCERTAIN


UNCERTAIN_COLOUR = "#8A8A8A"


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _mix(colour: str, other: str, share: float) -> str:
    mixed = (round((1 - share) * a + share * b) for a, b in zip(_channels(colour), _channels(other), strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour (`#RRGGBB`) for each label, told apart by colour-blind readers, and grey for "uncertain".

    There are six such colours; further labels take them paler, then darker, then from the start again.
    """
    shades = [("#FFFFFF", 0.0), ("#FFFFFF", 0.55), ("#000000", 0.5)]
    palette = [_mix(colour, other, share) for other, share in shades for colour in COLOURS]
    return {label: palette[index % len(palette)] for index, label in enumerate(labels)} | {UNCERTAIN: UNCERTAIN_COLOUR}


def luminance(colour: str) -> float:
    """Relative luminance as the WCAG defines it, 0 of black to 1 of white."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_colour(background: str) -> str:
    """Black or white, whichever has the higher contrast on `background`: at least 4.58 on any colour."""
    light = luminance(background) + 0.05
    return "#000000" if light / 0.05 > 1.05 / light else "#FFFFFF"


def show_time(seconds: float) -> str:
    """`0:04:05.0`: hours, minutes, seconds and tenths, rounded."""
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def show_percent(fraction: float) -> str:
    """`82 %`."""
    return f"{100 * fraction:.0f} %"


def name_caveats(settings: dict[str, Any]) -> list[str]:
    """What a reader must know of every score: "zero-shot", "uncalibrated"."""
    return ["zero-shot"] * bool(settings.get("zero_shot")) + ["uncalibrated"] * (not settings.get("calibrated"))
