"""CLIP's vision tower on frames where nothing of it trains, in bfloat16 beside weights in float32."""

from copy import deepcopy

import torch
from torch import nn
from transformers import CLIPModel, CLIPVisionModel, PreTrainedModel
from transformers.activations import QuickGELUActivation
from transformers.models.clip.modeling_clip import CLIPMLP, CLIPEncoderLayer

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import TOWER_DTYPES


# Images a pass on the CPU: the activations of more are fresh pages every time, whose faults cost more than they save.
CPU_CHUNK = 32
QUICK_GELU_SLOPE = 1.702  # of CLIP's activation x * sigmoid(1.702 x)


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


class FrameEncoder:
    """Encodes frames with a model's weights as they are when it is made, without a gradient. It belongs to one
    evaluation, one prediction or one epoch: what is written to the weights later does not reach it.

    Args:
        clip: whose vision tower and projection compute. A tower in another type than its weights' is a copy of it, see
            [`cast_tower`]; the projection keeps its own type.
        dtype: "auto" for bfloat16 where the model's device multiplies matrices in it, "float32" or "bfloat16".
    """

    def __init__(self, clip: CLIPModel, dtype: str = "auto"):
        wanted, self.projection = resolve_tower_dtype(dtype, clip.device), clip.visual_projection
        # Keep: the layers of a model divided between devices, memory and disk find their weights by hooks.
        divided = any(hasattr(module, "_hf_hook") for module in clip.vision_model.modules())
        if divided or wanted is None or wanted == self.projection.weight.dtype:
            self.tower = clip.vision_model
        else:
            self.tower = cast_tower(clip.vision_model, wanted)

    @torch.no_grad()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Frames (batch_size, num_frames, num_channels, height, width) to embeddings (batch_size, num_frames,
        projection_dim), as [`~ClipCaerModel.get_frame_embeds`] gives them."""
        images = pixel_values.flatten(0, 1)
        parts = images.split(CPU_CHUNK if images.device.type == "cpu" else len(images))
        pooled = torch.cat([self.tower(pixel_values=part).pooler_output for part in parts])
        return self.projection(pooled.to(self.projection.weight.dtype)).unflatten(0, pixel_values.shape[:2])


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
