import pytest
import torch

from modeling_clipcaer.temporal_encoder import TemporalEncoder


def build(pooling="cls", num_layers=2):
    encoder = TemporalEncoder(16, 6, num_layers, 2, 8, 32, 0.1, pooling).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_a_masked_clip_equals_the_shorter_clip(pooling):
    encoder, frames = build(pooling), torch.randn(2, 6, 16)
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    masked = encoder(frames, mask)
    torch.testing.assert_close(masked[:1], encoder(frames[:1, :4]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(masked[1:], encoder(frames[1:]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_the_order_of_frames_matters(pooling):
    encoder, frames = build(pooling), torch.randn(1, 6, 16)
    assert not torch.allclose(encoder(frames), encoder(frames.flip(1)), atol=1e-3)


def test_too_many_frames_are_refused():
    with pytest.raises(ValueError, match="got 7 frames, `num_frames` allows at most 6"):
        build()(torch.randn(1, 7, 16))


def test_attention_pooling_of_equal_frames_is_that_frame():
    encoder = TemporalEncoder(16, 6, 1, 2, 8, 32, 0.0, "attention")
    torch.nn.init.zeros_(encoder.position_embeds)
    frame = torch.randn(1, 1, 16)
    pooled = encoder(frame.expand(1, 6, 16))
    torch.testing.assert_close(pooled, encoder(frame), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_frames", [6, 4])
def test_leaving_out_what_only_asked_for_states_need_changes_nothing(num_layers, num_frames):
    encoder, frames = build(num_layers=num_layers), torch.randn(2, num_frames, 16)
    mask = torch.arange(num_frames) < torch.tensor([[3], [num_frames]])
    states = {"hidden_states": [], "attentions": []}
    torch.testing.assert_close(encoder(frames, mask), encoder(frames, mask, states))
    assert states["hidden_states"][-1].shape == (2, num_frames + 1, 16)
    assert states["attentions"][-1].shape == (2, 2, num_frames + 1, num_frames + 1)


def test_dropout_acts_in_training_only():
    encoder, frames = build(), torch.randn(1, 6, 16)
    torch.testing.assert_close(encoder(frames), encoder(frames))
    encoder.train()
    assert not torch.equal(encoder(frames), encoder(frames))
