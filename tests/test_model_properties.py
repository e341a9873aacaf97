"""What holds of any sampling of frames and of any two directions."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.prototypes import instance_logits, slerp


@given(total=st.integers(1, 500), wanted=st.integers(1, 70), seed=st.integers(0, 999))
def test_sampled_frames_stand_in_order_one_in_each_part_of_the_clip(total, wanted, seed):
    generator = torch.Generator().manual_seed(seed)
    for mode, sampling in (("eval", "segments"), ("train", "segments"), ("train", "reference"), ("eval", "reference")):
        found = sample_frame_indices(total, wanted, mode, generator, sampling).tolist()
        assert len(found) == wanted and found == sorted(found) and found[0] >= 0 and found[-1] < total
        if total <= wanted:
            assert set(found) == set(range(total))
        elif sampling == "segments":
            parts = [(place * total / wanted, (place + 1) * total / wanted) for place in range(wanted)]
            assert all(math.floor(low) <= index < high for index, (low, high) in zip(found, parts, strict=True))
    middle = sample_frame_indices(total, wanted, "eval").tolist()
    assert len(set(middle)) == min(total, wanted)
    assert all(abs(index + 0.5 - (place + 0.5) * total / wanted) <= 0.5 for place, index in enumerate(middle))


def unit(values):
    vector = torch.tensor(values, dtype=torch.float64)
    assume(float(vector.norm()) > 0.1)
    return vector / vector.norm()


VECTOR = st.lists(st.floats(-1, 1), min_size=5, max_size=5)


@given(start=VECTOR, end=VECTOR, weight=st.floats(0, 1))
def test_slerp_goes_its_share_of_the_angle_along_the_great_circle(start, end, weight):
    start, end = unit(start), unit(end)
    angle = math.acos(max(-1.0, min(1.0, float(start @ end))))
    assume(1e-3 < angle < math.pi - 1e-3)
    found = slerp(start, end, weight)
    assert float(found.norm()) == pytest.approx(1, abs=1e-9)
    assert float(found @ start) == pytest.approx(math.cos(weight * angle), abs=1e-7)
    assert float(found @ end) == pytest.approx(math.cos((1 - weight) * angle), abs=1e-7)
    torch.testing.assert_close(found, slerp(end, start, 1 - weight), rtol=0, atol=1e-7)


@given(start=VECTOR, nudge=VECTOR, size=st.floats(0, 1e-2), sign=st.sampled_from([1, -1]), weight=st.floats(0, 1))
def test_slerp_and_its_gradient_are_finite_at_and_near_parallel_and_opposite(start, nudge, size, sign, weight):
    start = unit(start).float().requires_grad_()
    end = (sign * start.detach() + size * torch.tensor(nudge)).requires_grad_()
    found = slerp(start, end, weight)
    found.sum().backward()
    assert all(bool(torch.isfinite(value).all()) for value in (found, start.grad, end.grad))


@given(video=VECTOR, text=VECTOR, weight=st.floats(0, 0.95), temperature=st.floats(0.01, 2))
def test_logits_are_the_cosine_of_the_angle_that_is_left_over_the_temperature(video, text, weight, temperature):
    video, text = unit(video), unit(text)
    angle = math.acos(max(-1.0, min(1.0, float(video @ text))))
    assume(0.05 < angle < math.pi - 0.05)
    (found,) = instance_logits(video[None], text[None, None], weight, temperature).flatten().tolist()
    assert found == pytest.approx(math.cos((1 - weight) * angle) / temperature, rel=1e-4, abs=1e-4 / temperature)
