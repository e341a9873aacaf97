"""Between the public research code's tensors and a ClipCaer model: sizes from shapes, prompts from embedding rows."""

import math
from collections.abc import Mapping, Sequence

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPConfig

from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.research_code.keys import (
    DESCRIPTIVE_ROWS,
    TOKEN_PREFIX,
    TOKEN_SUFFIX,
    Place,
    count_layers,
    list_aliases,
    list_places,
)


# The research code's attention heads are 64 wide, in CLIP's towers and in its temporal encoders.
HEAD_DIM = 64
TOKEN_EMBEDDING = "clip_model_.token_embedding.weight"


def build_model(
    state: Mapping[str, torch.Tensor],
    labels: Sequence[str] | None = None,
    class_token_position: str = "end",
    temperature: float | None = None,
    slerp_weight: float | None = None,
) -> ClipCaerForVideoClassification:
    """The model whose tensors `state` holds, in evaluation mode and with the research code's behaviour.

    The last four arguments are what tensors do not tell. `None` stands for what the research code does: temperature
    0.07 and slerp weight 0.5, or 0.01 and 0 for the original model, which has neither adapter nor descriptive view.

    Raises:
        InputError: a tensor is missing, unknown or misshapen, or a prompt is not made of rows of the token embedding.
    """
    places = find_places(state)
    config = infer_config(state, labels, class_token_position, temperature, slerp_weight)
    with torch.device("meta"):
        expected = ClipCaerForVideoClassification(config).state_dict()
    # Stand-ins, until the sentences are encoded below.
    tensors = {"model.descriptive_prompts.text_embeds": torch.ones(config.num_labels, config.projection_dim)}
    for key, place in places.items():
        shape, found = tuple(place.join(expected).shape), tuple(state[key].shape)
        if found != shape:
            raise InputError(f"`{key}`: expected shape {shape}, as other tensors' sizes imply, found {found}")
        tensors |= place.split(state[key])
    model = ClipCaerForVideoClassification.from_pretrained(None, config=config, state_dict=tensors).eval()
    # Without stored sentences the descriptive view is that of the labels' own texts, as in `from_clip_pretrained`.
    model.model.encode_descriptive_prompts(config.descriptive_token_ids or config.label_token_ids)
    return model


def find_places(state: Mapping[str, torch.Tensor]) -> dict[str, Place]:
    """Where each tensor goes; the names must be those of the research code's model, of either version."""
    vision, text, temporal = (count_layers(state, stack) for stack in ("vision", "text", "temporal"))
    places = list_places(vision, text, temporal, face_adapter=any(name.startswith("face_adapter.") for name in state))
    required = {*places, TOKEN_PREFIX, TOKEN_SUFFIX}
    missing, unknown = sorted(required - set(state)), sorted(set(state) - required - {DESCRIPTIVE_ROWS})
    for names, what in ((missing, "is missing"), (unknown, "is no tensor of the research code's model")):
        if names:
            more = f" (and {len(names) - 1} others)" if len(names) > 1 else ""
            raise InputError(f"`{names[0]}`{more} {what}")
    return places


def infer_config(
    state: Mapping[str, torch.Tensor],
    labels: Sequence[str] | None,
    class_token_position: str,
    temperature: float | None,
    slerp_weight: float | None,
) -> ClipCaerConfig:
    """Configuration from the tensors' shapes and the embedding rows of the prompts; arguments as in `build_model`."""
    clip_config = infer_clip_config(state)
    context_shape = _shape(state, "prompt_learner.ctx", 2, 3)
    prompts, descriptive = _recover_prompts(state, num_context_tokens=context_shape[-2])
    labels = _name_labels(labels, len(prompts), descriptive)
    num_sentences = len(prompts) // len(labels)
    if temperature is None:
        temperature = 0.01 if descriptive is None and "face_adapter.fc.0.weight" not in state else 0.07
    if slerp_weight and descriptive is None:
        raise InputError("`slerp_weight` is above 0, but the checkpoint has no descriptive prompts to move from")
    # The research code's ensemble classifies by the soft prompts whatever its slerp weight is.
    if descriptive is None or num_sentences > 1:
        slerp_weight = 0.0
    slerp_weight = 0.5 if slerp_weight is None else slerp_weight
    fields = {
        "clip_config": clip_config,
        "class_specific_context": len(context_shape) == 3,
        "num_context_tokens": context_shape[-2],
        "class_token_position": class_token_position,
        "label_token_ids": [prompts[start : start + num_sentences] for start in range(0, len(prompts), num_sentences)],
        "descriptive_token_ids": descriptive and [[ids] for ids in descriptive],
        "prototype_source": "descriptive" if slerp_weight > 0 else "soft",
        "slerp_weight": slerp_weight,
        "temperature": temperature,
        "id2label": dict(enumerate(labels)),
        **_infer_video_fields(state, clip_config.projection_dim),
    }
    try:
        return ClipCaerConfig(**fields)
    except (ValueError, StrictDataclassError) as error:
        raise InputError(first_line(error)) from error


def infer_clip_config(state: Mapping[str, torch.Tensor]) -> CLIPConfig:
    """Sizes of OpenAI's CLIP from the shapes of its tensors."""
    vision_width, _, _, patch_size = _shape(state, "clip_model_.visual.conv1.weight", 4)
    num_patches = _shape(state, "clip_model_.visual.positional_embedding", 2)[0] - 1
    length, text_width = _shape(state, "clip_model_.positional_embedding", 2)
    vocab_size = _shape(state, TOKEN_EMBEDDING, 2)[0]
    dim = _shape(state, "clip_model_.text_projection", 2)[1]
    if math.isqrt(num_patches) ** 2 != num_patches:
        raise InputError(f"`clip_model_.visual.positional_embedding`: {num_patches} patches make no square image")
    return CLIPConfig(
        projection_dim=dim,
        vision_config={
            **_tower_fields(state, "vision", "clip_model_.visual.", vision_width),
            "projection_dim": dim,
            "patch_size": patch_size,
            "image_size": patch_size * math.isqrt(num_patches),
        },
        text_config={
            **_tower_fields(state, "text", "clip_model_.", text_width),
            "projection_dim": dim,
            "max_position_embeddings": length,
            "vocab_size": vocab_size,
            "bos_token_id": vocab_size - 2,
            "eos_token_id": vocab_size - 1,
        },
    )


def _tower_fields(state: Mapping[str, torch.Tensor], stack: str, prefix: str, width: int) -> dict[str, int]:
    if width % HEAD_DIM:
        raise InputError(f"the {stack} tower is {width} wide, expected a multiple of {HEAD_DIM}")
    return {
        "hidden_size": width,
        "intermediate_size": _shape(state, f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        "num_hidden_layers": count_layers(state, stack),
        "num_attention_heads": width // HEAD_DIM,
    }


def _infer_video_fields(state: Mapping[str, torch.Tensor], dim: int) -> dict:
    """Sizes of adapter and temporal encoders, and the research code's ways with both."""
    layer = "temporal_net.temporal_transformer.layers.0."
    fields = {
        "use_face_adapter": "face_adapter.fc.0.weight" in state,
        "adapter_residual_ratio": 1.0,
        "num_frames": _shape(state, "temporal_net.pos_embedding", 3)[1] - 1,
        "temporal_layers": count_layers(state, "temporal"),
        "temporal_heads": _shape(state, f"{layer}0.fn.fn.to_qkv.weight", 2)[0] // (3 * HEAD_DIM),
        "temporal_head_dim": HEAD_DIM,
        "temporal_mlp_dim": _shape(state, f"{layer}1.fn.fn.net.0.weight", 2)[0],
        "temporal_init_std": 1.0,
    }
    if fields["use_face_adapter"]:
        fields["adapter_reduction"] = dim // _shape(state, "face_adapter.fc.0.weight", 2)[0]
    return fields


def _shape(state: Mapping[str, torch.Tensor], name: str, *dims: int) -> tuple[int, ...]:
    shape = tuple(state[name].shape)
    if len(shape) not in dims or 0 in shape:
        raise InputError(f"`{name}`: expected {' or '.join(map(str, dims))} dimensions above 0, found shape {shape}")
    return shape


def _name_labels(labels: Sequence[str] | None, num_prompts: int, descriptive: list | None) -> Sequence[str]:
    num_labels = len(labels) if labels else len(descriptive or range(num_prompts))
    if num_prompts % num_labels or (descriptive is not None and len(descriptive) != num_labels):
        raise InputError(
            f"the checkpoint has {num_prompts} soft and {len(descriptive or [])} descriptive prompts, "
            f"which do not fit {num_labels} labels"
        )
    if labels:
        return labels
    return RAER_LABELS if num_labels == len(RAER_LABELS) else [f"LABEL_{index}" for index in range(num_labels)]


def _recover_prompts(state: Mapping[str, torch.Tensor], num_context_tokens: int):
    """Token ids of the labels' texts, begin and end included, and of the descriptive sentences, or None."""
    embedding = state[TOKEN_EMBEDDING]
    length, width = state["clip_model_.positional_embedding"].shape[0], embedding.shape[1]
    num_prompts = _shape(state, TOKEN_PREFIX, 3)[0]
    wanted = {
        TOKEN_PREFIX: (num_prompts, 1, width),
        TOKEN_SUFFIX: (num_prompts, length - 1 - num_context_tokens, width),
    }
    if DESCRIPTIVE_ROWS in state:
        wanted[DESCRIPTIVE_ROWS] = (_shape(state, DESCRIPTIVE_ROWS, 3)[0], length, width)
    for name, shape in wanted.items():
        if tuple(state[name].shape) != shape:
            raise InputError(f"`{name}`: expected shape {shape}, found {tuple(state[name].shape)}")
    soft = torch.cat([state[TOKEN_PREFIX], state[TOKEN_SUFFIX]], dim=1)
    prompts = [_recover_token_ids(rows, embedding, f"`{TOKEN_SUFFIX}` prompt {n}") for n, rows in enumerate(soft)]
    if DESCRIPTIVE_ROWS not in state:
        return prompts, None
    stored = state[DESCRIPTIVE_ROWS]
    return prompts, [_recover_token_ids(rows, embedding, f"`{DESCRIPTIVE_ROWS}` {n}") for n, rows in enumerate(stored)]


def _recover_token_ids(rows: torch.Tensor, embedding: torch.Tensor, where: str) -> list[int]:
    """Token ids of rows of the token embedding, up to the first end token, by exact look-up."""
    ids: list[int] = []
    end = embedding.shape[0] - 1
    for position, row in enumerate(rows):
        if torch.equal(row, embedding[end]) and position > 0:
            return [*ids, end]
        candidates = (embedding[:, 0] == row[0]).nonzero().flatten()
        matches = candidates[(embedding[candidates] == row).all(dim=1)]
        if not len(matches):
            raise InputError(f"{where}: the row at position {position} is no row of `{TOKEN_EMBEDDING}`")
        ids.append(int(matches[0]))
    raise InputError(f"{where}: no end token (the embedding's last row) among its rows")


def export_state_dict(model: ClipCaerForVideoClassification) -> dict[str, torch.Tensor]:
    """The research code's state dict of `model`, aliases and prompts' rows included: the inverse of `build_model`.

    Raises:
        InputError: the research code cannot compute what the model does.
    """
    config = model.config
    _check_expressible(config)
    ours = model.state_dict()
    text, vision = config.text_tower_config, config.vision_tower_config
    places = list_places(
        vision.num_hidden_layers, text.num_hidden_layers, config.temporal_layers, config.use_face_adapter
    )
    state: dict[str, torch.Tensor] = {}
    for key, place in places.items():
        state |= dict.fromkeys(list_aliases(key), place.join(ours))
    embedding, length = state[TOKEN_EMBEDDING], text.max_position_embeddings
    soft = _gather_rows(embedding, config.soft_prompt_token_ids, length - config.num_context_tokens)
    state[TOKEN_PREFIX], state[TOKEN_SUFFIX] = soft[:, :1].clone(), soft[:, 1:].clone()
    if config.descriptive_token_ids is not None:
        state[DESCRIPTIVE_ROWS] = _gather_rows(embedding, [ids for (ids,) in config.descriptive_token_ids], length)
    return state


def _gather_rows(embedding: torch.Tensor, prompts: list[list[int]], length: int) -> torch.Tensor:
    return embedding[torch.tensor([ids + [0] * (length - len(ids)) for ids in prompts])]


def _check_expressible(config: ClipCaerConfig) -> None:
    """What the research code has no other way for: refuse it rather than write weights that compute something else."""
    towers = (config.text_tower_config, config.vision_tower_config)
    head_dims = {config.temporal_head_dim, *(tower.hidden_size // tower.num_attention_heads for tower in towers)}
    ensemble = any(len(sentences) > 1 for sentences in config.label_token_ids or [])
    source = "descriptive" if config.slerp_weight > 0 and not ensemble else "soft"
    facts: list[tuple[str, object, object]] = [
        ("`streams`", config.streams, "both"),
        ("`temporal_pooling`", config.temporal_pooling, "cls"),
        ("`fusion`", config.fusion, "linear"),
        ("`slerp_target`", config.slerp_target, "video"),
        ("`learned_slerp_weight`", config.learned_slerp_weight, None),
        ("`prototype_source`", config.resolved_prototype_source, source),
        ("the width of attention heads", sorted(head_dims), [HEAD_DIM]),
    ]
    if ensemble:
        facts.append(("the `slerp_weight` of an ensemble", config.slerp_weight, 0))
    if config.use_face_adapter:
        facts.append(("`adapter_residual_ratio`", config.adapter_residual_ratio, 1))
    if config.use_face_adapter or config.descriptive_token_ids is not None:
        counts = sorted({len(sentences) for sentences in config.descriptive_token_ids or [[]]})
        facts.append(("the number of sentences for a label in `descriptive_token_ids`", counts, [1]))
    for name, found, only in facts:
        if found != only:
            raise InputError(f"the research code cannot express the model: {name} is {found}, there it is {only}")
