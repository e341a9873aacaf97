"""Intervals of effects over runs and persons, by closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.effects import count_pairs_needed, macro_f1_interval, mean_interval


def test_an_interval_is_students():
    mean, margin = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and margin == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)  # t of 2 degrees, deviation 1
    assert mean_interval([1.0]) == (1.0, math.inf)


def test_pairs_are_counted_by_their_deviation():
    # ((1.959964 + 0.841621) / 1)² = 7.85 for a deviation of 1.
    assert count_pairs_needed([1.0, 2.0, 3.0], effect=1.0) == 8
    assert count_pairs_needed([1.0, 2.0, 3.0], effect=0.5) == 32
    assert count_pairs_needed([2.0, 2.0], effect=1.0) == 2
    assert count_pairs_needed([2.0], effect=1.0) is None
    assert count_pairs_needed([1.0, 2.0, 3.0], effect=-0.5) == 32
    # At a power of one half it is the interval alone: (1.959964 x 2 / 1)² = 15.4.
    assert count_pairs_needed([2.0, 4.0, 6.0], effect=1.0, power=0.5) == 16


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_an_interval_is_that_of_scipys_test(level):
    values = [0.3, -0.1, 0.7, 0.2, 0.25]
    expected = ttest_1samp(values, 0).confidence_interval(level)
    mean, margin = mean_interval(values, level)
    assert (mean - margin, mean + margin) == pytest.approx((expected.low, expected.high))
    if level == 0.95:
        assert mean_interval(values) == (mean, margin)
    assert mean_interval([1.0, 3.0], 0.5)[1] == pytest.approx(1.0)  # t of one degree is 1 at three quarters


def test_no_values_have_no_mean():
    with pytest.raises(InputError, match="no values to average"):
        mean_interval([])


def test_the_interval_of_f1_over_persons_widens_with_what_persons_share():
    references = np.arange(80) % 2
    predictions = np.where(np.arange(80) < 20, 1 - references, references)  # a quarter wrong, of both labels alike
    alone = macro_f1_interval(references, predictions, np.arange(80))
    shared = macro_f1_interval(references, predictions, np.arange(80) // 10)  # all wrong ones are of two persons
    # Each label's F1 is then about the accuracy 0.75, whose deviation over 80 clips is sqrt(0.75 / 4 / 80) = 0.048.
    assert alone == pytest.approx((0.75 - 1.96 * 0.048, 0.75 + 1.96 * 0.048), abs=0.02)
    assert shared[1] - shared[0] > 2 * (alone[1] - alone[0])
    assert macro_f1_interval(references, references, np.arange(80)) == (1, 1)


def test_the_interval_of_f1_is_of_the_mean_over_labels_that_occur_and_holds_what_was_measured():
    # One person: every draw is what was measured. Label 0 has an F1 of 6/7, label 1 of 2/3; nobody is of label 2.
    references, predictions = [0, 0, 1, 1, 0], [0, 0, 0, 1, 0]
    expected = (6 / 7 + 2 / 3) / 2
    assert macro_f1_interval(references, predictions, ["a"] * 5) == pytest.approx((expected, expected))
    assert macro_f1_interval([0, 0], [0, 2], ["a", "a"]) == pytest.approx((2 / 3, 2 / 3))
    low, high = macro_f1_interval(references, predictions, list("abcde"))
    assert low < expected < high <= 1


def test_the_draws_of_f1_depend_on_the_seed_and_not_on_names():
    references = np.arange(60) % 3
    predictions = np.where(np.arange(60) % 4 == 0, 0, references)
    persons = np.arange(60) // 5
    found = macro_f1_interval(references, predictions, persons)
    assert macro_f1_interval(references, predictions, [f"p{10 + person}" for person in persons]) == found
    assert macro_f1_interval(references, predictions, persons, seed=1) != found
    assert macro_f1_interval(references, predictions, persons, 2000, 0) == found
    assert macro_f1_interval(references, predictions, persons, 200) != found
