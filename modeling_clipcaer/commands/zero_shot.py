"""Measure a plain CLIP checkpoint on one split, without training: the baseline that training has to beat.

python recipes/zero_shot.py --clip_model ID_OR_DIR --labels_file F.yaml --dataset DIR --output_dir OUT

A clip's embedding is the mean of its frames' unit embeddings in both streams; the descriptive sentences classify.
"""

import sys
from dataclasses import MISSING, dataclass

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.data.loading import get_labels, load_clips, read_split_protocol
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.models.arguments import ModelArguments, ProcessorArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.models.zero_shot import ZeroShotModel
from modeling_clipcaer.reports.evaluation import build_report, tell_result, write_report


@dataclass
class ZeroShotArguments:
    """What is measured, and where the report goes."""

    dataset: str = option(MISSING, "Folder written by data_scripts/build_raer.py.")
    output_dir: str = option(MISSING, "Folder for report.json, report.md and plots.")
    split: str = option("test", "Split to measure.")
    batch_size: int = option(8, "Clips a step.")
    num_workers: int = option(2, "Processes that decode frames.")
    seed: int = option(42, "Seed of the bootstrap.")

    def __post_init__(self):
        for name, least in (("batch_size", 1), ("num_workers", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"`{name}` must be at least {least}, got {getattr(self, name)}")


def main() -> None:
    types = (ModelArguments, ProcessorArguments, ZeroShotArguments)
    model_args, processor_args, args = parse_arguments(types, sys.argv[1:], __doc__)
    with locked_folder(args.output_dir):
        measure(model_args, processor_args, args)


def measure(model_args: ModelArguments, processor_args: ProcessorArguments, args: ZeroShotArguments) -> None:
    """Report of a CLIP checkpoint that was trained on none of the clips."""
    clips = load_clips(args.dataset, (args.split,))
    model = build_model(model_args, get_labels(clips), ZeroShotModel).eval()
    processor = build_processor(model, processor_args)
    logits = score_clips(model, processor, clips[args.split], args)
    report = build_report(
        logits.numpy(),
        clips[args.split]["label"],
        get_labels(clips),
        checkpoint=model_args.resolve_clip(),
        dataset=args.dataset,
        split=args.split,
        split_protocol=read_split_protocol(args.dataset),
        seed=args.seed,
    )
    report["checkpoint"] += " (zero-shot)"
    with staged_folder(args.output_dir) as folder:
        write_report(report, folder)
    print(f"zero-shot {tell_result(report)}: {args.output_dir}/report.md")


@torch.no_grad()
def score_clips(
    model: ZeroShotModel, processor: ClipCaerVideoProcessor, rows: Dataset, args: ZeroShotArguments
) -> torch.Tensor:
    """The model's logits (num_clips, num_labels)."""
    collator = ClipCaerCollator(processor, mode="eval", streams=model.config.streams)
    loader = DataLoader(rows, args.batch_size, collate_fn=collator, num_workers=args.num_workers)
    parts, logits = FrozenParts(model), []
    for batch in tqdm(loader, desc="zero-shot", disable=None):
        pixels = {name: processor.normalize(batch[name]) for name in collator.stream_names if name in batch}
        logits.append(model(**parts({**pixels, "use_soft_prompts": False})).logits)
    return torch.cat(logits)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
