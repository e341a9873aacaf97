"""Turn a checkpoint of the public research code into a ClipCaer folder, or back.

clipcaer convert --checkpoint model_best.pth --output OUT
clipcaer convert --to-original --checkpoint OUT --output BACK
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import ModelSettings


if TYPE_CHECKING:
    from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig


# How the research code makes pixels; each setting is explained at `ClipCaerVideoProcessor`.
REFERENCE_PIXELS = {
    "face_margin": 20,
    "do_normalize": False,
    "resample": "bilinear",
    "letterbox": "reference",
    "frame_sampling": "reference",
    "frame_order": "string",
    "exif_orientation": "ignore",
    "flip_prob": 0.5,
    "rotation_degrees": 4,
    "augment_per_stream": True,
}


@dataclass
class ConversionArguments:
    """What to convert, and what the checkpoint's tensors do not tell."""

    checkpoint: str = option(MISSING, "The research code's .pth file; with --to-original a ClipCaer folder.")
    output_dir: str = option(MISSING, "Folder to write; it must be new or empty.")
    to_original: bool = option(False, "Write model.pth for the research code instead.")
    trust_checkpoint: bool = option(
        False, "Read a file that holds other objects beside tensors, as training checkpoints do. They are left out."
    )
    labels: list[str] | None = option(None, "Names of the labels, in order; RAER's when there are five.")
    tokenizer: str | None = option(None, "CLIP checkpoint or folder whose tokenizer turns the prompts into text.")
    class_token_position: str = option(
        "end",
        "The checkpoint's --class-token-position when it was trained.",
        choices=list(get_args(ModelSettings.__annotations__["class_token_position"])),
    )
    temperature: float | None = option(
        None, "The checkpoint's --temperature; 0.07, for the original model 0.01, by default."
    )
    slerp_weight: float | None = option(
        None, "The checkpoint's --slerp-weight; 0.5, for the original model 0, by default."
    )
    crop_body: bool = option(False, "The checkpoint was trained with --crop-body. The original model always is.")


def main() -> None:
    (args,) = parse_arguments((ConversionArguments,), sys.argv[1:], __doc__)
    output_dir = Path(args.output_dir)
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise InputError(f"{output_dir}: exists and is no empty folder; expected a new one")
    from modeling_clipcaer.common.progress import hide_progress_bars

    hide_progress_bars()
    if args.to_original:
        write_original(args, output_dir)
    else:
        write_converted(args, output_dir)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_converted(args: ConversionArguments, output_dir: Path) -> None:
    """The ClipCaer folder of a checkpoint of the research code."""
    from modeling_clipcaer.common.files import file_sha256, staged_folder
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.models.checkpoints import save_checkpoint
    from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
    from modeling_clipcaer.research_code.checkpoint import read_original_checkpoint
    from modeling_clipcaer.research_code.model import build_model
    from modeling_clipcaer.research_code.report import (
        LICENCE_NOTICE,
        render_converted_card,
        render_flags,
        render_table,
    )

    with naming(args.checkpoint):
        checkpoint = read_original_checkpoint(args.checkpoint, args.trust_checkpoint)
        flags = (args.labels, args.class_token_position, args.temperature, args.slerp_weight)
        model = build_model(checkpoint.state, *flags)
    config = model.config
    if args.tokenizer is not None:
        decode_prompts(config, args.tokenizer)
    is_original = not config.use_face_adapter and config.descriptive_token_ids is None
    processor = ClipCaerVideoProcessor(
        num_frames=config.num_frames,
        image_size=config.vision_tower_config.image_size,
        context="body" if args.crop_body or is_original else "frame",
        **REFERENCE_PIXELS,
    )
    with locked_folder(output_dir), staged_folder(output_dir) as folder:
        save_checkpoint(model, processor, folder)
        card = render_converted_card(config, Path(args.checkpoint).name, file_sha256(args.checkpoint))
        (folder / "README.md").write_text(card, encoding="utf-8")
    tell(render_table(checkpoint))
    tell(f"\nas if trained with: {render_flags(config)}")
    if args.slerp_weight and config.slerp_weight == 0:
        tell("the slerp weight is set to 0: the research code's prompt ensemble takes no notice of it")
    tell(LICENCE_NOTICE)
    tell(add_path("written", output_dir))


def decode_prompts(config: ClipCaerConfig, tokenizer_id_or_path: str) -> None:
    """Fill in the texts of the prompts whose token ids were recovered."""
    from modeling_clipcaer.clip_loading import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_id_or_path, config.text_tower_config)

    def decode(token_ids: list[list[list[int]]]) -> list[list[str]]:
        return [tokenizer.batch_decode(sentences, skip_special_tokens=True) for sentences in token_ids]

    if config.label_token_ids is not None:
        texts = decode(config.label_token_ids)
        config.label_prompts = texts if len(texts[0]) > 1 else [text for (text,) in texts]
    if config.descriptive_token_ids is not None:
        config.descriptive_prompts = decode(config.descriptive_token_ids)


def write_original(args: ConversionArguments, output_dir: Path) -> None:
    """model.pth of a ClipCaer folder, for the research code's evaluation to load."""
    import torch

    from modeling_clipcaer.common.files import staged_folder
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.models.checkpoints import load_checkpoint
    from modeling_clipcaer.research_code.model import export_state_dict
    from modeling_clipcaer.research_code.report import render_flags

    for argument in fields(args)[3:]:
        if getattr(args, argument.name) != argument.default:
            raise InputError(f"`{argument.name}` does not go with `to_original`")
    model, _ = load_checkpoint(args.checkpoint)
    with naming(args.checkpoint):
        state = export_state_dict(model)
    with locked_folder(output_dir), staged_folder(output_dir) as folder:
        torch.save({"state_dict": state}, folder / "model.pth")
    tell(f"{len(state)} tensors for: {render_flags(model.config)}")
    tell(add_path("written", output_dir / "model.pth"))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
