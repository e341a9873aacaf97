"""Figures of groups of clips, by hand."""

import numpy as np
import pytest
from scipy.stats import beta

from modeling_clipcaer.reports.breakdowns import break_down
from modeling_clipcaer.reports.predictions import Predictions


def make_answers(references, answers, **fields):
    """Answers as logits of 1 and 0, of persons a, b, c, d, ... of two clips each."""
    count = len(references)
    persons = [chr(97 + number // 2) for number in range(count)]
    logits = np.eye(3, dtype=np.float32)[list(answers)]
    given = {"person_ids": persons, **fields}
    return Predictions(
        ["x", "y", "z"], [str(n) for n in range(count)], references=np.array(references), logits=logits, **given
    )


def test_only_what_is_known_is_broken_down():
    assert list(break_down(make_answers([0, 1], [0, 1], places=["", ""]), seed=0)) == ["by_person"]
    assert break_down(make_answers([0, 1], [0, 1], person_ids=["a", ""]), seed=0) == {}


def test_groups_are_in_the_order_of_their_numbers_and_of_their_names():
    lengths = np.array([100, 9, 9, 12, 12, 100])
    found = break_down(make_answers([0] * 6, [0] * 6, num_frames=lengths), seed=0)
    assert [row["group"] for row in found["by_length"]] == ["9 frames", "12 frames", "100 frames"]
    places = ["b", "", "a", "b", "", "a"]
    found = break_down(make_answers([0] * 6, [0] * 6, places=places), seed=0)
    assert [row["group"] for row in found["by_place"]] == ["a", "b", "not known"]


def test_lengths_are_parted_into_thirds_of_the_clips():
    found = break_down(make_answers([0] * 9, [0] * 9, num_frames=np.arange(1, 10)), seed=0)["by_length"]
    assert [(row["group"], row["num_clips"]) for row in found] == [
        ("1 to 3 frames", 3), ("4 to 6 frames", 3), ("7 to 9 frames", 3)
    ]  # fmt: skip
    found = break_down(make_answers([0] * 4, [0] * 4, num_frames=np.array([5, 5, 5, 5])), seed=0)["by_length"]
    assert [(row["group"], row["num_clips"]) for row in found] == [("5 frames", 4)]


def test_a_row_has_recalls_of_its_own_labels_and_intervals_in_percent():
    # Of a's clips one of x is right; of b's one of y is wrong and one of z is right.
    answers = make_answers([0, 0, 1, 2], [0, 1, 0, 2], face_shares=np.array([1.0, 1.0, 0.5, 0.0]))
    found = break_down(answers, seed=0)
    a, b = found["by_person"]
    assert (a["uar"], a["war"], a["num_clips"], a["num_persons"], a["is_small"]) == (50, 50, 2, 1, True)
    assert (b["uar"], b["war"]) == (50, 50)
    # One person alone: the interval is by clip, of one right in two.
    low, high = beta(1.5, 1.5).ppf([0.025, 0.975])
    assert a["war_ci95"] == pytest.approx([100 * low, 100 * high], abs=3) == a["uar_ci95"]
    assert [row["group"] for row in found["by_boxes"]] == [
        "face found in every frame", "face found in some frames", "no face found"
    ]  # fmt: skip


def test_figures_have_six_digits():
    (row,) = break_down(make_answers([0, 0, 0], [0, 0, 1], person_ids=["a"] * 3), seed=0)["by_person"]
    assert (row["uar"], row["war"]) == (66.666667, 66.666667)
    assert any(bound == round(bound, 6) != round(bound, 5) for bound in row["war_ci95"])


def test_a_group_of_thirty_clips_is_no_small_one_and_persons_that_are_not_known_are_none():
    for count, small in ((29, True), (30, False)):
        answers = make_answers([0] * count, [0] * count, person_ids=[""] * count, places=["a"] * count)
        (row,) = break_down(answers, seed=0)["by_place"]
        assert (row["is_small"], row["num_persons"]) == (small, None)


def test_the_interval_of_several_persons_is_by_person():
    # Ten persons, five of whom are right in all of twenty clips and five in none.
    references, answers = [0] * 200, [0] * 100 + [1] * 100
    persons = [str(number // 20) for number in range(200)]
    (row,) = break_down(make_answers(references, answers, person_ids=persons, places=["a"] * 200), seed=0)["by_place"]
    low, high = beta(5, 5).ppf([0.025, 0.975])
    assert row["num_persons"] == 10 and row["war_ci95"] == pytest.approx([100 * low, 100 * high], abs=4)
