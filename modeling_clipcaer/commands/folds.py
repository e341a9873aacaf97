"""Train all folds of a person-disjoint k-fold and pool their answers, so that every clip of a dataset is tested once.

    clipcaer folds --config demo --dataset DIR --output OUT --seeds 0 1 2

All flags of `train` follow, as for one run. The same command goes on where it was stopped; `--fold 1 3` trains some
folds alone, as on another machine that sees the same folder. When all are there it writes folds.json and folds.md,
and in seed-N/ predictions.parquet, the answers to all clips.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import parse_own_arguments, show_help
from modeling_clipcaer.common.terminal import add_path, complain, run_command, tell
from modeling_clipcaer.experiments.settings import FoldArguments


if TYPE_CHECKING:
    from modeling_clipcaer.experiments.grids import Grid, Task


def main() -> None:
    show_help((FoldArguments,), sys.argv[1:], __doc__)  # Keep: before anything heavy is imported
    (args,), words = parse_own_arguments((FoldArguments,), sys.argv[1:], __doc__)
    from modeling_clipcaer.common.flag_effects import describe_unused
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.experiments.grids import Grid, find_missing, read_flags, run_grid
    from modeling_clipcaer.models.checkpoints import check_output_dir

    hide_progress_bars()
    check_output_dir(args.output_dir)
    if unused := read_flags(tuple(words)).unused:
        complain("note", describe_unused(unused))
    tasks = {seed: list_tasks(args, seed, tuple(words)) for seed in args.seeds}
    wanted = args.fold or range(1, args.folds + 1)
    chosen = [task for of_seed in tasks.values() for number, task in enumerate(of_seed, start=1) if number in wanted]
    run_grid(Grid(Path(args.output_dir), tuple(chosen)), args.jobs)
    grid = Grid(Path(args.output_dir), tuple(task for of_seed in tasks.values() for task in of_seed))
    missing = find_missing(grid)
    if missing:
        tell(f"{len(missing)} of {len(grid.tasks)} runs are not there yet, {missing[0]} for one: not pooled")
    else:
        write(args, grid, tasks)


def list_tasks(args: FoldArguments, seed: int, words: tuple[str, ...]) -> list[Task]:
    """The runs of a seed, in the order of the folds."""
    from modeling_clipcaer.experiments.grids import Task
    from modeling_clipcaer.experiments.materials import Fold, Material

    folds = [Fold(number, args.folds, args.val_share, args.split_seed) for number in range(1, args.folds + 1)]
    materials = [Material(f"fold-{fold.number}", args.dataset, fold) for fold in folds]
    return [Task("folds", words, material, seed) for material in materials]


def write(args: FoldArguments, grid: Grid, tasks: dict[int, list[Task]]) -> None:
    """The pooled answers and figures of all seeds."""
    from modeling_clipcaer.common.files import staged_folder, write_json
    from modeling_clipcaer.common.versions import tell_command
    from modeling_clipcaer.experiments.folds import (
        describe_pool,
        pool_folds,
        render_folds,
        select_answers,
        summarise_seeds,
    )
    from modeling_clipcaer.experiments.grids import describe_grid, read_flags
    from modeling_clipcaer.names import public_name
    from modeling_clipcaer.reports.predictions import FILE_NAME, write_predictions

    with staged_folder(args.output_dir, last="folds.json") as folder:
        seeds = []
        for seed, of_seed in tasks.items():
            folders = [task.find_folder(grid.output_dir) for task in of_seed]
            pooled, figures = pool_folds(folders)
            seeds.append(describe_pool(seed, pooled, figures, select_answers(folders)))
            target = Path(args.output_dir, f"seed-{seed}")
            target.mkdir(exist_ok=True)
            write_predictions(pooled, target / FILE_NAME)
        summary = summarise_seeds(seeds)
        report = {
            "command": tell_command(["clipcaer", "folds", *sys.argv[1:]]),
            "flags": dict(read_flags(grid.tasks[0].words).given),
            "dataset": public_name(args.dataset),
            "folds": args.folds,
            "split": f"{args.folds} folds by person, validation {args.val_share:g} by person, seed {args.split_seed}",
            "summary": summary,
            "per_seed": seeds,
            **describe_grid(grid),
        }
        (folder / "folds.md").write_text(render_folds(report), encoding="utf-8")
        write_json(report, folder / "folds.json")
    told = ", ".join(f"{name} {found['mean']:.1f} %" for name, found in summary.items())
    tell(add_path(f"{told} on {seeds[0]['clips']} clips", f"{args.output_dir}/folds.md"))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
