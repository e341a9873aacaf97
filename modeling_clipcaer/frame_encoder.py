"""CLIP's vision tower on frames, in bfloat16 beside weights in float32 where nothing of it trains."""

import torch
from torch.func import functional_call
from transformers import CLIPModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .errors import InputError


TOWER_DTYPES = ("auto", "float32", "bfloat16")
# Images a pass on the CPU: the activations of more are fresh pages every time, whose faults cost more than they save.
CPU_CHUNK = 32


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

    With `dtype` set and no gradient to be kept, the tower computes with copies of its weights in that type. The
    weights themselves stay as they are, and are what is saved; the projection and all that follows it keep their own
    type. The copies are made once, and again when a weight has changed.
    """

    def __init__(self):
        self.dtype: torch.dtype | None = None
        self._copies: tuple[tuple, dict[str, torch.Tensor]] | None = None

    def __call__(self, clip: CLIPModel, images: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """Images (num_images, num_channels, height, width) to the tower's output with projected
        `pooler_output` (num_images, projection_dim); `kwargs` as of `get_image_features`."""
        if self._keeps_gradient(clip, images):
            # Keep: fused optimizers write weights without counting the change.
            self._copies = None
            return clip.get_image_features(images, return_dict=True, **kwargs)
        states_wanted = kwargs.get("output_hidden_states") or kwargs.get("output_attentions")
        if images.device.type != "cpu" or states_wanted or torch.compiler.is_compiling():
            return self._encode(clip, images, **kwargs)
        pooled = [self._encode(clip, chunk, **kwargs).pooler_output for chunk in images.split(CPU_CHUNK)]
        return BaseModelOutputWithPooling(pooler_output=torch.cat(pooled))

    def _keeps_gradient(self, clip: CLIPModel, images: torch.Tensor) -> bool:
        trains = images.requires_grad or any(p.requires_grad for p in clip.vision_model.parameters())
        return torch.is_grad_enabled() and (trains or clip.visual_projection.weight.requires_grad)

    def _encode(self, clip: CLIPModel, images: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        # Keep: the weights of a model divided between memory and disk are on no device until their layer runs.
        absent = any(weight.is_meta for weight in clip.vision_model.parameters())
        if absent or self.dtype in (None, clip.visual_projection.weight.dtype):
            return clip.get_image_features(images, return_dict=True, **kwargs)
        copies = self._cast_weights(clip.vision_model)
        images = images.to(self.dtype)
        output = functional_call(clip.vision_model, copies, (images,), {"return_dict": True, **kwargs})
        weight = clip.visual_projection.weight
        output.pooler_output = clip.visual_projection(output.pooler_output.to(weight.dtype))
        return output

    def _cast_weights(self, tower: torch.nn.Module) -> dict[str, torch.Tensor]:
        weights = dict(tower.named_parameters())
        if any(weight.is_inference() for weight in weights.values()):  # these keep no count of their changes
            return {name: weight.to(self.dtype) for name, weight in weights.items()}
        key = (self.dtype, *((weight.data_ptr(), weight._version) for weight in weights.values()))
        if self._copies is None or self._copies[0] != key:
            self._copies = (key, {name: weight.detach().to(self.dtype) for name, weight in weights.items()})
        return self._copies[1]
