import json
import math
import os
import re
import shutil
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from scipy.stats import beta

from helpers.places import ROOT
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import (
    absent_labels,
    bootstrap_confidence_intervals,
    calibrate_temperature,
    compute_uar_war,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    mean_log_loss,
    per_class_scores,
    predict_labels,
    predict_probabilities,
    reliability_bins,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.metrics.calibration import assign_folds, fit_temperature


METRIC = ROOT / "metrics" / "uar_war"
RAER_TEST = {"Neutrality": 345, "Enjoyment": 32, "Confusion": 7, "Fatigue": 39, "Distraction": 105}

# recalls 3/4, 1/2, 0/1; accuracy 4/7
REFERENCES = [0, 0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 0, 1, 1, 2, 0]


def from_matrix(matrix):
    """Clips, in a fixed order, that have this confusion matrix."""
    cells = np.asarray(matrix)
    return tuple(np.repeat(axis.ravel(), cells.ravel()) for axis in np.indices(cells.shape))


def test_uar_is_the_mean_recall_and_war_the_accuracy_by_hand():
    assert unweighted_average_recall(REFERENCES, PREDICTIONS) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert weighted_average_recall(REFERENCES, PREDICTIONS) == pytest.approx(4 / 7)


def test_rows_of_the_confusion_matrix_are_references():
    assert confusion_matrix(REFERENCES, PREDICTIONS).tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert confusion_matrix([0], [1], num_labels=3).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_always_answering_neutrality_on_raer_has_a_uar_of_20_and_a_war_of_65():
    references = np.repeat(np.arange(5), list(RAER_TEST.values()))
    neutrality = np.zeros_like(references)
    assert unweighted_average_recall(references, neutrality) == pytest.approx(0.2)
    assert weighted_average_recall(references, neutrality) == pytest.approx(0.653, abs=5e-4)


def test_a_label_absent_from_the_references_is_named_and_not_counted_as_zero():
    references, predictions = [0, 0, 3, 3], [0, 1, 3, 3]
    assert unweighted_average_recall(references, predictions, num_labels=5) == pytest.approx((0.5 + 1) / 2)
    assert absent_labels(references, num_labels=5) == [1, 2, 4]
    assert absent_labels([0, 1], num_labels=2) == []


def test_scores_of_each_label_by_hand():
    scores = per_class_scores(REFERENCES, PREDICTIONS, num_labels=4)
    np.testing.assert_allclose(scores["recall"], [3 / 4, 1 / 2, 0, math.nan])
    np.testing.assert_allclose(scores["precision"], [3 / 4, 1 / 2, 0, math.nan])
    np.testing.assert_allclose(scores["f1"], [3 / 4, 1 / 2, 0, math.nan])
    assert scores["support"].tolist() == [4, 2, 1, 0]
    assert macro_f1(REFERENCES, PREDICTIONS, num_labels=4) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_scores_are_undefined_only_where_they_divide_by_zero():
    # label 1 is never predicted, label 2 is predicted and absent
    scores = per_class_scores([0, 0, 1], [0, 2, 0])
    np.testing.assert_allclose(scores["recall"], [1 / 2, 0, math.nan])
    np.testing.assert_allclose(scores["precision"], [1 / 2, math.nan, 0])
    np.testing.assert_allclose(scores["f1"], [1 / 2, 0, 0])
    assert macro_f1([0, 0, 1], [0, 2, 0]) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("references", "predictions", "message"),
    [
        ([], [], "no clips to measure"),
        ([0, 1], [0], r"one label per clip, got shapes \(2,\) and \(1,\)"),
        ([[0, 1]], [[0, 1]], "one label per clip"),
        ([0, 5], [0, 1], "reference of clip 1 is 5, expected a whole number from 0 to 4"),
        ([0, 1], [-1, 1], "prediction of clip 0 is -1, expected"),
        ([0, 1], [0, 0.5], "prediction of clip 1 is 0.5, expected a whole number"),
        ([0, 1], [0, math.nan], "prediction of clip 1 is nan"),
    ],
)
def test_labels_that_cannot_be_measured_are_refused(references, predictions, message):
    with pytest.raises(InputError, match=message):
        unweighted_average_recall(references, predictions, num_labels=5)


# --- bootstrap


def test_bootstrap_spread_is_that_of_independent_clips():
    # Two labels of 200 clips, recalls 0.5 and 0.8: standard error of UAR = ½ √(0.25/200 + 0.16/200), of WAR the same.
    references, predictions = from_matrix([[100, 100], [40, 160]])
    intervals = bootstrap_confidence_intervals(references, predictions, num_resamples=20_000)
    half_width = 1.96 * 0.5 * math.sqrt((0.25 + 0.16) / 200)
    for interval in intervals.values():
        assert interval == pytest.approx((0.65 - half_width, 0.65 + half_width), abs=0.004)


def test_bootstrap_shows_how_little_seven_clips_say():
    matrix = np.diag([300, 20, 4, 25, 60])
    matrix[:, 0] += np.array(list(RAER_TEST.values())) - matrix.sum(axis=1)
    intervals = bootstrap_confidence_intervals(*from_matrix(matrix))
    uar_width, war_width = (high - low for low, high in (intervals["uar"], intervals["war"]))
    assert 0.15 < uar_width < 0.20  # a standard error of 4.2 to 4.5 points
    assert war_width < 0.08


def test_bootstrap_depends_on_the_confusion_matrix_and_the_seed_alone():
    references, predictions = from_matrix([[30, 10, 2], [5, 20, 1], [2, 2, 6]])
    shuffled = np.random.default_rng(1).permutation(len(references))
    intervals = bootstrap_confidence_intervals(references, predictions, seed=3)
    assert bootstrap_confidence_intervals(references[shuffled], predictions[shuffled], seed=3) == intervals
    assert bootstrap_confidence_intervals(references, predictions, seed=4) != intervals
    assert bootstrap_confidence_intervals(references, predictions, num_labels=5, seed=3) == intervals


def test_the_interval_of_one_label_is_jeffreys():
    # Brown, Cai and DasGupta (2001): the quantiles of Beta(h + 1/2, n - h + 1/2), up to 1 where all n are right.
    for hits, clips in ((9, 9), (4, 9), (50, 60)):
        predictions = np.array([0] * hits + [1] * (clips - hits))
        low, high = bootstrap_confidence_intervals([0] * clips, predictions, 2, num_resamples=20_000)["war"]
        expected = beta(hits + 0.5, clips - hits + 0.5).ppf([0.025, 0.975])
        assert (low, high) == pytest.approx((expected[0], 1.0 if hits == clips else expected[1]), abs=0.01)


def test_few_clips_without_an_error_are_no_certainty():
    intervals = bootstrap_confidence_intervals([0, 1, 1], [0, 1, 1])
    assert all(low < 0.6 and high == 1.0 for low, high in intervals.values())
    # And where nothing is right, nothing is certain either.
    assert bootstrap_confidence_intervals([0, 1, 1], [1, 0, 0])["uar"] == pytest.approx((0.0, 1 - 0.51), abs=0.15)


def test_persons_who_are_all_right_or_all_wrong_count_as_one_clip_each():
    # 20 of 40 persons right in all of ten clips: Rubin's (1981) posterior of a share is Beta(20, 20).
    predictions, persons = np.repeat([0, 1] * 20, 10), np.repeat(np.arange(40), 10)
    found = bootstrap_confidence_intervals([0] * 400, predictions, 2, num_resamples=20_000, groups=persons)["war"]
    assert found == pytest.approx(beta(20, 20).ppf([0.025, 0.975]), abs=0.01)
    by_clip = bootstrap_confidence_intervals([0] * 400, predictions, 2, num_resamples=20_000)["war"]
    assert by_clip == pytest.approx(beta(200, 200).ppf([0.025, 0.975]), abs=0.01)


def test_persons_of_one_clip_each_give_the_interval_by_clip():
    measured = from_matrix([[30, 10, 2], [5, 20, 1], [2, 2, 6]])
    by_clip = bootstrap_confidence_intervals(*measured, num_resamples=20_000)
    by_person = bootstrap_confidence_intervals(*measured, num_resamples=20_000, groups=np.arange(len(measured[0])))
    for name in ("uar", "war"):
        assert by_person[name] == pytest.approx(by_clip[name], abs=0.006)


def test_few_or_equal_persons_are_no_certainty():
    # Three persons, each right in eight of ten clips: what differs between persons would say [80, 80].
    predictions, persons = np.array(([0] * 8 + [1] * 2) * 3), np.repeat(list("abc"), 10)
    by_clip = bootstrap_confidence_intervals([0] * 30, predictions, 2)["war"]
    low, high = bootstrap_confidence_intervals([0] * 30, predictions, 2, groups=persons)["war"]
    assert low <= by_clip[0] < 0.65 and high >= by_clip[1] > 0.88


def test_the_interval_by_person_does_not_depend_on_names_or_order():
    references, predictions = from_matrix([[30, 10], [5, 20]])
    persons = np.random.default_rng(0).integers(0, 9, len(references))
    found = bootstrap_confidence_intervals(references, predictions, groups=persons)
    order = np.random.default_rng(1).permutation(len(references))
    names = [f"P{person}" for person in persons[order]]
    assert bootstrap_confidence_intervals(references[order], predictions[order], groups=names) == found
    with pytest.raises(InputError, match=r"groups must be one for each of the 65 clips, got shape \(2,\)"):
        bootstrap_confidence_intervals(references, predictions, groups=["a", "b"])


def test_an_interval_holds_what_was_measured():
    for seed in range(20):
        references = np.repeat(np.arange(5), [3, 2, 2, 1, 1])
        predictions = np.random.default_rng(seed).integers(0, 5, 9)
        low, high = bootstrap_confidence_intervals(references, predictions, 5)["uar"]
        assert 0 <= low <= unweighted_average_recall(references, predictions, 5) <= high <= 1


def test_where_each_person_has_one_clip_the_interval_by_person_is_jeffreys():
    for hits, clips in ((9, 9), (5, 12), (0, 4)):
        references, predictions = [0] * clips, [0] * hits + [1] * (clips - hits)
        found = bootstrap_confidence_intervals(references, predictions, 2, 40_000, groups=range(clips))["war"]
        expected = scipy.stats.beta(hits + 0.5, clips - hits + 0.5).ppf([0.025, 0.975])
        bounds = min(expected[0], hits / clips), max(expected[1], hits / clips)
        assert found == pytest.approx(bounds, abs=0.01)


def test_many_clips_of_a_person_say_no_more_than_one_where_they_are_all_alike():
    references, predictions = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 0, 1])
    once = bootstrap_confidence_intervals(references, predictions, 2, groups=range(7))
    tens = references.repeat(10), predictions.repeat(10), 2
    often = bootstrap_confidence_intervals(*tens, groups=np.arange(70) // 10)
    assert set(once) == {"uar", "war", "macro_f1"}
    for name, bounds in once.items():
        assert often[name] == pytest.approx(bounds, abs=0.02)
    by_clip = bootstrap_confidence_intervals(*tens)["uar"]
    assert by_clip[1] - by_clip[0] < 0.5 * (once["uar"][1] - once["uar"][0])


def test_clips_of_persons_may_stand_in_any_order():
    generator = np.random.default_rng(0)
    references, predictions, persons = generator.integers(0, [[3], [3], [8]], (3, 60))
    order = generator.permutation(60)
    found = bootstrap_confidence_intervals(references, predictions, 3, groups=persons)
    assert bootstrap_confidence_intervals(references[order], predictions[order], 3, groups=persons[order]) == found


# --- calibration and logits


def test_ece_is_zero_where_confidence_equals_accuracy():
    probabilities = [[0.75, 0.25]] * 4
    assert expected_calibration_error(probabilities, [0, 0, 0, 1]) == pytest.approx(0)
    assert expected_calibration_error(probabilities, [1, 1, 1, 1]) == pytest.approx(0.75)


def test_ece_weighs_bins_by_their_clips_by_hand():
    # bin (0.5, 1]: three clips of confidence 0.6, 0.7, 0.8 with one hit; bin (0, 0.5]: one of 0.4, missed
    probabilities = [[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4]]
    found = reliability_bins(probabilities, [0, 1, 1, 0], bins=2)
    assert found["count"].tolist() == [1, 3]
    np.testing.assert_allclose(found["confidence"], [0.4, 0.7])
    np.testing.assert_allclose(found["accuracy"], [0, 1 / 3])
    expected = (1 * 0.4 + 3 * abs(1 / 3 - 0.7)) / 4
    assert expected_calibration_error(probabilities, [0, 1, 1, 0], bins=2) == pytest.approx(expected)


def test_the_interval_of_macro_f1_by_person_is_that_of_the_recall_where_there_is_one_label():
    # 14 of 20 persons are right, and nobody has another label: F1 is 2 p / (1 + p) of the recall p.
    answers = [0] * 14 + [1] * 6
    found = bootstrap_confidence_intervals([0] * 20, answers, 2, num_resamples=20_000, groups=range(20))["macro_f1"]
    low, high = beta(14.5, 6.5).ppf([0.025, 0.975])
    assert found == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)), abs=0.01)


def test_what_is_not_defined_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(per_class_scores([0, 0], [0, 0], 2)["f1"][1])
        assert np.isnan(reliability_bins([[1.0, 0.0]], [0])["accuracy"][0])


def test_reliability_has_fifteen_bins_and_takes_rows_that_sum_to_1_within_a_thousandth():
    rows = np.array([[0.6505, 0.35], [0.35, 0.65], [0.9, 0.0996]])  # sums of 1.0005, 1 and 0.9996
    found = reliability_bins(rows, [0, 0, 0])
    # (9/15, 10/15] and (13/15, 14/15], counted from 0
    assert found["count"].tolist() == [0] * 9 + [2] + [0] * 3 + [1, 0]
    assert (found["accuracy"][9], found["accuracy"][13]) == (0.5, 1)
    # Gaps of |1/2 - 0.65025| on two clips, and of |1 - 0.9| on one.
    assert expected_calibration_error(rows, [0, 0, 0]) == pytest.approx((2 * 0.15025 + 0.1) / 3)
    for wrong in ([[0.652, 0.35]], [[0.648, 0.35]]):
        with pytest.raises(InputError, match=r"rows that sum to 1, got an array of shape \(1, 2\)"):
            reliability_bins(wrong, [0])


def test_a_wrong_label_beside_probabilities_or_logits_is_told_as_the_references():
    for measure in (reliability_bins, lambda rows, labels: mean_log_loss(rows, labels)):
        with pytest.raises(InputError, match=r"^reference of clip 1 is 2, expected a whole number from 0 to 1$"):
            measure([[0.75, 0.25], [0.25, 0.75]], [0, 2])


def test_full_and_zero_confidence_fall_into_the_outer_bins():
    found = reliability_bins([[1.0, 0.0], [0.5, 0.5]], [0, 0], bins=10)
    assert found["count"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_logits_in_place_of_probabilities_are_refused():
    with pytest.raises(InputError, match="rows that sum to 1"):
        expected_calibration_error([[2.0, 1.0]], [0])


def test_probabilities_are_the_softmax_also_of_large_logits():
    np.testing.assert_allclose(predict_probabilities([[0.0, math.log(3)]]), [[0.25, 0.75]])
    np.testing.assert_allclose(predict_probabilities([[1e4, 0.0]]), [[1.0, 0.0]])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_of_a_model_that_diverged_are_not_measured(value):
    with pytest.raises(InputError, match=r"logits of clip 1 are \[0.0, .*\], expected finite numbers"):
        predict_labels([[0.0, 1.0], [0.0, value]])


def test_the_trainer_gets_percent_from_logits_or_from_a_tuple_that_begins_with_them():
    logits = np.eye(3, dtype=np.float32)[PREDICTIONS]
    expected = {"uar": pytest.approx(100 * (3 / 4 + 1 / 2) / 3), "war": pytest.approx(400 / 7)}
    for predictions in (logits, (logits, np.zeros((7, 2, 4)))):
        eval_prediction = SimpleNamespace(predictions=predictions, label_ids=np.array(REFERENCES))
        found = compute_uar_war(eval_prediction)
        low, high = (found.pop(f"uar_{end}") for end in ("low", "high"))
        assert found == expected and 0 < low < found["uar"] < high < 100


# --- the evaluate metric

PROCESS = """
import json, sys
import evaluate
import modeling_clipcaer.metrics
path, rank, clips = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
assert not path.startswith(modeling_clipcaer.metrics.__path__[0])
installed = modeling_clipcaer.metrics.__path__[0] + "/uar_war"
metric = evaluate.load(path, num_process=2, process_id=rank, experiment_id="test")
metric.add_batch(**{name: labels[rank::2] for name, labels in clips.items()})
alone = evaluate.load(installed, experiment_id=f"alone{rank}").compute(**clips)
print(json.dumps([metric.compute(), alone]))
"""


@pytest.mark.slow
def test_the_evaluate_metric_loads_offline_from_clone_and_package_and_sums_over_two_processes(tmp_path):
    installed = tmp_path / "site-packages" / "modeling_clipcaer"
    shutil.copytree(METRIC.parents[1] / "modeling_clipcaer", installed)
    shutil.copytree(METRIC, installed / "metrics" / "uar_war")
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(installed.parent)}
    clips = json.dumps({"references": REFERENCES, "predictions": PREDICTIONS})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(METRIC), str(rank), clips],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    found = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    expected = {"uar": pytest.approx(5 / 12), "war": pytest.approx(4 / 7)}
    assert found == [[expected, expected], [None, expected]]


def test_the_fitted_temperature_undoes_a_scaling_of_calibrated_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)) * 1.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    for scale in (1.0, 0.6, 3.0):
        assert fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.05)


def test_a_split_without_an_error_does_not_ask_for_endless_confidence():
    assert fit_temperature(np.eye(5), range(5)) == pytest.approx(0.5, abs=0.01)
    assert fit_temperature(-np.eye(5), range(5)) == pytest.approx(10, rel=0.01)


def test_the_log_loss_is_the_mean_of_each_clip_by_hand():
    logits = [[math.log(3), 0.0], [math.log(3), 0.0]]  # probabilities 3/4 and 1/4
    assert mean_log_loss(logits, [0, 1]) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert mean_log_loss([[1e4, 0.0]], [1]) == pytest.approx(1e4)


# --- whether a temperature helps


def draw_clips(num_clips, scale, seed=0):
    """Logits, `scale` times those whose probabilities the labels are drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_clips, 5)) * 1.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scale * logits, (shares.cumsum(axis=1) < rng.random((num_clips, 1))).sum(axis=1)


def test_the_clips_of_each_label_go_to_the_folds_in_turn():
    assert assign_folds([0, 0, 0, 1, 1, 1], 3).tolist() == [0, 1, 2, 0, 1, 2]
    assert assign_folds([1, 0, 1, 0], 2).tolist() == [0, 0, 1, 1]


def test_overconfident_logits_get_the_temperature_of_all_clips_and_held_out_clips_say_so():
    logits, references = draw_clips(400, 3.0)
    found = calibrate_temperature(logits, references)
    assert found["temperature"] == fit_temperature(logits, references) == pytest.approx(3, rel=0.2)
    assert found["reason"] is None and (found["num_clips"], found["num_folds"]) == (400, 5)
    assert found["nll"]["before"] == pytest.approx(mean_log_loss(logits, references))
    assert found["nll"]["after"] < found["nll"]["before"] - 0.2 and found["ece"]["after"] < found["ece"]["before"]


def test_held_out_clips_are_scored_by_the_temperature_of_the_other_folds():
    logits, references = draw_clips(60, 3.0)
    folds = assign_folds(references, 3)
    temperatures = [fit_temperature(logits[folds != fold], references[folds != fold]) for fold in range(3)]
    scores = [
        mean_log_loss(logits[folds == fold] / temperatures[fold], references[folds == fold]) for fold in range(3)
    ]
    expected = np.average(scores, weights=np.bincount(folds))
    assert calibrate_temperature(logits, references, 3)["nll"]["after"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("clips", "reason"),
    [
        (draw_clips(3, 3.0), "3 clips are too few"),
        (draw_clips(19, 3.0), "19 clips are too few"),
        (draw_clips(400, 1.0), "does not help held-out clips beyond chance"),
        (draw_clips(40, 1.2), "does not help held-out clips beyond chance"),
        ((np.tile([5.0, 0.0], (30, 1)), np.array([0, 1] + [0] * 28)), "does not help|larger"),
    ],
)
def test_a_temperature_that_helps_no_held_out_clip_is_none(clips, reason):
    found = calibrate_temperature(*clips)
    assert found["temperature"] is None and re.search(reason, found["reason"])


def test_few_clips_rarely_get_a_temperature_by_chance():
    found = [calibrate_temperature(*draw_clips(25, 1.0, seed))["temperature"] for seed in range(40)]
    assert sum(temperature is not None for temperature in found) <= 2
