import math

import pytest
import torch
from torch.nn.functional import normalize

from helpers.tiny import tiny_config
from modeling_clipcaer.prototypes import SlerpWeight, instance_logits, instance_prototypes, mix_prototypes, slerp


@pytest.fixture
def units():
    return normalize(torch.randn(6, 16, dtype=torch.float64), dim=-1), normalize(
        torch.randn(6, 16, dtype=torch.float64), dim=-1
    )


def test_slerp_ends_at_start_and_end(units):
    start, end = units
    torch.testing.assert_close(slerp(start, end, 0.0), start)
    torch.testing.assert_close(slerp(start, end, 1.0), end)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 0.9])
def test_slerp_keeps_unit_norm_and_shrinks_the_angle_by_its_weight(units, weight):
    start, end = units
    moved = slerp(start, end, weight)
    angle = torch.acos((start * end).sum(-1))
    torch.testing.assert_close(moved.norm(dim=-1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close((end * moved).sum(-1), torch.cos((1 - weight) * angle))


def test_slerp_of_a_right_angle_at_half_is_the_diagonal():
    start, end = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(slerp(start, end, 0.5), torch.tensor([0.5, 0.5]).sqrt())


@pytest.mark.parametrize("scale", [1.0, -1.0], ids=["parallel", "opposite"])
@pytest.mark.parametrize("nudge", [0.0, 1e-12, 1e-8, 1e-6, 1e-5, 1e-3])
def test_slerp_and_its_gradient_are_finite_near_parallel_and_opposite(scale, nudge):
    start = normalize(torch.randn(3, 8), dim=-1).requires_grad_()
    end = normalize(scale * start.detach() + nudge * torch.randn(3, 8), dim=-1).requires_grad_()
    moved = slerp(start, end, 0.5)
    torch.testing.assert_close(moved.norm(dim=-1), torch.ones(3), atol=1e-3, rtol=0)
    cosine = (end * moved).sum(-1)
    expected = torch.full((3,), 1.0 if scale > 0 else math.cos(math.pi / 2))
    torch.testing.assert_close(cosine, expected, atol=2e-3, rtol=0)
    moved.square().sum().backward()
    assert start.grad.isfinite().all() and end.grad.isfinite().all()


def test_one_degenerate_row_leaves_the_others_alone():
    start = normalize(torch.randn(2, 8), dim=-1)
    end = torch.stack([start[0], normalize(torch.randn(8), dim=-1)])
    torch.testing.assert_close(slerp(start, end, 0.3)[1], slerp(start[1], end[1], 0.3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_slerp_runs_in_fp32_under_autocast(dtype):
    start, end = normalize(torch.randn(2, 8), dim=-1), normalize(torch.randn(2, 8), dim=-1)
    expected = slerp(start, end, 0.5)
    with torch.autocast("cpu", dtype=dtype):
        moved = slerp(start, end, 0.5)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, expected, rtol=0, atol=0)


@pytest.mark.parametrize("slerp_weight", [0.0, 0.25, 0.5, 0.9])
def test_logits_are_cosines_of_the_shrunk_angle_over_temperature(slerp_weight):
    video, text = normalize(torch.randn(3, 12), dim=-1), normalize(torch.randn(5, 1, 12), dim=-1)
    angle = torch.acos(video @ text[:, 0].T)
    expected = torch.cos((1 - slerp_weight) * angle) / 0.07
    torch.testing.assert_close(instance_logits(video, text, slerp_weight, 0.07), expected, rtol=1e-4, atol=1e-4)


def test_the_slerp_weight_never_changes_the_decision():
    video, text = normalize(torch.randn(64, 12), dim=-1), normalize(torch.randn(5, 1, 12), dim=-1)
    decisions = [instance_logits(video, text, weight, 0.07).argmax(-1) for weight in (0.0, 0.3, 0.6, 0.9)]
    assert all(torch.equal(decision, decisions[0]) for decision in decisions)


def test_an_ensembles_logits_are_the_mean_of_its_sentences():
    video, text = normalize(torch.randn(3, 12), dim=-1), normalize(torch.randn(5, 4, 12), dim=-1)
    each = torch.stack([instance_logits(video, text[:, i : i + 1], 0.5, 0.1) for i in range(4)])
    torch.testing.assert_close(instance_logits(video, text, 0.5, 0.1), each.mean(0))


def test_instance_prototypes_have_one_set_for_each_video():
    video, text = normalize(torch.randn(3, 12), dim=-1), normalize(torch.randn(5, 4, 12), dim=-1)
    moved = instance_prototypes(video, text, 0.5)
    assert moved.shape == (3, 5, 4, 12)
    torch.testing.assert_close(moved[2, 1, 3], slerp(text[1, 3], video[2], 0.5))


def at_degrees(*angles):
    """Unit vectors in the plane, (num_angles, 2)."""
    radians = torch.tensor(angles).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=-1)


def cosines_of(*angles):
    return torch.tensor([math.cos(math.radians(angle)) for angle in angles])


def test_a_slerp_weight_for_each_label_can_change_the_decision():
    """Texts at 60 and 50 degrees from the video. Half the way for both: 30 and 25 degrees are left, and the second is
    nearer. Half the way for the first and a tenth for the second: 30 and 45 degrees are left."""
    video, texts = at_degrees(0.0), at_degrees(60.0, 50.0)[:, None]
    torch.testing.assert_close(instance_logits(video, texts, torch.tensor([0.5, 0.5]), 1.0)[0], cosines_of(30, 25))
    torch.testing.assert_close(instance_logits(video, texts, torch.tensor([0.5, 0.1]), 1.0)[0], cosines_of(30, 45))


def test_equal_weights_of_all_labels_are_the_one_weight():
    video, text = normalize(torch.randn(64, 12), dim=-1), normalize(torch.randn(5, 3, 12), dim=-1)
    each, one = (instance_logits(video, text, weight, 0.07) for weight in (torch.full((5,), 0.3), 0.3))
    torch.testing.assert_close(each, one)


@pytest.mark.parametrize("scale", [1.0, -1.0], ids=["parallel", "opposite"])
def test_a_weight_has_a_finite_gradient_near_parallel_and_opposite(scale):
    start, weight = normalize(torch.randn(3, 8), dim=-1), torch.full((3, 1), 0.5, requires_grad=True)
    moved = slerp(start, scale * start, weight)
    torch.testing.assert_close((scale * start * moved).sum(-1), cosines_of(0, 0, 0) if scale > 0 else torch.zeros(3))
    moved.sum().backward()
    assert weight.grad.isfinite().all()


def test_a_learned_weight_begins_where_it_is_told_and_stays_between_0_and_1():
    for kind, count in (("shared", 1), ("per_label", 5)):
        weight = SlerpWeight(tiny_config(learned_slerp_weight=kind, slerp_weight=0.3))
        weight.reset_parameters()
        assert weight.logits.shape == (count,)
        torch.testing.assert_close(weight(), torch.full((5,), 0.3))
        weight.logits.data.fill_(20.0)
        assert (weight() > 0.999).all() and (weight() <= 1).all()
    assert SlerpWeight(tiny_config(slerp_weight=0.3))() == 0.3 and not list(SlerpWeight(tiny_config()).parameters())


def test_a_mixture_of_prototypes_by_hand():
    video, texts = at_degrees(0.0), at_degrees(-30.0, 30.0)[:, None]
    torch.testing.assert_close(mix_prototypes(video, texts, 0.07), video)  # both alike
    texts = at_degrees(10.0, 60.0, 110.0)[:, None]
    torch.testing.assert_close(mix_prototypes(video, texts, 1e-3), at_degrees(10.0))  # the nearest
    torch.testing.assert_close(mix_prototypes(video, texts, 1e6), at_degrees(60.0), atol=1e-5, rtol=0)  # the mean
    shares = cosines_of(10, 60, 110).softmax(dim=0)
    expected = normalize((shares[:, None] * at_degrees(10.0, 60.0, 110.0)).sum(0), dim=0)
    torch.testing.assert_close(mix_prototypes(video, texts, 1.0)[0], expected)


def test_prototypes_that_move_to_their_mixture_can_change_the_decision():
    """Texts at 10 and -20 degrees from the video; the mixture is the nearer one, which stays. The other one goes half
    the way to it, by the video, and ends at -5 degrees."""
    video, texts = at_degrees(0.0), at_degrees(10.0, -20.0)[:, None]
    logits = instance_logits(video, texts, 0.5, 1e-3, "prototypes")
    torch.testing.assert_close(logits[0] * 1e-3, cosines_of(10, 5))
    assert instance_logits(video, texts, 0.5, 1e-3).argmax() == 0
    still = instance_logits(video, texts, 0.0, 1e-3, "prototypes")
    torch.testing.assert_close(still, instance_logits(video, texts, 0.0, 1e-3))
