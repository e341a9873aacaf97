"""Measure a checkpoint, or several that answer together, on one split of a dataset.

clipcaer evaluate --model DIR --dataset DIR --split test --output OUT
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.explanations.arguments import check_explain_flags, explain_frames_option, explain_option
from modeling_clipcaer.models.arguments import tower_dtype_option
from modeling_clipcaer.training.settings import MeasuredCacheArguments


if TYPE_CHECKING:
    from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments

SHOWN = ("explain", "explain_frames", "show_faces", "seed")


@dataclass
class EvaluationArguments:
    """What is measured on what."""

    model: list[str] = option(
        MISSING, "Checkpoint: a folder, or an id on the Hub. Several answer together: their mean probability counts."
    )
    dataset: str = option(MISSING, "Dataset: a folder of `clipcaer build`, an id on the Hub, or an address.")
    output_dir: str = option(MISSING, "Folder for report.json, report.md and plots.")
    split: str = option("test", "Split to measure.")
    views: int = option(
        1, "Views of each clip; beside the first other frames, and every second one mirrored.", least=1, most=64
    )
    batch_size: int = option(8, "Clips a step and process.", least=1)
    num_workers: int = option(2, "Processes that decode frames; each evaluating process has so many.", least=0)
    tower_dtype: str = tower_dtype_option()
    bf16: bool = option(False, "Compute everything in bfloat16.")
    seed: int = option(42, "Seed of the bootstrap, and of the baselines.", least=0)
    baselines: bool = option(
        True,
        "Measure beside the result what majority and zero-shot CLIP reach; the latter by the checkpoint's own towers, "
        "which look at every clip a second time.",
    )
    explain: int = explain_option(
        "Clips of which it is told what their answers rest on, in the folder explanation and in report.html: of each "
        "label the surest mistake and a typical right answer, then the next surest mistakes."
    )
    explain_frames: bool = explain_frames_option()
    show_faces: bool = option(False, "Leave faces as they are in what --explain-frames shows.")
    baselines_train_split: str | None = option(
        None,
        "Split on which a linear probe and an MLP are trained as further baselines; the split validation chooses.",
    )

    def __post_init__(self):
        check_explain_flags(self)
        if self.explain and len(self.model) * self.views > 1:
            raise InputError("--explain explains the answers of one checkpoint and one view")


def main() -> None:
    types = (EvaluationArguments, MeasuredCacheArguments)
    args, cache_args = parse_arguments(types, sys.argv[1:], __doc__)
    check_baselines(args)
    if cache_args.cache_frame_embeds and args.views > 1:
        raise InputError("--cache-frame-embeds keeps one view of a clip: --views needs its frames")
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
        evaluate(args, cache_args, trainer_args)


def check_baselines(args: EvaluationArguments) -> None:
    """Refuse baselines that would learn from, or be chosen by, what they are measured on."""
    if args.baselines_train_split is not None:
        if not args.baselines:
            raise InputError("`baselines_train_split` has no effect without `baselines`; leave one of them out")
        if len({args.split, args.baselines_train_split, "validation"}) < 3:
            raise InputError(
                "`baselines_train_split`: expected a split to train on and another to measure, neither of them "
                f"validation, by which the baselines are chosen; found {args.baselines_train_split} and {args.split}"
            )


def evaluate(
    args: EvaluationArguments, cache_args: MeasuredCacheArguments, trainer_args: ClipCaerTrainingArguments
) -> None:
    """Report of a checkpoint on a split."""
    from modeling_clipcaer.common.files import is_replaceable, staged_folder
    from modeling_clipcaer.common.versions import tell_command
    from modeling_clipcaer.data.loading import load_clips, read_origin, read_split_protocol
    from modeling_clipcaer.experiments.baselines import add_baselines, measure_baselines, tell_rivals
    from modeling_clipcaer.explanations.page import CONTENT, FOLDER
    from modeling_clipcaer.explanations.samples import check_sources
    from modeling_clipcaer.reports.evaluation import build_report, describe_computation, write_report
    from modeling_clipcaer.reports.explained import choose_answers, explain_answers
    from modeling_clipcaer.reports.predictions import FILE_NAME, collect_predictions, write_predictions
    from modeling_clipcaer.reports.told_result import list_result
    from modeling_clipcaer.training.clip_cache import embed_measured, find_cache, read_in_process
    from modeling_clipcaer.training.ensembles import describe_members, list_labels, load_members, predict_together
    from modeling_clipcaer.training.run_comparison import fingerprint_clips

    own = Path(args.output_dir, FOLDER)
    if args.explain and own.exists() and not is_replaceable(own, {CONTENT}):
        raise InputError(f"{own}: expected no folder of this name, or that of an earlier --explain")
    members = load_members(args.model)
    labels = list_labels(members[0][0])
    splits = [args.split, *((args.baselines_train_split, "validation") if args.baselines_train_split else ())]
    clips = load_clips(args.dataset, tuple(dict.fromkeys(splits)), labels)
    if args.explain_frames:  # Keep: here. Nobody is to learn it when all clips have been answered.
        check_sources(clips[args.split])
    read = [clips] * len(members)  # the clips as each member reads them
    if cache_args.cache_frame_embeds:
        how = (cache_args.cache_dir or find_cache(args.dataset), args.num_workers, args.tower_dtype)
        read = [embed_measured(model.to(trainer_args.device), processor, clips, *how) for model, processor in members]
        read_in_process(trainer_args)
    rows = [splits[args.split] for splits in read]
    logits, trainer = predict_together(members, rows, trainer_args, args.views)
    if trainer.is_world_process_zero():
        answers = collect_predictions(clips[args.split], logits, labels)
        report = build_report(
            logits,
            answers.references,
            labels,
            checkpoint=args.model[0],
            dataset=args.dataset,
            split=args.split,
            split_protocol=read_split_protocol(args.dataset),
            origin=read_origin(args.dataset),
            seed=args.seed,
            answers=answers,
            **describe_computation(trainer, is_whole=len(members) * args.views == 1),
        )
        report["clips"] = fingerprint_clips(clips[args.split])
        report |= describe_members(args.model, members, args.views)
        report["command"] = tell_command(["clipcaer", "evaluate", *sys.argv[1:]])
        if args.baselines:
            model, processor = members[0]  # of which CLIP and sentences are taken
            baselines = measure_baselines(
                *(model.eval(), processor, read[0], args.split, args.baselines_train_split),
                batch_size=args.batch_size,
                num_workers=args.num_workers,
                tower_dtype=args.tower_dtype,
                seed=args.seed,
            )
            report = add_baselines(report, baselines)
        with staged_folder(args.output_dir) as folder:
            chosen = choose_answers(logits, answers.references, args.explain)
            if chosen:
                explain_answers(
                    *(args.model[0], *members[0], clips[args.split], chosen, report, folder / FOLDER),
                    settings={name: getattr(args, name) for name in SHOWN},
                    with_frames=args.explain_frames,
                    show_faces=args.show_faces,
                    seed=args.seed,
                    num_workers=args.num_workers,
                )
            write_report(report, folder, folder / FOLDER if chosen else None)
            write_predictions(answers, folder / FILE_NAME)
        for line in list_result(report, args.output_dir, tell_rivals(report)):
            tell(line)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
