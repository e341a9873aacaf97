"""Size and speed on the CPU of the model and of what recipes/export.py makes of it, as a Markdown table.

python benchmarks/export.py

The weights are random: a ViT-B/32 at 224 pixels with 16 frames, both streams. All variants take turns within one run,
so that whatever else the machine does falls on each of them; the text side is computed once, before the clock starts.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import print_report, render_table, time_in_turns

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.models.visual_export import (
    draw_pixels,
    dynamic_axes,
    export_program,
    load_exported,
    save_onnx,
    save_torch_export,
)


FILES = {"torch.export fp32": "fp32.pt2", "torch.export bf16": "bf16.pt2", "ONNX Runtime fp32": "fp32.onnx"}


@dataclass
class BenchmarkArguments:
    """How long it is measured."""

    repeats: int = option(5, "Timed calls of each variant and batch size; the table has their median.")
    batch_sizes: list[int] = option(None, "Clips a call; 1 and 8 by default.", nargs="+")
    threads: int = option(0, "Threads of PyTorch and ONNX Runtime; 0 takes PyTorch's default.")


@dataclass
class Variant:
    """One way to compute logits, and the bytes it is stored in."""

    name: str
    run: Callable[..., torch.Tensor]
    num_bytes: int


def main() -> None:
    (args,) = parse_arguments((BenchmarkArguments,), sys.argv[1:], __doc__)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = ClipCaerForVideoClassification(ClipCaerConfig()).eval()
    batch_sizes, load_before = args.batch_sizes or [1, 8], os.getloadavg()[0]
    with TemporaryDirectory() as folder, torch.no_grad():
        variants = build_variants(model, Path(folder))
        times = {size: measure(variants, draw_pixels(model, size), args.repeats) for size in batch_sizes}
        differences = compare(variants, draw_pixels(model, max(batch_sizes)))
    table = render(variants, times, differences)
    print_report(load_before, f"Median of {args.repeats}.", table, packages=("onnxruntime",))


def build_variants(model: ClipCaerForVideoClassification, folder: Path) -> list[Variant]:
    """The model as it is loaded and as it is exported, PyTorch in fp32 first."""
    half = ClipCaerForVideoClassification(model.config).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    variants = [
        Variant("PyTorch fp32", lambda **pixels: model(**pixels).logits, save_model(model, folder / "fp32")),
        Variant(
            "PyTorch bf16",
            lambda **pixels: half(**{name: values.bfloat16() for name, values in pixels.items()}).logits,
            save_model(half, folder / "bf16"),
        ),
    ]
    paths = {name: folder / file for name, file in FILES.items()}
    program = export_program(model)
    save_torch_export(program, paths["torch.export fp32"])
    save_torch_export(export_program(model, torch.bfloat16), paths["torch.export bf16"])
    save_onnx(program, paths["ONNX Runtime fp32"], dynamic_axes(model))
    return variants + [Variant(name, load_exported(path), path.stat().st_size) for name, path in paths.items()]


def save_model(model: ClipCaerForVideoClassification, folder: Path) -> int:
    """Bytes of the weights as `save_pretrained` writes them."""
    model.save_pretrained(folder)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def measure(variants: list[Variant], pixels: dict[str, torch.Tensor], repeats: int) -> list[float]:
    """Median milliseconds a clip of each variant, after one call that does not count."""
    batch_size = len(next(iter(pixels.values())))
    seconds = time_in_turns([partial(variant.run, **pixels) for variant in variants], repeats)
    return [1000 * each / batch_size for each in seconds]


def compare(variants: list[Variant], pixels: dict[str, torch.Tensor]) -> list[float]:
    """The greatest difference of each variant's logits from the first one's."""
    logits = [variant.run(**pixels) for variant in variants]
    return [(other - logits[0]).abs().max().item() for other in logits]


def render(variants: list[Variant], times: dict[int, list[float]], differences: list[float]) -> str:
    """The Markdown table; a ratio is how many times faster than the first variant."""
    header = ["variant", "MB", *(f"ms a clip, batch {size}" for size in times), "logits differ by at most"]
    rows = []
    for index, variant in enumerate(variants):
        cells = [f"{column[index]:.0f} ({column[0] / column[index]:.2f}×)" for column in times.values()]
        rows.append([variant.name, f"{variant.num_bytes / 1e6:.0f}", *cells, f"{differences[index]:.0e}"])
    return render_table(header, rows)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
