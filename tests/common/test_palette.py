"""Labels are told apart by their colours, with every kind of colour sight."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from modeling_clipcaer.common.colour_sight import SIGHTS, channels, compare_lab, difference, to_lab
from modeling_clipcaer.common.palette import (
    ACCENT,
    COLOURS,
    LEAST_DIFFERENCE,
    LESS,
    MORE,
    NEUTRAL_COLOUR,
    SPLITS,
    colour_labels,
    find_alike,
)
from modeling_clipcaer.raer_labels import RAER_LABELS


def test_the_difference_of_colours_is_that_of_its_published_table():
    # Pairs 1, 7, 17 and 25 of Sharma, Wu and Dalal (2005), table 1.
    assert compare_lab((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=5e-5)
    assert compare_lab((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=5e-5)
    assert compare_lab((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=5e-5)
    assert compare_lab((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=5e-5)


def test_colours_differ_as_scikit_image_has_it_and_by_no_more_to_anybody():
    colours = [*COLOURS, NEUTRAL_COLOUR, ACCENT, "#000000", "#FFFFFF", "#00FF00"]
    for one, other in itertools.combinations(colours, 2):
        labs = [rgb2lab(np.array(channels(colour)) / 255) for colour in (one, other)]
        expected = deltaE_ciede2000(*labs)
        assert compare_lab(*(to_lab(colour, "normal") for colour in (one, other))) == pytest.approx(expected, abs=0.02)
        assert difference(one, other) <= expected + 0.02
    # To a protanope red is dark, to a tritanope yellow is grey.
    for one, other, sight in (("#FF0000", "#5C4B00", "protanope"), ("#808040", "#808080", "tritanope")):
        seen, normal = ([to_lab(colour, kind) for colour in (one, other)] for kind in (sight, "normal"))
        assert compare_lab(*seen) < 0.5 * compare_lab(*normal)


@pytest.mark.parametrize("sight", SIGHTS)
def test_greys_look_the_same_to_everybody(sight):
    for grey in ("#000000", "#777777", "#FFFFFF"):
        assert to_lab(grey, sight) == pytest.approx(to_lab(grey, "normal"), abs=0.2)


@pytest.mark.parametrize("first", ["Neutrality", "calm"])
def test_any_two_of_eight_labels_are_told_apart(first):
    colours = colour_labels([first, *"bcdefgh"]).values()
    assert LEAST_DIFFERENCE == 12 and len(set(colours)) == 8
    for one, other in itertools.combinations(colours, 2):
        assert difference(one, other) >= 12, (one, other)


@pytest.mark.parametrize("colour", ["#009E73", "#0A0A0A", "#FFFFFF", "#FF0000", "#6D4FA0", "#9AA5B0"])
def test_no_label_looks_like_one_whose_colour_was_chosen(colour):
    colours = colour_labels([*"abcdefgh"], {"c": colour})
    assert colours["c"] == colour
    for one, other in itertools.combinations(colours.values(), 2):
        assert difference(one, other) >= 12, (one, other)


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
    assert find_alike(colour_labels([*"abcdefghi"], every)["i"], every.values()) is None
    crowd = colour_labels([f"label {number}" for number in range(60)])  # more than there are colours
    assert len(crowd) == 60 and len(set(crowd.values())) == 24


def test_what_plots_measure_is_no_label_s_colour():
    for colour in (*COLOURS, NEUTRAL_COLOUR):
        assert compare_lab(to_lab(ACCENT, "normal"), to_lab(colour, "normal")) >= 12, colour


@pytest.mark.parametrize("sight", SIGHTS)
def test_splits_are_told_apart_in_grey_and_more_from_less(sight):
    for one, other in itertools.combinations(SPLITS, 2):
        assert abs(to_lab(one, sight)[0] - to_lab(other, sight)[0]) >= 12, (one, other)
    assert compare_lab(to_lab(MORE, sight), to_lab(LESS, sight)) >= 12
