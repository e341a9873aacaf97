"""Flags of the model, the pixels and the data. Defaults live with configuration and processor, not here."""

import inspect
from dataclasses import dataclass, fields

from transformers.integrations.hub_kernels import is_kernel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_clipcaer import ClipCaerConfig, ClipCaerVideoProcessor
from modeling_clipcaer.common.flags import option
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.errors import InputError


# Names by which the public research code calls OpenAI's checkpoints.
OPENAI_CHECKPOINTS = {
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
}


@dataclass
class ModelArguments:
    """What the model computes: fields of `ClipCaerConfig`, the CLIP checkpoint and the labels' texts."""

    clip_model: str = option(
        "openai/clip-vit-base-patch32",
        "CLIP checkpoint, on the Hub or in a folder; ViT-B/32, ViT-B/16 and ViT-L/14 mean OpenAI's.",
        aliases=["--clip_path", "--clip-path"],
    )
    attn_implementation: str = option(
        "sdpa",
        "Attention of towers and temporal encoders: sdpa, eager, flex_attention, flash_attention_2 (its own package, "
        "a GPU and --bf16), or owner/name of a kernel on the Hub (the package kernels).",
    )
    labels_file: str | None = option(None, "YAML file with soft and descriptive texts for each label.")
    num_frames: int = option(ClipCaerConfig.num_frames, "Frames sampled from a clip.")
    streams: str = option(ClipCaerConfig.streams, "Streams to build.", choices=["both", "face", "context"])
    use_face_adapter: bool = option(ClipCaerConfig.use_face_adapter, "Adapt the face stream.")
    adapter_reduction: int = option(ClipCaerConfig.adapter_reduction, "Width of the embedding over the adapter's.")
    adapter_residual_ratio: float = option(
        ClipCaerConfig.adapter_residual_ratio, "Share of the adapted embedding in the blend with the unadapted."
    )
    temporal_layers: int = option(ClipCaerConfig.temporal_layers, "Layers of each temporal encoder.")
    temporal_heads: int = option(ClipCaerConfig.temporal_heads, "Its attention heads.")
    temporal_head_dim: int = option(ClipCaerConfig.temporal_head_dim, "Width of a head.")
    temporal_mlp_dim: int = option(ClipCaerConfig.temporal_mlp_dim, "Hidden width of its MLP.")
    temporal_dropout: float = option(ClipCaerConfig.temporal_dropout, "Its dropout.")
    temporal_pooling: str = option(
        ClipCaerConfig.temporal_pooling, "How frames become one embedding.", choices=["cls", "attention"]
    )
    temporal_init_std: float = option(
        ClipCaerConfig.temporal_init_std, "Deviation of its initial class token and position embeddings."
    )
    num_context_tokens: int = option(
        ClipCaerConfig.num_context_tokens,
        "Learned tokens of a soft prompt.",
        aliases=["--contexts_number", "--contexts-number"],
    )
    class_specific_context: bool = option(
        ClipCaerConfig.class_specific_context, "Context tokens for each prompt instead of shared ones."
    )
    class_token_position: str = option(
        ClipCaerConfig.class_token_position,
        "Where the label's text stands among the context tokens.",
        choices=["end", "middle", "front"],
    )
    prototype_source: str | None = option(
        ClipCaerConfig.prototype_source,
        "View of the text that classifies; descriptive with a slerp weight above 0, else soft, by default.",
        choices=["descriptive", "soft", "mean"],
    )
    slerp_weight: float = option(ClipCaerConfig.slerp_weight, "How far prototypes move towards the video; 0: off.")
    temperature: float = option(ClipCaerConfig.temperature, "Divides the cosines.")
    initializer_range: float = option(ClipCaerConfig.initializer_range, "Deviation of the initial context tokens.")

    def __post_init__(self):
        name, known = self.attn_implementation, ("eager", *ALL_ATTENTION_FUNCTIONS.valid_keys())
        known = [attention for attention in known if not attention.startswith("paged|")]  # which generate text
        if name not in known and not is_kernel(name):
            raise InputError(
                f"`attn_implementation` must be one of {', '.join(known)}, or owner/name of a kernel, got {name!r}"
            )

    def config_fields(self) -> dict:
        """Those of the arguments that are fields of `ClipCaerConfig`."""
        names = {config_field.name for config_field in fields(ClipCaerConfig)}
        return {name: value for name, value in vars(self).items() if name in names}

    def resolve_clip(self) -> str:
        """Hub id or folder of the CLIP checkpoint."""
        return OPENAI_CHECKPOINTS.get(self.clip_model) or find_preset(self.clip_model, suffix="")


def _setting(name: str, text: str, **kwargs):
    return option(inspect.signature(ClipCaerVideoProcessor).parameters[name].default, text, **kwargs)


@dataclass
class ProcessorArguments:
    """How frames become pixels: settings of `ClipCaerVideoProcessor`. The image size is the CLIP model's."""

    face_margin: float = _setting("face_margin", "Pixels by which a face box grows on every side.")
    context: str = _setting("context", "What the context stream shows.", choices=["body", "frame"])
    do_normalize: bool = _setting("do_normalize", "Normalise pixels by CLIP's mean and deviation.")
    resample: str = _setting("resample", "How frames are resized.", choices=["bicubic", "bilinear"])
    letterbox: str = _setting("letterbox", "How the context is fitted.", choices=["centered", "reference"])
    frame_sampling: str = _setting("frame_sampling", "Which frames are taken.", choices=["segments", "reference"])
    frame_order: str = _setting("frame_order", "How frame files are ordered.", choices=["natural", "string"])
    exif_orientation: str = _setting(
        "exif_orientation",
        "Turn photos as their EXIF orientation says, or leave them as they are stored.",
        choices=["upright", "ignore"],
    )
    flip_prob: float = _setting("flip_prob", "Probability that a training clip is mirrored.")
    rotation_degrees: float = _setting("rotation_degrees", "Greatest rotation of a training clip, either way.")
    color_jitter: float = _setting("color_jitter", "Greatest change of a training clip's brightness and contrast.")
    augment_per_stream: bool = _setting("augment_per_stream", "Draw augmentation for each stream on its own.")
    scaled_decoding: bool = _setting("scaled_decoding", "Decode JPEG files that are shown whole at a fraction.")
