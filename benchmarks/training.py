"""Whole steps of training: with the vision tower frozen, on cached frame embeddings, and with the tower trained.

python benchmarks/training.py
python benchmarks/training.py --device cuda --batch_sizes 8 32 128

A step is everything: files to pixels in the loader's processes, forward, losses, backward, clipping, optimizer. Ours
runs in ClipCaerTrainer with its default flags, the naive path in a plain loop with as many loader processes. Each
variant runs in processes of its own, in turns; memory is that of the training process without the loader's. The share
of the matmul peak counts the operations that the method needs, whatever a variant makes of them.
"""

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset, DatasetDict
from machine import (
    SPEED_COLUMNS,
    Measured,
    count_image_flops,
    count_step_flops,
    describe_peaks,
    measure_apart,
    measure_matmul_peaks,
    print_report,
    render_table,
    speed_cells,
    synchronize,
)
from material import build_processor, load_model, load_rows, save_model, save_rows, write_cached_rows
from naive import NaiveClips, NaiveTrainer
from sizes import SizeArguments
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from modeling_clipcaer import ClipCaerTrainer, ClipCaerTrainingArguments
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.models.frozen_parts import resolve_tower_dtype
from modeling_clipcaer.training.clip_cache import cache_clips
from modeling_clipcaer.training.settings import CacheArguments


UNCOUNTED = 1  # steps before the clock starts
CACHED_ROWS = "cached.arrow"
CROPPED = 16  # clips whose crops are cached
PREFETCHED = 2  # batches that each of the loader's processes holds ready, PyTorch's default


@dataclass(frozen=True)
class Variant:
    """One way to train. Without `flags` of ClipCaerTrainingArguments it is the naive path."""

    title: str
    baseline: str
    flags: dict | None = None
    trains_tower: bool = False
    cached: bool = False
    crops: bool = False  # from cached crops, which leaves the loader nothing to decode
    batches: int = 1  # its batch size, in those of the others
    part: int = 0  # clips of a part of the batch, whose gradients are accumulated; 0: the whole batch

    def precision(self, device: str) -> str:
        """Precision of most of its products, whose peak its share is of."""
        if self.flags is None or self.cached:
            return "fp32"
        return "bf16" if self.flags.get("bf16") else frozen_precision(device)


CACHED_FLAGS = {"dataloader_num_workers": 0}  # as recipes/train.py sets it
TRAINED_FLAGS = {"lr_image_encoder": 1e-5, "bf16": True}
VARIANTS = {
    "naive-frozen": Variant("naive, tower frozen", "naive-frozen"),
    "frozen": Variant("ours, tower frozen", "naive-frozen", {}),
    "frozen-compiled": Variant("the same, --torch_compile", "naive-frozen", {"torch_compile": True}),
    "frozen-crops": Variant("the same, --cache_crops", "naive-frozen", {}, crops=True),
    "cached": Variant("ours, cached embeddings", "naive-frozen", CACHED_FLAGS, cached=True),
    "cached-large": Variant("ours, cached embeddings", "naive-frozen", CACHED_FLAGS, cached=True, batches=8),
    "naive-trained": Variant("naive, tower trained", "naive-trained", trains_tower=True),
    "trained": Variant("ours, tower trained, --bf16", "naive-trained", TRAINED_FLAGS, trains_tower=True),
    "trained-parts": Variant(
        "the same, batches of 2 accumulated",
        "naive-trained",
        TRAINED_FLAGS,
        trains_tower=True,
        part=2,
    ),
    "trained-small": Variant(
        "the same as one batch, --activation_checkpointing",
        "naive-trained",
        {**TRAINED_FLAGS, "activation_checkpointing": True},
        trains_tower=True,
    ),
}
ENCODING = "encoding"


@dataclass
class TrainingBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    batch_sizes: list[int] = option(None, "Batch sizes, all in one table; --batch_size by default.", nargs="+")
    steps: int = option(2, "Timed steps in a turn.")
    cached_steps: int = option(20, "The same on cached embeddings.")
    cached_clips: int = option(2121, "Clips whose embeddings are cached; as many as RAER trains on by default.")
    encoded_clips: int = option(16, "Clips that the encoding pass is timed over.")
    rounds: int = option(2, "Turns of each variant; the table has the median.")
    only: list[str] = option(None, "What to measure; everything by default.", nargs="+", choices=[*VARIANTS, ENCODING])


def main() -> None:
    (args,) = parse_arguments((TrainingBenchmarkArguments,), sys.argv[1:], __doc__)
    names, load_before = args.only or [*VARIANTS, ENCODING], os.getloadavg()[0]
    batches = [replace(args, batch_size=size) for size in args.batch_sizes or [args.batch_size]]
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder, args)
        save_rows(folder, max(args.encoded_clips, *(count_clips(sizes, args.steps) for sizes in batches)), args)
        largest = max(variant.batches * sizes.batch_size for variant in VARIANTS.values() for sizes in batches)
        write_cached_rows(folder / CACHED_ROWS, max(args.cached_clips, largest), args)
        runs = {
            (name, sizes.batch_size): (time_variant, name, sizes, folder)
            for sizes in batches
            for name in VARIANTS
            if name in names
        }
        if ENCODING in names:
            runs[ENCODING, 0] = (time_encoding, args, folder)
        measured = measure_apart(runs, args.rounds)
        config = load_model(folder, "cpu").config
    peaks = measure_matmul_peaks(args.device)
    notes = f"{describe_peaks(peaks)} Median of {args.rounds}."
    for name, size in runs.keys() - measured.keys():
        notes += f" Out of memory: {name} at {size}."
    print_report(load_before, notes, render(measured, args, config, peaks), device=args.device)


def frozen_precision(device: str) -> str:
    """Precision of a frozen tower with default flags."""
    return "fp32" if resolve_tower_dtype("auto", device) is None else "bf16"


def count_clips(sizes: SizeArguments, steps: int) -> int:
    """As many clips as keep the loader busy to the end."""
    return sizes.batch_size * (UNCOUNTED + steps + PREFETCHED * count_workers())


def count_workers() -> int:
    """Loader processes of a run with default flags."""
    return ClipCaerTrainingArguments("unused").dataloader_num_workers


def time_variant(name: str, args: TrainingBenchmarkArguments, folder: Path) -> float:
    """Seconds of a step of the variant `name`, on the material in `folder`."""
    variant, model = VARIANTS[name], load_model(folder, args.device)
    if variant.flags is None:
        return time_naive_training(model, load_rows(folder), args, args.steps, variant.trains_tower)
    rows = load_variant_rows(variant, model, args, folder)
    sizes = replace(args, batch_size=variant.batches * args.batch_size)
    steps, flags = args.cached_steps if variant.cached else args.steps, dict(variant.flags)
    if variant.part:
        flags["per_device_train_batch_size"] = variant.part
        flags["gradient_accumulation_steps"] = args.batch_size // variant.part
    return time_our_training(model, rows, sizes, folder, steps, **flags)


def load_variant_rows(variant: Variant, model, args: TrainingBenchmarkArguments, folder: Path) -> Dataset:
    """Rows of clips as `variant` reads them; a few clips' crops, again and again, where it reads crops."""
    if variant.cached:
        return Dataset.from_file(str(folder / CACHED_ROWS))
    rows = load_rows(folder)
    if not variant.crops:
        return rows
    clips = DatasetDict({"train": rows.select(range(min(CROPPED, len(rows))))})
    cache = CacheArguments(cache_crops=True, cache_frames=args.num_frames)
    crops = cache_clips(model, build_processor(args), clips, cache, folder / "crops", count_workers())["train"]
    return crops.select([number % len(crops) for number in range(len(rows))])


def time_encoding(args: TrainingBenchmarkArguments, folder: Path) -> float:
    """Seconds that the encoding pass takes for a clip, after one that does not count."""
    trainer = build_trainer(load_model(folder, args.device), load_rows(folder), args, folder)
    rows, cache = load_rows(folder), CacheArguments(cache_frame_embeds=True)
    seconds = []
    for part in (rows.select(range(1)), rows.select(range(args.encoded_clips))):
        start = time.perf_counter()
        with TemporaryDirectory(dir=folder) as cache_dir:
            clips = DatasetDict({"train": part})
            cache_clips(trainer.model, trainer.processing_class, clips, cache, cache_dir, count_workers())
        seconds.append(time.perf_counter() - start)
    return seconds[1] / args.encoded_clips


def time_naive_training(model, rows: Dataset, sizes: SizeArguments, steps: int, train_tower: bool) -> float:
    """Seconds of a step of the plain loop."""
    clips = NaiveClips(rows, sizes.num_frames, sizes.image_size, train=True)
    loader = DataLoader(clips, sizes.batch_size, shuffle=True, num_workers=count_workers())
    losses = NaiveTrainer(model, loader, train_tower).steps()
    for _ in range(UNCOUNTED):
        next(losses)
    start = time.perf_counter()
    for _ in range(steps):
        next(losses)  # a number, so that nothing is left to wait for
    return (time.perf_counter() - start) / steps


def time_our_training(model, rows: Dataset, sizes: SizeArguments, folder: Path, steps: int, **flags) -> float:
    """Seconds of a step of the trainer."""
    # Keep: no short batches, of which an epoch of a few large ones would have too many.
    flags |= {"max_steps": UNCOUNTED + steps, "dataloader_drop_last": True}
    trainer = build_trainer(model, rows, sizes, folder, **flags)
    clock = StepClock(sizes.device)
    trainer.add_callback(clock)
    trainer.train()
    start, end = clock.readings
    return (end - start) / steps


class StepClock(TrainerCallback):
    """Reads the time when the uncounted steps are over, and at the end."""

    def __init__(self, device: str):
        self.device, self.readings = device, []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (UNCOUNTED, state.max_steps):
            synchronize(self.device)
            self.readings.append(time.perf_counter())


def build_trainer(model, rows: Dataset, sizes: SizeArguments, folder: Path, **flags) -> ClipCaerTrainer:
    """The trainer of a run with default flags that neither evaluates nor saves."""
    defaults = {
        **{"per_device_train_batch_size": sizes.batch_size, "per_device_eval_batch_size": sizes.batch_size},
        **{"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True, "use_cpu": sizes.device == "cpu"},
    }
    args = ClipCaerTrainingArguments(str(folder / "run"), **defaults | flags)
    return ClipCaerTrainer(model, args, train_dataset=rows, eval_dataset=rows, processing_class=build_processor(sizes))


def render(measured: dict[tuple, Measured], args: TrainingBenchmarkArguments, config, peaks: dict[str, float]) -> str:
    """The Markdown table."""
    rows = []
    for (name, size), found in measured.items():
        if name == ENCODING:
            precision = frozen_precision(args.device)
            flops = 2 * args.clip_frames * count_image_flops(config.clip_config)
            cells = speed_cells(found, 1, None, flops, peaks[precision], precision)
            rows.append([f"encoding pass, {args.clip_frames} frames a clip", "", "", *cells])
            continue
        variant = VARIANTS[name]
        clips, naive = variant.batches * size, measured.get((variant.baseline, size))
        precision = variant.precision(args.device)
        images = 0 if variant.cached else 2 * args.num_frames * clips
        flops = count_step_flops(config, images, passes=3 if variant.trains_tower else 1)
        naive_seconds = naive.seconds / size if naive else None
        cells = speed_cells(found, clips, naive_seconds, flops, peaks[precision], precision)
        rows.append([variant.title, f"{clips}", f"{1000 * found.seconds:.0f}", *cells])
    return render_table(["variant", "batch", "ms a step", *SPEED_COLUMNS], rows)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
