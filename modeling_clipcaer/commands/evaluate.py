"""Measure a checkpoint on one split of a dataset.

python recipes/evaluate.py --model DIR --dataset DIR --split test --output_dir OUT
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.errors import run_command
from modeling_clipcaer.models.arguments import tower_dtype_option


if TYPE_CHECKING:
    from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments


@dataclass
class EvaluationArguments:
    """What is measured on what."""

    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub.")
    dataset: str = option(MISSING, "Folder written by data_scripts/build_raer.py.")
    output_dir: str = option(MISSING, "Folder for report.json, report.md and plots.")
    split: str = option("test", "Split to measure.")
    batch_size: int = option(8, "Clips a step and process.", least=1)
    num_workers: int = option(2, "Processes that decode frames; each evaluating process has so many.", least=0)
    tower_dtype: str = tower_dtype_option()
    bf16: bool = option(False, "Compute everything in bfloat16.")
    seed: int = option(42, "Seed of the bootstrap.", least=0)


def main() -> None:
    (args,) = parse_arguments((EvaluationArguments,), sys.argv[1:], __doc__)
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.models.checkpoints import check_output_dir
    from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments

    hide_progress_bars()
    check_output_dir(args.output_dir)
    trainer_args = ClipCaerTrainingArguments(
        args.output_dir,
        eval_strategy="no",
        save_strategy="no",
        per_device_eval_batch_size=args.batch_size,
        dataloader_num_workers=args.num_workers,
        tower_dtype=args.tower_dtype,
        bf16=args.bf16,
        seed=args.seed,
    )
    # Keep: the folder is the main process's to hold; the others of a launch are its own.
    with locked_folder(args.output_dir) if trainer_args.process_index == 0 else nullcontext():
        evaluate(args, trainer_args)


def evaluate(args: EvaluationArguments, trainer_args: ClipCaerTrainingArguments) -> None:
    """Report of a checkpoint on a split."""
    from modeling_clipcaer.common.files import staged_folder
    from modeling_clipcaer.data.loading import load_clips, read_split_protocol
    from modeling_clipcaer.models.checkpoints import load_checkpoint, weights_revision
    from modeling_clipcaer.reports.evaluation import build_report, describe_computation, tell_result, write_report
    from modeling_clipcaer.reports.predictions import FILE_NAME, collect_predictions, write_predictions
    from modeling_clipcaer.training.trainer import ClipCaerTrainer

    model, processor = load_checkpoint(args.model)
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    clips = load_clips(args.dataset, (args.split,), labels)
    trainer = ClipCaerTrainer(model, trainer_args, processing_class=processor)
    prediction = trainer.predict(clips[args.split])
    if trainer.is_world_process_zero():
        report = build_report(
            prediction.predictions,
            prediction.label_ids,
            labels,
            checkpoint=args.model,
            dataset=args.dataset,
            split=args.split,
            split_protocol=read_split_protocol(args.dataset),
            seed=args.seed,
            **describe_computation(trainer),
        )
        report["model_revision"] = weights_revision(args.model) or getattr(model.config, "_commit_hash", None)
        with staged_folder(args.output_dir) as folder:
            write_report(report, folder)
            write_predictions(
                collect_predictions(clips[args.split], prediction.predictions, labels), folder / FILE_NAME
            )
        print(f"{tell_result(report)}: {args.output_dir}/report.md")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
