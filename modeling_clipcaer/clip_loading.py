"""CLIP checkpoints to build on, with tokenizers that fit."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPModel

from .errors import InputError
from .label_texts import check_tokenizer
from .strict_loading import check_found, load_strictly, tell_loading


# Any of these makes a tokenizer; without them transformers makes an empty one.
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "tokenizer_config.json")


def load_clip_model(clip_id_or_path: str):
    """CLIP in fp32 and its tokenizer, or an `InputError`."""
    check_found(clip_id_or_path)
    with tell_loading(clip_id_or_path, "CLIP checkpoint"):
        config, _ = CLIPConfig.get_config_dict(clip_id_or_path)
        if config.get("model_type") != "clip":
            raise InputError(f"expected a CLIP checkpoint, found `{config.get('model_type')}`")
        clip = load_clip_model_weights(clip_id_or_path)
    return clip, load_tokenizer(clip_id_or_path, clip.config.text_config)


def load_clip_model_weights(clip_id_or_path: str) -> CLIPModel:
    """CLIP in fp32, all of whose weights are there and finite."""
    # Keep: not from safetensors alone, and not without a weight too many. Older ones of OpenAI's and of others are
    # pickled tensors, which transformers reads without their code, and hold tables of positions.
    kwargs = {"dtype": torch.float32, "use_safetensors": None, "output_loading_info": True}
    clip, info = load_strictly(CLIPModel.from_pretrained, clip_id_or_path, "CLIP checkpoint", **kwargs)
    if info["missing_keys"]:
        raise InputError(
            f"{clip_id_or_path}: the CLIP checkpoint lacks the weight `{min(info['missing_keys'])}`; fetch it anew"
        )
    return clip


def load_tokenizer(clip_id_or_path: str, text_config):
    """The tokenizer of a CLIP checkpoint, which fits the text tower of `text_config`.

    Raises:
        InputError: there is none, or it is of another size than the token embedding, or its texts do not begin and
            end as the text tower expects.
    """
    check_found(clip_id_or_path)
    folder = Path(clip_id_or_path)
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(
            f"{folder}: holds no tokenizer (tokenizer.json, or vocab.json and merges.txt); copy the CLIP checkpoint's"
        )
    with tell_loading(clip_id_or_path, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(clip_id_or_path)
        check_tokenizer(tokenizer, text_config)
    return tokenizer
