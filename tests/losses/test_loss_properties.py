"""Losses against sums by hand, on whatever logits, and finite wherever training may go."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeling_clipcaer.losses import (
    adjust_logits,
    class_balanced_weights,
    dc_loss,
    distribution_loss,
    focal_loss,
    ldam_loss,
    mi_loss,
    near_label_loss,
    ramp_weight,
    smoothed_cross_entropy,
    smoothed_targets,
)


NUM_LABELS, DIM = 3, 4
NUMBER = st.floats(-30, 30)


def rows(count, width, number=NUMBER):
    row = st.lists(number, min_size=width, max_size=width)
    return st.lists(row, min_size=count, max_size=count).map(lambda values: torch.tensor(values, dtype=torch.float64))


BATCH = st.integers(1, 5).flatmap(
    lambda count: st.tuples(
        rows(count, NUM_LABELS),
        st.lists(st.integers(0, NUM_LABELS - 1), min_size=count, max_size=count).map(torch.tensor),
    )
)
EMBEDS = rows(NUM_LABELS, DIM, st.floats(-5, 5)).filter(lambda embeds: bool((embeds.norm(dim=-1) > 0.1).all()))
COUNTS = st.lists(st.integers(1, 5000), min_size=NUM_LABELS, max_size=NUM_LABELS)


def log_softmax(row):
    total = math.fsum(math.exp(value - max(row)) for value in row)
    return [value - max(row) - math.log(total) for value in row]


def cosine(left, right):
    dot = math.fsum(a * b for a, b in zip(left, right, strict=True))
    return dot / math.sqrt(math.fsum(a * a for a in left) * math.fsum(b * b for b in right))


@given(batch=BATCH, smoothing=st.floats(0, 1))
def test_cross_entropy_is_a_sum_over_targets_that_add_up_to_one(batch, smoothing):
    logits, labels = batch
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        logs = log_softmax(row)
        expected -= (1 - smoothing) * logs[label] + smoothing * math.fsum(logs) / NUM_LABELS
    found = smoothed_cross_entropy(logits, labels, smoothing)
    assert float(found) == pytest.approx(expected / len(labels), rel=1e-6, abs=1e-6)
    assert smoothed_targets(NUM_LABELS, smoothing).sum(dim=1).tolist() == pytest.approx([1.0] * NUM_LABELS)


@given(batch=BATCH, gamma=st.floats(0, 5), alpha=st.floats(0.1, 2))
def test_focal_loss_is_cross_entropy_times_a_power_of_the_miss(batch, gamma, alpha):
    logits, labels = batch
    losses = [-log_softmax(row)[label] for row, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    expected = math.fsum(alpha * (-math.expm1(-loss)) ** gamma * loss for loss in losses) / len(losses)
    assert float(focal_loss(logits, labels, gamma, alpha)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(batch=BATCH, counts=COUNTS, margin=st.floats(0, 1), scale=st.floats(0.1, 40))
def test_a_margin_makes_ldam_no_less_and_follows_the_fourth_root_of_counts(batch, counts, margin, scale):
    cosines, labels = batch[0].tanh(), batch[1]
    expected = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        row[label] -= margin * (min(counts) / counts[label]) ** 0.25
        expected -= log_softmax([scale * value for value in row])[label]
    found = float(ldam_loss(cosines, labels, counts, margin, scale))
    assert found == pytest.approx(expected / len(labels), rel=1e-6, abs=1e-6)
    assert found >= float(smoothed_cross_entropy(scale * cosines, labels)) - 1e-6


@given(batch=BATCH, data=st.data())
def test_the_distribution_loss_is_that_of_the_shares_of_votes(batch, data):
    logits, labels = batch
    votes = data.draw(rows(len(labels), NUM_LABELS, st.integers(0, 9)))
    expected = 0.0
    for row, label, counts in zip(logits.tolist(), labels.tolist(), votes.tolist(), strict=True):
        counts = counts if sum(counts) else [float(place == label) for place in range(NUM_LABELS)]
        expected -= math.fsum(n / sum(counts) * value for n, value in zip(counts, log_softmax(row), strict=True))
    assert float(distribution_loss(logits, labels, votes)) == pytest.approx(expected / len(labels), rel=1e-6, abs=1e-6)


@given(batch=BATCH, embeds=EMBEDS, beta=st.floats(0, 50))
def test_the_near_loss_has_its_targets_by_the_distances_of_labels(batch, embeds, beta):
    logits, labels = batch
    places = list(enumerate(embeds.tolist()))
    far = [[0.0 if x == y else max(1 - cosine(a, b), 0.0) for y, b in places] for x, a in places]
    widest = max(max(map(max, far)), 1e-6)
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        shares = [math.exp(value) for value in log_softmax([-beta * d / widest for d in far[label]])]
        expected -= math.fsum(share * value for share, value in zip(shares, log_softmax(row), strict=True))
    found = float(near_label_loss(logits, labels, embeds, beta))
    assert found == pytest.approx(expected / len(labels), rel=1e-5, abs=1e-5)


@given(soft=EMBEDS, descriptive=EMBEDS, temperature=st.floats(0.01, 5), scale=st.floats(0.1, 100))
def test_the_text_losses_are_those_of_cosines_by_hand_at_any_length(soft, descriptive, temperature, scale):
    table = [[cosine(a, b) / temperature for b in descriptive.tolist()] for a in soft.tolist()]
    across = sum(-log_softmax(row)[place] for place, row in enumerate(table))
    down = sum(-log_softmax(list(column))[place] for place, column in enumerate(zip(*table, strict=True)))
    found = float(mi_loss(scale * soft, descriptive, temperature))
    assert found == pytest.approx((across + down) / (2 * NUM_LABELS), rel=1e-6, abs=1e-6)
    pairs = [cosine(a, b) ** 2 for x, a in enumerate(soft.tolist()) for y, b in enumerate(soft.tolist()) if x != y]
    assert float(dc_loss(scale * soft)) == pytest.approx(sum(pairs) / len(pairs), rel=1e-6, abs=1e-9)
    assert 0 <= float(dc_loss(soft)) <= 1 + 1e-9


@given(counts=COUNTS, beta=st.floats(0, 1, exclude_max=True))
def test_class_weights_add_up_to_the_number_of_labels_and_favour_the_rare(counts, beta):
    weights = class_balanced_weights(counts, beta).tolist()
    assert sum(weights) == pytest.approx(NUM_LABELS, rel=1e-4) and all(weight > 0 for weight in weights)
    ordered = sorted(zip(counts, weights, strict=True))
    assert all(rare >= common - 1e-5 for (_, rare), (_, common) in pairwise(ordered))


@given(batch=BATCH, priors=st.lists(st.floats(0, 1), min_size=NUM_LABELS, max_size=NUM_LABELS), tau=st.floats(0, 5))
def test_adjusted_logits_are_finite_for_any_prior(batch, priors, tau):
    expected = [tau * math.log(max(prior, 1e-12)) for prior in priors]
    shifts = adjust_logits(batch[0], priors, tau) - batch[0]
    assert all(row == pytest.approx(expected, rel=1e-5, abs=1e-5) for row in shifts.tolist())


@given(warmup=st.floats(0, 10), ramp=st.floats(0, 10), final=st.floats(0, 3), epochs=st.lists(st.floats(0, 40)))
def test_a_ramp_never_falls_and_stays_between_nothing_and_its_end(warmup, ramp, final, epochs):
    weights = [ramp_weight(epoch, warmup, ramp, final) for epoch in sorted(epochs)]
    assert weights == sorted(weights) and all(0 <= weight <= final for weight in weights)
    assert ramp_weight(warmup + ramp + 1e-9 * (warmup + ramp + 1), warmup, ramp, final) == pytest.approx(final)
