"""What of a model and of its pixels can be set: each setting's name, default, range and help, once.

A settings dataclass is read by the configuration or the processor that it is saved with, and by the commands, to
which each of its fields is a flag. Standard library only.
"""

import math
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from .errors import InputError


def option(
    default,
    text: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    rare: bool = False,
    **kwargs,
):
    """
    A field of settings, and so a flag.

    Args:
        default: the default, a function that makes it, or `MISSING` for a flag that has to be given.
        text: what it does, for the flag's help and the documentation of the class. A first help stops at its first
            `;`, `:` or full stop.
        least, most, above, below: its range, ends included (`least`, `most`) or not.
        rare: left out of that first help, for `--help-all`.
        kwargs: of [`argparse.ArgumentParser.add_argument`], as `choices` and `nargs`; `aliases` are other flags that
            mean it.
    """
    ends = {"least": least, "most": most, "above": above, "below": below}
    metadata = {"help": text, "rare": rare, "range": {name: end for name, end in ends.items() if end is not None}}
    makes: Callable | None = default if callable(default) and default is not MISSING else None
    if makes is not None:
        return field(default_factory=makes, metadata=metadata | kwargs)
    return field(default=default, metadata=metadata | kwargs)


def rare_option(default, text: str, **kwargs):
    """An [`option`] that a command's first help leaves out."""
    return option(default, text, rare=True, **kwargs)


def check_ranges(settings) -> None:
    """Refuse the first number of a settings dataclass that is out of its range.

    Raises:
        InputError: names the setting, its range and the value.
    """
    for setting in fields(settings):
        check_range(setting.name, getattr(settings, setting.name), **setting.metadata.get("range", {}))


def check_range(name: str, value: Any, *, least=None, most=None, above=None, below=None) -> None:
    """Refuse a number outside the range that [`option`] describes; `None` passes."""
    low, high = (least if above is None else above), (most if below is None else below)
    if value is None or (low is None and high is None):
        return
    low_is_kept = low is None or (value >= low if above is None else value > low)
    high_is_kept = high is None or (value <= high if below is None else value < high)
    if low is None or high is None:
        ends = f"be above {above:.10g}" if above is not None else f"be at least {least:.10g}"
        if not math.isfinite(value):
            raise InputError(f"`{name}` must be a finite number, got {value}")
    else:
        ends = f"lie in {'[' if above is None else '('}{low:.10g}, {high:.10g}{']' if below is None else ')'}"
    if not (low_is_kept and high_is_kept):
        raise InputError(f"`{name}` must {ends}, got {value}")


def document(*kinds: type) -> Callable[[type], type]:
    """A decorator that adds to the end of a class's docstring, which is its `Args:`, the settings of `kinds`."""

    def add(cls: type) -> type:
        lines = [line for kind in kinds for setting in fields(kind) for line in _describe(setting)]
        cls.__doc__ = "\n".join([(cls.__doc__ or "").rstrip(), *lines, ""])
        return cls

    return add


def _describe(setting: Field) -> list[str]:
    default = "" if setting.default is None else f", defaults to `{setting.default!r}`"
    kinds = " or ".join(f"`{kind}`" for kind in _name_kinds(setting.type))
    return [f"        {setting.name} ({kinds}, *optional*{default}):", f"            {setting.metadata['help']}"]


def _name_kinds(hint: Any) -> list[str]:
    if get_origin(hint) in (Literal, Union, UnionType):
        return [name for part in get_args(hint) if part is not NoneType for name in _name_kinds(part)]
    return [hint.__name__ if isinstance(hint, type) else repr(hint)]


# Keep: no `__eq__` and `__repr__`, and fields by name alone, as the classes have them that take the settings over.
@dataclass(eq=False, repr=False, kw_only=True)
class ModelSettings:
    """What the model computes: fields of its configuration."""

    num_frames: int = option(16, "Frames sampled of a clip; the model takes no more.", least=1, most=4096)
    streams: Literal["both", "face", "context"] = option(
        "both", "Streams to build; one alone is for ablation: the other is then not built."
    )
    use_face_adapter: bool = rare_option(True, "Refine the face stream by the Expression-Aware Adapter.")
    adapter_reduction: int = rare_option(
        4, "How many times narrower than the embedding the face adapter is.", least=1, most=4096
    )
    # The public research code lost the residual (a ratio of 1), so that its face stream starts as noise.
    adapter_residual_ratio: int | float = rare_option(
        0.2, "Share r of the adapted embedding in the blend r A(x) + (1 - r) x (Gao et al., 2021).", least=0, most=1
    )
    temporal_layers: int = rare_option(1, "Layers of each stream's temporal transformer.", least=1, most=64)
    temporal_heads: int = rare_option(8, "Attention heads of a temporal transformer.", least=1, most=256)
    temporal_head_dim: int = rare_option(
        64, "Width of an attention head of a temporal transformer.", least=1, most=1024
    )
    temporal_mlp_dim: int = rare_option(1024, "Hidden width of a temporal transformer's MLP.", least=1, most=2**16)
    temporal_dropout: int | float = rare_option(0.1, "Dropout in the temporal transformers.", least=0, below=1)
    temporal_pooling: Literal["cls", "attention", "mean"] = rare_option(
        "cls",
        "How frames become one embedding: a class token, a learned weighting of the frames, or, without a transformer "
        "and whatever their order, their mean.",
    )
    # The public research code draws them with 1.0, whose norm (22.6 for a width of 512) is twice that of the frame
    # embeddings.
    temporal_init_std: int | float = rare_option(
        0.02, "Deviation of a temporal transformer's initial class token and position embeddings.", least=0, most=100
    )
    fusion: Literal["linear", "gated", "cross_attention"] = rare_option(
        "linear",
        "How both streams become one embedding: a linear layer; or it behind a gate that weighs them (Arevalo et al., "
        "2017), or behind attention of each to both.",
    )
    num_context_tokens: int = rare_option(
        12,
        "Learned context tokens of a soft prompt (CoOp, Zhou et al., 2022).",
        least=1,
        most=1024,
        aliases=["--contexts_number", "--contexts-number"],
    )
    class_specific_context: bool = rare_option(True, "Context tokens for each prompt instead of shared ones.")
    class_token_position: Literal["end", "middle", "front"] = rare_option(
        "end", "Where the label's text stands: behind the context tokens, between their halves or before them."
    )
    # The method mixes from the descriptive view.
    prototype_source: Literal["descriptive", "soft", "mean", "classifier"] | None = rare_option(
        None,
        "What classifies: a view of the text, by default descriptive with a slerp weight above 0, else soft; or a "
        "cosine classifier that begins as the descriptive view and is trained (Shi et al., 2024).",
    )
    # With one weight for all labels the decision of a given checkpoint does not depend on it; the sharpness of the
    # softmax does, and with it the gradient and the calibration.
    slerp_weight: int | float = option(0.5, "How far the video moves prototypes to it; 0: off.", least=0, below=1)
    learned_slerp_weight: Literal["shared", "per_label"] | None = rare_option(
        None, "Train the slerp weight, from --slerp-weight on: one for all labels, or one for each."
    )
    slerp_target: Literal["video", "prototypes"] = rare_option(
        "video", "What prototypes are moved to: the video, or the mixture of all prototypes that is nearest to it."
    )
    temperature: int | float = option(0.07, "Divides the cosines to give logits.", least=1e-6, most=1e6)
    initializer_range: int | float = rare_option(0.02, "Deviation of the initial context tokens.", least=0, most=100)


# Keep: no `__eq__`, without which a processor could not be a key.
@dataclass(eq=False, kw_only=True)
class PixelSettings:
    """How frames become pixels: settings of the processor. The image size is the CLIP model's."""

    face_margin: float = option(
        20, "Pixels by which a face box grows; on every side, of the original frame.", least=0, most=4096
    )
    context: Literal["body", "frame"] = option("body", "What the context stream shows: the body box, or all.")
    # CLIP's tower was trained with it. The public research code does without.
    do_normalize: bool = rare_option(True, "Normalise pixels by CLIP's mean and deviation.")
    resample: Literal["bicubic", "bilinear"] = rare_option(
        "bicubic", "How frames are resized: as CLIP, or as the research code; both antialiased."
    )
    letterbox: Literal["centered", "reference"] = rare_option(
        "centered", "How the context is fitted; reference: truncated sizes, not antialiased, as in the research code."
    )
    frame_sampling: Literal["segments", "reference"] = rare_option(
        "segments", "Which frames are taken: of equal segments, or as the research code does."
    )
    frame_order: Literal["natural", "string"] = rare_option(
        "natural", "How frame files are ordered: 2 before 10, or 10 before 2 as in the research code."
    )
    exif_orientation: Literal["upright", "ignore"] = rare_option(
        "upright",
        "Turn photos as their EXIF orientation says, as their boxes are meant, or leave them as they are stored, as "
        "the research code does.",
    )
    flip_prob: float = rare_option(0.5, "Probability that a training clip is mirrored.", least=0, most=1)
    rotation_degrees: float = rare_option(4, "Greatest rotation of a training clip, either way.", least=0, most=180)
    color_jitter: float = rare_option(
        0.0, "Greatest change of a training clip's brightness and contrast.", least=0, most=1
    )
    # The research code does. One draw serves both, since a face that looks left in a mirrored room is another scene.
    augment_per_stream: bool = rare_option(False, "Draw augmentation for each stream on its own.")
    # It takes a quarter off the time; the pixels differ by less than a level of 255 on average, as by JPEG itself.
    # Never with the reference's letterbox, which is not antialiased.
    scaled_decoding: bool = rare_option(
        True,
        "Decode JPEG files that are shown whole at a half, a quarter or an eighth of their size, where that leaves "
        "1.5 pixels for each that is made of them.",
    )
