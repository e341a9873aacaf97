"""Flags of the model: what it is built on, beside what it computes."""

from dataclasses import dataclass, fields

from modeling_clipcaer.common.flags import check_ranges, option, rare_option
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import ModelSettings


# Names by which the public research code calls OpenAI's checkpoints.
OPENAI_CHECKPOINTS = {
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
}


TOWER_DTYPES = ("auto", "float32", "bfloat16")


def tower_dtype_option(**kwargs):
    """The flag `tower_dtype` of the commands in which a vision tower computes."""
    text = (
        "Type in which the vision tower computes where no gradient of it is kept; auto is bfloat16 where the hardware "
        "multiplies in it. The weights stay float32."
    )
    return option("auto", text, choices=list(TOWER_DTYPES), **kwargs)


# Matrices of a layer of CLIP's tower: queries and values are what Hu et al. (2022) found enough.
LORA_DEFAULT = ("q_proj", "v_proj")
LORA_TARGETS = (*LORA_DEFAULT, "k_proj", "out_proj", "fc1", "fc2")


@dataclass
class ModelArguments(ModelSettings):
    """What a new model is made of: the CLIP checkpoint, and the texts of its labels."""

    clip_model: str = option(
        "openai/clip-vit-base-patch32",
        "CLIP checkpoint; on the Hub or in a folder. ViT-B/32, ViT-B/16 and ViT-L/14 mean OpenAI's.",
        aliases=["--clip_path", "--clip-path"],
    )
    labels_file: str | None = option(
        None,
        "YAML file of the labels' texts; soft and descriptive ones, or the name of a file that comes with the code.",
    )
    attn_implementation: str = rare_option(
        "sdpa",
        "Attention of towers and temporal encoders: sdpa, eager, flex_attention, flash_attention_2 (its own package, "
        "a GPU and --bf16), or owner/name of a kernel on the Hub (the package kernels).",
    )

    def __post_init__(self):
        from transformers.integrations.hub_kernels import is_kernel
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        name, kinds = self.attn_implementation, ("eager", *ALL_ATTENTION_FUNCTIONS.valid_keys())
        known = [kind for kind in kinds if not kind.startswith("paged|")]  # which generate text
        if name not in known and not is_kernel(name):
            raise InputError(
                f"`attn_implementation` must be one of {', '.join(known)}, or owner/name of a kernel, got {name!r}"
            )

    def config_fields(self) -> dict:
        """Those of the arguments that are fields of `ClipCaerConfig`."""
        return {setting.name: getattr(self, setting.name) for setting in fields(ModelSettings)}

    def resolve_clip(self) -> str:
        """Hub id or folder of the CLIP checkpoint."""
        return OPENAI_CHECKPOINTS.get(self.clip_model) or find_preset(self.clip_model, suffix="")


@dataclass
class TrainableArguments:
    """Which weights train, and which are saved."""

    use_lora: bool = option(
        False,
        "Train the vision tower by LoRA; of its attention (Hu et al., 2022), at --lr-image-encoder, merged at last.",
    )
    lora_rank: int = rare_option(8, "Rank of --use-lora.", above=0)
    lora_alpha: float = rare_option(16.0, "Alpha of --use-lora: the update is scaled by alpha over rank.", above=0)
    lora_targets: list[str] | None = rare_option(
        None,
        "Weights that --use-lora adapts, q_proj and v_proj by default; of attention also k_proj, out_proj, of the MLP "
        "fc1, fc2.",
        nargs="+",
        choices=LORA_TARGETS,
    )
    save_trainable_only: bool = rare_option(
        False,
        "Leave CLIP's frozen weights out of the checkpoints of training; clipcaer evaluate and predict add them "
        "again from the CLIP checkpoint. The result of the run is whole.",
    )

    def __post_init__(self):
        check_ranges(self)
