"""How the public research code names its tensors, and where each of them lives in ClipCaer: names only.

The research code's state dict holds OpenAI's CLIP as `clip_model_`, and its two towers a second time as
`image_encoder` and `text_encoder`. The names below are those of `clip_model_`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch


# Prompts that are stored as rows of the token embedding. Their token ids are kept in the configuration instead.
TOKEN_PREFIX = "prompt_learner.token_prefix"
TOKEN_SUFFIX = "prompt_learner.token_suffix"
DESCRIPTIVE_ROWS = "hand_crafted_prompt_embeddings"

_VISUAL, _CLIP = "clip_model_.visual.", "clip_model_."
_VISION_BLOCK, _TEXT_BLOCK = "clip_model_.visual.transformer.resblocks.", "clip_model_.transformer.resblocks."
_TEMPORAL_BLOCK = "temporal_net.temporal_transformer.layers."
_TEMPORAL_NETS = {"temporal_net": "face_temporal_encoder", "temporal_net_body": "context_temporal_encoder"}
_TEXT_ENCODER_PARTS = ("transformer.", "positional_embedding", "ln_final.", "text_projection")

_TOP = {
    "clip_model_.logit_scale": "clip.logit_scale",
    "clip_model_.token_embedding.weight": "clip.text_model.embeddings.token_embedding.weight",
    "clip_model_.positional_embedding": "clip.text_model.embeddings.position_embedding.weight",
    "clip_model_.ln_final.weight": "clip.text_model.final_layer_norm.weight",
    "clip_model_.ln_final.bias": "clip.text_model.final_layer_norm.bias",
    "clip_model_.text_projection": "clip.text_projection.weight",
    "clip_model_.visual.class_embedding": "clip.vision_model.embeddings.class_embedding",
    "clip_model_.visual.conv1.weight": "clip.vision_model.embeddings.patch_embedding.weight",
    "clip_model_.visual.positional_embedding": "clip.vision_model.embeddings.position_embedding.weight",
    "clip_model_.visual.ln_pre.weight": "clip.vision_model.pre_layrnorm.weight",
    "clip_model_.visual.ln_pre.bias": "clip.vision_model.pre_layrnorm.bias",
    "clip_model_.visual.ln_post.weight": "clip.vision_model.post_layernorm.weight",
    "clip_model_.visual.ln_post.bias": "clip.vision_model.post_layernorm.bias",
    "clip_model_.visual.proj": "clip.visual_projection.weight",
    "project_fc.weight": "fusion.weight",
    "project_fc.bias": "fusion.bias",
    "prompt_learner.ctx": "prompt_learner.context_tokens",
}
_TRANSPOSED = ("clip_model_.text_projection", "clip_model_.visual.proj")
_ADAPTER = {
    "face_adapter.fc.0.weight": "face_adapter.down_proj.weight",
    "face_adapter.fc.2.weight": "face_adapter.up_proj.weight",
}
_CLIP_BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_TEMPORAL_LAYER = {
    "0.fn.norm.weight": "attention_norm.weight",
    "0.fn.norm.bias": "attention_norm.bias",
    "0.fn.fn.to_qkv.weight": "attention.qkv_proj.weight",
    "0.fn.fn.to_out.0.weight": "attention.out_proj.weight",
    "0.fn.fn.to_out.0.bias": "attention.out_proj.bias",
    "1.fn.norm.weight": "mlp_norm.weight",
    "1.fn.norm.bias": "mlp_norm.bias",
    "1.fn.fn.net.0.weight": "mlp_up.weight",
    "1.fn.fn.net.0.bias": "mlp_up.bias",
    "1.fn.fn.net.3.weight": "mlp_down.weight",
    "1.fn.fn.net.3.bias": "mlp_down.bias",
}


@dataclass(frozen=True)
class Place:
    """Where a tensor of the research code lives: in one tensor of ours, or in three of which it is the rows."""

    names: tuple[str, ...]
    transposed: bool = False

    def split(self, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        """Our tensors from the research code's one."""
        if self.transposed:
            tensor = tensor.T
        parts = tensor.chunk(len(self.names)) if len(self.names) > 1 else [tensor]
        return {name: part.clone().contiguous() for name, part in zip(self.names, parts, strict=True)}

    def join(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The research code's tensor from ours: the inverse of `split`."""
        parts = [tensors[name] for name in self.names]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        return (tensor.T if self.transposed else tensor).clone().contiguous()


def list_places(vision_layers: int, text_layers: int, temporal_layers: int, face_adapter: bool) -> dict[str, Place]:
    """Place in `ClipCaerForVideoClassification` of every tensor of the research code but the prompts' rows."""
    names: dict[str, tuple[str, ...]] = {
        key: (name,) for key, name in (_TOP | _ADAPTER if face_adapter else _TOP).items()
    }
    for prefix, tower, layers in (
        (_VISION_BLOCK, "vision_model", vision_layers),
        (_TEXT_BLOCK, "text_model", text_layers),
    ):
        for layer in range(layers):
            names |= _list_clip_block(f"{prefix}{layer}.", f"clip.{tower}.encoder.layers.{layer}.")
    for net, encoder in _TEMPORAL_NETS.items():
        names |= {
            f"{net}.cls_token": (f"{encoder}.cls_token",),
            f"{net}.pos_embedding": (f"{encoder}.position_embeds",),
        }
        for layer in range(temporal_layers):
            for key, name in _TEMPORAL_LAYER.items():
                names[f"{net}.temporal_transformer.layers.{layer}.{key}"] = (f"{encoder}.layers.{layer}.{name}",)
    return {
        key: Place(tuple(f"model.{name}" for name in parts), transposed=key in _TRANSPOSED)
        for key, parts in names.items()
    }


def _list_clip_block(prefix: str, ours: str) -> dict[str, tuple[str, ...]]:
    names = {}
    for kind in ("weight", "bias"):
        names[f"{prefix}attn.in_proj_{kind}"] = tuple(f"{ours}self_attn.{part}_proj.{kind}" for part in "qkv")
        names |= {f"{prefix}{key}.{kind}": (f"{ours}{name}.{kind}",) for key, name in _CLIP_BLOCK.items()}
    return names


def canonical_name(name: str) -> str:
    """The one name of a tensor that the state dict holds under two."""
    for prefix, canonical in (("image_encoder.", _VISUAL), ("text_encoder.", _CLIP)):
        if name.startswith(prefix):
            return canonical + name.removeprefix(prefix)
    return name


def list_aliases(canonical: str) -> list[str]:
    """Every name under which the research code's state dict holds the tensor `canonical`."""
    if canonical.startswith(_VISUAL):
        return [canonical, "image_encoder." + canonical.removeprefix(_VISUAL)]
    part = canonical.removeprefix(_CLIP)
    if part != canonical and part.startswith(_TEXT_ENCODER_PARTS):
        return [canonical, "text_encoder." + part]
    return [canonical]


def count_layers(names, stack: str) -> int:
    """Layers of the stack "vision", "text" or "temporal", by the greatest index that occurs in `names`."""
    prefix = {"vision": _VISION_BLOCK, "text": _TEXT_BLOCK, "temporal": _TEMPORAL_BLOCK}[stack]
    indices = [name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)]
    return max((int(index) + 1 for index in indices if index.isdigit()), default=0)
