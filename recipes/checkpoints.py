"""Checkpoints as folders that need nothing from this repository."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.common.disk import check_room
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.pipeline_clipcaer import StrictAutoModel
from recipes.trainable import NOTES, load_trainable


def check_output_dir(path: str | os.PathLike) -> None:
    """Refuse, before any work, a folder that cannot be written to."""
    nearest = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"{path}: expected a folder to write to, but {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{path}: expected a folder to write to, but {nearest} is not writable")


def save_checkpoint(
    model: ClipCaerForVideoClassification, processor: ClipCaerVideoProcessor, folder: str | os.PathLike
) -> None:
    """Write weights, configuration, processor and their code, so that `trust_remote_code=True` loads the folder."""
    check_room(folder, sum(weight.nbytes for weight in model.state_dict().values()))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def load_checkpoint(folder: str) -> tuple[ClipCaerForVideoClassification, ClipCaerVideoProcessor]:
    """Model in fp32 and evaluation mode, and processor. A checkpoint that does not fit to the last key is refused.

    Raises:
        InputError: there is no ClipCaer checkpoint with safetensors files, or weights are missing, unexpected or of
            another shape.
    """
    check_readable(folder)
    try:
        config, _ = ClipCaerConfig.get_config_dict(folder)
        if config.get("model_type") != "clipcaer":
            raise InputError(f"{folder}: expected a ClipCaer checkpoint, found `{config.get('model_type')}`")
        if Path(folder, NOTES).is_file():
            model = load_trainable(folder)
        else:
            model = StrictAutoModel.from_pretrained(folder, dtype=torch.float32)
        processor = ClipCaerVideoProcessor.from_pretrained(folder)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: no ClipCaer checkpoint could be loaded from there: {reason}") from error
    return model.eval(), processor
