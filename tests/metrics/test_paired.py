"""Differences of two models on the same clips, against closed forms and another library."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import clips_for_interval, clips_to_see, mcnemar_test, paired_differences


def make_answers(both: int, only_first: int, only_second: int, neither: int):
    """References of one label, and the answers of two models."""
    first = [0] * both + [0] * only_first + [1] * only_second + [1] * neither
    second = [0] * both + [1] * only_first + [0] * only_second + [1] * neither
    return np.zeros(len(first), int), np.array(first), np.array(second)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 3), (5, 2), (40, 60), (900, 1000)])
def test_mcnemar_is_the_exact_binomial_test_of_the_clips_that_one_alone_answers_rightly(only_first, only_second):
    found = mcnemar_test(*make_answers(20, only_first, only_second, 4))
    tried = only_first + only_second
    expected = binomtest(only_second, tried).pvalue if tried else 1.0
    assert (found["only_first"], found["only_second"]) == (only_first, only_second)
    assert found["p_value"] == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_difference_is_that_of_correlated_shares():
    # 400 clips, 60 right in the second alone and 20 in the first alone: variance (ψ - δ²) / n, with ψ 0.2 and δ 0.1.
    found = paired_differences(*make_answers(200, 20, 60, 120), num_resamples=20_000)["war"]
    deviation = math.sqrt((0.2 - 0.1**2) / 400)
    assert found.measured == pytest.approx(0.1) and found.deviation == pytest.approx(deviation, rel=0.03)
    assert (found.low, found.high) == pytest.approx((0.1 - 1.96 * deviation, 0.1 + 1.96 * deviation), abs=0.003)
    assert not found.is_within_noise


def test_uar_counts_every_label_alike_and_war_every_clip():
    references = np.repeat([0, 1], [90, 10])
    first, second = np.zeros(100, int), np.ones(100, int)
    found = paired_differences(references, first, second)
    assert found["uar"].measured == 0 and found["war"].measured == pytest.approx(0.1 - 0.9)


def test_a_label_of_one_clip_counts_and_one_without_any_does_not():
    references, first, second = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]), np.array([0, 0, 0, 3])
    found = paired_differences(references, first, second, num_labels=4)
    assert found["uar"].measured == pytest.approx(-1 / 2) and found["war"].measured == pytest.approx(-1 / 4)


def test_a_difference_turned_round_has_its_bounds_turned_round():
    references, first, second = make_answers(50, 10, 25, 15)
    persons = np.random.default_rng(0).integers(0, 8, 100)
    there = paired_differences(references, first, second, groups=persons, num_resamples=20_000)["war"]
    back = paired_differences(references, second, first, groups=persons, num_resamples=20_000)["war"]
    assert back.measured == -there.measured
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.006)


def test_persons_who_differ_as_one_widen_the_interval_as_so_many_clips_of_their_own():
    # 100 persons of five clips: 30 gained in all five, 10 lost in all five. As 100 clips: ψ 0.4, δ 0.2, n 100.
    gains = np.repeat(np.repeat([1, -1, 0], [30, 10, 60]), 5)
    references, first, second = np.zeros(500, int), (gains > 0).astype(int), (gains < 0).astype(int)
    persons = np.repeat(np.arange(100), 5)
    found = paired_differences(references, first, second, groups=persons, num_resamples=20_000)["war"]
    assert found.measured == pytest.approx(0.2)
    assert found.deviation == pytest.approx(math.sqrt((0.4 - 0.2**2) / 101), rel=0.03)
    by_clip = paired_differences(references, first, second, num_resamples=20_000)["war"]
    assert by_clip.deviation == pytest.approx(found.deviation / math.sqrt(5), rel=0.05)


def test_the_same_answers_are_within_noise_and_no_certainty_where_clips_are_few():
    references, first, _ = make_answers(8, 0, 0, 2)
    found = paired_differences(references, first, first)["war"]
    assert found.measured == 0 and found.is_within_noise
    assert found.low < -0.03 and found.high > 0.03
    many = paired_differences(*make_answers(800, 0, 0, 200))["war"]
    assert -0.005 < many.low < many.high < 0.005


def test_the_clips_needed_have_the_power_that_was_asked_for():
    # Simulated: of so many clips, with 12 % gained and 6 % lost, McNemar's test finds the difference in about 80 %.
    count = clips_to_see(0.06, 0.18)
    quantiles = norm.ppf([0.975, 0.8])
    assert count == math.ceil((quantiles[0] * 0.18**0.5 + quantiles[1] * (0.18 - 0.06**2) ** 0.5) ** 2 / 0.06**2)
    drawn = np.random.default_rng(0).multinomial(count, [0.12, 0.06, 0.82], size=1000)[:, :2]
    found = [binomtest(int(won), int(won + lost)).pvalue < 0.05 for won, lost in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
    assert clips_to_see(0.0, 0.1) is None and clips_to_see(-0.06, 0.18) == count


def test_the_clips_needed_for_an_interval_fall_with_the_square_of_the_difference():
    # An interval of ± 1.96 s just leaves out δ = (1.96 + 0.84) s with a probability of 80 %.
    assert clips_for_interval(0.0280159, 0.01, 500) == pytest.approx(500, abs=1)
    assert clips_for_interval(0.0140079, 0.01, 500) == pytest.approx(2000, abs=4)
    assert clips_for_interval(0.0, 0.01, 500) is None


def test_answers_of_other_clips_are_refused():
    with pytest.raises(InputError, match="one label per clip"):
        paired_differences([0, 1], [0, 1], [0])
    with pytest.raises(InputError, match="one label per clip"):
        mcnemar_test([0, 1], [0, 1], [0])
