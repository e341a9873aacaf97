"""Everything that a GPU is asked, in one run of some minutes: steps of training, the encoding pass, the loader, tests.

python benchmarks/gpu.py --output gpu.json
python benchmarks/gpu.py --device cpu --layers 1 --image-size 32 --num-frames 2 --batch-sizes 2 --output gpu.json

Beside this package it needs torch, transformers, numpy and Pillow. What else a row needs (PEFT for LoRA, av for the
loader, pytest and datasets for the tests) is named where it is absent. A row that finds no memory says so, and after
`--minutes` no further one is begun.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from machine import count_image_flops, count_step_flops, measure_matmul_peaks, print_report, render_table, synchronize
from sizes import SizeArguments, build_model, draw_picture, frame_size
from torch.utils.data import DataLoader, Dataset

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.losses.functions import dc_loss, mi_loss, smoothed_cross_entropy
from modeling_clipcaer.models.frozen_parts import FrozenParts, resolve_tower_dtype
from modeling_clipcaer.models.trainable import add_lora


ROOT = Path(__file__).resolve().parents[1]
UNCOUNTED = 3  # steps before the clock starts, in which kernels are chosen and graphs are made
MEAN, DEVIATION = 0.45, 0.27  # about CLIP's, of all channels
# Of the vision tower, by how a step trains. A backward pass through frozen weights is as much as the forward one,
# through weights that move twice as much.
PASSES = {"frozen": 1, "cached": 0, "LoRA": 2, "trained": 3}
WORKERS = (1, 2, 4, 8, 16)


@dataclass
class GpuArguments(SizeArguments):
    """What is measured, and for how long."""

    batch_sizes: list[int] = option(None, "Clips a step; 8, 32 and 128 by default.", nargs="+")
    steps: int = option(20, "Timed steps of a row.", least=1)
    loaded_clips: int = option(128, "Clips that the loader is timed over.", least=1)
    minutes: float = option(8.0, "After so many no further row is begun.", above=0)
    output: str = option("gpu.json", "File for the same figures as JSON.")


@dataclass
class Row:
    """A line of a table; what was not measured says why."""

    name: str
    batch: int
    ms: float | None = None
    clips_per_second: float | None = None
    peak_mb: float | None = None
    share: float | None = None
    """Of the matmul peak in `precision`, the operations that the method needs."""
    precision: str = "bf16"
    why_not: str = ""


@dataclass(frozen=True)
class Step:
    """One way to train: what moves in CLIP's tower, how attention is computed, and what is compiled."""

    kind: str
    attention: str = "sdpa"
    compiled: bool = False

    @property
    def name(self) -> str:
        """As the table has it."""
        return ", ".join([self.kind, *([self.attention] * (self.attention != "sdpa")), *["compiled"] * self.compiled])


def main() -> None:
    (args,) = parse_arguments((GpuArguments,), sys.argv[1:], __doc__)
    end, load_before = time.monotonic() + 60 * args.minutes, os.getloadavg()[0]
    peaks = measure_matmul_peaks(args.device)
    rows = [*measure_steps(args, peaks, end), measure_encoding(args, peaks, end)]
    loader = measure_loader(args, end)
    tests = run_tests(end)
    found = {"peaks_gflops": peaks, "rows": list(map(asdict, rows)), "loader_clips_per_second": loader, "tests": tests}
    Path(args.output).write_text(json.dumps({"arguments": vars(args), **found}, indent=2) + "\n", encoding="utf-8")
    print_report(
        load_before, tell(peaks, loader, rows, tests), render(rows), render_loader(loader), device=args.device
    )


def list_steps(device: str) -> Iterator[Step]:
    """The ways to train. FlashAttention and compiling are asked of the kinds in which the tower computes."""
    for kind in PASSES:
        yield Step(kind)
        if kind != "cached" and find_spec("flash_attn"):
            yield Step(kind, "flash_attention_2")
        if torch.device(device).type == "cuda":
            yield Step(kind, compiled=True)


def measure_steps(args: GpuArguments, peaks: dict[str, float], end: float) -> Iterator[Row]:
    """The smallest batches of all ways first: what the time does not suffice for are larger ones."""
    for batch in args.batch_sizes or (8, 32, 128):
        for step in list_steps(args.device):
            yield measure(
                step.name, batch, end, args, lambda step=step, batch=batch: time_step(step, batch, args, peaks)
            )


def measure(name: str, batch: int, end: float, args: GpuArguments, run: Callable[[], Row]) -> Row:
    """A row, or why there is none."""
    if time.monotonic() > end:
        return Row(name, batch, why_not="the time was over")
    try:
        return run()
    except torch.OutOfMemoryError:
        return Row(name, batch, why_not="out of memory")
    except ImportError as error:
        return Row(name, batch, why_not=f"{error.name} is absent")
    finally:
        if torch.device(args.device).type == "cuda":
            torch.cuda.empty_cache()


def time_step(step: Step, batch: int, args: GpuArguments, peaks: dict[str, float]) -> Row:
    """Forward, losses, backward, clipping and optimizer of a batch whose pixels are on the device as bytes."""
    model = build_model(args).to(args.device).train()
    vision = model.model.clip.vision_model
    if step.attention != "sdpa":
        vision.set_attn_implementation(step.attention)
    model.model.clip.requires_grad_(False)
    if step.kind == "LoRA":
        add_lora(model, rank=8, alpha=16)
    elif step.kind == "trained":
        vision.requires_grad_(True)
    parts = FrozenParts(model, "auto")
    if step.compiled:  # Keep: the frozen tower's copy, which is what computes then; the small parts as CUDA graphs
        tower = parts._tower if step.kind == "frozen" else vision
        if step.kind == "cached":
            model.compile(mode="reduce-overhead")
        else:
            tower.compile(dynamic=False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    on_gpu = torch.device(args.device).type == "cuda"
    optimizer = torch.optim.AdamW(weights, 1e-5, fused=on_gpu)
    labels = torch.arange(batch, device=args.device) % model.config.num_labels
    inputs = draw_inputs(step.kind, batch, model.config, args)
    autocast = step.kind in ("LoRA", "trained")

    def run() -> None:
        given = {name: _to_pixels(value) if value.dtype == torch.uint8 else value for name, value in inputs.items()}
        with torch.autocast(torch.device(args.device).type, torch.bfloat16) if autocast else nullcontext():
            outputs = model(**parts(given))
            views = outputs.soft_text_embeds, outputs.descriptive_text_embeds
            loss = smoothed_cross_entropy(outputs.logits, labels) + 0.5 * mi_loss(*views) + 0.1 * dc_loss(views[0])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    seconds, peak_mb = time_calls(run, args)
    autocast_like = autocast or (step.kind == "frozen" and resolve_tower_dtype("auto", args.device) is not None)
    precision = "bf16" if autocast_like else "fp32"
    flops = count_step_flops(model.config, images=2 * args.num_frames * batch, passes=PASSES[step.kind])
    share = flops / seconds / 1e9 / peaks[precision]
    return Row(step.name, batch, 1000 * seconds, batch / seconds, peak_mb, share, precision)


def draw_inputs(kind: str, batch: int, config, args: GpuArguments) -> dict[str, torch.Tensor]:
    """What the model is given of a batch: bytes of both streams, or frame embeddings."""
    if kind == "cached":
        size = (batch, args.num_frames, config.projection_dim)
        return {name: torch.randn(size, device=args.device) for name in ("context_embeds", "face_embeds")}
    size = (batch, args.num_frames, 3, args.image_size, args.image_size)
    names = ("pixel_values", "face_pixel_values")
    return {name: torch.randint(256, size, dtype=torch.uint8, device=args.device) for name in names}


def _to_pixels(values: torch.Tensor) -> torch.Tensor:
    return (values.float() / 255 - MEAN) / DEVIATION


def time_calls(run: Callable[[], object], args: GpuArguments) -> tuple[float, float | None]:
    """Seconds of a call, and the peak memory in MB where the device tells it."""
    on_gpu = torch.device(args.device).type == "cuda"
    for _ in range(UNCOUNTED):
        run()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    synchronize(args.device)
    start = time.perf_counter()
    for _ in range(args.steps):
        run()
    synchronize(args.device)
    return (time.perf_counter() - start) / args.steps, torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None


def measure_encoding(args: GpuArguments, peaks: dict[str, float], end: float) -> Row:
    """The pass that fills a cache of embeddings: bytes from pinned memory, all frames of both streams of a clip."""

    def run() -> Row:
        parts = FrozenParts(build_model(args).to(args.device), "auto")
        size = (2, args.clip_frames, 3, args.image_size, args.image_size)
        host = torch.randint(256, size, dtype=torch.uint8)
        host = host.pin_memory() if torch.device(args.device).type == "cuda" else host

        def encode() -> None:
            parts.encode_frames(_to_pixels(host.to(args.device, non_blocking=True))).cpu()

        seconds, peak_mb = time_calls(encode, args)
        precision = "fp32" if resolve_tower_dtype("auto", args.device) is None else "bf16"
        flops = 2 * args.clip_frames * count_image_flops(parts.model.config.clip_config)
        return Row(name, 1, 1000 * seconds, 1 / seconds, peak_mb, flops / seconds / 1e9 / peaks[precision], precision)

    name = f"encoding pass, {args.clip_frames} frames a clip"
    return measure(name, 1, end, args, run)


class DrawnClips(Dataset):
    """Clips of jpg files on disk, as the loader reads them: decoded, cut, bytes of both streams."""

    def __init__(self, folder: str, num_clips: int, width: int, processor):
        self.folder, self.num_clips, self.processor = folder, num_clips, processor
        width, height = frame_size(width)
        self.face = (0.44 * width, 0.12 * height, 0.56 * width, 0.4 * height)
        self.body = (0.3 * width, 0.12 * height, 0.7 * width, height)

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, number: int):
        return self.processor.process_clip(self.folder, self.face, self.body)


def measure_loader(args: GpuArguments, end: float) -> dict[str, float] | str:
    """Clips a second from files to pinned bytes, by the number of processes; or why that was not measured."""
    try:
        from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
    except ImportError as error:
        return f"{error.name} is absent"
    found = {}
    with TemporaryDirectory() as name:
        for frame in range(args.clip_frames):
            draw_picture(args.frame_width, np.random.default_rng(frame)).save(f"{name}/{frame + 1}.jpg", quality=85)
        processor = ClipCaerVideoProcessor(num_frames=args.num_frames, image_size=args.image_size)
        clips = DrawnClips(name, args.loaded_clips, args.frame_width, processor)
        for workers in WORKERS:
            if workers > (os.cpu_count() or 1) or time.monotonic() > end:
                break
            loader = DataLoader(clips, num_workers=workers, pin_memory=torch.device(args.device).type == "cuda")
            batches = iter(loader)
            next(batches)  # the processes are there
            start = time.perf_counter()
            count = sum(1 for _ in batches)
            found[str(workers)] = count / (time.perf_counter() - start)
    return found


def run_tests(end: float) -> str:
    """The last line of the tests that need a GPU, or why they did not run."""
    absent = [name for name in ("pytest", "datasets", "av") if find_spec(name) is None]
    if absent or not torch.cuda.is_available():
        return f"not run: {absent[0] if absent else 'a GPU'} is absent"
    words = [sys.executable, "-m", "pytest", "-n0", "-q", "-m", "gpu", "tests"]
    try:
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=max(end - time.monotonic(), 60)
        )
    except subprocess.TimeoutExpired:
        return "not run to their end: the time was over"
    return (done.stdout.strip().splitlines() or ["no output"])[-1]


def tell(peaks: dict[str, float], loader: dict[str, float] | str, rows: list[Row], tests: str) -> str:
    """What stands above the tables."""
    told = f"Matmul peak {peaks['fp32']:.0f} GFLOP/s in fp32, {peaks['bf16']:.0f} in bf16. Tests of the GPU: {tests}."
    if isinstance(loader, str):
        return f"{told} Loader: not measured, {loader}."
    fast = max((row for row in rows if row.name.startswith("frozen") and row.ms), key=_speed, default=None)
    if fast is None or not loader:
        return told
    enough = next((count for count, rate in loader.items() if rate >= _speed(fast)), None)
    waits = f"no longer from {enough} processes on" if enough else f"with {list(loader)[-1]} processes, too"
    return f"{told} The fastest frozen step takes {_speed(fast):.1f} clips/s, and waits for the loader {waits}."


def _speed(row: Row) -> float:
    return row.clips_per_second or 0.0


def render(rows: list[Row]) -> str:
    """The table of steps and of the encoding pass."""
    return render_table(
        ["step", "batch", "ms", "clips/s", "peak memory, MB", "share of matmul peak"],
        [
            [row.name, str(row.batch), *([row.why_not, "", "", ""] if row.ms is None else render_figures(row))]
            for row in rows
        ],
    )


def render_figures(row: Row) -> list[str]:
    """The cells of a row that was measured."""
    memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
    return [f"{row.ms:.1f}", f"{_speed(row):.1f}", memory, f"{100 * (row.share or 0):.0f} % of {row.precision}'s"]


def render_loader(loader: dict[str, float] | str) -> str:
    """The table of the loader, if there is one."""
    if isinstance(loader, str):
        return ""
    return render_table(["loader's processes", "clips/s"], [[count, f"{rate:.1f}"] for count, rate in loader.items()])


if __name__ == "__main__":
    raise SystemExit(run_command(main))
