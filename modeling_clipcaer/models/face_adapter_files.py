"""The face adapter on its own, in PEFT's file layout: adapter_config.json and adapter_model.safetensors.

To PEFT it is a module that is trained and saved whole, beside LoRA of nothing. PEFT itself adds, trains, saves, loads,
merges and pushes it by `LoraConfig(target_modules="dummy-target-modules", modules_to_save=["face_adapter"])`.
"""

import json
import os
from pathlib import Path

from safetensors.torch import load_file, save_file

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.face_adapter import FaceAdapter
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import public_name
from modeling_clipcaer.strict_loading import check_found, check_weights, tell_loading


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MODULES = ["face_adapter"]
PREFIX = "base_model.model.model.face_adapter."
# Of earlier versions, which were a method of PEFT of their own.
EARLIER_TYPE, EARLIER_PREFIX = "CLIPCAER_FACE_ADAPTER", f"{PREFIX}eaa_adapters."


def save_face_adapter(model, folder: str | os.PathLike) -> None:
    """Write the face adapter of a `ClipCaerForVideoClassification` as `PeftModel.from_pretrained` reads it."""
    adapter, config = _find_adapter(model), model.config
    settings = {
        "base_model_name_or_path": public_name(config.name_or_path) or None,
        "inference_mode": True,
        "modules_to_save": MODULES,
        "peft_type": "LORA",
        "target_modules": "dummy-target-modules",
        # Keep: PEFT does not know these, and warns that it goes by the model's own.
        "reduction": config.adapter_reduction,
        "residual_ratio": config.adapter_residual_ratio,
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    with complete_file(Path(folder, CONFIG)) as path:
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    with complete_file(Path(folder, WEIGHTS)) as path:
        weights = {PREFIX + name: value.contiguous() for name, value in adapter.state_dict().items()}
        save_file(weights, path, metadata={"format": "pt"})


def load_face_adapter(model, folder: str | os.PathLike) -> None:
    """
    Give a `ClipCaerForVideoClassification` the face adapter that is stored in `folder`, with its reduction and ratio.
    One that PEFT wrote does not name these; it has the model's.

    Raises:
        InputError: there is no face adapter, or it does not fit to the model.
    """
    old, file = _find_adapter(model), Path(folder, WEIGHTS)
    check_found(folder)
    with tell_loading(folder, "face adapter"):
        settings = read_object(Path(folder, CONFIG))
        if settings.get("peft_type") != EARLIER_TYPE and settings.get("modules_to_save") != MODULES:
            raise InputError(f"expected a face adapter, found an adapter of type {settings.get('peft_type')}")
        found = load_file(file)
        check_weights(found)
        reduction = settings.get("reduction", model.config.adapter_reduction)
        ratio = settings.get("residual_ratio", model.config.adapter_residual_ratio)
        adapter = FaceAdapter(old.up_proj.out_features, reduction, ratio).to(old.up_proj.weight)
    found = {name.removeprefix(EARLIER_PREFIX).removeprefix(PREFIX): value for name, value in found.items()}
    words = [_describe(weights) for weights in (adapter.state_dict(), found)]
    if words[0] != words[1]:
        raise InputError("{}: expected {}; found {}".format(file, *words))
    adapter.load_state_dict(found)
    model.model.face_adapter = adapter.train(old.training)
    model.config.adapter_reduction, model.config.adapter_residual_ratio = reduction, ratio


def _find_adapter(model) -> FaceAdapter:
    adapter = getattr(model.model, "face_adapter", None)
    if adapter is None:
        raise InputError("the model has no face adapter: `use_face_adapter` is False, or `streams` is context")
    return adapter


def _describe(weights: dict) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(weights.items()))
