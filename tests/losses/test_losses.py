import math

import pytest
import torch
import torch.nn.functional as F

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.functions import (
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


RAER_COUNTS = [1383, 129, 30, 157, 422]
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [0.2, 0.1, -0.4]])
LABELS = torch.tensor([0, 2, 1, 1])


def regular_simplex(num_labels):
    return torch.eye(num_labels) - 1 / num_labels


# --- MI and DC


@pytest.mark.parametrize("num_labels", [2, 5, 9])
def test_mi_of_views_that_do_not_tell_labels_apart_is_log_of_their_number(num_labels):
    view = torch.randn(1, 16).expand(num_labels, 16)
    torch.testing.assert_close(mi_loss(view, view), torch.tensor(math.log(num_labels)))


def test_mi_of_two_labels_follows_the_formula_by_hand():
    soft = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    descriptive = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, 0.6], [0, 0.8]] at temperature 0.5: rows [[2, 1.2], [0, 1.6]], columns [[2, 0], [1.2, 1.6]]
    gaps = [2 - 1.2, 1.6 - 0, 2 - 0, 1.6 - 1.2]
    by_hand = sum(math.log1p(math.exp(-gap)) for gap in gaps) / 4
    assert mi_loss(soft, descriptive, temperature=0.5).item() == pytest.approx(by_hand, rel=1e-6)


def test_mi_minimum_is_the_simplex_and_training_does_not_get_below_it():
    minimum = math.log1p(4 * math.exp(-5 / 4 / 0.5))
    simplex = regular_simplex(5)
    assert mi_loss(simplex, 2 * simplex, temperature=0.5).item() == pytest.approx(minimum, rel=1e-5)
    torch.manual_seed(0)
    views = torch.randn(2, 5, 8, requires_grad=True)
    optimizer = torch.optim.Adam([views], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss = mi_loss(*views, temperature=0.5)
        loss.backward()
        optimizer.step()
    assert minimum - 1e-6 < loss.item() < minimum + 1e-3


def test_mi_is_symmetric_in_the_views_and_blind_to_their_lengths():
    soft, descriptive = torch.randn(2, 5, 16).unbind()
    lengths = torch.rand(5, 1) + 0.5
    torch.testing.assert_close(mi_loss(soft, descriptive), mi_loss(descriptive, soft))
    torch.testing.assert_close(mi_loss(soft, descriptive), mi_loss(lengths * soft, 3 * descriptive))


def test_dc_of_an_orthogonal_set_is_exactly_zero_and_of_parallel_vectors_one():
    assert dc_loss(3 * torch.eye(5, 8)).item() == 0
    assert dc_loss(torch.ones(1, 8)).item() == 0
    torch.testing.assert_close(dc_loss(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])), torch.tensor(1.0))


def test_dc_is_the_mean_square_cosine_of_pairs_by_hand():
    soft = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])  # cosines 0.6, 0, 0.8
    torch.testing.assert_close(dc_loss(soft), torch.tensor((0.36 + 0.0 + 0.64) / 3))


@pytest.mark.parametrize(
    "loss", [lambda t: mi_loss(t, t), lambda t: mi_loss(t, -t), dc_loss], ids=["mi", "anti", "dc"]
)
def test_gradients_of_parallel_text_embeddings_are_finite(loss):
    soft = torch.ones(5, 16, requires_grad=True)
    loss(soft).backward()
    assert soft.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_change_a_loss(dtype):
    torch.manual_seed(0)
    soft, descriptive = torch.randn(2, 5, 64).unbind()
    counts = RAER_COUNTS[:3]

    def losses():
        return torch.stack(
            [
                mi_loss(soft, descriptive),
                dc_loss(soft),
                smoothed_cross_entropy(LOGITS, LABELS, 0.05, [0.2, 0.5, 0.3]),
                focal_loss(LOGITS, LABELS),
                ldam_loss(LOGITS / 4, LABELS, counts),
            ]
        )

    expected = losses()
    with torch.autocast("cpu", dtype=dtype):
        found = losses()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_half_precision_logits_are_scored_in_fp32():
    logits = LOGITS.to(torch.bfloat16)
    for loss in (smoothed_cross_entropy, focal_loss):
        assert loss(logits, LABELS).dtype == torch.float32
        torch.testing.assert_close(loss(logits, LABELS), loss(logits.float(), LABELS), rtol=0, atol=0)
    assert adjust_logits(logits, torch.ones(3) / 3, 1.0).dtype == torch.float32


# --- ramps


def test_a_ramp_is_zero_then_linear_then_full():
    weights = [ramp_weight(epoch, warmup=5, ramp=8, final=0.7) for epoch in (0, 4.99, 5, 7, 9, 13, 40)]
    assert weights == pytest.approx([0, 0, 0, 0.175, 0.35, 0.7, 0.7])


def test_without_warmup_and_ramp_the_weight_is_full_from_the_start():
    assert ramp_weight(0, 0, 0, 0.5) == 0.5
    assert [ramp_weight(epoch, 3, 0, 0.5) for epoch in (2, 3)] == [0, 0.5]


# --- imbalance


@pytest.mark.parametrize("beta", [0, 0.9, 0.9999])
def test_equal_counts_give_class_weights_of_one(beta):
    assert class_balanced_weights([30] * 5, beta).tolist() == [1.0] * 5


def test_class_weights_follow_effective_numbers_by_hand():
    # effective numbers at β = 0.5: 1 clip 1, 2 clips 1.5; inverses 1 and 2/3, scaled to sum 2
    torch.testing.assert_close(class_balanced_weights([1, 2], 0.5), torch.tensor([1.2, 0.8]))
    weights = class_balanced_weights(torch.tensor(RAER_COUNTS), 0.999)
    assert weights.sum().item() == pytest.approx(5)
    assert weights.argsort().tolist() == [0, 4, 3, 1, 2]


def test_class_weights_reach_from_none_to_inverse_frequency():
    assert class_balanced_weights(RAER_COUNTS, 0).tolist() == [1.0] * 5
    inverse = 1 / torch.tensor(RAER_COUNTS, dtype=torch.float64)
    expected = (inverse / inverse.mean()).float()
    torch.testing.assert_close(class_balanced_weights(RAER_COUNTS, 1 - 1e-12), expected)


@pytest.mark.parametrize("counts", [[[3, 1], [2, 2]], 5, [3, 0, 2], [3, -1, 2], [], [float("nan"), 1.0]])
def test_counts_without_clips_are_refused(counts):
    with pytest.raises(InputError, match="one positive number of training clips per label"):
        class_balanced_weights(counts, 0.99)
    with pytest.raises(InputError, match="`counts`"):
        ldam_loss(torch.zeros(1, 3), torch.tensor([0]), counts)


@pytest.mark.parametrize("beta", [1, -0.1, 1.5, float("nan")])
def test_a_beta_outside_its_range_is_refused(beta):
    with pytest.raises(InputError, match="`beta`"):
        class_balanced_weights([1, 2], beta)


def test_logit_adjustment_adds_tau_times_the_log_prior():
    priors = [0.5, 0.3, 0.2]
    expected = LOGITS + 0.5 * torch.tensor([math.log(prior) for prior in priors])
    torch.testing.assert_close(adjust_logits(LOGITS, priors, 0.5), expected)
    torch.testing.assert_close(adjust_logits(LOGITS, torch.tensor(priors), 0.0), LOGITS)


def test_equal_priors_leave_the_softmax_alone():
    adjusted = adjust_logits(LOGITS, torch.ones(3) / 3, 1.0)
    torch.testing.assert_close(adjusted.softmax(-1), LOGITS.softmax(-1))


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_a_label_without_clips_keeps_the_adjusted_loss_finite(tau):
    logits = LOGITS.clone().requires_grad_()
    loss = smoothed_cross_entropy(adjust_logits(logits, [0.6, 0.4, 0.0], tau), LABELS)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


# --- classification losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_uniform_smoothing_is_that_of_torch(smoothing):
    expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(smoothed_cross_entropy(LOGITS, LABELS, smoothing), expected)


def test_smoothing_over_a_distribution_leaves_the_label_out_of_it():
    # label 0 of distribution (1, 3, 1): the others get 3/4 and 1/4 of the smoothing
    targets = smoothed_targets(3, 0.2, [1.0, 3.0, 1.0])
    torch.testing.assert_close(targets, torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]))
    loss = smoothed_cross_entropy(LOGITS[:1], LABELS[:1], 0.2, [1.0, 3.0, 1.0])
    torch.testing.assert_close(loss, -(targets[0] * LOGITS[0].log_softmax(-1)).sum())


def test_smoothed_cross_entropy_is_least_where_the_softmax_is_the_target():
    target = smoothed_targets(3, 0.3, [0.2, 0.5, 0.3])[1]
    entropy = -(target * target.log()).sum()
    logits = target.log()[None].requires_grad_()
    loss = smoothed_cross_entropy(logits, torch.tensor([1]), 0.3, [0.2, 0.5, 0.3])
    torch.testing.assert_close(loss, entropy)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 3))


def test_a_label_alone_may_have_no_share_of_the_smoothing():
    # Of label 1 and of label 2 the other takes all; of label 0 both take half.
    targets = smoothed_targets(3, 0.2, [0.0, 1.0, 1.0])
    torch.testing.assert_close(targets, torch.tensor([[0.8, 0.1, 0.1], [0.0, 0.8, 0.2], [0.0, 0.2, 0.8]]))


@pytest.mark.parametrize("distribution", [[1.0, 1.0], [0.0, 1.0, 0.0], [1.0, -1.0, 1.0]])
def test_a_distribution_that_cannot_take_the_smoothing_is_refused(distribution):
    with pytest.raises(InputError, match="`class_distribution`"):
        smoothed_cross_entropy(LOGITS, LABELS, 0.1, distribution)


def test_focal_with_gamma_zero_is_cross_entropy_and_alpha_scales():
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, gamma=0), F.cross_entropy(LOGITS, LABELS))
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, alpha=0.25), focal_loss(LOGITS, LABELS) / 4)


def test_focal_of_a_coin_toss_by_hand():
    loss = focal_loss(torch.zeros(1, 2), torch.tensor([1]), gamma=2.0)
    torch.testing.assert_close(loss, torch.tensor(0.25 * math.log(2)))


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1e4, 0.0, 0.0], [-1e4, 0.0, 0.0], [20.0, 0.0, 0.0]])
def test_focal_gradients_are_finite_at_the_extremes(gamma, row):
    logits = torch.tensor([row], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), gamma=gamma)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_focal_gradients_equal_finite_differences():
    logits = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: focal_loss(rows, LABELS, gamma=1.5), logits)


def test_ldam_gives_the_rarest_label_the_largest_margin_by_hand():
    cosines = torch.tensor([[0.5, 0.0]])
    # counts 16 and 1: margins 0.25 and 0.5
    frequent = ldam_loss(cosines, torch.tensor([0]), [16, 1], max_margin=0.5, scale=10)
    rare = ldam_loss(cosines, torch.tensor([1]), [16, 1], max_margin=0.5, scale=10)
    assert frequent.item() == pytest.approx(math.log1p(math.exp(-10 * (0.5 - 0.25))), rel=1e-5)
    assert rare.item() == pytest.approx(math.log1p(math.exp(10 * (0.5 - (0.0 - 0.5)))), rel=1e-5)


def test_ldam_without_margin_is_cross_entropy_of_scaled_cosines():
    cosines = torch.rand(4, 3) * 2 - 1
    expected = F.cross_entropy(30 * cosines, LABELS)
    torch.testing.assert_close(ldam_loss(cosines, LABELS, [9, 3, 1], max_margin=0.0), expected)


LOSSES = {
    "cross_entropy": lambda logits, labels, weights: smoothed_cross_entropy(logits, labels, 0.1, weights=weights),
    "focal": lambda logits, labels, weights: focal_loss(logits, labels, weights=weights),
    "ldam": lambda logits, labels, weights: ldam_loss(logits / 5, labels, [9, 3, 1], weights=weights),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_weighted_loss_does_not_depend_on_micro_batches(loss):
    weights = torch.tensor([0.2, 0.8, 2.0])
    whole = loss(LOGITS, LABELS, weights)
    halves = (loss(LOGITS[:2], LABELS[:2], weights) + loss(LOGITS[2:], LABELS[2:], weights)) / 2
    torch.testing.assert_close(halves, whole)
    one = loss(LOGITS[1:2], LABELS[1:2], None)
    torch.testing.assert_close(loss(LOGITS[1:2], LABELS[1:2], weights), 2 * one)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("label", [-100, -1, 3])
def test_a_label_outside_the_range_is_never_scored(loss, label):
    with pytest.raises((IndexError, RuntimeError)):
        loss(LOGITS[:1], torch.tensor([label]), torch.ones(3))


# --- Raters' votes, and labels that are near each other


@pytest.mark.parametrize("votes", [torch.eye(3)[LABELS], 9 * torch.eye(3)[LABELS], torch.zeros(4, 3)])
def test_votes_for_the_label_alone_and_no_votes_are_the_plain_cross_entropy(votes):
    torch.testing.assert_close(distribution_loss(LOGITS, LABELS, votes), F.cross_entropy(LOGITS, LABELS))


def test_the_distribution_loss_is_that_of_the_votes_by_hand():
    # votes 3 : 1, probabilities 4/5 and 1/5: -(3/4 log 4/5 + 1/4 log 1/5)
    logits = torch.tensor([[math.log(4.0), 0.0]])
    by_hand = -(0.75 * math.log(0.8) + 0.25 * math.log(0.2))
    for scale in (1, 5):
        loss = distribution_loss(logits, torch.tensor([1]), scale * torch.tensor([[3, 1]]))
        assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("num_labels", [2, 6])
def test_the_distribution_loss_of_uniform_logits_is_log_of_their_number_and_its_minimum_the_votes_entropy(num_labels):
    votes, label = torch.ones(1, num_labels), torch.tensor([1])
    uniform = torch.zeros(1, num_labels)
    assert distribution_loss(uniform, label, votes).item() == pytest.approx(math.log(num_labels), rel=1e-6)
    shares = torch.arange(1.0, num_labels + 1)[None]
    entropy = -(shares / shares.sum() * (shares / shares.sum()).log()).sum()
    torch.testing.assert_close(distribution_loss(shares.log(), label, shares), entropy)


def test_the_distribution_loss_weighs_clips_by_their_label():
    votes, weights = torch.tensor([[2, 1, 1], [0, 4, 4], [1, 0, 0], [0, 0, 3]]), torch.tensor([2.0, 0.5, 0.0])
    each = [distribution_loss(LOGITS[i : i + 1], LABELS[i : i + 1], votes[i : i + 1]) for i in range(4)]
    expected = (2 * each[0] + 0 * each[1] + 0.5 * each[2] + 0.5 * each[3]) / 4
    torch.testing.assert_close(distribution_loss(LOGITS, LABELS, votes, weights), expected)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_labels_that_are_equally_far_apart_are_smoothed_evenly(beta):
    smoothing = 3 * math.exp(-beta) / (1 + 2 * math.exp(-beta))
    expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    for embeds in (torch.eye(3), 5 * regular_simplex(3)):
        torch.testing.assert_close(near_label_loss(LOGITS, LABELS, embeds, beta), expected)


def test_a_high_beta_is_the_plain_cross_entropy():
    embeds = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    torch.testing.assert_close(near_label_loss(LOGITS, LABELS, embeds, 1e3), F.cross_entropy(LOGITS, LABELS))


def test_a_near_label_is_a_cheaper_mistake_by_the_formula():
    # Cosines 0.6, 0 and 0.8: distances 0.4, 1 and 0.2, the farthest of which is 1 already.
    embeds = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    shares = torch.tensor([1.0, math.exp(-2 * 0.4), math.exp(-2)])
    expected = -(shares / shares.sum() * torch.tensor([[0.0, 3.0, -1.0]]).log_softmax(-1)).sum()
    first = torch.tensor([0])
    torch.testing.assert_close(near_label_loss(torch.tensor([[0.0, 3.0, -1.0]]), first, embeds, 2.0), expected)
    near, far = (near_label_loss(torch.tensor([row]), first, embeds) for row in ([0.0, 3.0, 0.0], [0.0, 0.0, 3.0]))
    assert near < far


def test_the_farthest_two_labels_are_at_a_distance_of_one_however_near_they_are():
    # Cosines 0.96, 0.8 and 0.936: distances 0.04, 0.2 and 0.064, which are 0.2, 1 and 0.32 of the farthest.
    embeds = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6]])
    shares = torch.tensor([math.exp(-3 * 0.2), 1.0, math.exp(-3 * 0.32)])
    logits = torch.tensor([[0.5, -1.0, 2.0]])
    expected = -(shares / shares.sum() * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(near_label_loss(logits, torch.tensor([1]), embeds, 3.0), expected, rtol=1e-5, atol=1e-5)


def test_near_labels_get_no_gradient_and_equal_ones_a_finite_loss():
    embeds = torch.ones(3, 4, requires_grad=True)
    logits = LOGITS.clone().requires_grad_()
    near_label_loss(logits, LABELS, embeds).backward()
    assert embeds.grad is None and torch.isfinite(logits.grad).all()


def test_the_near_loss_weighs_clips_by_their_label():
    embeds, weights = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([2.0, 0.5, 0.0])
    each = [near_label_loss(LOGITS[i : i + 1], LABELS[i : i + 1], embeds, 2.0) for i in range(4)]
    expected = (2 * each[0] + 0 * each[1] + 0.5 * each[2] + 0.5 * each[3]) / 4
    torch.testing.assert_close(near_label_loss(LOGITS, LABELS, embeds, 2.0, weights), expected)


def test_parameters_that_are_not_given_are_those_of_the_papers():
    cosines, embeds = LOGITS / 5, torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    soft, descriptive = torch.eye(3, 4), torch.ones(3, 4).tril(1)
    for found, expected in (
        (mi_loss(soft, descriptive), mi_loss(soft, descriptive, 0.07)),
        (smoothed_cross_entropy(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS)),
        (focal_loss(LOGITS, LABELS), focal_loss(LOGITS, LABELS, gamma=2.0, alpha=1.0)),
        (ldam_loss(cosines, LABELS, [9, 3, 1]), ldam_loss(cosines, LABELS, [9, 3, 1], max_margin=0.5, scale=30.0)),
        (near_label_loss(LOGITS, LABELS, embeds), near_label_loss(LOGITS, LABELS, embeds, beta=10.0)),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
