import inspect
import os
import re

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForVideoClassification, CLIPModel

from helpers.tiny import CLIP, TOKEN_IDS, tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification, ClipCaerModel
from modeling_clipcaer.errors import InputError


def test_forward_gives_the_documented_shapes():
    outputs = tiny_model()(**tiny_pixels(batch_size=3), labels=torch.tensor([0, 1, 2]))
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "loss": (),
        "logits": (3, 5),
        "video_embeds": (3, 24),
        "face_video_embeds": (3, 24),
        "context_video_embeds": (3, 24),
        "soft_text_embeds": (5, 24),
        "descriptive_text_embeds": (5, 24),
        "soft_prompt_embeds": (5, 1, 24),
    }


@pytest.mark.parametrize("model_class", [ClipCaerModel, ClipCaerForVideoClassification])
def test_help_on_forward_tells_every_input_once(model_class):
    documented = re.findall(r"^    (\w+) \(`", inspect.getdoc(model_class.forward), re.M)
    assert sorted(documented) == sorted(inspect.signature(model_class.forward).parameters.keys() - {"self", "kwargs"})


def test_the_loss_is_the_cross_entropy_of_the_logits():
    labels = torch.tensor([3, 1])
    outputs = tiny_model()(**tiny_pixels(), labels=labels)
    torch.testing.assert_close(outputs.loss, F.cross_entropy(outputs.logits, labels))


def test_embeddings_of_texts_and_videos_have_unit_norm():
    outputs = tiny_model()(**tiny_pixels())
    for embeds in (outputs.video_embeds, outputs.descriptive_text_embeds, outputs.soft_prompt_embeds):
        torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(embeds.shape[:-1]))


def test_both_streams_share_one_call_of_the_tower(monkeypatch):
    model, calls = tiny_model(), []
    original = CLIPModel.get_image_features
    monkeypatch.setattr(
        CLIPModel,
        "get_image_features",
        lambda self, pixels, **kw: calls.append(len(pixels)) or original(self, pixels, **kw),
    )
    model(**tiny_pixels(batch_size=2))
    assert calls == [2 * 4 * 2]


def test_frame_embeddings_replace_pixels():
    model, pixels = tiny_model(), tiny_pixels()
    expected = model(**pixels).logits
    context = model.model.get_frame_embeds(pixels["pixel_values"])
    face = model.model.get_frame_embeds(pixels["face_pixel_values"])
    torch.testing.assert_close(model(context_embeds=context, face_embeds=face).logits, expected)
    torch.testing.assert_close(model(pixels["pixel_values"], face_embeds=face).logits, expected)


def test_without_a_face_the_context_decides_alone():
    model, pixels, others = tiny_model(), tiny_pixels(), tiny_pixels()
    face_present = torch.tensor([True, False])
    swapped = {**pixels, "face_pixel_values": others["face_pixel_values"]}
    kept, changed = (model(**given, face_present=face_present).logits for given in (pixels, swapped))
    torch.testing.assert_close(kept[0], model(**pixels).logits[0])
    torch.testing.assert_close(kept[1], changed[1])
    assert not torch.allclose(kept[0], changed[0])


def test_soft_prompts_that_nothing_needs_are_left_out():
    model, pixels = tiny_model(prototype_source="descriptive"), tiny_pixels()
    model.model.prompt_learner.register_forward_hook(lambda *_: pytest.fail("the text tower ran"))
    outputs = model(**pixels, use_soft_prompts=False)
    assert outputs.soft_text_embeds is None and outputs.soft_prompt_embeds is None
    model.model.prompt_learner._forward_hooks.clear()
    torch.testing.assert_close(outputs.logits, model(**pixels).logits)


def test_soft_prompts_that_classify_cannot_be_left_out():
    with pytest.raises(ValueError, match="`use_soft_prompts` is False, but the view that classifies is mean"):
        tiny_model(prototype_source="mean")(**tiny_pixels(), use_soft_prompts=False)


FRAMES = torch.rand(2, 4, 3, 32, 32)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "the context stream takes exactly one of `pixel_values` and `context_embeds`"),
        ({"pixel_values": FRAMES}, "the face stream takes exactly one of `face_pixel_values` and `face_embeds`"),
        ({"pixel_values": FRAMES[0]}, r"`pixel_values` must be \(batch_size, num_frames, num_channels.* got \(4, 3"),
        ({"context_embeds": torch.rand(2, 4, 23)}, r"`context_embeds` must be .*24\), got \(2, 4, 23\)"),
        ({"pixel_values": FRAMES.byte()}, "`pixel_values` must be normalised pixels .* got torch.uint8"),
        (
            {"pixel_values": FRAMES, "face_pixel_values": FRAMES[:1]},
            r"\(batch_size, num_frames\), got .*'face': \(1, 4",
        ),
        ({"pixel_values": FRAMES, "face_pixel_values": FRAMES[:, :3]}, r"'context': \(2, 4\), 'face': \(2, 3\)"),
        ({"pixel_values": FRAMES, "face_pixel_values": FRAMES[..., :16]}, r"\(num_channels, height, width\), got"),
        ({"pixel_values": FRAMES[:, :0], "face_pixel_values": FRAMES[:, :0]}, "at least one frame"),
    ],
)
def test_inputs_of_the_wrong_kind_are_refused_by_name(inputs, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(**inputs)


@pytest.mark.parametrize("stream", ["face", "context"])
def test_a_stream_switched_off_is_neither_built_nor_looked_at(stream):
    model, pixels = tiny_model(streams=stream), tiny_pixels()
    other = "context" if stream == "face" else "face"
    assert not any(name.startswith(f"model.{other}_") for name, _ in model.named_parameters())
    assert model.model.fusion.in_features == 24
    key = "face_pixel_values" if stream == "face" else "pixel_values"
    torch.testing.assert_close(model(**pixels).logits, model(**{key: pixels[key]}).logits)


def test_frozen_towers_leave_no_autograd_graph():
    model = tiny_model().train()
    model.model.clip.requires_grad_(False)
    embeds = model.model.get_frame_embeds(tiny_pixels()["pixel_values"])
    assert embeds.grad_fn is None
    assert model(**tiny_pixels()).logits.grad_fn is not None


@pytest.mark.parametrize("source", ["descriptive", "soft", "mean"])
def test_the_prototype_source_classifies(source):
    model = tiny_model(prototype_source=source, slerp_weight=0.0)
    outputs = model(**tiny_pixels())
    soft, descriptive = outputs.soft_text_embeds, outputs.descriptive_text_embeds
    text = {"soft": soft, "descriptive": descriptive, "mean": F.normalize(soft + descriptive, dim=-1)}[source]
    torch.testing.assert_close(outputs.logits, outputs.video_embeds @ text.T / 0.07, rtol=1e-4, atol=1e-4)


LEARNED = {"prototype_source": "classifier", "learned_slerp_weight": "per_label", "slerp_target": "prototypes"}


def test_a_slerp_weight_that_is_learned_begins_as_the_method_is():
    model, pixels = tiny_model(slerp_weight=0.3), tiny_pixels()
    for kind in ("shared", "per_label"):
        learned = tiny_model(slerp_weight=0.3, learned_slerp_weight=kind)
        assert model.state_dict().keys() ^ learned.state_dict().keys() == {"model.slerp_weight.logits"}
        learned.load_state_dict(model.state_dict(), strict=False)
        torch.testing.assert_close(learned(**pixels).logits, model(**pixels).logits)


def test_what_is_learned_of_the_classifier_trains_and_comes_back(tmp_path):
    model, pixels = tiny_model(**LEARNED), tiny_pixels()
    names = ("model.learned_prototypes.weight", "model.slerp_weight.logits")
    weights = [dict(model.named_parameters())[name] for name in names]
    model(**pixels, labels=torch.tensor([0, 1])).loss.backward()
    assert all((weight.grad != 0).any(dim=-1).all() for weight in weights)
    for weight in weights:
        weight.data.normal_()
    before = model(**pixels).logits
    model.save_pretrained(tmp_path)
    loaded = ClipCaerForVideoClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**pixels).logits, before, rtol=1e-5, atol=1e-5)
    assert type(AutoModel.from_pretrained(tmp_path)) is ClipCaerModel


def test_a_learned_classifier_is_cosines_with_its_weights():
    model = tiny_model(prototype_source="classifier", slerp_weight=0.0)
    model.model.learned_prototypes.weight.data.normal_()
    outputs = model(**tiny_pixels(), use_soft_prompts=False)
    directions = F.normalize(model.model.learned_prototypes.weight, dim=-1)
    torch.testing.assert_close(outputs.logits, outputs.video_embeds @ directions.T / 0.07, rtol=1e-4, atol=1e-4)


def test_an_ensembles_logits_are_averaged_over_its_sentences():
    ids = [[*sentences, [97, 30 + k, 98]] for k, sentences in enumerate(TOKEN_IDS)]
    outputs = tiny_model(label_token_ids=ids, prototype_source="soft", slerp_weight=0.0)(**tiny_pixels())
    assert outputs.soft_prompt_embeds.shape == (5, 2, 24)
    cosines = torch.einsum("bd,ksd->bks", outputs.video_embeds, outputs.soft_prompt_embeds)
    torch.testing.assert_close(outputs.logits, cosines.mean(-1) / 0.07, rtol=1e-4, atol=1e-4)


def read_state(model) -> dict:
    """What the modules hold beside their weights."""
    return {
        (name, key): id(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in ("_parameters", "_buffers", "_modules")
    }


@pytest.mark.parametrize("grad", [True, False])
def test_a_forward_pass_leaves_nothing_behind(grad):
    model = tiny_model(prototype_source="mean")
    before = read_state(model)
    with torch.set_grad_enabled(grad):
        model(**tiny_pixels())
    assert read_state(model) == before


def swap_data(model, other):
    """How EMA libraries exchange weights, which counts no change."""
    for parameter, value in zip(model.parameters(), other.parameters(), strict=True):
        parameter.data.copy_(value)


def write_storage(model, other):
    for parameter, value in zip(model.parameters(), other.parameters(), strict=True):
        parameter.detach().numpy()[...] = value.detach().numpy()


def step_fused(model, other):
    for parameter, value in zip(model.parameters(), other.parameters(), strict=True):
        parameter.grad = parameter.detach() - value.detach()
    torch.optim.SGD(model.parameters(), lr=1.0, fused=True).step()


def load_states(model, other):
    model.load_state_dict(other.state_dict())


@pytest.mark.parametrize("change", [swap_data, write_storage, step_fused, load_states])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_answer_is_that_of_the_weights_as_they_are(change, mode):
    model, other = (tiny_model(prototype_source="mean", slerp_weight=0.0) for _ in range(2))
    other.model.descriptive_prompts.load_state_dict(model.model.descriptive_prompts.state_dict())
    pixels = tiny_pixels()
    with mode():
        before, expected = model(**pixels).logits, other(**pixels).logits
    change(model, other)
    with mode():
        after = model(**pixels).logits
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, atol=1e-2)


def test_prompts_that_were_encoded_before_give_the_same_outputs(monkeypatch):
    model, pixels = tiny_model(prototype_source="mean"), tiny_pixels()
    expected = model(**pixels)
    embeds = model.model.encode_soft_prompts()
    model.model.prompt_learner.register_forward_hook(lambda *_: pytest.fail("the text tower ran"))
    outputs = model(**pixels, soft_prompt_embeds=embeds)
    torch.testing.assert_close(outputs.logits, expected.logits)
    torch.testing.assert_close(outputs.soft_text_embeds, expected.soft_text_embeds)


def test_every_trainable_weight_receives_a_gradient():
    model = tiny_model(prototype_source="mean").train()
    model.model.clip.text_model.requires_grad_(False)
    model.model.clip.text_projection.requires_grad_(False)
    model.model.clip.logit_scale.requires_grad_(False)
    model(**tiny_pixels(), labels=torch.tensor([0, 1])).loss.backward()
    silent = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # Keys have one bias for all, which the softmax of attention cancels.
    assert [name for name in silent if "k_proj.bias" not in name] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_finite_logits_near_those_of_fp32(dtype):
    model, pixels = tiny_model(), tiny_pixels()
    expected = model(**pixels).logits
    with torch.autocast("cpu", dtype=dtype):
        logits = model(**pixels, labels=torch.tensor([0, 1])).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, atol=0.3, rtol=0)


def test_a_saved_model_comes_back_to_the_last_bit(tmp_path):
    model, pixels = tiny_model(), tiny_pixels()
    model.save_pretrained(tmp_path)
    loaded, info = ClipCaerForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(loaded.eval()(**pixels).logits, model(**pixels).logits, rtol=0, atol=0)
    files = {path.name for path in tmp_path.iterdir() if path.suffix != ".py"}  # beside the code it travels with
    assert files == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o022, 0o644), (0o027, 0o640)])
def test_weights_may_be_read_by_whom_the_umask_lets(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        tiny_model().save_pretrained(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode


def test_the_auto_classes_resolve_it(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    assert type(AutoModelForVideoClassification.from_pretrained(tmp_path)) is ClipCaerForVideoClassification
    assert type(AutoModel.from_pretrained(tmp_path)) is ClipCaerModel


def test_initial_weights_follow_the_configuration():
    clip = CLIP | {"projection_dim": 256}
    config = tiny_config(clip_config=clip, temporal_init_std=1.0, initializer_range=0.5, num_context_tokens=20)
    assert (ClipCaerConfig().temporal_init_std, ClipCaerConfig().initializer_range) == (0.02, 0.02)
    model = ClipCaerModel(config)
    for values, expected in (
        (model.face_temporal_encoder.position_embeds, 1.0),
        (model.context_temporal_encoder.cls_token, 1.0),
        (model.prompt_learner.context_tokens, 0.5),
    ):
        assert values.std().item() == pytest.approx(expected, rel=0.1)
        assert values.mean().item() == pytest.approx(0, abs=0.1)
    # Kaiming's uniform with a = sqrt(5): within 1 / sqrt(inputs), biases 0.
    for linear, inputs in ((model.fusion, 512), (model.face_temporal_encoder.layers[0].mlp_down, 32)):
        assert linear.weight.abs().max().item() == pytest.approx(inputs**-0.5, rel=0.02)
        assert not linear.bias.any()
    assert model.face_adapter.up_proj.weight.any()


def test_pooling_without_a_class_token_draws_the_positions_alone():
    encoder = ClipCaerModel(tiny_config(temporal_init_std=1.0, temporal_pooling="attention")).face_temporal_encoder
    assert encoder.position_embeds.shape == (1, 4, 24) and not hasattr(encoder, "cls_token")
    assert encoder.position_embeds.std().item() == pytest.approx(1, rel=0.2)


def test_sdpa_is_used_unless_another_attention_is_named():
    assert tiny_model().model.clip.vision_model.config._attn_implementation == "sdpa"


class TestFromClipPretrained:
    def test_every_clip_weight_is_taken_over(self, tiny_clip):
        clip = CLIPModel.from_pretrained(tiny_clip)
        model = ClipCaerForVideoClassification.from_clip_pretrained(tiny_clip, **self.texts())
        taken = model.model.clip.state_dict()
        assert taken.keys() == clip.state_dict().keys()
        assert all(torch.equal(taken[name], value) for name, value in clip.state_dict().items())
        assert model.config.projection_dim == clip.config.projection_dim and model.dtype == torch.float32

    def test_sdpa_survives(self, tiny_clip):
        model = ClipCaerForVideoClassification.from_clip_pretrained(tiny_clip, **self.texts())
        assert model.model.clip.vision_model.config._attn_implementation == "sdpa"

    @staticmethod
    def texts():
        return {
            "id2label": {0: "calm", 1: "smile"},
            "label_prompts": ["a calm face", "a smile"],
            "descriptive_prompts": [["a calm face", "reading a book"], ["a smile"]],
            "num_context_tokens": 4,
        }

    def test_a_learned_classifier_begins_as_the_descriptive_view(self, tiny_clip):
        fields = self.texts() | {"prototype_source": "classifier"}
        encoder = ClipCaerForVideoClassification.from_clip_pretrained(tiny_clip, **fields).model
        assert encoder.learned_prototypes.weight.requires_grad
        torch.testing.assert_close(encoder.learned_prototypes(), encoder.descriptive_text_embeds)

    def test_descriptive_embeddings_are_the_mean_of_the_sentences_features(self, tiny_clip):
        from transformers import AutoTokenizer

        model = ClipCaerForVideoClassification.from_clip_pretrained(tiny_clip, **self.texts()).eval()
        tokens = AutoTokenizer.from_pretrained(tiny_clip)(
            ["a calm face", "reading a book"], padding=True, return_tensors="pt"
        )
        features = model.model.clip.get_text_features(**tokens).pooler_output
        expected = F.normalize(F.normalize(features, dim=-1).mean(0), dim=-1)
        torch.testing.assert_close(model.model.descriptive_text_embeds[0], expected, rtol=1e-4, atol=1e-5)

    def test_texts_that_are_not_given_are_raers_for_its_labels_and_the_names_for_others(self, tiny_clip, monkeypatch):
        def texts(**fields):
            config = ClipCaerForVideoClassification.from_clip_pretrained(
                tiny_clip, num_context_tokens=2, **fields
            ).config
            counts = [len(ids) for ids in (*config.label_token_ids, *config.descriptive_token_ids)]
            return config.label_prompts, config.descriptive_prompts, counts

        # RAER's own are too long for this tower.
        raer, described = [f"face {name}" for name in "abcde"], [[f"one {name}", f"two {name}"] for name in "abcde"]
        place = "modeling_clipcaer.modeling_clipcaer."
        monkeypatch.setattr(f"{place}RAER_LABEL_PROMPTS", tuple(raer))
        monkeypatch.setattr(f"{place}RAER_DESCRIPTIVE_PROMPTS", tuple(map(tuple, described)))
        assert texts() == (raer, described, [1] * 5 + [2] * 5)
        own = [f"smile {name}" for name in "abcde"]
        assert texts(label_prompts=own) == (own, described, [1] * 5 + [2] * 5)
        assert texts(descriptive_prompts=own) == (raer, [[text] for text in own], [1] * 10)
        names = {"id2label": {0: "calm", 1: "smile"}}
        assert texts(**names) == (["calm", "smile"], [["calm"], ["smile"]], [1] * 4)
        assert texts(**names, label_prompts=own[:2]) == (own[:2], [[text] for text in own[:2]], [1] * 4)

    def test_the_checkpoint_needs_no_tokenizer(self, tiny_clip, tmp_path):
        model = ClipCaerForVideoClassification.from_clip_pretrained(tiny_clip, **self.texts()).eval()
        model.save_pretrained(tmp_path)
        loaded = ClipCaerForVideoClassification.from_pretrained(tmp_path).eval()
        size = model.config.clip_config.vision_config.image_size
        pixels = {name: torch.randn(1, 2, 3, size, size) for name in ("pixel_values", "face_pixel_values")}
        # Not to the last bit: where weights lie in memory decides in which order some kernels add.
        torch.testing.assert_close(loaded(**pixels).logits, model(**pixels).logits, rtol=1e-5, atol=1e-5)

    def test_a_folder_without_clip_is_refused_in_one_line(self, tmp_path):
        tiny_model().save_pretrained(tmp_path)
        with pytest.raises(InputError, match="expected a CLIP checkpoint, found `clipcaer`"):
            ClipCaerForVideoClassification.from_clip_pretrained(str(tmp_path))
        with pytest.raises(InputError, match="nowhere: there is no such folder"):
            ClipCaerForVideoClassification.from_clip_pretrained(str(tmp_path / "nowhere"))
