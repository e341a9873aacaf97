"""Write a checkpoint's visual path as one file for deployment, without text tower and without this package.

    clipcaer export --model DIR --output OUT --format onnx

OUT gets model.onnx, or model.pt2 with --format torch_export, and beside it a JSON with labels, inputs and the
processor's settings. The file takes `pixel_values` and `face_pixel_values`, fp32 as the processor makes them, for any
number of clips; it returns logits.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import MISSING, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import public_name


if TYPE_CHECKING:
    from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
    from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


FILES = {"onnx": "model.onnx", "torch_export": "model.pt2"}
PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch_export": ()}
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
# How far the cosines of the file may lie from those of PyTorch in fp32. In fp32 that is less than 1e-4 of a logit at
# the default temperature.
TOLERANCES = {"fp32": 5e-6, "bf16": 0.05}


@dataclass
class ExportArguments:
    """What is exported as what."""

    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub.")
    output_dir: str = option(MISSING, "Folder for the exported file and its JSON.")
    format: Literal["onnx", "torch_export"] = option("onnx", "ONNX, or PyTorch's own graph for torch.export.load.")
    dtype: Literal["fp32", "bf16"] = option("fp32", "In what the towers compute; bf16 with torch_export only.")


def main() -> None:
    (args,) = parse_arguments((ExportArguments,), sys.argv[1:], __doc__)
    check_arguments(args)
    import torch

    from modeling_clipcaer.common.files import staged_folder, write_json
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.models.checkpoints import check_output_dir, load_checkpoint
    from modeling_clipcaer.models.visual_export import dynamic_axes, export_program, save_onnx, save_torch_export

    hide_progress_bars()
    check_output_dir(args.output_dir)
    model, processor = load_checkpoint(args.model)
    with locked_folder(args.output_dir), staged_folder(args.output_dir) as folder, torch.no_grad():
        path = folder / FILES[args.format]
        program = export_program(model, getattr(torch, DTYPES[args.dtype]))
        if args.format == "onnx":
            save_onnx(program, path, dynamic_axes(model))
        else:
            save_torch_export(program, path)
        difference = measure_difference(model, path, TOLERANCES[args.dtype])
        description = describe(args, model, processor, folder) | {"max_logit_difference": difference}
        write_json(description, Path(folder, f"{path.name}.json"))
    tell(add_path(f"logits within {difference:.1e} of PyTorch's in fp32", f"{args.output_dir}/{path.name}"))
    tell(RESPONSIBLE_USE)


def check_arguments(args: ExportArguments) -> None:
    """Refuse, before any work, what cannot be written or run."""
    if args.format == "onnx" and args.dtype == "bf16":
        raise InputError("--dtype bf16: ONNX Runtime has no such convolution on the CPU, expected fp32 for onnx")
    missing = [package for package in PACKAGES[args.format] if find_spec(package) is None]
    if missing:
        raise InputError(f'--format {args.format}: {missing[0]} is not installed: pip install "clipcaer[export]"')


def measure_difference(model: ClipCaerForVideoClassification, path: Path, tolerance: float) -> float:
    """The greatest difference between the file's logits and the model's on random pixels of three clips."""
    from modeling_clipcaer.models.visual_export import draw_pixels, load_exported

    pixels = draw_pixels(model, batch_size=3)
    difference = (load_exported(path)(**pixels) - model(**pixels).logits).abs().max().item()
    # `not <=` also stops NaN.
    if not difference * model.config.temperature <= tolerance:
        raise RuntimeError(
            f"the exported file's logits differ from PyTorch's by {difference:.2e}; nothing was written"
        )
    return difference


def describe(
    args: ExportArguments, model: ClipCaerForVideoClassification, processor: ClipCaerVideoProcessor, folder: Path
) -> dict[str, Any]:
    """What someone needs who has the exported file alone."""
    from modeling_clipcaer.models.visual_export import dynamic_axes

    config = model.config
    size = config.vision_tower_config.image_size
    shapes = {name: ["batch_size", "num_frames", 3, size, size] for name in dynamic_axes(model)}
    packages = ("torch", "transformers", *PACKAGES[args.format])
    return {
        "format": args.format,
        "dtype": args.dtype,
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
        "inputs": {name: {"shape": shape, "dtype": "float32"} for name, shape in shapes.items()},
        "max_num_frames": config.num_frames,
        "outputs": {"logits": {"shape": ["batch_size", config.num_labels], "dtype": "float32"}},
        "labels": [config.id2label[index] for index in range(config.num_labels)],
        # Divides the logits before they become probabilities; null where the checkpoint was not calibrated.
        "calibration_temperature": config.calibration_temperature,
        "processor": processor.to_dict(),
        "checkpoint": public_name(args.model),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "responsible_use": RESPONSIBLE_USE,
    }


if __name__ == "__main__":
    raise SystemExit(run_command(main))
