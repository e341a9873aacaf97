"""The face adapter on its own, in PEFT's file layout: adapter_config.json and adapter_model.safetensors."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import torch
from peft import PeftConfig, mapping
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import nn

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.face_adapter import FaceAdapter
from modeling_clipcaer.names import public_name
from modeling_clipcaer.strict_loading import check_found, check_weights, tell_loading


class FaceAdapterPeftType(str, Enum):  # noqa: UP042 - PEFT's own types are of this kind
    """PEFT's own list of methods is closed, and its mappings take any string."""

    FACE_ADAPTER = "CLIPCAER_FACE_ADAPTER"


@dataclass
class FaceAdapterConfig(PeftConfig):
    """What adapter_config.json holds of a [`FaceAdapter`]."""

    target_modules: list[str] = field(default_factory=lambda: ["face_adapter"])
    reduction: int = 4
    residual_ratio: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = FaceAdapterPeftType.FACE_ADAPTER


class FaceAdapterLayer(nn.Module, BaseTunerLayer):
    """The model's own face adapter, and others by name of which the active one takes its place."""

    adapter_layer_names = ("eaa_adapters",)

    # Inherited from PEFT. A type checker takes what it does not find in a module for a weight or a submodule.
    active_adapters: list[str]
    set_adapter: Callable[..., None]
    _move_adapter_to_device_of_base_layer: Callable[..., None]

    def __init__(self, base_layer: FaceAdapter, adapter_name: str, config: FaceAdapterConfig):
        super().__init__()
        self.base_layer = base_layer
        self.eaa_adapters = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: FaceAdapterConfig):
        """Add an adapter of the kind that the model's configuration asks for."""
        base = self.base_layer
        dim, width = base.up_proj.weight.shape
        if (max(dim // config.reduction, 1), config.residual_ratio) != (width, base.residual_ratio):
            raise InputError(
                f"face adapter of `adapter_reduction` {config.reduction} and `adapter_residual_ratio` "
                f"{config.residual_ratio}: the model's has a width of {width} and {base.residual_ratio}; "
                "load_face_adapter changes the model's"
            )
        self.eaa_adapters[adapter_name] = FaceAdapter(dim, config.reduction, config.residual_ratio)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, frame_embeds: torch.Tensor) -> torch.Tensor:
        """Adapt (..., embed_dim) frame embeddings; the shape is kept."""
        active = [name for name in self.active_adapters if name in self.eaa_adapters]
        if self.disable_adapters or self.merged or not active:
            return self.base_layer(frame_embeds)
        return self.eaa_adapters[active[-1]](frame_embeds)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Give the model's own adapter the weights of the active one."""
        for name in adapter_names or self.active_adapters:
            if name in self.eaa_adapters:
                self.base_layer.load_state_dict(self.eaa_adapters[name].state_dict())
                self.merged_adapters.append(name)


class FaceAdapterModel(BaseTuner):
    """Puts a [`FaceAdapterLayer`] where a model has its face adapter."""

    prefix = "eaa_"
    tuner_layer_cls = FaceAdapterLayer

    def _create_and_replace(self, peft_config, adapter_name, target, target_name, parent, current_key, **kwargs):
        if isinstance(target, FaceAdapterLayer):
            target.update_layer(adapter_name, peft_config)
        else:
            self._replace_module(parent, target_name, FaceAdapterLayer(target, adapter_name, peft_config), target)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        return key.replace(f".eaa_adapters.{adapter_name}.", ".eaa_adapters.")

    def _replace_module(self, parent, child_name, new_module, child) -> None:
        # Keep: the base class's way asks every module for a `weight` of its own.
        setattr(parent, child_name, new_module)


def save_face_adapter(model, folder: str | os.PathLike) -> None:
    """Write the face adapter of a `ClipCaerForVideoClassification` as `PeftModel.from_pretrained` reads it."""
    adapter, config = _find_adapter(model), model.config
    Path(folder).mkdir(parents=True, exist_ok=True)
    FaceAdapterConfig(
        base_model_name_or_path=public_name(config.name_or_path) or None,
        reduction=config.adapter_reduction,
        residual_ratio=config.adapter_residual_ratio,
        inference_mode=True,
    ).save_pretrained(folder)
    weights = {_KEY.format(name): value.contiguous() for name, value in adapter.state_dict().items()}
    with complete_file(Path(folder, "adapter_model.safetensors")) as path:
        save_file(weights, path, metadata={"format": "pt"})


def load_face_adapter(model, folder: str | os.PathLike) -> None:
    """
    Give a `ClipCaerForVideoClassification` the face adapter that is stored in `folder`, with its reduction and ratio.

    Raises:
        InputError: there is no face adapter, or it does not fit to the model.
    """
    old, file = _find_adapter(model), Path(folder, "adapter_model.safetensors")
    check_found(folder)
    with tell_loading(folder, "face adapter"):
        config = PeftConfig.from_pretrained(str(folder))
        weights = load_file(file)
        check_weights(weights)
    if config.peft_type != FaceAdapterPeftType.FACE_ADAPTER:
        raise InputError(f"{folder}: expected a face adapter, found an adapter of type {config.peft_type}")
    adapter = FaceAdapter(old.up_proj.out_features, config.reduction, config.residual_ratio).to(old.up_proj.weight)
    expected = {_KEY.format(name): value.shape for name, value in adapter.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    if found != expected:
        raise InputError(f"{file}: expected {_describe(expected)}; found {_describe(found)}")
    adapter.load_state_dict({name: weights[_KEY.format(name)] for name in adapter.state_dict()})
    model.model.face_adapter = adapter.train(old.training)
    model.config.adapter_reduction, model.config.adapter_residual_ratio = config.reduction, config.residual_ratio


_KEY = "base_model.model.model.face_adapter.eaa_adapters.{}"


def _find_adapter(model) -> FaceAdapter:
    adapter = getattr(model.model, "face_adapter", None)
    if adapter is None:
        raise InputError("the model has no face adapter: `use_face_adapter` is False, or `streams` is context")
    return adapter


def _describe(shapes: dict) -> str:
    return ", ".join(f"{name.rpartition('eaa_adapters.')[2]} {tuple(shape)}" for name, shape in sorted(shapes.items()))


# PEFT finds the classes of an adapter folder here by the type named in it.
mapping.PEFT_TYPE_TO_CONFIG_MAPPING[FaceAdapterPeftType.FACE_ADAPTER] = FaceAdapterConfig
mapping.PEFT_TYPE_TO_TUNER_MAPPING[FaceAdapterPeftType.FACE_ADAPTER] = FaceAdapterModel
mapping.PEFT_TYPE_TO_PREFIX_MAPPING[FaceAdapterPeftType.FACE_ADAPTER] = FaceAdapterModel.prefix
