"""Training a part of CLIP or none of it: LoRA on the vision tower, and checkpoints without the frozen weights."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, LoraModel
from safetensors.torch import load_file

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification, ClipCaerTrainer
from modeling_clipcaer.clip_loading import load_clip_weights
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import describe_json, read_object
from modeling_clipcaer.strict_loading import check_found, check_weights, tell_loading
from modeling_clipcaer.training.settings import TrainableArguments


# A checkpoint of training that is no plain model has its weights by this name, and beside them what completes them.
# Keep: not model.safetensors. `from_pretrained` would take it, fill in random weights, and only log that it did.
WEIGHTS, NOTES = "trainable.safetensors", "trainable.json"
PLAIN_WEIGHTS = "model.safetensors"


def add_lora(model: ClipCaerForVideoClassification, rank: int, alpha: float) -> LoraModel:
    """Put LoRA on the queries and values of the vision tower, in place. It starts as no change."""
    target = r".*\.vision_model\..*\.(q_proj|v_proj)"
    return LoraModel(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=target), "default")


def merge_lora(model: ClipCaerForVideoClassification) -> None:
    """Add LoRA's updates to the weights they are of, in place, so that the model is a plain one again."""
    for name, layer in [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]:
        layer.merge(safe_merge=True)
        model.set_submodule(name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def prepare_lora(model: ClipCaerForVideoClassification, args: TrainableArguments, learning_rate: float) -> None:
    """Put LoRA into a new model if the flags ask for it."""
    if args.use_lora:
        if learning_rate <= 0:
            raise InputError("`use_lora` trains the vision tower: set `lr_image_encoder` above 0")
        add_lora(model, args.lora_rank, args.lora_alpha)


def limit_training(trainer: ClipCaerTrainer, args: TrainableArguments, base_model: str) -> dict | None:
    """Leave CLIP's frozen weights out of checkpoints where the flags ask for it.

    Returns:
        What completes the checkpoints; `None`: they are plain models.
    """
    model, frozen = trainer.model, set()
    for name, parameter in model.named_parameters():
        if name.startswith("model.clip.") and not parameter.requires_grad:
            frozen.add(name)
    notes = {"lora": {"rank": args.lora_rank, "alpha": args.lora_alpha} if args.use_lora else None, "base_model": None}
    if args.save_trainable_only:
        model._keys_to_ignore_on_save = frozen
        notes["base_model"] = str(Path(base_model).resolve()) if Path(base_model).exists() else base_model
        notes["frozen_sha256"] = fingerprint_weights(model.state_dict(), frozen)
    return notes if args.use_lora or args.save_trainable_only else None


def complete_model(model: ClipCaerForVideoClassification) -> None:
    """After training: a plain model that is saved whole."""
    merge_lora(model)
    model._keys_to_ignore_on_save = None


def fingerprint_weights(state: dict[str, torch.Tensor], names: set[str]) -> str:
    """SHA-256 of the weights `names`, in fp32."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode())
        digest.update(state[name].detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def load_trainable(folder: str, config: ClipCaerConfig) -> ClipCaerForVideoClassification:
    """A plain model from a checkpoint of training: CLIP's weights from where they are named, LoRA merged.

    Raises:
        InputError: the CLIP checkpoint is not the one that was trained on, or weights do not fit.
    """
    notes = read_notes(Path(folder, NOTES))
    model = ClipCaerForVideoClassification(config)
    if notes["base_model"]:
        model.model.clip.load_state_dict(load_clip_weights(notes["base_model"]).state_dict())
    if notes["lora"]:
        add_lora(model, **notes["lora"])
    if notes["base_model"]:
        found = read_weights(folder)
        model._keys_to_ignore_on_save = {
            name for name in model.state_dict() if name.startswith("model.clip.") and name not in found
        }
        if fingerprint_weights(model.state_dict(), model._keys_to_ignore_on_save) != notes["frozen_sha256"]:
            raise InputError(f"{folder}: `{notes['base_model']}` is not the CLIP checkpoint that this was trained on")
    restore_weights(model, folder)
    complete_model(model)
    return model


def read_notes(path: Path) -> dict[str, Any]:
    """What completes the weights of a checkpoint of training: `lora` and `base_model`, either of which may be `None`.

    Raises:
        InputError: the file is broken, or holds something else.
    """
    notes = read_object(path)
    lora, base_model = notes.get("lora"), notes.get("base_model")
    if not (base_model is None or (isinstance(base_model, str) and isinstance(notes.get("frozen_sha256"), str))):
        raise InputError(f"{path}: expected `base_model` with `frozen_sha256`, found {describe_json(notes)}")
    if lora is not None:
        sound = isinstance(lora, dict) and lora.keys() == {"rank", "alpha"}
        sound = sound and type(lora["rank"]) is int and type(lora["alpha"]) in (int, float)
        if not sound or not (0 < lora["rank"] <= 4096 and 0 < lora["alpha"] <= 1e6):
            raise InputError(f"{path}: expected `lora` with `rank` and `alpha`, found {describe_json(lora)}")
    return {"frozen_sha256": None, **notes, "lora": lora, "base_model": base_model}


def find_weights(checkpoint: str | os.PathLike) -> Path:
    """The weights in a folder, whole or not."""
    path = Path(checkpoint, WEIGHTS)
    return path if path.is_file() else path.with_name(PLAIN_WEIGHTS)


def read_weights(checkpoint: str | os.PathLike) -> dict[str, torch.Tensor]:
    """All that stands in the weights of a folder, whole or not, each of them finite."""
    check_found(checkpoint)
    path = find_weights(checkpoint)
    with tell_loading(path, "weights of a checkpoint"):
        weights = load_file(path)
        check_weights(weights)
    return weights


def restore_weights(model: ClipCaerForVideoClassification, checkpoint: str | os.PathLike) -> None:
    """Give `model` the weights of a checkpoint of its training.

    Raises:
        InputError: there is no safetensors file, or a weight in it is missing, unexpected, of another shape or not
            finite.
    """
    path, weights = find_weights(checkpoint), read_weights(checkpoint)
    left_out = model._keys_to_ignore_on_save or ()
    found = {name: tuple(value.shape) for name, value in weights.items()}
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in left_out}
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            shapes = (found.get(name, "nothing"), expected.get(name, "nothing"))
            raise InputError("{}: weight `{}`: found {}, expected {}".format(path, name, *shapes))
    model.load_state_dict(weights, strict=False)
