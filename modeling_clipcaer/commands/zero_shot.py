"""Measure a plain CLIP checkpoint on one split, without training: the baseline that training has to beat.

    clipcaer zero-shot --clip-model ID --labels-file demo_labels \\
        --dataset DIR --output OUT

A clip's embedding is the mean of its frames' unit embeddings in both streams; the descriptive sentences classify.
"""

import sys
from dataclasses import MISSING, dataclass

from modeling_clipcaer.common.flags import check_ranges, option, parse_arguments
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.models.arguments import ModelArguments, tower_dtype_option
from modeling_clipcaer.settings_clipcaer import PixelSettings
from modeling_clipcaer.training.settings import MeasuredCacheArguments


@dataclass
class ZeroShotArguments:
    """What is measured, and where the report goes."""

    dataset: str = option(MISSING, "Dataset: a folder of `clipcaer build`, an id on the Hub, or an address.")
    output_dir: str = option(MISSING, "Folder for report.json, report.md and plots.")
    split: str = option("test", "Split to measure.")
    batch_size: int = option(8, "Clips a step.", least=1)
    num_workers: int = option(2, "Processes that decode frames.", least=0)
    tower_dtype: str = tower_dtype_option()
    seed: int = option(42, "Seed of the bootstrap.", least=0)

    def __post_init__(self):
        check_ranges(self)


def main() -> None:
    types = (ZeroShotArguments, MeasuredCacheArguments, ModelArguments, PixelSettings)
    args, cache_args, model_args, pixels = parse_arguments(types, sys.argv[1:], __doc__)
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.progress import hide_progress_bars

    hide_progress_bars()
    with locked_folder(args.output_dir):
        measure(model_args, pixels, cache_args, args)


def measure(
    model_args: ModelArguments, pixels: PixelSettings, cache_args: MeasuredCacheArguments, args: ZeroShotArguments
) -> None:
    """Report of a CLIP checkpoint that was trained on none of the clips."""
    from modeling_clipcaer.common.files import staged_folder
    from modeling_clipcaer.common.versions import tell_command
    from modeling_clipcaer.data.loading import get_labels, load_clips, read_origin, read_split_protocol
    from modeling_clipcaer.models.building import build_model, build_processor
    from modeling_clipcaer.models.zero_shot import ZeroShotModel, score_clips
    from modeling_clipcaer.prediction.loading import find_device
    from modeling_clipcaer.reports.evaluation import build_report, write_report
    from modeling_clipcaer.reports.predictions import FILE_NAME, collect_predictions, write_predictions
    from modeling_clipcaer.reports.told_result import list_result
    from modeling_clipcaer.training.clip_cache import embed_measured, find_cache
    from modeling_clipcaer.training.run_comparison import fingerprint_clips

    clips = load_clips(args.dataset, (args.split,))
    model = build_model(model_args, get_labels(clips), ZeroShotModel).eval().to(find_device())
    processor = build_processor(model, pixels)
    read = clips
    if cache_args.cache_frame_embeds:
        folder = cache_args.cache_dir or find_cache(args.dataset)
        read = embed_measured(model, processor, clips, folder, args.num_workers, args.tower_dtype)
    logits = score_clips(model, processor, read[args.split], args.batch_size, args.num_workers, args.tower_dtype)
    answers = collect_predictions(clips[args.split], logits.numpy(), get_labels(clips))
    report = build_report(
        logits.numpy(),
        clips[args.split]["label"],
        get_labels(clips),
        checkpoint=model_args.resolve_clip(),
        dataset=args.dataset,
        split=args.split,
        split_protocol=read_split_protocol(args.dataset),
        origin=read_origin(args.dataset),
        seed=args.seed,
        answers=answers,
    )
    report["clips"] = fingerprint_clips(clips[args.split])
    report["command"] = tell_command(["clipcaer", "zero-shot", *sys.argv[1:]])
    report["checkpoint"] += " (zero-shot)"
    with staged_folder(args.output_dir) as folder:
        write_report(report, folder)
        write_predictions(answers, folder / FILE_NAME)
    for line in list_result(report, args.output_dir, title="zero-shot"):
        tell(line)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
