import pytest
import torch
from tiny import CLIP, tiny_model, tiny_pixels

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_encoder import CPU_CHUNK, cast_tower, resolve_tower_dtype
from recipes.trainable import add_lora


def frozen_model(tower_dtype="bfloat16"):
    model = tiny_model()
    model.model.clip.requires_grad_(False)
    model.set_tower_dtype(tower_dtype)
    return model


def test_a_tower_in_bfloat16_gives_nearly_the_same_logits():
    model, pixels = frozen_model("float32"), tiny_pixels(batch_size=3)
    expected = model(**pixels).logits
    model.set_tower_dtype("bfloat16")
    assert model.tower_dtype == torch.bfloat16
    logits = model(**pixels).logits
    assert logits.dtype == torch.float32 and not torch.equal(logits, expected)
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)
    assert torch.equal(logits.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_a_cast_tower_pools_what_the_tower_pools(activation):
    config = {**CLIP, "vision_config": {**CLIP["vision_config"], "hidden_act": activation}}
    tower = tiny_model(clip_config=config).model.clip.vision_model.double()
    images = tiny_pixels()["pixel_values"].flatten(0, 1).double()
    expected = tower(images).pooler_output
    copy = cast_tower(tower, torch.float64)
    torch.testing.assert_close(copy(images).pooler_output, expected)
    assert torch.equal(tower(images).pooler_output, expected)  # and the tower is as it was
    activations = {type(layer.mlp.activation_fn).__name__ for layer in copy.encoder.layers[:-1]}
    assert activations == {"SiLU" if activation == "quick_gelu" else "GELUActivation"}


def test_a_cast_tower_is_as_near_to_float32_as_one_cast_whole():
    model, pixels = frozen_model(), tiny_pixels()["pixel_values"]
    expected = frozen_like(model, "float32").model.get_frame_embeds(pixels)
    embeds = model.model.get_frame_embeds(pixels)
    clip = model.model.clip
    pooled = clip.vision_model.to(torch.bfloat16)(pixels.flatten(0, 1).bfloat16()).pooler_output
    whole = (pooled.float() @ clip.visual_projection.weight.T).view_as(expected)
    assert 0 < (embeds - expected).norm() < 1.2 * (whole - expected).norm()


def test_adapters_that_are_switched_off_have_no_part_in_the_copy():
    model, pixels = frozen_model(), tiny_pixels()["pixel_values"]
    plain = model.model.get_frame_embeds(pixels)
    tuner = add_lora(model, rank=2, alpha=100)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.requires_grad_(False)
    assert not torch.allclose(model.model.get_frame_embeds(pixels), plain, atol=0.05)
    tuner.disable_adapter_layers()
    assert torch.equal(model.model.get_frame_embeds(pixels), plain)


def test_the_weights_stay_as_they_are_and_are_what_is_saved(tmp_path):
    model = frozen_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(**tiny_pixels())
    assert {name: value.dtype for name, value in before.items()} == {
        name: value.dtype for name, value in model.state_dict().items()
    }
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in again.state_dict().items())


def test_the_copies_follow_a_fused_optimizer_which_counts_no_change():
    model, pixels = frozen_model(), tiny_pixels()
    model.model.clip.vision_model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.model.clip.vision_model.parameters(), lr=0.1, fused=True)
    with torch.no_grad():
        before = model(**pixels).logits
    model(**pixels).logits.sum().backward()
    optimizer.step()
    with torch.no_grad():
        assert not torch.allclose(model(**pixels).logits, before, atol=0.05)


@pytest.mark.parametrize("change", ["in place", "loaded", "type"])
def test_the_copies_follow_a_change_of_the_weights(change):
    model, pixels = frozen_model(), tiny_pixels()["pixel_values"]
    first = model.model.get_frame_embeds(pixels)
    tower = model.model.clip.vision_model
    if change == "in place":
        with torch.no_grad():
            tower.embeddings.patch_embedding.weight.mul_(1.5)
    elif change == "loaded":
        tower.load_state_dict({name: value * 1.1 for name, value in tower.state_dict().items()}, strict=False)
    else:
        model.set_tower_dtype("float32")
    assert not torch.equal(model.model.get_frame_embeds(pixels), first)


def test_a_tower_that_trains_keeps_its_own_type_and_its_gradient():
    model = frozen_model()
    model.model.clip.vision_model.requires_grad_(True)
    pixels = tiny_pixels()
    expected = tiny_like(model)(**pixels).logits
    logits = model(**pixels).logits
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert model.model.clip.vision_model.embeddings.patch_embedding.weight.grad.abs().sum() > 0


def tiny_like(model):
    other = tiny_model()
    other.load_state_dict(model.state_dict())
    return other


def frozen_like(model, tower_dtype):
    other = tiny_like(model)
    other.requires_grad_(False)
    other.set_tower_dtype(tower_dtype)
    return other


def test_a_frozen_tower_keeps_no_graph():
    model = frozen_model()
    embeds = model.model.get_frame_embeds(tiny_pixels()["pixel_values"])
    assert embeds.grad_fn is None


@pytest.mark.parametrize("tower_dtype", ["float32", "bfloat16"])
def test_many_images_are_encoded_in_parts_with_the_same_result(tower_dtype):
    model = frozen_model(tower_dtype)
    pixels = torch.randn(2 * CPU_CHUNK + 3, 1, 3, 32, 32)
    whole = model.model.get_frame_embeds(pixels)
    alone = torch.cat([model.model.get_frame_embeds(image[None]) for image in pixels])
    torch.testing.assert_close(whole, alone, atol=1e-2 if tower_dtype == "bfloat16" else 1e-5, rtol=0)


def test_weights_made_in_inference_mode_work_too():
    with torch.inference_mode():
        model = frozen_model()
        embeds = model.model.get_frame_embeds(tiny_pixels()["pixel_values"])
    assert embeds.isfinite().all()


def test_a_model_used_in_inference_mode_still_trains():
    model, pixels = frozen_model(), tiny_pixels()
    model.model.prompt_learner.requires_grad_(False)
    with torch.inference_mode():
        expected = model(**pixels).logits
    logits = model(**pixels).logits
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert model.model.fusion.weight.grad is not None


def test_auto_is_bfloat16_exactly_where_the_processor_has_it():
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    has_it = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    assert resolve_tower_dtype("auto", "cpu") == (torch.bfloat16 if has_it else None)
    assert resolve_tower_dtype("float32", "cpu") is None


def test_an_unknown_type_is_refused():
    with pytest.raises(InputError, match="`tower_dtype` must be one of auto, float32, bfloat16, got 'int8'"):
        resolve_tower_dtype("int8", "cpu")
