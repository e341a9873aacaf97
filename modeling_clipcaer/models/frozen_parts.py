"""What a model computes from weights that stand still, computed once for many forward passes."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import CLIPVisionModel, PreTrainedModel

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.arguments import TOWER_DTYPES


# Images a pass on the CPU: the activations of more are fresh pages every time, whose faults cost more than they save.
CPU_CHUNK = 32
QUICK_GELU_SLOPE = 1.702  # of CLIP's activation x * sigmoid(1.702 x)
EMBEDS_OF = {"pixel_values": "context_embeds", "face_pixel_values": "face_embeds"}


def describe_tower_dtype(name: str, model: PreTrainedModel) -> str:
    """What `name` came to for a frozen tower of `model`: "float32", "bfloat16", or another type of its weights."""
    return str(resolve_tower_dtype(name, model.device) or model.dtype).removeprefix("torch.")


def resolve_tower_dtype(name: str, device: torch.device | str) -> torch.dtype | None:
    """The type that a frozen vision tower computes in; `None`: that of its weights.

    Args:
        name: "auto" for bfloat16 where `device` multiplies matrices in it, "float32" or "bfloat16".
        device: where the model runs.
    """
    if name not in TOWER_DTYPES:
        raise InputError(f"`tower_dtype` must be one of {', '.join(TOWER_DTYPES)}, got {name!r}")
    wanted = _multiplies_bfloat16(torch.device(device)) if name == "auto" else name == "bfloat16"
    return torch.bfloat16 if wanted else None


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class FrozenParts:
    """Inputs of a model's forward pass with all that its frozen parts make of them: frame embeddings in place of
    pixels, and the soft prompts' embeddings.

    It belongs to one evaluation, one prediction or one epoch, in which nothing writes the weights of these parts. In
    training, what keeps a gradient is left to the model.

    ```python
    >>> parts = FrozenParts(model)  # doctest: +SKIP
    >>> for batch in loader:  # doctest: +SKIP
    ...     logits = model(**parts(batch)).logits

    ```

    Args:
        model: the classifier, or PEFT's model of it.
        tower_dtype: type that the vision tower computes in: "auto" for bfloat16 where the model's device multiplies
            matrices in it, "float32" or "bfloat16". The model's weights and its projection keep their own.
    """

    def __init__(self, model: ClipCaerForVideoClassification, tower_dtype: str = "float32"):
        # PEFT's model has the classifier, with its adapters in place, as its base.
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tower_dtype = tower_dtype

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` of `model.forward` to others that give the same outputs, to the precision of `tower_dtype`."""
        inputs, encoder = dict(inputs), self.model.model
        if not _keep_gradient((encoder.clip.vision_model, encoder.clip.visual_projection)):
            inputs |= self._encode_streams(inputs)
        text_side = (encoder.prompt_learner, encoder.clip.text_model, encoder.clip.text_projection)
        if inputs.get("use_soft_prompts", True) and not _keep_gradient(text_side):
            inputs["soft_prompt_embeds"] = self.soft_prompt_embeds
        return inputs

    @cached_property
    def soft_prompt_embeds(self) -> torch.Tensor:
        """(num_labels, num_sentences, projection_dim) unit embeddings."""
        with torch.no_grad():
            return self.model.model.encode_soft_prompts()

    def _encode_streams(self, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Take the pixels of each stream that is built out of `inputs`, for the frame embeddings of one pass."""
        built = self.model.config.streams
        names = [name for name in EMBEDS_OF if name in inputs and built in ("both", EMBEDS_OF[name].split("_")[0])]
        if len({inputs[name].shape for name in names}) != 1:
            return {}  # nothing to encode, or streams that do not fit each other, which the model refuses by name
        embeds = self.encode_frames(torch.cat([inputs.pop(name) for name in names], dim=1))
        return dict(zip((EMBEDS_OF[name] for name in names), embeds.chunk(len(names), dim=1), strict=True))

    @torch.no_grad()
    def encode_frames(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Frames (batch_size, num_frames, num_channels, height, width) to embeddings (batch_size, num_frames,
        projection_dim), as [`~ClipCaerModel.get_frame_embeds`] gives them, without a gradient."""
        images, projection = pixel_values.flatten(0, 1), self.model.model.clip.visual_projection
        parts = images.split(CPU_CHUNK if images.device.type == "cpu" else len(images))
        pooled = torch.cat([self._tower(pixel_values=part).pooler_output for part in parts])
        return projection(pooled.to(projection.weight.dtype)).unflatten(0, pixel_values.shape[:2])

    @cached_property
    def _tower(self) -> CLIPVisionModel:
        clip = self.model.model.clip
        wanted = resolve_tower_dtype(self.tower_dtype, clip.device)
        # Keep: the layers of a model divided between devices, memory and disk find their weights by hooks.
        divided = any(hasattr(module, "_hf_hook") for module in clip.vision_model.modules())
        return clip.vision_model if divided or wanted in (None, clip.dtype) else self.copy_tower(wanted)

    def copy_tower(self, dtype: torch.dtype) -> CLIPVisionModel:
        """A copy of the vision tower in `dtype`, for encoding alone, with the same `pooler_output` in less time; what
        each difference gives is in benchmarks/README.md."""
        tower = self.model.model.clip.vision_model
        mlps = [layer.mlp for layer in tower.encoder.layers if tower.config.hidden_act == "quick_gelu"]
        mlps = [mlp for mlp in mlps if type(mlp.fc1) is type(mlp.fc2) is nn.Linear]
        # x sigmoid(c x) = SiLU(c x) / c passes over the widest tensors once instead of three times.
        factors = {weight: QUICK_GELU_SLOPE for mlp in mlps for weight in (mlp.fc1.weight, mlp.fc1.bias)}
        factors |= {mlp.fc2.weight: 1 / QUICK_GELU_SLOPE for mlp in mlps}
        # Keep: what the deep copy is to find made. To cast a copy in float32 takes a tenth of a second more a clip.
        made: dict[int, nn.Module | nn.Parameter] = {
            id(weight): nn.Parameter((weight.detach() * factors.get(weight, 1)).to(dtype), requires_grad=False)
            for weight in tower.parameters()
        }
        copy = deepcopy(tower, made | {id(mlp.activation_fn): nn.SiLU(inplace=True) for mlp in mlps})
        # The class token alone is pooled: the last MLP need not see the others.
        copy.encoder.layers[-1].layer_norm2.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, :1],))
        return copy


def _keep_gradient(modules: Iterable[nn.Module]) -> bool:
    return torch.is_grad_enabled() and any(p.requires_grad for module in modules for p in module.parameters())
