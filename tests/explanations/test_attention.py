"""Maps of where the tower looks: closed forms of the rollout, and maps that depend on the weights."""

import numpy as np
import pytest
import torch

from helpers.tiny import lively_model, tiny_config, tiny_pixels
from modeling_clipcaer.explanations.attention import attend_patches, patch_shares, rollout
from modeling_clipcaer.explanations.sanity import centre_prior, mass_within, rank_correlation, shuffle_weights


TOKENS = 5  # a class token and four patches


@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_rollout_of_uniform_attention_is_uniform_over_patches(num_layers):
    uniform = torch.full((2, TOKENS, TOKENS), 1 / TOKENS)
    found = rollout([uniform] * num_layers)
    # (I + U)^L = I + (2^L - 1) U, as U^2 = U; rows sum to 2^L.
    powers = 2**num_layers
    expected = (torch.eye(TOKENS) + (powers - 1) / TOKENS) / powers
    torch.testing.assert_close(found, expected.expand(2, -1, -1))
    torch.testing.assert_close(patch_shares(found), torch.full((2, 2, 2), 0.25))


def test_the_rollout_of_identity_attention_puts_each_token_on_itself():
    identity = torch.eye(TOKENS)[None]
    torch.testing.assert_close(rollout([identity] * 4), identity)
    assert patch_shares(rollout([identity] * 4)).count_nonzero() == 0  # the class token drew from no patch


def test_the_rollout_of_attention_is_abnar_and_zuidemas():
    weights = torch.rand(3, 1, TOKENS, TOKENS, dtype=torch.double).softmax(dim=-1)
    expected = torch.eye(TOKENS, dtype=torch.double)
    for layer in weights[:, 0]:
        expected = (0.5 * layer + 0.5 * torch.eye(TOKENS)) @ expected
    torch.testing.assert_close(rollout(list(weights))[0], expected)


def test_a_patch_that_another_patch_hands_on_has_its_part():
    """Layer 1: patch 1 takes from patch 2. Layer 2: the class token takes from patch 1."""
    first, second = torch.zeros(2, 1, 3, 3)
    first[0, 1, 2], second[0, 0, 1] = 1, 1
    torch.testing.assert_close(rollout([first, second])[0, 0], torch.tensor([1 / 3, 1 / 3, 1 / 3]))
    torch.testing.assert_close(rollout([second, first])[0, 0], torch.tensor([1 / 2, 1 / 2, 0.0]))


@pytest.mark.parametrize("streams", ["both", "face", "context"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_each_frame_of_each_stream_has_a_map_and_the_models_attention_comes_back(streams, attention):
    model, pixels = lively_model(streams=streams, attn_implementation=attention), tiny_pixels(1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    maps = attend_patches(model, pixels)
    assert list(maps) == (["context", "face"] if streams == "both" else [streams])
    for found in maps.values():
        assert found.shape == (4, 2, 2) and not found.requires_grad
        torch.testing.assert_close(found.sum(dim=(1, 2)), torch.ones(4))
    assert model.model.clip.vision_model.config._attn_implementation == attention
    assert all(weight.grad is None for weight in model.parameters()) and not pixels["pixel_values"].requires_grad
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])


def test_the_attention_comes_back_after_an_error():
    model = lively_model(attn_implementation="sdpa")
    with pytest.raises(ValueError, match="at least one frame"):
        attend_patches(model, tiny_pixels(1, num_frames=0))
    assert model.model.clip.vision_model.config._attn_implementation == "sdpa"


def test_a_frozen_model_and_another_label_have_maps_too():
    model, pixels = lively_model().requires_grad_(False), tiny_pixels(1)
    maps = [attend_patches(model, pixels, answer)["context"] for answer in range(2)]
    assert all(torch.isfinite(found).all() for found in maps)
    assert not torch.allclose(*maps)


def test_equal_frames_have_equal_maps_where_time_plays_no_part():
    model, pixels = lively_model(), tiny_pixels(1)
    for encoder in (model.model.face_temporal_encoder, model.model.context_temporal_encoder):
        encoder.position_embeds.data.zero_()
    pixels = {name: values[:, :2].repeat(1, 2, 1, 1, 1) for name, values in pixels.items()}
    for found in attend_patches(model, pixels).values():
        torch.testing.assert_close(found[:2], found[2:])
        assert not torch.allclose(found[0], found[1])


def test_maps_change_as_weights_are_shuffled_layer_by_layer():
    """Adebayo et al. (2018): where the map stays, it does not tell of the model."""
    clip = {
        **{"projection_dim": 24, "text_config": tiny_config().clip_config.text_config.to_dict()},
        "vision_config": {
            **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2},
            **{"image_size": 64, "patch_size": 8},
        },
    }
    model = lively_model(clip_config=clip)
    pixels = {name: torch.randn(1, 4, 3, 64, 64) for name in tiny_pixels(1)}
    before = torch.cat(list(attend_patches(model, pixels, answer=0).values())).numpy()
    again = torch.cat(list(attend_patches(model, pixels, answer=0).values())).numpy()
    assert np.array_equal(before, again)
    parts, kept = [], []
    for part in shuffle_weights(model):
        after = torch.cat(list(attend_patches(model, pixels, answer=0).values())).numpy()
        parts.append(part)
        kept.append(np.mean([rank_correlation(*maps) for maps in zip(before, after, strict=True)]))
    assert parts[0] == "fusion and temporal encoders" and parts[-1] == "patch embedding" and len(parts) == 6
    assert kept[0] < 0.99 and abs(kept[-1]) < 0.2


def test_rank_correlation_is_spearmans():
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    # Ranks 1.5, 1.5, 3 and 1, 2, 3: covariance 1.5 of deviations sqrt(1.5) and sqrt(2).
    assert rank_correlation(np.array([1.0, 1, 3]), np.array([1.0, 2, 3])) == pytest.approx(1.5 / 3**0.5)


def test_the_mass_of_an_even_map_is_the_masks_share_of_the_area():
    mask = torch.zeros(1, 8, 8)
    mask[:, 1:4, 2:7] = 1
    even, corner = torch.full((1, 4, 4), 1 / 16), torch.zeros(1, 4, 4)
    torch.testing.assert_close(mass_within(even, mask), torch.tensor([15 / 64]))
    corner[0, 0, 1] = 1  # rows 0 and 1, columns 2 and 3: half of it is within
    torch.testing.assert_close(mass_within(corner, mask), torch.tensor([0.5]))


def test_the_centre_prior_is_a_map_that_is_symmetric_and_highest_in_the_middle():
    prior = centre_prior(4)
    assert prior.sum().item() == pytest.approx(1)
    torch.testing.assert_close(prior, prior.flip(0).flip(1).T)
    assert prior[1, 1] == prior.max() > prior[0, 1] > prior[0, 0]
