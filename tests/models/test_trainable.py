"""LoRA on the vision tower, and checkpoints of training without CLIP's frozen weights."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForVideoClassification, CLIPModel

from helpers.small_material import run_main
from helpers.small_training import make_trainer
from helpers.tiny import tiny_model, tiny_pixels
from modeling_clipcaer import ClipCaerTrainer
from modeling_clipcaer.commands import train
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.trainable import add_lora
from modeling_clipcaer.training.parameter_groups import freeze_parameters


PARTS = ["face_adapter", "face_temporal_encoder", "context_temporal_encoder", "fusion", "prompt_learner"]
TWO_EPOCHS = ("--epochs", 2, "--dataloader_num_workers", 0, "--save_total_limit", 3)
KINDS = {
    "frozen tower": ("--save_trainable_only",),
    "LoRA": ("--use_lora", "--lr_image_encoder", 1e-2, "--save_trainable_only"),
    "LoRA, whole": ("--use_lora", "--lr_image_encoder", 1e-2, "--lora_rank", 3, "--lora_targets", "out_proj", "fc1"),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, material, tmp_path_factory):
    """The kind of a run of two epochs, its flags and its folder."""
    folder, flags = tmp_path_factory.mktemp("trainable") / "run", (*material.flags, *TWO_EPOCHS, *KINDS[request.param])
    assert run_main(train.main, *flags, "--output_dir", folder) == 0
    return request.param, flags, folder


def logits(model, num_frames=3):
    torch.manual_seed(7)
    with torch.no_grad():
        return model(**tiny_pixels(num_frames=num_frames)).logits


def find_selected(folder):
    state = json.loads((max(folder.glob("checkpoint-*")) / "trainer_state.json").read_text())
    return folder / f"checkpoint-{state['best_global_step']}"


def test_a_checkpoint_of_training_is_completed_and_merged_exactly(run):
    _, _, folder = run
    result, _ = load_checkpoint(str(folder))
    last, _ = load_checkpoint(str(max(folder.glob("checkpoint-*"))))
    assert last.state_dict().keys() == result.state_dict().keys()
    for name, value in result.state_dict().items():
        assert torch.equal(last.state_dict()[name], value), name
    assert torch.equal(logits(last), logits(result))


def test_checkpoints_hold_what_trains_alone_and_name_their_clip(run, material):
    kind, _, folder = run
    saved = load_file(find_selected(folder) / "trainable.safetensors")
    notes = json.loads((find_selected(folder) / "trainable.json").read_text())
    of_clip = {name for name in saved if name.startswith("model.clip.")}
    if kind == "LoRA, whole":
        assert notes == {"lora": {"rank": 3, "alpha": 16.0, "targets": ["out_proj", "fc1"]}, "base_model": None}
        assert len(of_clip) > 78
    else:
        assert notes["base_model"] == str(material.clip)
        assert all(".lora_" in name for name in of_clip) and bool(of_clip) == (kind == "LoRA")
    assert {name.split(".")[1] for name in saved} >= set(PARTS)
    assert not [name for name in load_file(folder / "model.safetensors") if "lora" in name or "base_layer" in name]
    assert not (folder / "trainable.json").exists()


def test_transformers_does_not_take_such_a_checkpoint_for_a_model(run):
    with pytest.raises(InputError, match=r"no file named model\.safetensors"):
        AutoModelForVideoClassification.from_pretrained(find_selected(run[2]))


def test_lora_moves_its_targets_in_the_vision_tower_alone(run, material):
    kind, _, folder = run
    before = CLIPModel.from_pretrained(material.clip).state_dict()
    after = load_checkpoint(str(folder))[0].model.clip.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    targets = ("out_proj.weight", "fc1.weight") if kind == "LoRA, whole" else ("q_proj.weight", "v_proj.weight")
    expected = {name for name in before if name.startswith("vision_model") and name.endswith(targets)}
    assert moved == (set() if kind == "frozen tower" else expected)


def test_a_resumed_run_goes_on_to_the_last_bit(run, tmp_path):
    _, flags, folder = run
    first = min(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.copytree(first, tmp_path / "run" / first.name)
    resume = ("--output_dir", tmp_path / "run", "--resume_from_checkpoint", "last")
    assert run_main(train.main, *flags, *resume) == 0
    expected, resumed = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "run"))
    assert expected.keys() == resumed.keys()
    assert not [name for name, value in expected.items() if not torch.equal(value, resumed[name])]


def test_another_clip_than_the_one_trained_on_is_refused(material, tmp_path, capsys):
    clip = shutil.copytree(material.clip, tmp_path / "clip")
    flags = ("--max_steps", 1, "--dataloader_num_workers", 0, "--save_trainable_only", "--clip_model", clip)
    assert run_main(train.main, *material.flags, *flags, "--output_dir", tmp_path / "run") == 0
    checkpoint = next((tmp_path / "run").glob("checkpoint-*"))
    load_checkpoint(str(checkpoint))
    weights = load_file(clip / "model.safetensors")
    weights["visual_projection.weight"] += 1e-6
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="is not the CLIP checkpoint that this was trained on"):
        load_checkpoint(str(checkpoint))
    shutil.rmtree(clip)
    with pytest.raises(InputError, match="there is no such folder"):
        load_checkpoint(str(checkpoint))
    load_checkpoint(str(tmp_path / "run"))


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--use_lora"], "set `lr_image_encoder` above 0"),
        (["--use_lora", "--lora_rank", "0"], "`lora_rank` must be above 0, got 0"),
    ],
)
def test_lora_that_would_not_train_is_refused(material, tmp_path, capsys, flags, message):
    assert run_main(train.main, *material.flags, *flags, "--output_dir", tmp_path / "run") == 2
    assert message in capsys.readouterr().err


def test_peft_wraps_the_model_with_our_parts_in_modules_to_save(tmp_path):
    base, fresh = tiny_model(), tiny_model()
    fresh.load_state_dict(base.state_dict())
    target = r".*\.vision_model\..*\.(q_proj|v_proj)"
    wrapped = get_peft_model(base, LoraConfig(target_modules=target, modules_to_save=PARTS))
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        wrapped.train()(**tiny_pixels(), labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()
    trained = logits(wrapped.eval(), 4)
    assert not torch.allclose(trained, logits(fresh, 4))
    wrapped.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(fresh, str(tmp_path)).eval()
    assert torch.equal(logits(loaded, 4), trained)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(logits(merged, 4), trained, rtol=1e-5, atol=1e-5)
    assert merged.state_dict().keys() == tiny_model().state_dict().keys()


@pytest.mark.parametrize("wrap", [get_peft_model, lambda model, config: model.add_adapter(config) or model])
def test_a_model_whose_checkpoints_would_hold_pefts_adapter_alone_is_refused(material, tmp_path, wrap):
    trainer = make_trainer(material, tmp_path, lr_image_encoder=1e-3)
    model = wrap(trainer.model, LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(InputError, match="hold its adapter alone"):
        ClipCaerTrainer(model, trainer.args, train_dataset=trainer.train_dataset)


def test_a_tower_with_lora_trains_by_it_alone(material, tmp_path):
    model = make_trainer(material, tmp_path).model
    add_lora(model, rank=2, alpha=2)
    freeze_parameters(model, {"image_encoder": 1e-3, "fusion": 1e-3})
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "clip" in name} == {n for n, _ in model.named_parameters() if ".lora_" in n}
    assert any(name.startswith("model.fusion.") for name in trained)
