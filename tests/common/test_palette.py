"""Labels are told apart by their colours, with every kind of colour sight."""

import itertools
import math

import numpy as np
import pytest

from modeling_clipcaer.common.palette import ACCENT, COLOURS, LESS, MORE, NEUTRAL_COLOUR, SPLITS, colour_labels
from modeling_clipcaer.raer_labels import RAER_LABELS


# Linear RGB as it is seen without a kind of cones: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]


def to_lab(colour, sight):
    """CIELAB of `#RRGGBB` as one with `sight` sees it."""
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    seen = np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1)
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in TO_XYZ @ seen / WHITE)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one, other):
    """The difference of two CIELAB colours by CIEDE2000, as Sharma, Wu and Dalal (2005) write it out."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1, h2 = (math.degrees(math.atan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    t = 1 + sum(height * math.cos(math.radians(times * hue + shift)) for height, times, shift in waves)
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2)
    dl, dc = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2) / (1 + 0.015 * chroma * t)
    angle = math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -math.sin(angle) * 2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    return math.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def test_the_difference_of_colours_is_that_of_its_published_table():
    # Pairs 1, 7, 17 and 25 of Sharma, Wu and Dalal (2005), table 1.
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=5e-5)
    assert ciede2000((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=5e-5)
    assert ciede2000((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=5e-5)
    assert ciede2000((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=5e-5)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("first", ["Neutrality", "calm"])
def test_any_two_of_eight_labels_are_told_apart(first, sight):
    colours = colour_labels([first, *"bcdefgh"]).values()
    assert len(set(colours)) == 8
    seen = {colour: to_lab(colour, sight) for colour in colours}
    for one, other in itertools.combinations(colours, 2):
        assert ciede2000(seen[one], seen[other]) >= 12, (one, other)


def test_the_neutral_label_is_slate_wherever_it_stands():
    assert colour_labels(RAER_LABELS)["Neutrality"] == NEUTRAL_COLOUR
    assert colour_labels(["Happy", "NEUTRAL", "Sad"]) == {
        "Happy": COLOURS[0],
        "NEUTRAL": NEUTRAL_COLOUR,
        "Sad": COLOURS[1],
    }
    assert colour_labels(["a", "b"]) == {"a": COLOURS[0], "b": COLOURS[1]}


def test_labels_have_the_colours_that_are_chosen_for_them_and_nobody_else_has_those():
    chosen = {"b": COLOURS[0].lower(), "c": "neutral"}
    assert list(colour_labels(["neutral", *"abc"], chosen).values()) == [*COLOURS[1:3], COLOURS[0], NEUTRAL_COLOUR]
    every = dict(zip("abcdefgh", [*COLOURS, NEUTRAL_COLOUR], strict=True))
    assert colour_labels([*"abcdefghi"], every) == {**every, "i": COLOURS[0]}


def test_what_plots_measure_is_no_label_s_colour():
    for colour in (*COLOURS, NEUTRAL_COLOUR):
        assert ciede2000(to_lab(ACCENT, "normal"), to_lab(colour, "normal")) >= 12, colour


@pytest.mark.parametrize("sight", SIGHTS)
def test_splits_are_told_apart_in_grey_and_more_from_less(sight):
    for one, other in itertools.combinations(SPLITS, 2):
        assert abs(to_lab(one, sight)[0] - to_lab(other, sight)[0]) >= 12, (one, other)
    assert ciede2000(to_lab(MORE, sight), to_lab(LESS, sight)) >= 12
