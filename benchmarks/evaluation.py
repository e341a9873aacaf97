"""An evaluation from files to logits, and the answer to a single clip.

python benchmarks/evaluation.py

Ours is what recipes/evaluate.py runs, and for a single clip the pipeline. The naive path encodes both views of the
text in every batch. Each variant runs in processes of its own, in turns, and once over a batch
before its clock starts.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from datasets import Dataset
from machine import (
    SPEED_COLUMNS,
    Measured,
    count_image_flops,
    describe_peaks,
    measure_apart,
    measure_matmul_peaks,
    print_report,
    render_table,
    speed_cells,
)
from material import build_processor, load_model, load_rows, save_model, save_rows
from naive import NaiveClips, evaluate
from sizes import SizeArguments
from torch.utils.data import DataLoader
from training import build_trainer, count_workers, frozen_precision

from modeling_clipcaer import ClipCaerPipeline
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command


@dataclass
class EvaluationBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    num_clips: int = option(24, "Clips of the evaluation.")
    single_clips: int = option(5, "Clips answered one by one; the table has their median.")
    rounds: int = option(2, "Turns of each variant; the table has the median.")


def main() -> None:
    (args,) = parse_arguments((EvaluationBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        save_model(Path(folder), args)
        save_rows(Path(folder), args.num_clips, args)
        runs = {name: (function, args, Path(folder)) for name, function in VARIANTS.items()}
        measured = measure_apart(runs, args.rounds)
        config = load_model(Path(folder), "cpu").config
    peaks = measure_matmul_peaks(args.device)
    notes = f"{describe_peaks(peaks)} Median of {args.rounds}."
    print_report(load_before, notes, render(measured, args, config, peaks), device=args.device)


def time_naive_evaluation(args: EvaluationBenchmarkArguments, folder: Path) -> float:
    """Seconds a clip of a whole evaluation in a plain loop."""
    model, rows = load_model(folder, args.device), load_rows(folder)

    def run(some: Dataset):
        clips = NaiveClips(some, args.num_frames, args.image_size, train=False)
        evaluate(model, DataLoader(clips, args.batch_size, num_workers=count_workers()))

    return time_over_rows(run, rows, args)


def time_our_evaluation(args: EvaluationBenchmarkArguments, folder: Path) -> float:
    """Seconds a clip of a whole evaluation by the trainer."""
    rows = load_rows(folder)
    trainer = build_trainer(load_model(folder, args.device), rows, args, folder)
    return time_over_rows(trainer.predict, rows, args)


def time_over_rows(run: Callable[[Dataset], object], rows: Dataset, args: EvaluationBenchmarkArguments) -> float:
    """Seconds a row of `run`, which ends with the logits in main memory."""
    run(rows.select(range(args.batch_size)))
    start = time.perf_counter()
    run(rows)
    return (time.perf_counter() - start) / len(rows)


def time_naive_answer(args: EvaluationBenchmarkArguments, folder: Path) -> float:
    """Seconds from one clip's files to its logits."""
    model = load_model(folder, args.device)
    clips = NaiveClips(load_rows(folder), args.num_frames, args.image_size, train=False)
    return time_each(lambda number: evaluate(model, DataLoader(clips, 1, sampler=[number])), args)


def time_our_answer(args: EvaluationBenchmarkArguments, folder: Path) -> float:
    """The same by the pipeline, set up as recipes/predict.py does."""
    model, rows = load_model(folder, args.device).eval(), load_rows(folder)
    processor = build_processor(args)
    pipeline = ClipCaerPipeline(model=model, video_processor=processor, device=args.device, tower_dtype="auto")
    return time_each(lambda number: pipeline(read_clip(rows[number]), window=None), args)


def read_clip(row: dict) -> dict:
    """A row as the pipeline takes it."""
    paths = [str(Path(row["frame_dir"], name)) for name in row["frame_names"]]
    return {"video": paths, "face_boxes": row["face_boxes"], "body_box": row["body_boxes"]}


def time_each(answer: Callable[[int], object], args: EvaluationBenchmarkArguments) -> float:
    """Median seconds of an answer, after one that does not count."""
    seconds = []
    for number in range(1 + args.single_clips):
        start = time.perf_counter()
        answer(number % args.num_clips)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


VARIANTS = {
    "naive, evaluation": time_naive_evaluation,
    "ours, evaluation": time_our_evaluation,
    "naive, one clip": time_naive_answer,
    "ours, one clip": time_our_answer,
}


def render(measured: dict[str, Measured], args: SizeArguments, config, peaks: dict[str, float]) -> str:
    """The Markdown table."""
    flops, rows = 2 * args.num_frames * count_image_flops(config.clip_config), []
    for name, found in measured.items():
        whose, what = name.split(", ")
        precision = "fp32" if whose == "naive" else frozen_precision(args.device)
        naive_seconds = measured[f"naive, {what}"].seconds
        cells = speed_cells(found, 1, naive_seconds, flops, peaks[precision], precision)
        rows.append([name, f"{1000 * found.seconds:.0f}", *cells])
    return render_table(["variant", "ms a clip", *SPEED_COLUMNS], rows)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
