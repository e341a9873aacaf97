"""Accuracy on the most confident clips, by hand."""

import numpy as np
import pytest

from modeling_clipcaer.metrics import accuracy_by_coverage


def probabilities(confidence):
    return np.stack([confidence, 1 - np.array(confidence)], axis=1)


def test_the_most_confident_clips_are_taken_first():
    # In the order of confidence: right, right, wrong, right.
    found = accuracy_by_coverage(probabilities([0.6, 0.9, 0.7, 0.8]), [0, 0, 1, 0])
    assert found == pytest.approx([1, 1, 2 / 3, 3 / 4])


def test_clips_of_one_confidence_count_in_the_mean_of_their_orders():
    for references in ([0, 1, 0, 0], [1, 0, 0, 0]):
        found = accuracy_by_coverage(probabilities([0.7, 0.7, 0.6, 0.9]), references)
        assert found == pytest.approx([1, 1.5 / 2, 2 / 3, 3 / 4])


def test_the_last_value_is_the_accuracy_of_all():
    rng = np.random.default_rng(0)
    scores, references = rng.dirichlet(np.ones(5), 200), rng.integers(0, 5, 200)
    found = accuracy_by_coverage(scores, references)
    assert found[-1] == pytest.approx((scores.argmax(axis=1) == references).mean()) and found.shape == (200,)
