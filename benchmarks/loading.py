"""Clips a second of the loader alone, from files to batches: jpg frames of two sizes, and videos.

python benchmarks/loading.py

Ours is the trainer's own loader; for videos, which no row of a dataset names, the processor in a plain loader. The
naive path decodes every frame once for each stream, and of a video all frames. Cached crops were cut before.
"""

import os
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset, DatasetDict
from machine import print_report, render_table, time_in_turns
from material import SizeArguments, build_model, build_processor, frame_size, make_row, write_clips, write_video
from naive import NaiveClips, NaiveVideos
from torch.utils.data import DataLoader
from training import build_trainer, count_workers

from modeling_clipcaer.errors import run_command
from modeling_clipcaer.training_arguments import option
from recipes.clip_cache import CacheArguments, cache_clips
from recipes.command_line import parse_arguments


@dataclass
class LoadingBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    num_clips: int = option(32, "Clips of jpg frames that a turn loads.")
    num_videos: int = option(8, "Videos that a turn loads.")
    video_seconds: float = option(10.0, "Length of a video.")
    large_width: int = option(1920, "Width of the larger frames.")
    rounds: int = option(1, "Turns of each loader after one that does not count; the table has the median.")


def main() -> None:
    (args,) = parse_arguments((LoadingBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before, workers = os.getloadavg()[0], sorted({1, count_workers()})
    header = ["clips", "mode"]
    for number in workers:
        header += [f"{whose}, {number} worker{'s' * (number > 1)}" for whose in ("naive", "ours", "cached crops")]
    with TemporaryDirectory() as name:
        folder, rows = Path(name), []
        for source, clips in write_sources(folder, args).items():
            for mode in ("training", "evaluation"):
                rows.append([source, mode, *measure(clips, args, folder, mode == "training", workers)])
    notes = (
        f"Clips/s of {args.num_frames} frames, {args.batch_size} a batch; in brackets how many times the naive path's. "
        f"Median of {args.rounds}."
    )
    print_report(load_before, notes, render_table(header, rows), packages=("pillow", "av"), device=args.device)


def write_sources(folder: Path, args: LoadingBenchmarkArguments) -> dict[str, Dataset | list[dict]]:
    """Rows of clips by what they are: a dataset of frames, or a list of videos."""
    sources: dict[str, Dataset | list[dict]] = {}
    for width in (args.frame_width, args.large_width):
        clips = write_clips(folder / f"frames-{width}", args.num_clips, replace(args, frame_width=width))
        clips.save_to_disk(folder / f"rows-{width}")
        sources[f"{describe_size(width)} jpg"] = Dataset.load_from_disk(str(folder / f"rows-{width}"))
    video = write_video(folder / "video.mp4", args.frame_width, args.video_seconds)
    row = make_row(folder, [""] * int(30 * args.video_seconds), 0, args.frame_width) | {
        "video": str(video),
        "label": 0,
    }
    sources[f"{describe_size(args.frame_width)} mp4, {args.video_seconds:g} s"] = [row] * args.num_videos
    return sources


def describe_size(width: int) -> str:
    """Width and height in words."""
    return "x".join(map(str, frame_size(width)))


def measure(rows, args: LoadingBenchmarkArguments, folder: Path, train: bool, workers: list[int]) -> list[str]:
    """For each number of workers the clips a second of the naive loader, ours, and ours from cached crops."""
    if not isinstance(rows, Dataset):
        naive, ours = NaiveVideos(rows, args.num_frames, args.image_size, train), OurVideos(rows, args, train)
        return [
            cell
            for number in workers
            for cell in race([plain_loader(clips, args, number) for clips in (naive, ours)], len(rows), args) + [""]
        ]
    model = build_model(replace(args, layers=1))  # what computes is not asked here
    naive = NaiveClips(rows, args.num_frames, args.image_size, train)
    cached = cache_crops(model, rows, args, folder, train)
    cells = []
    for number in workers:
        loaders = [plain_loader(naive, args, number)]
        for clips in (rows, cached):
            trainer = build_trainer(model, clips, args, folder, dataloader_num_workers=number)
            loaders.append(trainer.get_train_dataloader() if train else trainer.get_eval_dataloader())
        cells += race(loaders, len(rows), args)
    return cells


def plain_loader(clips, args: LoadingBenchmarkArguments, workers: int) -> DataLoader:
    """A loader of items that already are pixels."""
    return DataLoader(clips, args.batch_size, num_workers=workers)


def cache_crops(model, rows: Dataset, args: LoadingBenchmarkArguments, folder: Path, train: bool) -> Dataset:
    """The same clips with their crops cached."""
    split = "train" if train else "validation"
    clips, cache = DatasetDict({split: rows}), CacheArguments(cache_crops=True)
    with redirect_stdout(sys.stderr):  # the report has standard output for itself
        return cache_clips(model, build_processor(args), clips, cache, folder / "cache", count_workers())[split]


def race(loaders: list[Iterable], num_clips: int, args: LoadingBenchmarkArguments) -> list[str]:
    """Clips a second of each loader, and how many times the first one's."""
    calls = [lambda loader=loader: deque(loader, 0) for loader in loaders]
    first, *others = (num_clips / seconds for seconds in time_in_turns(calls, args.rounds, args.device))
    return [f"{first:.1f}", *(f"{speed:.1f} ({speed / first:.1f}×)" for speed in others)]


class OurVideos:
    """Rows with a video to the pixels of both streams, as a loader takes them."""

    def __init__(self, rows: list[dict], args: LoadingBenchmarkArguments, train: bool):
        self.rows, self.processor, self.mode = rows, build_processor(args), "train" if train else "eval"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        pixels = self.processor.process_clip(row["video"], row["face_boxes"], row["body_box"], mode=self.mode)
        return {"pixel_values": pixels[0], "face_pixel_values": pixels[1], "labels": row["label"]}


if __name__ == "__main__":
    raise SystemExit(run_command(main))
