from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from helpers.tiny import CLIP, tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer.temporal_encoder import TemporalEncoder


def build(pooling="cls", num_layers=2, temporal_head_dim=16):
    config = tiny_config(
        clip_config={**CLIP, "projection_dim": 16},
        num_frames=6,
        temporal_layers=num_layers,
        temporal_pooling=pooling,
        attn_implementation="sdpa",
        temporal_head_dim=temporal_head_dim,
    )
    encoder = TemporalEncoder(config).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def encode(encoder, frames):
    return encoder(frames).pooler_output


def as_torch_has_it(layer):
    """The same layer as one of torch's."""
    other = nn.TransformerEncoderLayer(
        16, 2, 32, 0.0, partial(F.gelu, approximate="tanh"), batch_first=True, norm_first=True
    )
    names = {"self_attn.in_proj_weight": "attention.qkv_proj.weight", "norm1": "attention_norm", "norm2": "mlp_norm"}
    names |= {"self_attn.out_proj": "attention.out_proj", "linear1": "mlp_up", "linear2": "mlp_down"}
    ours, theirs = layer.state_dict(), other.state_dict()
    for name in theirs:
        start = next((start for start in names if name.startswith(start)), None)
        theirs[name] = torch.zeros(48) if start is None else ours[names[start] + name.removeprefix(start)]
    other.load_state_dict(theirs)
    return other.eval()


@pytest.mark.parametrize("num_frames", [6, 4])
@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_layers_are_those_of_torch_on_frames_and_positions(pooling, num_frames):
    encoder, frames = build(pooling, temporal_head_dim=8), torch.randn(3, num_frames, 16)
    states = frames if pooling == "attention" else torch.cat([encoder.cls_token.expand(3, -1, -1), frames], dim=1)
    states = states + encoder.position_embeds[:, : states.shape[1]]
    expected = [states]
    for layer in encoder.layers:
        expected.append(as_torch_has_it(layer)(expected[-1]))
    outputs = encoder(frames, output_hidden_states=True)
    torch.testing.assert_close(list(outputs.hidden_states), expected, rtol=1e-4, atol=1e-4)
    if pooling == "cls":
        pooled = expected[-1][:, 0]
    else:
        hidden = expected[-1] @ encoder.pooling_hidden.weight.T + encoder.pooling_hidden.bias
        shares = (hidden.tanh() @ encoder.pooling_score.weight.T).exp()
        pooled = (shares * expected[-1]).sum(dim=1) / shares.sum(dim=1)
    torch.testing.assert_close(encode(encoder, frames), pooled, rtol=1e-4, atol=1e-4)
    assert outputs.attentions is None and encoder(frames).hidden_states is None
    weights = encoder(frames, output_attentions=True).attentions
    assert len(weights) == 2 and weights[0].shape == (3, 2, *[states.shape[1]] * 2)
    torch.testing.assert_close(weights[0].sum(dim=-1), torch.ones(weights[0].shape[:-1]))


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_the_order_of_frames_matters(pooling):
    encoder, frames = build(pooling), torch.randn(1, 6, 16)
    assert not torch.allclose(encode(encoder, frames), encode(encoder, frames.flip(1)), atol=1e-3)


def test_mean_pooling_is_the_mean_whatever_the_order():
    encoder, frames = build("mean"), torch.randn(2, 6, 16)
    assert not list(encoder.parameters())
    torch.testing.assert_close(encode(encoder, frames), frames.sum(dim=1) / 6)
    torch.testing.assert_close(encode(encoder, frames.flip(1)), frames.sum(dim=1) / 6)


def test_too_many_frames_are_refused():
    with pytest.raises(ValueError, match="got 7 frames, `num_frames` allows at most 6"):
        build()(torch.randn(1, 7, 16))


def test_attention_pooling_of_equal_frames_is_that_frame():
    encoder = build("attention", num_layers=1)
    torch.nn.init.zeros_(encoder.position_embeds)
    frame = torch.randn(1, 1, 16)
    pooled = encode(encoder, frame.expand(1, 6, 16))
    torch.testing.assert_close(pooled, encode(encoder, frame), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_frames", [6, 4])
def test_leaving_out_what_only_asked_for_states_need_changes_nothing(num_layers, num_frames):
    encoder, frames = build(num_layers=num_layers), torch.randn(2, num_frames, 16)
    outputs = encoder(frames, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(encode(encoder, frames), outputs.pooler_output)
    assert outputs.hidden_states[-1].shape == (2, num_frames + 1, 16)
    assert outputs.attentions[-1].shape == (2, 2, num_frames + 1, num_frames + 1)


def test_dropout_acts_in_training_only():
    encoder, frames = build(), torch.randn(1, 6, 16)
    torch.testing.assert_close(encode(encoder, frames), encode(encoder, frames))
    encoder.train()
    assert not torch.equal(encode(encoder, frames), encode(encoder, frames))


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_eager_and_fused_attention_give_the_same_embedding(pooling):
    encoder, frames = build(pooling), torch.randn(2, 6, 16)
    expected = encode(encoder, frames)
    encoder.config._attn_implementation = "eager"
    torch.testing.assert_close(encode(encoder, frames), expected, rtol=1e-4, atol=1e-4)


def test_the_temporal_encoders_attend_by_the_function_that_the_model_is_set_to():
    model, calls = tiny_model(), []

    def attend(module, *args, **kwargs):
        calls.append(type(module).__name__)
        return sdpa_attention_forward(module, *args, **kwargs)

    AttentionInterface.register("counted", attend)
    AttentionMaskInterface.register("counted", sdpa_mask)  # of the text tower
    pixels = tiny_pixels()
    expected = model(**pixels).logits
    model.set_attn_implementation("counted")
    torch.testing.assert_close(model(**pixels).logits, expected)
    assert calls.count("TemporalAttention") == 2  # one layer in each of both streams


def test_checkpointed_layers_run_again_for_the_same_gradients():
    model, pixels = tiny_model(temporal_layers=2, temporal_dropout=0.0).train(), tiny_pixels()
    calls = []
    for layer in model.model.face_temporal_encoder.layers:
        layer.attention.register_forward_hook(lambda *_: calls.append(1))

    def gradients():
        model.zero_grad()
        calls.clear()
        model(**pixels).logits.square().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, len(calls)

    plain, passes = gradients()
    model.gradient_checkpointing_enable()
    checkpointed, passes_twice = gradients()
    assert (passes, passes_twice) == (2, 4)
    torch.testing.assert_close(checkpointed, plain)
