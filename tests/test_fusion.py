import pytest
import torch
from torch import nn

from helpers.tiny import tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer.fusion import CrossAttentionFusion, GatedFusion, build_fusion


FUSIONS = ["gated", "cross_attention"]


def test_the_linear_fusion_is_a_linear_layer_on_the_streams_that_are_built():
    for streams, width in (("both", 48), ("face", 24), ("context", 24)):
        fusion = build_fusion(tiny_config(streams=streams))
        assert type(fusion) is nn.Linear and fusion.weight.shape == (24, width)


def test_a_gate_by_hand():
    """An even gate halves both streams; a gate that is 1 shows the face alone, one that is 0 the context."""
    fusion, streams = GatedFusion(tiny_config()), torch.randn(3, 48)
    nn.init.zeros_(fusion.gate.weight)
    for bias, shares in ((0.0, (0.5, 0.5)), (100.0, (1.0, 0.0)), (-100.0, (0.0, 1.0))):
        nn.init.constant_(fusion.gate.bias, bias)
        weighed = torch.cat([share * part for share, part in zip(shares, streams.chunk(2, dim=-1), strict=True)], -1)
        torch.testing.assert_close(fusion(streams), weighed @ fusion.weight.T + fusion.bias)


def test_cross_attention_that_adds_nothing_is_the_linear_layer_and_one_by_hand():
    fusion = CrossAttentionFusion(tiny_config(temporal_heads=1, temporal_head_dim=24)).eval()
    attention, streams = fusion.attention, torch.randn(3, 48)
    nn.init.zeros_(attention.out_proj.weight), nn.init.zeros_(attention.out_proj.bias)
    torch.testing.assert_close(fusion(streams), streams @ fusion.weight.T + fusion.bias)
    # Queries of 0 ask both streams alike; values and the way out as they are: each stream gets the mean of both.
    attention.qkv_proj.weight.data = torch.cat([torch.zeros(24, 24), torch.randn(24, 24), torch.eye(24)])
    attention.out_proj.weight.data = torch.eye(24)
    mean = streams.view(3, 2, 24).mean(dim=1).repeat(1, 2)
    torch.testing.assert_close(fusion(streams), (streams + mean) @ fusion.weight.T + fusion.bias)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_a_face_the_context_decides_alone_under_any_fusion(fusion):
    model, pixels, others = tiny_model(fusion=fusion), tiny_pixels(), tiny_pixels()
    present, swapped = torch.tensor([True, False]), {**pixels, "face_pixel_values": others["face_pixel_values"]}
    kept, changed = (model(**given, face_present=present).logits for given in (pixels, swapped))
    torch.testing.assert_close(kept[0], model(**pixels).logits[0])
    torch.testing.assert_close(kept[1], changed[1])
    assert not torch.allclose(kept[0], changed[0])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_weight_of_a_fusion_receives_a_gradient_and_is_saved(fusion, tmp_path):
    model, pixels = tiny_model(fusion=fusion), tiny_pixels()
    model(**pixels, labels=torch.tensor([0, 1])).loss.backward()
    assert all(weight.grad.any() for weight in model.model.fusion.parameters())
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert again.config.fusion == fusion
    torch.testing.assert_close(again(**pixels).logits, model(**pixels).logits, rtol=1e-5, atol=1e-5)
