"""Checkpoints are loaded whole or not at all, in single precision, from safetensors files."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, pipeline

from helpers.small_material import make_material, run_main
from helpers.small_run import train_small
from modeling_clipcaer.commands import train
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model
from modeling_clipcaer.models.checkpoints import load_checkpoint, save_checkpoint
from modeling_clipcaer.models.trainable import restore_weights


LABELS = ["calm", "glad"]
NAME = "model.fusion.weight"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_small(tmp_path_factory.getbasetemp())


@pytest.fixture
def folder(run, tmp_path):
    """A copy of the run, to spoil."""
    return shutil.copytree(run, tmp_path / "model")


def spoil(file, change):
    """Write the weights anew after `change(weights)`."""
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


MISFITS = {
    "missing": (lambda weights: weights.pop(NAME), NAME),
    "unexpected": (lambda weights: weights.update({"model.extra": torch.ones(1)}), "model.extra"),
    "misshapen": (lambda weights: weights.update({NAME: weights[NAME][:1].clone()}), NAME),
}


@pytest.mark.parametrize("change, name", MISFITS.values(), ids=MISFITS)
def test_every_way_to_load_refuses_what_does_not_fit(run, folder, tmp_path, capsys, change, name):
    model, _ = load_checkpoint(str(folder))
    spoil(folder / "model.safetensors", change)
    with pytest.raises(InputError, match=f"`{name}`: found"):
        restore_weights(model, folder)
    with pytest.raises(InputError, match=name) as caught:
        load_checkpoint(str(folder))
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=name):
        pipeline("academic-emotion-recognition", model=str(folder))
    checkpoint = next(folder.glob("checkpoint-*"))
    spoil(checkpoint / "model.safetensors", change)
    flags = make_material(run.parent).flags
    resume = ("--output_dir", tmp_path / "resumed", "--resume_from_checkpoint", checkpoint)
    assert run_main(train.main, *flags, *resume) == 2
    assert f"{checkpoint}/model.safetensors: is damaged" in capsys.readouterr().err


def test_pickled_weights_are_never_read(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no file named model\.safetensors") as caught:
        load_checkpoint(str(folder))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        pipeline("academic-emotion-recognition", model=str(folder))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_checkpoint_is_loaded_in_single_precision(run, tmp_path, dtype):
    model, processor = load_checkpoint(str(run))
    save_checkpoint(model.to(dtype), processor, tmp_path)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {dtype}
    loaded, _ = load_checkpoint(str(tmp_path))
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value.to(dtype), model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_model_on_a_half_precision_clip_trains_in_single_precision(run, tmp_path):
    clip = make_material(run.parent).clip
    shutil.copytree(clip, tmp_path / "clip")
    CLIPModel.from_pretrained(clip).half().save_pretrained(tmp_path / "clip")
    model = build_model(ModelArguments(clip_model=str(tmp_path / "clip"), num_context_tokens=2), LABELS)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    model.save_pretrained(tmp_path / "saved")
    saved = type(model).from_pretrained(tmp_path / "saved")
    assert {value.dtype for value in saved.state_dict().values()} == {torch.float32}
    # Keep: built anew from the configuration alone, a tower must not come back in half precision beside its heads.
    assert {value.dtype for value in type(model)(saved.config).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    "name, package", [("flash_attention_3", "FlashAttention3"), ("kernels-community/flash-attn2", "kernels")]
)
def test_an_attention_whose_package_is_not_there_is_told_in_one_line(tiny_clip, name, package):
    with pytest.raises(InputError, match=rf"^`attn_implementation` {name}: .*{package}[^\n]*$"):
        build_model(ModelArguments(clip_model=tiny_clip, attn_implementation=name), LABELS)
