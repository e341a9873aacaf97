"""Clips a second of the loader alone, from files to batches: jpg frames of two sizes, and videos.

python benchmarks/loading.py

Ours is the trainer's own loader. The naive path decodes every frame once for each stream, and of a video all frames.
"""

import os
import sys
from collections import deque
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from machine import print_report, render_table, time_in_turns
from material import make_row, write_clips, write_video
from naive import NaiveClips, NaiveVideos
from sizes import SizeArguments, build_model, frame_size
from torch.utils.data import DataLoader
from training import build_trainer, count_workers

from modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command


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
        header += [f"{whose}, {number} worker{'s' * (number > 1)}" for whose in ("naive", "ours")] + ["times naive"]
    with TemporaryDirectory() as name:
        folder, rows = Path(name), []
        model = build_model(replace(args, layers=1))  # what computes is not asked here
        for source, clips in write_sources(folder, args).items():
            for mode in ("training", "evaluation"):
                cells = [measure(model, clips, args, folder, mode == "training", number) for number in workers]
                rows.append([source, mode, *chain(*cells)])
    notes = f"Clips/s of {args.num_frames} frames, {args.batch_size} a batch. Median of {args.rounds}."
    print_report(load_before, notes, render_table(header, rows), packages=("pillow", "av"), device=args.device)


def write_sources(folder: Path, args: LoadingBenchmarkArguments) -> dict[str, Dataset]:
    """Rows of clips by what they are: folders of frames, or videos."""
    sources = {}
    for width in (args.frame_width, args.large_width):
        clips = write_clips(folder / f"frames-{width}", args.num_clips, replace(args, frame_width=width))
        clips.save_to_disk(folder / f"rows-{width}")
        sources[f"{describe_size(width)} jpg"] = Dataset.load_from_disk(str(folder / f"rows-{width}"))
    video = write_video(folder / "video.mp4", args.frame_width, args.video_seconds)
    num_frames = int(30 * args.video_seconds)
    row = make_row(folder, [""] * num_frames, 0, args.frame_width)
    row |= {"video": str(video), "first_frame": 0, "num_frames": num_frames}
    videos = Dataset.from_list([row] * args.num_videos).remove_columns(["frame_dir", "frame_names"])
    sources[f"{describe_size(args.frame_width)} mp4, {args.video_seconds:g} s"] = videos
    return sources


def describe_size(width: int) -> str:
    """Width and height in words."""
    return "x".join(map(str, frame_size(width)))


def measure(
    model: ClipCaerForVideoClassification,
    rows: Dataset,
    args: LoadingBenchmarkArguments,
    folder: Path,
    train: bool,
    workers: int,
) -> list[str]:
    """Clips a second of both loaders, and how many times as fast ours is."""
    naive = NaiveVideos if "video" in rows.column_names else NaiveClips
    trainer = build_trainer(model, rows, args, folder, dataloader_num_workers=workers)
    loaders = (
        DataLoader(naive(rows, args.num_frames, args.image_size, train), args.batch_size, num_workers=workers),
        trainer.get_train_dataloader() if train else trainer.get_eval_dataloader(),
    )
    seconds = time_in_turns([lambda loader=loader: deque(loader, 0) for loader in loaders], args.rounds, args.device)
    return [*(f"{len(rows) / each:.1f}" for each in seconds), f"{seconds[0] / seconds[1]:.1f}×"]


if __name__ == "__main__":
    raise SystemExit(run_command(main))
