import math

import pytest
import torch
from torch.nn.functional import normalize

from modeling_clipcaer.prototypes import instance_logits, instance_prototypes, slerp


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
