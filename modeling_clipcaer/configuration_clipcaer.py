"""ClipCaer model configuration."""

import os
from collections.abc import Mapping
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CLIPConfig, PreTrainedConfig

from .json_files import check_format, read_object
from .label_texts import check_distinct, end_token_id
from .names import find_colour_fault, find_label_fault, public_name
from .raer_labels import RAER_LABELS
from .settings_clipcaer import ModelSettings, check_range, check_ranges, document
from .strict_loading import tell_loading


# What a configuration says of each label.
OF_LABELS = (
    *("id2label", "label2id", "label_prompts", "label_token_ids"),
    *("descriptive_prompts", "descriptive_token_ids", "label_colours"),
)
# Counts up when a checkpoint of this version would be misread by an earlier one.
FORMAT_VERSION = 1
LARGEST_FILE = 2**26  # bytes of a config.json
# Least and greatest value of each size of CLIP's two towers. Greatest ones keep a broken file from building until
# the machine is full.
TOWER_RANGES = {
    "hidden_size": (1, 2**14),
    "intermediate_size": (1, 2**16),
    "num_hidden_layers": (1, 256),
    "num_attention_heads": (1, 1024),
    "projection_dim": (1, 2**14),
    "vocab_size": (4, 2**20),
    "max_position_embeddings": (2, 2**16),
    "num_channels": (3, 3),
    "image_size": (1, 4096),
    "patch_size": (1, 4096),
}

# What `PreTrainedConfig` accepts beside its fields. Everything else that is not a field of ours is a misspelling.
_BASE_KEYWORDS = frozenset(
    (
        *("model_type", "num_labels", "name_or_path", "output_attentions", "attn_implementation", "torch_dtype"),
        *("experts_implementation", "auto_map", "custom_pipelines", "quantization_config", "per_layer_config"),
        "tie_word_embeddings",  # The library asks every configuration for it.
        "use_cache",  # Keep: the Trainer writes it into every configuration, and so into its checkpoints.
    )
)


@document(ModelSettings)
@strict
class ClipCaerConfig(PreTrainedConfig, ModelSettings):
    r"""
    Configuration of [`ClipCaerModel`] and [`ClipCaerForVideoClassification`]: everything that changes what `forward`
    computes, and how its logits become probabilities. Unknown keys and values out of range raise.

    Example:

    ```python
    >>> from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification

    >>> configuration = ClipCaerConfig(num_frames=8, slerp_weight=0.0)
    >>> configuration.id2label[1], configuration.resolved_prototype_source
    ('Enjoyment', 'soft')

    ```

    Args:
        clip_config (`CLIPConfig` or `dict`, *optional*):
            The CLIP model whose vision tower encodes both streams and whose text tower encodes the prompts. All
            widths follow from it. Defaults to ViT-B/32.
        label_prompts (`list[str]` or `list[list[str]]`, *optional*):
            A text per label for the soft view; a list of lists is an ensemble, with equally many for each label.
        label_token_ids (`list[list[list[int]]]`, *optional*):
            Token ids of `label_prompts`, begin and end tokens included: label, sentence, token. `None`: the soft
            prompts hold context tokens alone. Kept here so that a checkpoint needs no tokenizer.
        descriptive_prompts (`list[str]` or `list[list[str]]`, *optional*):
            Sentences per label for the descriptive view, any number each. Their embeddings are kept with the weights.
        descriptive_token_ids (`list[list[list[int]]]`, *optional*):
            Token ids of `descriptive_prompts`, begin and end tokens included: label, sentence, token. They tell what
            the kept embeddings are of where there is no tokenizer.
        label_colours (`dict[str, str]`, *optional*):
            Colours of labels where answers are shown, as `#RRGGBB`, or "neutral" for the quiet one. The others have
            those that are left.
        calibration_temperature (`float`, *optional*):
            Divides the logits once more where probabilities are told to people, in the pipeline (Guo et al., 2017).
            `clipcaer train` fits it on the validation split. `forward` takes no notice of it.
        format_version (`int`, *optional*):
            The form of the checkpoint; that of a later version of this code is refused, and what has none is of the
            first.
        id2label (`dict[int, str]`, *optional*):
            The labels, numbered from 0 without a gap. Defaults to RAER's five.
        label2id (`dict[str, int]`, *optional*):
            Its inverse; derived when not given.
    """

    model_type = "clipcaer"
    sub_configs_defaults = {"clip_config": CLIPConfig}  # noqa: RUF012 - the base class declares it so
    keys_to_ignore_at_inference = [  # noqa: RUF012
        *("video_embeds", "face_video_embeds", "context_video_embeds", "soft_text_embeds"),
        *("descriptive_text_embeds", "soft_prompt_embeds", "hidden_states", "face_temporal_hidden_states"),
        *("context_temporal_hidden_states", "attentions", "face_temporal_attentions", "context_temporal_attentions"),
    ]

    clip_config: dict | PreTrainedConfig | None = None
    label_prompts: list[str] | list[list[str]] | None = None
    label_token_ids: list[list[list[int]]] | None = None
    descriptive_prompts: list[str] | list[list[str]] | None = None
    descriptive_token_ids: list[list[list[int]]] | None = None
    label_colours: dict[str, str] | None = None
    calibration_temperature: int | float | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs):
        unknown = sorted(key for key in kwargs if key not in _BASE_KEYWORDS and not key.startswith("_"))
        if unknown:
            raise ValueError(
                f"`{unknown[0]}` is not a field of {type(self).__name__}: misspelt, or written by a newer version"
            )
        # Keep: where this package is installed its own pipeline is registered. The checkpoint's would be refused there
        # without `trust_remote_code`.
        if not __name__.startswith("transformers_modules."):
            kwargs.pop("custom_pipelines", None)
        if isinstance(self.clip_config, dict):
            _check_towers(self.clip_config)  # Keep: before transformers builds anything of it.
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label: dict[int, str] = dict(enumerate(RAER_LABELS))
        if self.id2label is not None:
            self.id2label = _number_labels(self.id2label)
            if kwargs.get("num_labels") not in (None, len(self.id2label)):
                raise ValueError(f"`num_labels` is {kwargs['num_labels']}, `id2label` names {len(self.id2label)}")
        super().__post_init__(**kwargs)
        if self.label2id is None:
            self.label2id: dict[str, int] = {label: index for index, label in self.id2label.items()}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs) -> "ClipCaerConfig":
        """Load as every configuration of transformers does, or say in one line what is wrong with the file."""
        with tell_loading(pretrained_model_name_or_path, "configuration"):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> "ClipCaerConfig":
        """As every configuration of transformers; one that a newer version wrote is refused."""
        # Keep: before its fields, which may be of other kinds there.
        check_format(config_dict.get("format_version", FORMAT_VERSION), FORMAT_VERSION, "config.json")
        # Keep: `from_pretrained(..., num_labels=20)` is transformers' way to begin with labels anew.
        if kwargs.get("num_labels") not in (None, len(config_dict.get("id2label") or ())):
            config_dict = {name: value for name, value in config_dict.items() if name not in OF_LABELS}
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict[str, Any]:
        # Keep: not the base class's way, which takes what is no object, and the last of two equal keys.
        return cls._decode_special_floats(read_object(json_file, LARGEST_FILE))

    def to_dict(self) -> dict[str, Any]:
        """The fields as they are saved and shown. Where a model came from is told by name, for others to read."""
        return _name_origins(super().to_dict())

    @property
    def projection_dim(self) -> int:
        """Width D of frame, video and text embeddings."""
        return self.clip_config.projection_dim  # type: ignore[union-attr]  # a dict only until `__post_init__`

    @property
    def text_tower_config(self) -> PreTrainedConfig:
        """The part of `clip_config` on the text tower."""
        return self.clip_config.text_config  # type: ignore[union-attr]

    @property
    def vision_tower_config(self) -> PreTrainedConfig:
        """The part of `clip_config` on the vision tower."""
        return self.clip_config.vision_config  # type: ignore[union-attr]

    @property
    def face_stream(self) -> bool:
        """Whether the face stream is built."""
        return self.streams != "context"

    @property
    def context_stream(self) -> bool:
        """Whether the context stream is built."""
        return self.streams != "face"

    @property
    def resolved_prototype_source(self) -> str:
        """`prototype_source` with its default worked out."""
        if self.prototype_source is not None:
            return self.prototype_source
        return "descriptive" if self.slerp_weight > 0 else "soft"

    @property
    def soft_prompts_classify(self) -> bool:
        """Whether the logits depend on the soft view."""
        return self.resolved_prototype_source in ("soft", "mean")

    @property
    def soft_prompt_token_ids(self) -> list[list[int]]:
        """Token ids of every soft prompt's text, label by label: begin and end alone without `label_token_ids`."""
        if self.label_token_ids is not None:
            return [ids for sentences in self.label_token_ids for ids in sentences]
        text_config = self.text_tower_config
        return [[text_config.bos_token_id, end_token_id(text_config)]] * self.num_labels

    def validate_ranges(self):
        """Part of `@strict`'s validation: every number within its range."""
        check_ranges(self)
        check_range("format_version", self.format_version, least=1, most=FORMAT_VERSION)
        check_range("calibration_temperature", self.calibration_temperature, least=1e-6, most=1e6)
        if not isinstance(self.clip_config, PreTrainedConfig):
            return  # Keep: `@strict` also validates before `__post_init__` has made it one.
        _check_towers(self.clip_config.to_dict())
        if self.use_face_adapter and self.adapter_reduction > self.projection_dim:
            raise ValueError(f"`adapter_reduction` must be at most {self.projection_dim}, the embeddings' width")

    def validate_classifier(self):
        """Part of `@strict`'s validation: a slerp weight that is learned begins somewhere."""
        if self.learned_slerp_weight is not None and self.slerp_weight == 0:
            raise ValueError("`learned_slerp_weight` begins at `slerp_weight`, which must be above 0 for it, got 0")

    def validate_streams(self):
        """Part of `@strict`'s validation: what weighs the streams against each other has both."""
        if self.fusion != "linear" and self.streams != "both":
            raise ValueError(f"`fusion` {self.fusion} needs both `streams`, got {self.streams} alone")

    def validate_labels(self):
        """Part of `@strict`'s validation: `id2label` and `label2id` say the same."""
        if self.id2label is None or self.label2id is None:
            return  # Keep: `@strict` also validates before `__post_init__` has filled them.
        labels = _number_labels(self.id2label)
        if not isinstance(self.label2id, dict):
            raise ValueError(f"`label2id` must be a mapping, got {self.label2id!r}")
        # JSON of others may hold the numbers as words.
        numbers = {label: int(n) if str(n).isdecimal() else n for label, n in self.label2id.items()}
        for number, label in labels.items():
            if numbers.get(label) != number:
                raise ValueError(
                    f"`id2label` says that `{label}` is {number}, `label2id` {numbers.get(label, 'nothing')}"
                )
        if len(numbers) != len(labels):
            raise ValueError(f"`label2id` names `{min(set(numbers) - set(labels.values()))}`, `id2label` does not")

    def validate_label_names(self):
        """Part of `@strict`'s validation: labels that files and tables can hold, and that nobody takes for another."""
        fault = find_label_fault((self.id2label or {}).values())
        if fault is not None:
            raise ValueError(f"`id2label`: {fault}")

    def validate_label_colours(self):
        """Part of `@strict`'s validation: colours are of labels, and a page can show them."""
        for label, colour in (self.label_colours or {}).items():
            if self.id2label is not None and label not in _number_labels(self.id2label).values():
                raise ValueError(f"`label_colours` names `{label}`, `id2label` does not")
            if fault := find_colour_fault(colour):
                raise ValueError(f"`label_colours` of `{label}`: {fault}")

    def validate_prompts(self):
        """Part of `@strict`'s validation: prompts fit the labels, the context tokens and the text tower."""
        if self.id2label is None:
            return  # Keep: `@strict` also validates before `__post_init__` has filled the labels.
        for name in ("label_prompts", "label_token_ids", "descriptive_prompts", "descriptive_token_ids"):
            prompts = getattr(self, name)
            if prompts is not None and len(prompts) != self.num_labels:
                raise ValueError(f"`{name}` must hold one entry per label, got {len(prompts)} for {self.num_labels}")
            if prompts is not None:
                check_distinct(prompts, list(self.id2label.values()), f"`{name}`")
        self._validate_token_ids()
        if self.label_token_ids is None:
            if not self.class_specific_context:
                raise ValueError("`class_specific_context` False needs `label_token_ids`: all labels would be equal")
            return
        if len({len(sentences) for sentences in self.label_token_ids}) != 1 or not self.label_token_ids[0]:
            raise ValueError("`label_token_ids` must hold equally many sentences for every label, at least one")
        longest = max(len(ids) for sentences in self.label_token_ids for ids in sentences) + self.num_context_tokens
        limit = self.text_tower_config.max_position_embeddings
        if longest > limit:
            raise ValueError(
                f"`label_token_ids` and `num_context_tokens` make a prompt of {longest} tokens, "
                f"the text tower takes {limit}"
            )

    def _validate_token_ids(self):
        tower = self.text_tower_config
        for name in ("label_token_ids", "descriptive_token_ids"):
            for ids in (ids for sentences in getattr(self, name) or () for ids in sentences):
                if not 2 <= len(ids) <= tower.max_position_embeddings:
                    raise ValueError(
                        f"`{name}`: {len(ids)} tokens, the text tower takes {tower.max_position_embeddings}"
                    )
                if not 0 <= min(ids) <= max(ids) < tower.vocab_size:
                    raise ValueError(f"`{name}` must hold tokens from 0 to {tower.vocab_size - 1}, got {ids}")
            if any(not sentences for sentences in getattr(self, name) or ()):
                raise ValueError(f"`{name}` must hold at least one sentence for every label")


__all__ = ["ClipCaerConfig"]


def _check_towers(clip_config: dict[str, Any]) -> None:
    """Every size of CLIP's two towers within its range."""
    towers = {name: clip_config.get(name) or {} for name in ("text_config", "vision_config")}
    for path, config, names in (
        ("clip_config", clip_config, ("projection_dim",)),
        *((f"clip_config.{tower}", config, TOWER_RANGES) for tower, config in towers.items()),
    ):
        for name in names if isinstance(config, dict) else ():
            value = config.get(name)
            if value is not None and type(value) is not int:
                raise ValueError(f"`{path}.{name}` must be an integer, got {value!r}")
            least, most = TOWER_RANGES[name]
            check_range(f"{path}.{name}", value, least=least, most=most)


def _number_labels(id2label: Mapping) -> dict[int, str]:
    """`id2label` with numbers as keys, in their order; JSON has but words."""
    if not isinstance(id2label, Mapping):
        raise ValueError(f"`id2label` must be a mapping, got {id2label!r}")
    numbers = {str(key): label for key, label in id2label.items()}
    labels: list[Any] = [numbers.get(str(number)) for number in range(len(id2label))]
    if not labels or None in labels or len(numbers) < len(id2label):
        raise ValueError(f"`id2label` must number the labels from 0 without a gap, got {', '.join(numbers) or 'none'}")
    for number, label in enumerate(labels):
        if not isinstance(label, str):
            raise ValueError(f"`id2label` must name every label, got {label!r} for {number}")
        if label in labels[:number]:
            raise ValueError(f"`id2label` names `{label}` twice, as {labels.index(label)} and as {number}")
    return dict(enumerate(labels))


def _name_origins(content: Any) -> Any:
    """`content` with the name in place of the path in every `_name_or_path`, however deep."""
    if isinstance(content, dict):
        return {
            key: public_name(value) if key == "_name_or_path" else _name_origins(value)
            for key, value in content.items()
        }
    return [_name_origins(value) for value in content] if isinstance(content, list) else content
