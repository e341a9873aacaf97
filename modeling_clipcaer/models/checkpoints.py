"""Checkpoints as folders that need nothing from this repository."""

import hashlib
import os
from pathlib import Path

import torch
from safetensors import safe_open
from transformers.utils import CONFIG_NAME

from modeling_clipcaer.common.disk import check_room
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.trainable import NOTES, PLAIN_WEIGHTS, load_trainable
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.strict_loading import check_found, tell_loading


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
        InputError: there is no ClipCaer checkpoint with safetensors files, it is of a newer version or torn, or its
            parts do not fit each other; or a weight is missing, unexpected, of another shape or not finite.
    """
    check_found(folder)
    if Path(folder).is_dir() and not Path(folder, CONFIG_NAME).is_file():
        raise InputError(f"{folder}: expected a ClipCaer checkpoint, found no {CONFIG_NAME}")
    with tell_loading(folder, "ClipCaer checkpoint"):
        content, _ = ClipCaerConfig.get_config_dict(folder)
        if content.get("model_type") != "clipcaer":
            raise InputError(f"expected a ClipCaer checkpoint, found `{content.get('model_type')}`")
        config = ClipCaerConfig.from_pretrained(folder)
        processor = ClipCaerVideoProcessor.from_pretrained(folder)
        check_processor(processor, config)
        if Path(folder, NOTES).is_file():
            return load_trainable(folder, config).eval(), processor
        if Path(folder).is_dir():
            check_shapes(Path(folder), config)
        model = ClipCaerForVideoClassification.from_pretrained(folder, config=config, dtype=torch.float32)
    return model.eval(), processor


def check_processor(processor: ClipCaerVideoProcessor, config: ClipCaerConfig) -> None:
    """Refuse a processor that makes other pixels than the model of `config` takes."""
    image_size = config.vision_tower_config.image_size
    if processor.image_size != image_size:
        raise InputError(f"the processor's `image_size` is {processor.image_size}, the model takes {image_size}")
    if processor.num_frames > config.num_frames:
        raise InputError(
            f"the processor's `num_frames` is {processor.num_frames}, the model takes {config.num_frames}"
        )


def check_shapes(folder: Path, config: ClipCaerConfig) -> None:
    """Compare the weights' files with `config` by what stands at their heads, before anything is made of either.

    Keep: a broken configuration asks for more memory than there is, and transformers gives it what the files lack.
    """
    names = [PLAIN_WEIGHTS]
    index = folder / f"{PLAIN_WEIGHTS}.index.json"
    if not (folder / PLAIN_WEIGHTS).is_file():
        if not index.is_file():
            raise InputError(f"no file named {PLAIN_WEIGHTS}")
        names = sorted(set(read_object(index)["weight_map"].values()))
        if names != [Path(name).name for name in names]:
            raise InputError(f"{index}: names files of other folders")
    found: dict[str, tuple] = {}
    for name in names:
        with tell_loading(folder / name, "safetensors file"), safe_open(folder / name, "pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - it is no mapping
                head = weights.get_slice(key)
                found[key] = tuple(head.get_shape())
                # Keep: torch would take an integer or a complex number's real part for a weight, without a word.
                if not head.get_dtype().startswith(("F", "BF")):
                    raise InputError(f"weight `{key}` is of type {head.get_dtype()}, expected floating-point numbers")
    with torch.device("meta"):
        expected = {
            name: tuple(weight.shape) for name, weight in ClipCaerForVideoClassification(config).state_dict().items()
        }
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected:
            raise InputError(f"{'unexpected' if name in found else 'missing'} weight `{name}`")
        if found[name] != expected[name]:
            raise InputError(f"weight `{name}`: found {found[name]}, expected {expected[name]}")


def weights_revision(folder: str | os.PathLike) -> str | None:
    """The first digits of the SHA-256 of a folder's weights; `None` where it holds none."""
    digests = [bytes.fromhex(file_sha256(path)) for path in sorted(Path(folder).glob("*.safetensors"))]
    return hashlib.sha256(b"".join(digests)).hexdigest()[:12] if digests else None
