"""Measure what parts of the method are worth: a recipe of cells, each trained on the same clips with the same seeds.

    clipcaer ablate --config ablation --output OUT --jobs 2

The same command goes on where it was stopped, and a second one beside it, here or on a machine that sees the same
folder, takes its share of the runs. It writes ablation.md, a plot for each table, and last ablation.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import show_help
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.settings import AblationArguments


if TYPE_CHECKING:
    from modeling_clipcaer.experiments.ablations import Table
    from modeling_clipcaer.experiments.grids import Grid
    from modeling_clipcaer.experiments.materials import Material


def main() -> None:
    show_help((AblationArguments,), sys.argv[1:], __doc__)  # Keep: before anything heavy is imported
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.experiments.ablations import read_recipe
    from modeling_clipcaer.experiments.grids import Grid, read_flags, run_grid
    from modeling_clipcaer.models.checkpoints import check_output_dir

    args, tables, recipe = read_recipe(sys.argv[1:], __doc__)
    hide_progress_bars()
    check_output_dir(args.output_dir)
    for table in tables:
        for cell in table.cells:
            try:
                read_flags(cell.words)
            except InputError as error:
                raise InputError(f"{recipe}: cell `{cell.name}` of table {table.name}: {error}") from error
    materials = {imbalance: find_materials(args, imbalance) for imbalance in {table.imbalance for table in tables}}
    grid = Grid(Path(args.output_dir), tuple(list_tasks(args, tables, materials)))
    run_grid(grid, args.jobs)
    write(args, tables, grid, recipe)


def find_materials(args: AblationArguments, imbalance: str) -> list[Material]:
    """The clips that every cell of a table is trained on: drawings, datasets, or their folds."""
    from modeling_clipcaer.experiments.drawings import draw_material
    from modeling_clipcaer.experiments.materials import Fold, Material

    if args.drawings is not None:
        sizes = (args.clips_train, args.clips_test, max(args.jobs, 1))
        folders = [draw_material(Path(args.output_dir), seed, imbalance, *sizes) for seed in args.drawings]
    else:
        folders = list(map(Path, args.datasets or ()))
    if args.folds is None:
        return [Material(folder.name, str(folder)) for folder in folders]
    return [
        Material(
            f"{folder.name}-fold-{number}",
            str(folder),
            Fold(number, args.folds, args.val_share, args.split_seed),
        )
        for folder in folders
        for number in range(1, args.folds + 1)
    ]


def list_tasks(args: AblationArguments, tables: list[Table], materials: dict[str, list[Material]]):
    """The runs, cell by cell: of what is stopped early some cells are whole."""
    from modeling_clipcaer.experiments.grids import Task

    for table in tables:
        for cell in table.cells:
            for material in materials[table.imbalance]:
                for seed in args.seeds:
                    yield Task(cell.folder, cell.words, material, seed, cell.baseline)


def write(args: AblationArguments, tables: list[Table], grid: Grid, recipe: str) -> None:
    """Tables and plots of what is finished."""
    from modeling_clipcaer.common.files import staged_folder, write_json
    from modeling_clipcaer.common.versions import tell_command
    from modeling_clipcaer.experiments.effects import draw_effects, render_ablation, render_table, summarise_table
    from modeling_clipcaer.experiments.grids import describe_grid

    report = {
        "command": tell_command(["clipcaer", "ablate", *sys.argv[1:]]),
        "recipe": Path(recipe).read_text(encoding="utf-8"),
        **describe_grid(grid),
        "tables": [summarise_table(table, grid.tasks, grid.output_dir) for table in tables],
    }
    with staged_folder(args.output_dir, last="ablation.json") as folder:
        for summary in report["tables"]:
            draw_effects(summary, folder / f"{summary['table']}.png")
        (folder / "ablation.md").write_text(render_ablation(report), encoding="utf-8")
        write_json(report, folder / "ablation.json")
    for summary in report["tables"]:
        tell(render_table(summary))
    tell(add_path("", f"{args.output_dir}/ablation.md"))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
