import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers.tiny import CLIP, tiny_model, tiny_pixels
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.frozen_parts import CPU_CHUNK, FrozenParts, describe_tower_dtype, resolve_tower_dtype
from modeling_clipcaer.models.trainable import add_lora


def test_a_tower_in_bfloat16_gives_nearly_the_same_logits():
    model, pixels = tiny_model(), tiny_pixels(batch_size=3)
    with torch.no_grad():
        expected, parts = model(**pixels).logits, FrozenParts(model, "bfloat16")
        logits = model(**parts(pixels)).logits
    assert describe_tower_dtype("bfloat16", model) == "bfloat16"
    assert logits.dtype == torch.float32 and not torch.equal(logits, expected)
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)
    assert torch.equal(logits.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_copy_of_a_tower_pools_what_the_tower_pools(activation):
    config = {**CLIP, "vision_config": {**CLIP["vision_config"], "hidden_act": activation}}
    model = tiny_model(clip_config=config).double()
    tower = model.model.clip.vision_model
    images = tiny_pixels()["pixel_values"].flatten(0, 1).double()
    expected = tower(images).pooler_output
    copy = FrozenParts(model).copy_tower(torch.float64)
    torch.testing.assert_close(copy(images).pooler_output, expected)
    assert torch.equal(tower(images).pooler_output, expected)  # and the tower is as it was
    activations = {type(layer.mlp.activation_fn).__name__ for layer in copy.encoder.layers}
    assert activations == {"SiLU" if activation == "quick_gelu" else "GELUActivation"}


def test_the_copy_of_a_tower_is_as_near_to_float32_as_one_cast_whole():
    model, pixels = tiny_model().requires_grad_(False), tiny_pixels()["pixel_values"]
    expected, embeds = (FrozenParts(model, dtype).encode_frames(pixels) for dtype in ("float32", "bfloat16"))
    clip = model.model.clip
    pooled = clip.vision_model.to(torch.bfloat16)(pixels.flatten(0, 1).bfloat16()).pooler_output
    whole = (pooled.float() @ clip.visual_projection.weight.T).view_as(expected)
    assert 0 < (embeds - expected).norm() < 1.2 * (whole - expected).norm()


def test_adapters_that_are_switched_off_have_no_part_in_the_copy():
    model, pixels = tiny_model(), tiny_pixels()["pixel_values"]
    plain = FrozenParts(model, "bfloat16").encode_frames(pixels)
    tuner = add_lora(model, rank=2, alpha=100)
    assert torch.equal(FrozenParts(model, "bfloat16").encode_frames(pixels), plain)  # they begin as nothing
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert not torch.allclose(FrozenParts(model, "bfloat16").encode_frames(pixels), plain, atol=0.05)
    tuner.disable_adapter_layers()
    assert torch.equal(FrozenParts(model, "bfloat16").encode_frames(pixels), plain)


def test_frozen_parts_of_pefts_model_have_its_adapters():
    model, pixels = tiny_model(), tiny_pixels()
    plain = model(**pixels).logits
    wrapped = get_peft_model(model, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    with torch.no_grad():
        logits = wrapped(**FrozenParts(wrapped)(pixels)).logits
        torch.testing.assert_close(logits, wrapped(**pixels).logits)
    assert not torch.allclose(logits, plain, atol=0.05)


def test_the_weights_stay_as_they_are():
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    FrozenParts(model, "bfloat16")(tiny_pixels())
    assert {name: value.dtype for name, value in before.items()} == {
        name: value.dtype for name, value in model.state_dict().items()
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_parts_leave_what_trains_to_the_model():
    model, pixels = tiny_model(prototype_source="mean"), tiny_pixels()
    assert FrozenParts(model, "bfloat16")(pixels).keys() == pixels.keys()
    model.model.clip.vision_model.requires_grad_(False)
    assert FrozenParts(model)(pixels).keys() == pixels.keys()  # its projection trains
    model.model.clip.visual_projection.requires_grad_(False)
    assert FrozenParts(model)(pixels).keys() == {"context_embeds", "face_embeds"}
    model.model.clip.requires_grad_(False)
    assert "soft_prompt_embeds" not in FrozenParts(model)(pixels)  # the context tokens train
    model.model.prompt_learner.requires_grad_(False)
    inputs = FrozenParts(model)(pixels)
    assert inputs.keys() == {"context_embeds", "face_embeds", "soft_prompt_embeds"}
    assert not any(value.requires_grad for value in inputs.values())
    assert "soft_prompt_embeds" not in FrozenParts(model)({**pixels, "use_soft_prompts": False})


@pytest.mark.parametrize("streams", ["both", "face", "context"])
def test_frozen_parts_compute_once_what_gives_the_same_outputs(streams):
    model, pixels = tiny_model(prototype_source="mean", streams=streams), tiny_pixels()
    passes = []
    model.model.prompt_learner.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        expected = model(**pixels).logits
        parts = FrozenParts(model)
        for _ in range(3):
            torch.testing.assert_close(model(**parts(pixels)).logits, expected)
    assert len(passes) == 2


def test_other_frozen_parts_are_of_the_weights_as_they_then_are():
    model, pixels = tiny_model(prototype_source="mean"), tiny_pixels()
    with torch.no_grad():
        model(**FrozenParts(model, "bfloat16")(pixels))
        for parameter in model.model.clip.parameters():
            parameter.data.copy_(torch.randn_like(parameter) / 4)
        logits = model(**FrozenParts(model, "bfloat16")(pixels)).logits
        torch.testing.assert_close(logits, model(**pixels).logits, atol=0.1, rtol=0)


@torch.no_grad()
def test_frozen_parts_keep_nothing_of_what_is_learned_of_the_classifier():
    model, pixels = tiny_model(prototype_source="classifier", learned_slerp_weight="per_label"), tiny_pixels()
    parts = FrozenParts(model)
    for _ in range(2):
        torch.testing.assert_close(model(**parts(pixels)).logits, model(**pixels).logits)
        model.model.learned_prototypes.weight.normal_()
        model.model.slerp_weight.logits.normal_()


@pytest.mark.parametrize("tower_dtype", ["float32", "bfloat16"])
def test_many_images_are_encoded_in_parts_with_the_same_result(tower_dtype):
    encode = FrozenParts(tiny_model(), tower_dtype).encode_frames
    pixels = torch.randn(2 * CPU_CHUNK + 3, 1, 3, 32, 32)
    whole, alone = encode(pixels), torch.cat([encode(image[None]) for image in pixels])
    torch.testing.assert_close(whole, alone, atol=1e-2 if tower_dtype == "bfloat16" else 1e-5, rtol=0)


def test_weights_made_in_inference_mode_work_too():
    with torch.inference_mode():
        model = tiny_model(prototype_source="mean")
        logits = model(**FrozenParts(model, "bfloat16")(tiny_pixels())).logits
    assert logits.isfinite().all()


def test_auto_is_bfloat16_exactly_where_the_processor_has_it():
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    has_it = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    assert resolve_tower_dtype("auto", "cpu") == (torch.bfloat16 if has_it else None)
    assert resolve_tower_dtype("float32", "cpu") is None


def test_an_unknown_type_is_refused():
    with pytest.raises(InputError, match="`tower_dtype` must be one of auto, float32, bfloat16, got 'int8'"):
        resolve_tower_dtype("int8", "cpu")
