"""What a figure depends on: the machine, its matmul peak, the operations asked for, turns, memory, and the table.

Memory is read from /proc, which Linux has.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context, set_start_method
from pathlib import Path
from statistics import median
from typing import Any

import torch


@dataclass
class Measured:
    """What a variant took in the median of its turns: seconds of its unit of work, and MB at its peak."""

    seconds: float
    peak_mb: float


def synchronize(device: str) -> None:
    """Wait for what `device` was given to do."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def time_in_turns(calls: Sequence[Callable[[], object]], repeats: int, device: str = "cpu") -> list[float]:
    """Median seconds of each call, after one that does not count. The calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(1 + repeats):
        for call, seconds in zip(calls, times, strict=True):
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    return [median(seconds[1:]) for seconds in times]


def run_apart(function: Callable, *args) -> tuple[Any, float]:
    """What `function(*args)` returns in a fresh process, and that process's peak memory in MB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run_with_peak, function, args).result()


def _run_with_peak(function: Callable, args: tuple) -> tuple[Any, float]:
    # Keep: a spawned process would spawn its loader's workers too, which then import everything within the time taken.
    set_start_method(None, force=True)
    with redirect_stdout(sys.stderr):  # the report has standard output for itself
        return function(*args), read_peak_mb()


def read_peak_mb() -> float:
    """Peak memory of this process: of the accelerator where it was used, else resident memory."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    return read_status_mb("VmHWM")  # Keep: not ru_maxrss, which a started process inherits from its parent.


def read_status_mb(field: str) -> float:
    """A size in MB from what Linux says of this process: VmHWM, RssAnon, RssFile, ..."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024 / 1e6


def measure_apart(runs: dict[Any, tuple], rounds: int) -> dict[Any, Measured]:
    """Each run, a function that returns seconds and its arguments, in fresh processes of its own, taking turns.

    The greatest peak of its turns counts. A run for which an accelerator has not the memory is left out.
    """
    turns: dict[Any, list] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in list(turns):
            try:
                turns[name].append(run_apart(*runs[name]))
            except torch.OutOfMemoryError:
                del turns[name]
    return {
        name: Measured(median(seconds for seconds, _ in done), max(peak for _, peak in done))
        for name, done in turns.items()
    }


def measure_matmul_peaks(device: str, size: int = 2048, repeats: int = 10) -> dict[str, float]:
    """GFLOP/s of the fastest of `repeats` products of two (size, size) matrices, in fp32 and in bf16.

    On an accelerator they are four times as wide: it is done with smaller ones sooner than they can be asked for.
    """
    size, peaks = size if torch.device(device).type == "cpu" else 4 * size, {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = torch.randn(2, size, size, device=device, dtype=dtype)
        seconds = [time_in_turns([lambda left=left, right=right: left @ right], 1, device)[0] for _ in range(repeats)]
        peaks[name] = 2 * size**3 / min(seconds) / 1e9
    return peaks


def count_layer_flops(tower, length: int) -> int:
    """Operations of a transformer tower's layers in one pass over a sequence of `length` tokens."""
    width, mlp = tower.hidden_size, tower.intermediate_size
    matrices = 2 * length * (4 * width**2 + 2 * width * mlp)
    attention = 4 * length**2 * width
    return tower.num_hidden_layers * (matrices + attention)


def count_image_flops(clip_config) -> int:
    """Operations of the vision tower in one pass over one image."""
    tower = clip_config.vision_config
    num_patches = (tower.image_size // tower.patch_size) ** 2
    patches = 2 * num_patches * 3 * tower.patch_size**2 * tower.hidden_size
    projection = 2 * tower.hidden_size * clip_config.projection_dim
    return patches + count_layer_flops(tower, num_patches + 1) + projection


def count_step_flops(config, images: int, passes: int) -> float:
    """Operations that a training step needs of the towers of a model: `passes` forward passes' worth for each of
    `images`, and the soft prompts' forward and backward pass."""
    length = max(map(len, config.soft_prompt_token_ids)) + config.num_context_tokens
    # Twice: back through frozen weights to the context tokens is one product for each of the forward pass.
    text = 2 * config.num_labels * count_layer_flops(config.text_tower_config, length)
    return passes * images * count_image_flops(config.clip_config) + text


def describe_peaks(peaks: dict[str, float]) -> str:
    """The matmul peaks in words."""
    return f"Matmul peak {peaks['fp32']:.0f} GFLOP/s in fp32, {peaks['bf16']:.0f} in bf16."


SPEED_COLUMNS = ("clips/s", "times naive", "peak memory, MB", "share of matmul peak")


def speed_cells(
    found: Measured, clips: int, naive_seconds: float | None, flops: float, peak: float, precision: str
) -> list[str]:
    """The cells under SPEED_COLUMNS of a variant that takes `found.seconds` for `clips` clips of `flops` operations.

    `naive_seconds` is what the naive path takes for a clip, `peak` the GFLOP/s of a product in `precision`.
    """
    seconds = found.seconds / clips
    return [
        f"{1 / seconds:.2f}",
        f"{naive_seconds / seconds:.2f}×" if naive_seconds else "",
        f"{found.peak_mb:.0f}",
        f"{100 * flops / found.seconds / 1e9 / peak:.0f} % of {precision}'s",
    ]


def describe_machine(load_before: float, packages: Sequence[str], device: str) -> str:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    accelerator = f"{torch.cuda.get_device_name(device)}, " if torch.device(device).type == "cuda" else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    return (
        f"{accelerator}{names[0] if names else platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads; Python {platform.python_version()}, {versions}; "
        f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after."
    )


def print_report(
    load_before: float, notes: str, *tables: str, packages: Sequence[str] = ("transformers",), device: str = "cpu"
) -> None:
    """The command of this run, what it ran on, and its tables, as Markdown."""
    print(f"```\n{' '.join(['python', *sys.argv])}\n```\n\n{describe_machine(load_before, packages, device)} {notes}")
    for table in tables:
        print(f"\n{table}")


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is words and the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
