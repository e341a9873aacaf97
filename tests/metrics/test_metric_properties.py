"""Measures against loops over the clips, on whatever answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from modeling_clipcaer.metrics import (
    accuracy_by_coverage,
    bootstrap_confidence_intervals,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    mcnemar_test,
    mean_log_loss,
    paired_differences,
    predict_probabilities,
    reliability_bins,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.metrics.calibration import assign_folds, fit_temperature
from modeling_clipcaer.metrics.ensembles import average_answers


NUM_LABELS = 4
ANSWERS = st.lists(st.tuples(*[st.integers(0, NUM_LABELS - 1)] * 3), min_size=1, max_size=40)
LOGIT = st.floats(-50, 50)


def logits_of(num_clips):
    return st.lists(st.lists(LOGIT, min_size=3, max_size=3), min_size=num_clips, max_size=num_clips)


SCORED = st.integers(1, 20).flatmap(
    lambda count: st.tuples(logits_of(count), st.lists(st.integers(0, 2), min_size=count, max_size=count))
)


def measure_by_hand(references, predictions):
    """Accuracy, mean recall and mean F1 over the labels that occur."""
    pairs, recalls, scores = list(zip(references, predictions, strict=True)), [], []
    for label in sorted(set(references)):
        hits = sum(pair == (label, label) for pair in pairs)
        recall = hits / references.count(label)
        precision = hits / predictions.count(label) if label in predictions else 0.0
        recalls.append(recall)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    right = sum(reference == prediction for reference, prediction in pairs)
    return right / len(pairs), sum(recalls) / len(recalls), sum(scores) / len(scores)


@given(answers=ANSWERS, data=st.data())
def test_uar_war_and_f1_are_those_of_a_count_by_hand_in_any_order(answers, data):
    references, predictions, _ = (list(column) for column in zip(*answers, strict=True))
    war, uar, f1 = measure_by_hand(references, predictions)
    shuffled = list(zip(*data.draw(st.permutations(answers)), strict=True))
    for given_references, given_predictions in ((references, predictions), shuffled[:2]):
        measured = given_references, given_predictions, NUM_LABELS
        assert weighted_average_recall(*measured) == pytest.approx(war)
        assert unweighted_average_recall(*measured) == pytest.approx(uar)
        assert macro_f1(*measured) == pytest.approx(f1)
    matrix = confusion_matrix(references, predictions, NUM_LABELS)
    assert matrix.sum() == len(answers) and matrix[references[0], predictions[0]] >= 1


@given(answers=ANSWERS, names=st.permutations(range(NUM_LABELS)))
def test_measures_take_no_notice_of_what_labels_are_called(answers, names):
    references, predictions, _ = (list(column) for column in zip(*answers, strict=True))
    renamed = [[names[label] for label in labels] for labels in (references, predictions)]
    for measure in (weighted_average_recall, unweighted_average_recall, macro_f1):
        assert measure(*renamed, NUM_LABELS) == pytest.approx(measure(references, predictions, NUM_LABELS))


@given(answers=ANSWERS, groups=st.lists(st.integers(0, 5), min_size=40, max_size=40), seed=st.integers(0, 9))
def test_an_interval_holds_what_was_measured_and_lies_between_0_and_1(answers, groups, seed):
    references, predictions, _ = (list(column) for column in zip(*answers, strict=True))
    measured = dict(zip(("war", "uar", "macro_f1"), measure_by_hand(references, predictions), strict=True))
    for people in (None, groups[: len(answers)]):
        found = bootstrap_confidence_intervals(
            references, predictions, NUM_LABELS, num_resamples=50, seed=seed, groups=people
        )
        for name, (low, high) in found.items():
            assert -1e-12 <= low <= measured[name] + 1e-9 and measured[name] - 1e-9 <= high <= 1 + 1e-12


@given(answers=ANSWERS)
def test_two_models_differ_by_their_difference_and_by_its_negative_the_other_way_round(answers):
    references, first, second = (list(column) for column in zip(*answers, strict=True))
    pairs = (first, second), (second, first)
    there, back = (paired_differences(references, *pair, NUM_LABELS, num_resamples=50) for pair in pairs)
    hands = [measure_by_hand(references, answers)[:2] for answers in (first, second)]
    for name, before, after in zip(("war", "uar"), *hands, strict=True):
        expected = after - before
        assert there[name].measured == pytest.approx(expected) == pytest.approx(-back[name].measured)
        assert there[name].low <= expected + 1e-9 and expected - 1e-9 <= there[name].high


@given(answers=ANSWERS)
def test_mcnemars_test_is_the_binomial_test_of_the_clips_that_one_alone_gets_right(answers):
    references, first, second = (list(column) for column in zip(*answers, strict=True))
    found = mcnemar_test(references, first, second)
    only_first = sum(a == r != b for r, a, b in answers)
    only_second = sum(b == r != a for r, a, b in answers)
    tried = only_first + only_second
    assert (found["only_first"], found["only_second"]) == (only_first, only_second)
    expected = binomtest(only_first, tried).pvalue if tried else 1.0
    assert found["p_value"] == pytest.approx(expected)


@given(scored=SCORED)
def test_log_loss_and_probabilities_are_those_of_a_sum_by_hand(scored):
    logits, references = scored
    losses = []
    for row, reference in zip(logits, references, strict=True):
        total = math.fsum(math.exp(value - max(row)) for value in row)
        losses.append(math.log(total) + max(row) - row[reference])
    assert mean_log_loss(logits, references) == pytest.approx(sum(losses) / len(losses), abs=1e-9)
    assert predict_probabilities(logits).sum(axis=1) == pytest.approx(np.ones(len(logits)))


@given(scored=SCORED, bins=st.integers(1, 20))
def test_the_calibration_error_is_the_mean_gap_of_bins_by_hand(scored, bins):
    probabilities, references = predict_probabilities(scored[0]), scored[1]
    gaps, filled = 0.0, 0
    for place in range(bins):
        inside = [
            (row.max(), row.argmax() == reference)
            for row, reference in zip(probabilities, references, strict=True)
            if place < math.ceil(row.max() * bins) <= place + 1
        ]
        if inside:
            confidence, right = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            gaps += len(inside) * abs(confidence - right)
            filled += len(inside)
    assert filled == len(references) == reliability_bins(probabilities, references, bins)["count"].sum()
    assert expected_calibration_error(probabilities, references, bins) == pytest.approx(gaps / filled, abs=1e-9)


@given(scored=SCORED)
def test_accuracy_by_coverage_ends_with_the_accuracy_and_stays_between_0_and_1(scored):
    probabilities, references = predict_probabilities(scored[0]), scored[1]
    curve = accuracy_by_coverage(probabilities, references)
    right = (probabilities.argmax(axis=1) == references).mean()
    assert len(curve) == len(references) and curve[-1] == pytest.approx(right)
    assert (curve >= 0).all() and (curve <= 1 + 1e-12).all()


@given(members=st.integers(1, 10).flatmap(lambda count: st.lists(logits_of(count), min_size=1, max_size=4)))
def test_an_ensemble_answers_with_the_mean_probability_and_loses_no_more_than_its_members(members):
    mean = np.mean([predict_probabilities(member) for member in members], axis=0)
    averaged = average_answers(members)
    assert predict_probabilities(averaged) == pytest.approx(mean, abs=1e-9)
    references = [0] * len(averaged)
    assert mean_log_loss(averaged, references) <= np.mean([mean_log_loss(m, references) for m in members]) + 1e-9


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), folds=st.integers(2, 6))
def test_folds_of_a_calibration_are_even_in_all_and_in_every_label(labels, folds):
    assigned = assign_folds(labels, folds)
    counts = np.bincount(assigned, minlength=folds)
    assert counts.max() - counts.min() <= 1
    for label in set(labels):
        counts = np.bincount(assigned[np.array(labels) == label], minlength=folds)
        assert counts.max() - counts.min() <= 1


@given(scored=SCORED)
def test_a_fitted_temperature_is_in_its_bounds_and_no_worse_than_others(scored):
    logits, references = np.array(scored[0]), scored[1]
    fitted = fit_temperature(logits, references)
    assert 0.5 - 1e-3 <= fitted <= 10 + 1e-3
    least = mean_log_loss(logits / fitted, references)
    assert all(least <= mean_log_loss(logits / other, references) + 1e-3 for other in (0.5, 1.0, 2.0, 5.0, 10.0))
