"""The attentions of transformers that a CPU has, on the whole model: `pytest -m conformance`."""

import pytest
import torch

from helpers.tiny import tiny_model, tiny_pixels


pytestmark = pytest.mark.conformance


@torch.no_grad()
def test_every_attention_gives_the_same_logits():
    model, pixels = tiny_model(temporal_head_dim=16, prototype_source="mean"), tiny_pixels()
    expected = model(**pixels).logits
    for name in ("eager", "flex_attention"):  # the latter is compiled first, which takes half a minute
        model.set_attn_implementation(name)
        torch.testing.assert_close(model(**pixels).logits, expected, rtol=1e-4, atol=1e-4)
