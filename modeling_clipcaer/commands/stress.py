"""Measure how well a checkpoint answers when something is wrong with the clips: a stream, frames, pixels or boxes.

clipcaer stress --model DIR --dataset DIR --split test --output OUT
"""

import sys
from dataclasses import MISSING, dataclass

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.models.arguments import tower_dtype_option


@dataclass
class StressArguments:
    """What is measured on what."""

    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub.")
    dataset: str = option(MISSING, "Dataset with frames: a folder of `clipcaer build`, a Hub id, or an address.")
    output_dir: str = option(MISSING, "Folder for stress.json, stress.md, stress.csv and stress.png.")
    split: str = option("test", "Split to measure.")
    batch_size: int = option(8, "Clips a step.", least=1)
    num_workers: int = option(2, "Processes that decode and corrupt frames.", least=0)
    tower_dtype: str = tower_dtype_option()
    seed: int = option(42, "Seed of what is drawn for the corruptions, and of the bootstrap.", least=0)


def main() -> None:
    (args,) = parse_arguments((StressArguments,), sys.argv[1:], __doc__)
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.models.checkpoints import check_output_dir

    hide_progress_bars()
    check_output_dir(args.output_dir)
    with locked_folder(args.output_dir):
        measure(args)


def measure(args: StressArguments) -> None:
    """Table of a checkpoint's answers to every corruption of a split."""
    import torch

    from modeling_clipcaer.common.versions import list_versions, tell_command
    from modeling_clipcaer.data.loading import load_clips, read_split_protocol
    from modeling_clipcaer.experiments.stress import answer_conditions, list_conditions, measure_conditions
    from modeling_clipcaer.experiments.stress_report import UNITS, write_stress
    from modeling_clipcaer.models.checkpoints import load_checkpoint, weights_revision
    from modeling_clipcaer.models.frozen_parts import describe_tower_dtype
    from modeling_clipcaer.names import public_name
    from modeling_clipcaer.reports.evaluation import PACKAGES
    from modeling_clipcaer.reports.predictions import collect_predictions
    from modeling_clipcaer.training.run_comparison import fingerprint_clips

    model, processor = load_checkpoint(args.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    rows = load_clips(args.dataset, (args.split,), labels)[args.split]
    conditions = list_conditions(model.config.streams)
    logits = answer_conditions(
        *(model, processor, rows, conditions),
        seed=args.seed,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        tower_dtype=args.tower_dtype,
    )
    answers = collect_predictions(rows, logits[0], labels)
    found = measure_conditions(conditions, logits, answers.references.tolist(), answers.persons, args.seed)
    report = {
        "rows": found,
        "units": UNITS,
        "labels": labels,
        "num_clips": len(rows),
        "num_persons": None if answers.persons is None else len(set(answers.persons)),
        "command": tell_command(["clipcaer", "stress", *sys.argv[1:]]),
        "checkpoint": public_name(args.model),
        "model_revision": weights_revision(args.model) or getattr(model.config, "_commit_hash", None),
        "dataset": public_name(args.dataset),
        "split": args.split,
        "split_protocol": read_split_protocol(args.dataset),
        "clips": fingerprint_clips(rows),
        "seed": args.seed,
        "tower_dtype": describe_tower_dtype(args.tower_dtype, model),
        "versions": list_versions(PACKAGES),
    }
    write_stress(report, args.output_dir)
    worst = min(found[1:], key=lambda row: row["uar"])
    told = (
        f"UAR {found[0]['uar']:.1f} % untouched, {worst['uar']:.1f} % at worst ({worst['corruption']}, "
        f"{worst['strength']:g})"
    )
    tell(add_path(told, f"{args.output_dir}/stress.md"))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
