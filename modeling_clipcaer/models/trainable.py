"""LoRA on CLIP's vision tower, and checkpoints of training without CLIP's frozen weights."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from modeling_clipcaer.clip_loading import load_clip_model_weights
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import describe_json, read_object
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.arguments import LORA_DEFAULT, LORA_TARGETS, TrainableArguments
from modeling_clipcaer.strict_loading import check_found, check_weights, tell_loading


# A checkpoint of training that is no plain model has its weights by this name, and beside them what completes them.
# Keep: not model.safetensors, by which others would take the folder for a model, and fill in random weights.
WEIGHTS, NOTES = "trainable.safetensors", "trainable.json"
PLAIN_WEIGHTS = "model.safetensors"
OF_CLIP = "model.clip."  # how the names of CLIP's weights begin


def add_lora(model: ClipCaerForVideoClassification, rank: int, alpha: float, targets: Sequence[str] = LORA_DEFAULT):
    """Put LoRA, at first no change, on the vision tower, in place. Returns PEFT's tuner.

    Args:
        rank, alpha: of the updates, which are scaled by alpha over rank.
        targets: on which matrices of every layer, of `LORA_TARGETS`.
    """
    from peft import LoraConfig, LoraModel

    target = rf".*\.vision_model\..*\.({'|'.join(targets)})"
    return LoraModel(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=target), "default")


def prepare_lora(model: ClipCaerForVideoClassification, args: TrainableArguments, learning_rate: float) -> None:
    """Put LoRA into a new model if the flags ask for it."""
    if args.use_lora:
        if learning_rate <= 0:
            raise InputError("`use_lora` trains the vision tower: set `lr_image_encoder` above 0")
        add_lora(model, args.lora_rank, args.lora_alpha, args.lora_targets or LORA_DEFAULT)


def limit_training(model: ClipCaerForVideoClassification, args: TrainableArguments, base_model: str) -> dict | None:
    """Leave CLIP's frozen weights out of checkpoints where the flags ask for it.

    Returns:
        What completes the checkpoints; `None`: they are plain models.
    """
    if not (args.use_lora or args.save_trainable_only):
        return None
    targets = list(args.lora_targets or LORA_DEFAULT)
    lora = {"rank": args.lora_rank, "alpha": args.lora_alpha, "targets": targets} if args.use_lora else None
    notes: dict[str, Any] = {"lora": lora, "base_model": None}
    if args.save_trainable_only:
        frozen = {
            name for name, weight in model.named_parameters() if name.startswith(OF_CLIP) and not weight.requires_grad
        }
        model._keys_to_ignore_on_save = frozen
        notes["base_model"] = str(Path(base_model).resolve()) if Path(base_model).exists() else base_model
        notes["frozen_sha256"] = fingerprint_weights(model.state_dict(), frozen)
    return notes


def complete_model(model: ClipCaerForVideoClassification) -> None:
    """After training: a plain model that is saved whole, LoRA's updates added to the weights they are of."""
    for name, layer in [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]:
        layer.merge(safe_merge=True)
        model.set_submodule(name, layer.get_base_layer())
    model.__dict__.pop("peft_config", None)
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
        model.model.clip.load_state_dict(load_clip_model_weights(notes["base_model"]).state_dict())
    if notes["lora"]:
        add_lora(model, **notes["lora"])
    if notes["base_model"]:
        state, (_, trained) = model.state_dict(), read_weights(folder)
        model._keys_to_ignore_on_save = {name for name in state if name.startswith(OF_CLIP) and name not in trained}
        if fingerprint_weights(state, model._keys_to_ignore_on_save) != notes["frozen_sha256"]:
            raise InputError(f"{folder}: `{notes['base_model']}` is not the CLIP checkpoint that this was trained on")
    restore_weights(model, folder)
    complete_model(model)
    return model


def read_notes(path: Path) -> dict[str, Any]:
    """What completes the weights of a checkpoint of training: `lora` and `base_model`, either of which may be `None`.

    Raises:
        InputError: the file is broken, or holds something else.
    """
    notes = {"lora": None, "base_model": None, "frozen_sha256": None} | read_object(path)
    lora, base = notes["lora"], (notes["base_model"], notes["frozen_sha256"])
    if base[0] is not None and not all(isinstance(words, str) for words in base):
        raise InputError(f"{path}: expected `base_model` with `frozen_sha256`, found {describe_json(notes)}")
    if lora is not None:
        # Checkpoints of before name no targets.
        sound = isinstance(lora, dict) and lora.keys() - {"targets"} == {"rank", "alpha"}
        sound = sound and type(lora["rank"]) is int and type(lora["alpha"]) in (int, float)
        targets = lora.get("targets", list(LORA_DEFAULT)) if sound else []
        sound = sound and isinstance(targets, list) and bool(targets) and all(name in LORA_TARGETS for name in targets)
        if not sound or not (0 < lora["rank"] <= 4096 and 0 < lora["alpha"] <= 1e6):
            raise InputError(f"{path}: expected `lora` with `rank` and `alpha`, found {describe_json(lora)}")
    return notes


def read_weights(checkpoint: str | os.PathLike) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file of weights in a folder, whole or not, and what stands in it, all of it finite."""
    check_found(checkpoint)
    path = Path(checkpoint, WEIGHTS if Path(checkpoint, WEIGHTS).is_file() else PLAIN_WEIGHTS)
    with tell_loading(path, "weights of a checkpoint"):
        weights = load_file(path)
        check_weights(weights)
    return path, weights


def restore_weights(model: ClipCaerForVideoClassification, checkpoint: str | os.PathLike) -> None:
    """Give `model` the weights of a checkpoint of its training.

    Raises:
        InputError: there is no safetensors file, or a weight in it is missing, unexpected, of another shape or not
            finite.
    """
    path, found = read_weights(checkpoint)
    left_out = model._keys_to_ignore_on_save or ()
    expected = {name: value for name, value in model.state_dict().items() if name not in left_out}
    for name in sorted(found.keys() | expected.keys()):
        shapes = [tuple(part[name].shape) if name in part else "nothing" for part in (found, expected)]
        if shapes[0] != shapes[1]:
            raise InputError("{}: weight `{}`: found {}, expected {}".format(path, name, *shapes))
    model.load_state_dict(found, strict=False)
