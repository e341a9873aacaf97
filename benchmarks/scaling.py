"""How the cost of training grows with batch, frames, image size and CLIP, and its memory with the number of clips.

python benchmarks/scaling.py

Steps with the vision tower frozen and default flags, from jpg files; and an epoch over cached embeddings of ever more
clips, which the loader's processes read, so that the memory is that of training without the pages of the mapped file.
Each point is measured in a process of its own. Writes benchmarks/scaling.png beside the table.
"""

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from machine import Measured, measure_apart, print_report, render_table
from material import load_model, load_rows, save_model, save_rows, write_cached_rows
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from sizes import CLIP_SIZES, SizeArguments
from training import build_trainer, count_clips, time_our_training

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command


CACHED = "cached clips"


@dataclass
class ScalingBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    batch_sizes: list[int] = option(None, "Batch sizes; 1 to 128 by default.", nargs="+")
    frame_counts: list[int] = option(None, "Frames that the model sees of a clip; 8 to 64 by default.", nargs="+")
    image_sizes: list[int] = option(None, "Image sizes; 224 and 336 by default.", nargs="+")
    clips: list[str] = option(None, "Sizes of CLIP; all by default.", nargs="+", choices=list(CLIP_SIZES))
    clips_batch_size: int = option(2, "Clips a step where the size of CLIP grows.")
    cached_counts: list[int] = option(None, "Clips in the cache; 200, 2000 and 20000 by default.", nargs="+")
    cached_batch_size: int = option(128, "Clips a step where the number of cached clips grows.")
    steps: int = option(1, "Timed steps of a point.")
    plot: str = option(str(Path(__file__).with_suffix(".png")), "Where the plot goes.")


def main() -> None:
    (args,) = parse_arguments((ScalingBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        measured = measure_steps(choose_points(args), args, Path(folder))
        measured |= {CACHED: measure_cached_epochs(args.cached_counts or [200, 2000, 20000], args, Path(folder))}
    draw(measured, args.plot)
    rows = [
        [f"{axis} {value}", f"{1 / found.seconds:.2f}", f"{found.peak_mb:.0f}"]
        for axis, column in measured.items()
        for value, found in column.items()
    ]
    notes = (
        f"Where nothing else is said: {args.clip}, {args.image_size} pixels, {args.num_frames} frames, "
        f"{args.batch_size} clips a batch; {args.clips_batch_size} where CLIP grows, {args.cached_batch_size} from "
        "the cache."
    )
    print_report(load_before, notes, render_table(["", "clips/s", "peak memory, MB"], rows), device=args.device)


def choose_points(args: ScalingBenchmarkArguments) -> dict[str, dict]:
    """For each axis what is measured at each of its values."""
    return {
        "batch": {n: replace(args, batch_size=n) for n in args.batch_sizes or [2**k for k in range(8)]},
        "frames": {n: replace(args, num_frames=n) for n in args.frame_counts or [8, 16, 32, 64]},
        "image size": {n: replace(args, image_size=n) for n in args.image_sizes or [224, 336]},
        "CLIP": {
            name: replace(args, clip=name, batch_size=args.clips_batch_size) for name in args.clips or CLIP_SIZES
        },
    }


def measure_steps(
    points: dict[str, dict], args: ScalingBenchmarkArguments, folder: Path
) -> dict[str, dict[object, Measured]]:
    """Seconds a clip and memory of a training step at every point. Points that are the same are measured once."""
    every = [sizes for axis in points.values() for sizes in axis.values()]
    on_disk = replace(args, clip_frames=max(sizes.num_frames for sizes in every))
    save_rows(folder, max(count_clips(sizes, args.steps) for sizes in every), on_disk)
    runs = {}
    for sizes in every:
        model_folder = folder / f"{sizes.clip}-{sizes.image_size}-{sizes.num_frames}"
        if not model_folder.exists():
            save_model(model_folder, sizes)
        runs[repr(sizes)] = (time_step, sizes, model_folder, folder)
    measured = measure_apart(runs, rounds=1)
    return {axis: {value: measured[repr(sizes)] for value, sizes in column.items()} for axis, column in points.items()}


def time_step(sizes: ScalingBenchmarkArguments, model_folder: Path, folder: Path) -> float:
    """Seconds a clip of a training step with the vision tower frozen."""
    model = load_model(model_folder, sizes.device)
    return time_our_training(model, load_rows(folder), sizes, folder, sizes.steps) / sizes.batch_size


def measure_cached_epochs(counts: list[int], args: ScalingBenchmarkArguments, folder: Path) -> dict[object, Measured]:
    """The same of an epoch over each number of cached clips."""
    sizes, runs = replace(args, batch_size=args.cached_batch_size, clip_frames=args.num_frames), {}
    save_model(folder / "cached-model", sizes)
    for count in counts:
        write_cached_rows(folder / f"cached-{count}.arrow", count, sizes)
        runs[count] = (time_cached_epoch, sizes, folder / f"cached-{count}.arrow", folder)
    return measure_apart(runs, rounds=1)


def time_cached_epoch(sizes: ScalingBenchmarkArguments, path: Path, folder: Path) -> float:
    """Seconds a clip of an epoch over the cached rows in `path`."""
    rows, model = Dataset.from_file(str(path)), load_model(folder / "cached-model", sizes.device)
    trainer = build_trainer(model, rows, sizes, folder, num_train_epochs=1)
    start = time.perf_counter()
    trainer.train()
    return (time.perf_counter() - start) / len(rows)


def draw(measured: dict[str, dict[object, Measured]], path: str) -> None:
    """A column of two plots for each axis: clips a second above, memory below."""
    # Keep: Figure without pyplot, which would look for a display.
    figure = Figure(figsize=(3 * len(measured), 5), layout="constrained", dpi=120)
    plots = figure.subplots(2, len(measured), sharex="col", squeeze=False)
    for (axis, column), (speed, memory) in zip(measured.items(), plots.T, strict=True):
        values = list(column)
        places = range(len(values)) if axis == "CLIP" else values
        speed.plot(places, [1 / found.seconds for found in column.values()], "o-", color="#0072B2")
        memory.plot(places, [found.peak_mb / 1000 for found in column.values()], "o-", color="#D55E00")
        if axis != "CLIP":
            memory.set_xscale("log")
            memory.xaxis.set_minor_locator(NullLocator())
        memory.set_xticks(places, [f"{value}" for value in values])
        memory.set_xlabel(axis)
        for plot in (speed, memory):
            plot.set_ylim(0, 1.08 * plot.dataLim.ymax)  # the highest point stays within its frame
            plot.grid(axis="y", color="#e6e6e6")
    plots[0, 0].set_ylabel("clips/s")
    plots[1, 0].set_ylabel("peak memory, GB")
    figure.savefig(path)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
