import torch

from modeling_clipcaer.face_adapter import FaceAdapter


def test_ratio_0_is_the_identity():
    frames = torch.randn(2, 4, 16)
    torch.testing.assert_close(FaceAdapter(16, 4, 0.0)(frames), frames, rtol=0, atol=0)


def test_the_output_blends_the_bottleneck_with_its_input():
    adapter, frames = FaceAdapter(16, 4, 0.2), torch.randn(2, 4, 16)
    hidden = (frames @ adapter.down_proj.weight.T).clamp(min=0)
    adapted = (hidden @ adapter.up_proj.weight.T).clamp(min=0)
    torch.testing.assert_close(adapter(frames), 0.2 * adapted + 0.8 * frames)


def test_every_weight_gets_a_gradient_from_the_start():
    adapter = FaceAdapter(16, 4, 0.2)
    adapter(torch.randn(8, 16)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in adapter.parameters())
