"""The face adapter in PEFT's file layout."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from helpers.tiny import tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer import ClipCaerForVideoClassification, load_face_adapter, save_face_adapter
from modeling_clipcaer.errors import InputError


ALONE = {"target_modules": "dummy-target-modules", "modules_to_save": ["face_adapter"]}


@pytest.fixture
def pixels():
    return tiny_pixels()


def logits(model, pixels):
    with torch.no_grad():
        return model(**pixels).logits


def with_face_adapter_of(receiver, donor):
    """`receiver` with the donor's adapter, by hand."""
    model = ClipCaerForVideoClassification(receiver.config).eval()
    model.load_state_dict(receiver.state_dict())
    model.model.face_adapter.load_state_dict(donor.model.face_adapter.state_dict())
    return model


def test_an_adapter_folder_has_pefts_files_and_nothing_but_the_adapter(tmp_path):
    save_face_adapter(tiny_model(), tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config.items() >= {"peft_type": "LORA", "reduction": 4, "residual_ratio": 0.2, **ALONE}.items()
    assert len(load_file(tmp_path / "adapter" / "adapter_model.safetensors")) == 2


def test_models_exchange_face_adapters_exactly(tmp_path, pixels):
    donor, receiver = tiny_model(), tiny_model()
    expected, before = logits(with_face_adapter_of(receiver, donor), pixels), logits(receiver, pixels)
    save_face_adapter(donor, tmp_path)
    load_face_adapter(receiver, tmp_path)
    assert torch.equal(logits(receiver, pixels), expected) and not torch.equal(before, expected)


def test_a_loaded_adapter_brings_its_settings(tmp_path, pixels):
    donor, receiver = tiny_model(adapter_reduction=2, adapter_residual_ratio=0.7), tiny_model()
    save_face_adapter(donor, tmp_path / "adapter")
    load_face_adapter(receiver, tmp_path / "adapter")
    receiver.save_pretrained(tmp_path / "model")
    again = ClipCaerForVideoClassification.from_pretrained(tmp_path / "model").eval()
    assert (again.config.adapter_reduction, again.config.adapter_residual_ratio) == (2, 0.7)
    assert torch.equal(logits(again, pixels), logits(receiver, pixels))
    for name, value in donor.model.face_adapter.state_dict().items():
        assert torch.equal(again.model.face_adapter.state_dict()[name], value)


def test_peft_loads_disables_and_merges_a_face_adapter(tmp_path, pixels):
    donor, receiver = tiny_model(), tiny_model()
    own, expected = logits(receiver, pixels), logits(with_face_adapter_of(receiver, donor), pixels)
    save_face_adapter(donor, tmp_path / "adapter")
    wrapped = PeftModel.from_pretrained(receiver, str(tmp_path / "adapter")).eval()
    assert torch.equal(logits(wrapped, pixels), expected)
    with wrapped.disable_adapter():
        assert torch.equal(logits(wrapped, pixels), own)
    merged = wrapped.merge_and_unload()
    assert torch.equal(logits(merged, pixels), expected)
    assert merged.state_dict().keys() == donor.state_dict().keys()


def test_peft_trains_and_saves_a_face_adapter_that_we_load(tmp_path, pixels):
    base, fresh = tiny_model(), tiny_model()
    fresh.load_state_dict(base.state_dict())
    wrapped = get_peft_model(base, LoraConfig(**ALONE))
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 and all("face_adapter" in name for name in trained)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=10)
    wrapped.train()(**pixels, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    wrapped.eval().save_pretrained(tmp_path)
    load_face_adapter(fresh, tmp_path)
    assert torch.equal(logits(fresh, pixels), logits(wrapped, pixels))


def test_an_adapter_that_does_not_fit_is_refused(tmp_path):
    save_face_adapter(tiny_model(adapter_reduction=2), tmp_path / "adapter")
    with pytest.raises(RuntimeError, match="size mismatch"), pytest.warns(UserWarning, match="residual_ratio"):
        PeftModel.from_pretrained(tiny_model(), str(tmp_path / "adapter"))
    wide = tiny_model(clip_config={**tiny_config().clip_config.to_dict(), "projection_dim": 32})
    with pytest.raises(InputError, match=r"down_proj.weight \(16, 32\).*found down_proj.weight \(12, 24\)"):
        load_face_adapter(wide, tmp_path / "adapter")
    with pytest.raises(InputError, match="nowhere"):
        load_face_adapter(tiny_model(), tmp_path / "nowhere")
    for without in ({"use_face_adapter": False}, {"streams": "context"}):
        with pytest.raises(InputError, match="no face adapter"):
            save_face_adapter(tiny_model(**without), tmp_path / "other")


def test_another_adapter_than_that_of_the_face_is_refused(tmp_path):
    get_peft_model(tiny_model(), LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path}: expected a face adapter, found an adapter of type LORA"):
        load_face_adapter(tiny_model(), tmp_path)
