"""CLIP's vision tower on frames, in bfloat16 beside weights in float32 where nothing of it trains."""

from copy import deepcopy

import torch
from torch import nn
from transformers import CLIPModel, CLIPVisionModel
from transformers.activations import QuickGELUActivation
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPMLP, CLIPEncoderLayer

from .errors import InputError


TOWER_DTYPES = ("auto", "float32", "bfloat16")
# Images a pass on the CPU: the activations of more are fresh pages every time, whose faults cost more than they save.
CPU_CHUNK = 32
QUICK_GELU_SLOPE = 1.702  # of CLIP's activation x * sigmoid(1.702 x)


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


class FrameEncoder:
    """Runs the vision tower of a [`CLIPModel`], which it is given at every call.

    With `dtype` set and no gradient to be kept, a copy of the tower in that type computes, see [`cast_tower`]. The
    weights themselves stay as they are, and are what is saved; the projection and all that follows it keep their own
    type. The copy is made once, and again when a weight has changed.
    """

    def __init__(self):
        self.dtype: torch.dtype | None = None
        self._copy: tuple[tuple, CLIPVisionModel] | None = None

    def __call__(self, clip: CLIPModel, images: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """Images (num_images, num_channels, height, width) to the tower's output with projected
        `pooler_output` (num_images, projection_dim); `kwargs` as of `get_image_features`. Where hidden states or
        attentions are wanted the tower itself computes, in its own type."""
        if self._keeps_gradient(clip, images):
            # Keep: fused optimizers write weights without counting the change.
            self._copy = None
            return clip.get_image_features(images, return_dict=True, **kwargs)
        if kwargs.get("output_hidden_states") or kwargs.get("output_attentions"):
            return clip.get_image_features(images, return_dict=True, **kwargs)
        tower, projection = self._choose_tower(clip), clip.visual_projection
        in_parts = images.device.type == "cpu" and not torch.compiler.is_compiling()
        pooled = [
            projection(tower(pixel_values=part, return_dict=True, **kwargs).pooler_output.to(projection.weight.dtype))
            for part in (images.split(CPU_CHUNK) if in_parts else [images])
        ]
        return BaseModelOutputWithPooling(pooler_output=torch.cat(pooled))

    def _keeps_gradient(self, clip: CLIPModel, images: torch.Tensor) -> bool:
        trains = images.requires_grad or any(p.requires_grad for p in clip.vision_model.parameters())
        return torch.is_grad_enabled() and (trains or clip.visual_projection.weight.requires_grad)

    def _choose_tower(self, clip: CLIPModel) -> CLIPVisionModel:
        """The tower itself, or its copy in another type."""
        tower = clip.vision_model
        # Keep: the layers of a model divided between devices, memory and disk find their weights by hooks.
        divided = any(hasattr(module, "_hf_hook") for module in tower.modules())
        if divided or self.dtype in (None, clip.visual_projection.weight.dtype):
            return tower
        return self._find_copy(tower, self.dtype).train(tower.training)

    @torch.compiler.disable
    def _find_copy(self, tower: CLIPVisionModel, dtype: torch.dtype) -> CLIPVisionModel:
        weights = list(tower.parameters())
        # Keep: weights made in inference mode keep no count of their changes, and adapters are switched without one.
        uncounted = any(weight.is_inference() for weight in weights)
        if uncounted or any(hasattr(module, "base_layer") for module in tower.modules()):
            return cast_tower(tower, dtype)
        key = (dtype, *((weight.data_ptr(), weight._version) for weight in weights))
        if self._copy is None or self._copy[0] != key:
            self._copy = (key, cast_tower(tower, dtype))
        return self._copy[1]


def cast_tower(tower: CLIPVisionModel, dtype: torch.dtype) -> CLIPVisionModel:
    """A copy of CLIP's vision tower, for encoding alone, that gives the same `pooler_output` in less time.

    Its weights are of type `dtype`. As `x sigmoid(c x) = SiLU(c x) / c`, c is part of the weights before CLIP's
    activation and 1 / c of those behind it, so that the widest tensors are passed over once instead of three times;
    and the last layer's MLP sees the class token alone, which is what is pooled.
    """
    mlps = [layer.mlp for layer in tower.encoder.layers if _is_foldable(layer.mlp)]
    factors = {weight: QUICK_GELU_SLOPE for mlp in mlps for weight in (mlp.fc1.weight, mlp.fc1.bias)}
    factors |= {mlp.fc2.weight: 1 / QUICK_GELU_SLOPE for mlp in mlps}
    # What a deep copy takes for its own: the cast weights, and the configuration, which may still change.
    known: dict[int, object] = {
        id(weight): nn.Parameter((weight.detach() * factors.get(weight, 1)).to(dtype), requires_grad=False)
        for weight in tower.parameters()
    }
    known |= {id(tower.config): tower.config} | {id(mlp.activation_fn): nn.SiLU(inplace=True) for mlp in mlps}
    copy = deepcopy(tower, known)
    copy.encoder.layers[-1] = _ClassTokenLayer(copy.encoder.layers[-1])
    return copy


def _is_foldable(mlp: CLIPMLP) -> bool:
    is_plain = type(mlp.fc1) is type(mlp.fc2) is nn.Linear
    return is_plain and isinstance(mlp.activation_fn, QuickGELUActivation)


class _ClassTokenLayer(nn.Module):
    """A layer of CLIP's encoder whose output is that of the class token alone, (num_images, 1, hidden_size)."""

    def __init__(self, layer: CLIPEncoderLayer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden_states: torch.Tensor, attention_mask=None, **kwargs) -> torch.Tensor:
        layer: CLIPEncoderLayer = self.layer
        attended, _ = layer.self_attn(layer.layer_norm1(hidden_states), attention_mask=attention_mask, **kwargs)
        token = hidden_states[:, :1] + attended[:, :1]
        return token + layer.mlp(layer.layer_norm2(token))
