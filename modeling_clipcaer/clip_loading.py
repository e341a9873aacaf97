"""CLIP checkpoints to build on."""

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPConfig, CLIPModel

from .errors import InputError, check_readable


def load_clip(clip_id_or_path: str):
    """CLIP in fp32 and its tokenizer, or an `InputError`."""
    check_readable(clip_id_or_path)
    try:
        config, _ = CLIPConfig.get_config_dict(clip_id_or_path)
        if config.get("model_type") != "clip":
            raise InputError(f"{clip_id_or_path}: expected a CLIP checkpoint, found `{config.get('model_type')}`")
        clip, info = CLIPModel.from_pretrained(clip_id_or_path, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(clip_id_or_path)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{clip_id_or_path}: no CLIP checkpoint could be loaded from there: {reason}") from error
    if info["missing_keys"]:
        raise InputError(f"{clip_id_or_path}: the CLIP checkpoint lacks the weight `{min(info['missing_keys'])}`")
    return clip, tokenizer
