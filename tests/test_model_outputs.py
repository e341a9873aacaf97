"""Hidden states and attention weights, of the vision tower and of each stream's temporal encoder."""

import pytest
import torch

from helpers.tiny import tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer import ClipCaerForVideoClassification, FrozenParts


def eager_model(**fields) -> ClipCaerForVideoClassification:
    return ClipCaerForVideoClassification._from_config(tiny_config(**fields), attn_implementation="eager").eval()


def test_states_of_every_tower_and_stream_have_the_documented_shapes():
    outputs = eager_model()(**tiny_pixels(batch_size=3), output_hidden_states=True, output_attentions=True)
    assert [tuple(states.shape) for states in outputs.hidden_states] == [(3 * 2 * 4, 5, 16)] * 3
    assert [tuple(weights.shape) for weights in outputs.attentions] == [(3 * 2 * 4, 2, 5, 5)] * 2
    for stream in ("face", "context"):
        assert [tuple(states.shape) for states in outputs[f"{stream}_temporal_hidden_states"]] == [(3, 5, 24)] * 2
        assert [tuple(weights.shape) for weights in outputs[f"{stream}_temporal_attentions"]] == [(3, 2, 5, 5)]


def test_the_towers_images_are_each_clips_context_frames_then_its_face_frames():
    model, pixels = eager_model(), tiny_pixels(batch_size=2)
    states = model(**pixels, output_hidden_states=True).hidden_states[-1].unflatten(0, (2, 2, 4))
    for number, name in enumerate(("pixel_values", "face_pixel_values")):
        alone = model.model.clip.vision_model(pixels[name].flatten(0, 1), output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(states[:, number], alone.unflatten(0, (2, 4)))


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_asking_for_attentions_changes_no_logit(pooling):
    model, pixels = tiny_model(temporal_pooling=pooling, temporal_layers=2), tiny_pixels()
    outputs = model(**pixels, output_attentions=True)
    torch.testing.assert_close(outputs.logits, model(**pixels).logits)
    for weights in outputs.face_temporal_attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_the_configuration_asks_for_states_too():
    model = tiny_model(output_hidden_states=True)
    outputs = model(**tiny_pixels())
    assert len(outputs.hidden_states) == 3 and len(outputs.face_temporal_hidden_states) == 2
    assert model(**tiny_pixels(), output_hidden_states=False).hidden_states is None


def test_a_stream_that_is_off_or_given_as_embeddings_has_no_states_of_the_tower():
    outputs = tiny_model(streams="face")(face_embeds=torch.randn(2, 4, 24), output_hidden_states=True)
    assert outputs.hidden_states is None and outputs.context_temporal_hidden_states is None
    assert len(outputs.face_temporal_hidden_states) == 2


def test_eager_and_fused_attention_give_the_same_logits():
    eager, pixels = eager_model(), tiny_pixels()
    fused = tiny_model()
    fused.load_state_dict(eager.state_dict())
    torch.testing.assert_close(fused(**pixels).logits, eager(**pixels).logits, rtol=1e-4, atol=1e-4)


def test_a_model_divided_between_memory_and_disk_gives_the_same_logits(tmp_path):
    model, pixels = tiny_model(), tiny_pixels()
    model.save_pretrained(tmp_path)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    for share in (0.4, 0.7):
        divided = ClipCaerForVideoClassification.from_pretrained(
            tmp_path, device_map="auto", max_memory={"cpu": int(size * share)}, offload_folder=tmp_path / "offload"
        )
        assert set(divided.hf_device_map.values()) == {"cpu", "disk"}
        with torch.no_grad():
            torch.testing.assert_close(divided(**pixels).logits, model(**pixels).logits, rtol=1e-5, atol=1e-5)
            parts = FrozenParts(divided, "bfloat16")  # which such a model leaves aside
            torch.testing.assert_close(divided(**parts(pixels)).logits, model(**pixels).logits, rtol=1e-5, atol=1e-5)
