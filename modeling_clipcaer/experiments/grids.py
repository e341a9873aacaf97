"""Many runs into one folder: each once, whatever is killed in between, and shared out over processes and machines.

A process takes the next run that is neither finished nor held by another, holds its folder, trains, and goes on. So
the same command, started again or a second time beside the first, does what is left to do.
"""

import gc
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from modeling_clipcaer.clip_loading import load_clip_model_weights
from modeling_clipcaer.common.files import complete_file, write_json
from modeling_clipcaer.common.locks import Busy, locked_folder
from modeling_clipcaer.common.processes import start_anew
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.common.versions import list_versions
from modeling_clipcaer.data.loading import get_labels
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.experiments.materials import ClipStore, Material
from modeling_clipcaer.experiments.runs import (
    RECORD,
    RunFlags,
    describe_run,
    is_finished,
    measure_baseline,
    read_run_flags,
    train_run,
)
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.models.trainable import fingerprint_weights
from modeling_clipcaer.names import public_name
from modeling_clipcaer.reports.evaluation import PACKAGES


RUNS, CACHE = "runs", "cache"  # folders of an experiment's
FAILURE = "error.json"


@dataclass(frozen=True)
class Task:
    """One run of a grid.

    Args:
        cell: what it is one of, in the names of folders.
        words: its flags, as words of a command line of `train`.
        material: its clips.
        seed: of the run.
        baseline: that is measured in the place of a run, on the clips that the flags read.
    """

    cell: str
    words: tuple[str, ...]
    material: Material
    seed: int
    baseline: str | None = None

    def find_folder(self, output_dir: Path) -> Path:
        """Where the run is, in the folder of its experiment."""
        return output_dir / RUNS / self.cell / f"{self.material.name}-seed-{self.seed}"


@dataclass(frozen=True)
class Grid:
    """The runs of an experiment, in their order, and its folder."""

    output_dir: Path
    tasks: tuple[Task, ...]

    @property
    def most_views(self) -> int:
        """Views of a training clip that a run asks for."""
        return max(read_flags(task.words).cache.cache_views for task in self.tasks)


@cache
def read_flags(words: tuple[str, ...]) -> RunFlags:
    """[`read_run_flags`], once for all runs with the same flags."""
    return read_run_flags(words)


@cache
def _hash_clip(clip_model: str) -> str:
    state = load_clip_model_weights(clip_model).state_dict()
    return fingerprint_weights(state, set(state))


def find_missing(grid: Grid) -> list[Path]:
    """Folders of the runs that are not finished."""
    folders = [task.find_folder(grid.output_dir) for task in grid.tasks]
    return [folder for folder in folders if not (folder / RECORD).is_file()]


def describe_grid(grid: Grid) -> dict[str, Any]:
    """What its figures depend on: seeds, clips by their fingerprints, CLIP's weights, versions."""
    store = ClipStore(grid.output_dir / CACHE, grid.most_views)
    materials = {task.material.name: task.material for task in grid.tasks}
    models = {read_flags(task.words).model.resolve_clip() for task in grid.tasks}
    return {
        "seeds": list(dict.fromkeys(task.seed for task in grid.tasks)),
        "clips": {name: store.describe(material) for name, material in materials.items()},
        "clip_weights": {public_name(name): _hash_clip(name) for name in sorted(models)},
        "versions": list_versions(PACKAGES),
    }


def run_grid(grid: Grid, jobs: int = 1) -> None:
    """Train what is not finished yet, in `jobs` processes; in none, nothing.

    A run that fails leaves [`FAILURE`] in its folder.

    Raises:
        InputError: a folder holds a finished run that was made with something else, or clips cannot be read.
    """
    worker = _Worker(grid, workers=jobs if jobs > 1 else 0)
    left = worker.list_unfinished()
    tell(f"{len(grid.tasks)} runs in {grid.output_dir}, {len(left)} of them not finished")
    if not (left and jobs):
        return
    worker.encode(left)
    # Keep: a core and a device for each run. What a step sums up in several threads differs in its last digits.
    context = start_anew("modeling_clipcaer.experiments.grids")
    others: list[BaseProcess] = [
        context.Process(  # type: ignore[attr-defined]
            target=_work, args=(grid, number), daemon=True
        )
        for number in range(1, jobs)
    ]
    for process in others:
        process.start()
    worker.work()
    for process in others:
        process.join()
        if process.exitcode:
            raise InputError(f"a process of --jobs {jobs} ended with status {process.exitcode}: see above")


def _work(grid: Grid, number: int) -> None:
    """Process `number` of this machine, on a device of its own where there are several."""
    count = torch.cuda.device_count()
    if count > 1:
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % count]
    hide_progress_bars()
    _Worker(grid).work()


class _Worker:
    """A process of a grid."""

    def __init__(self, grid: Grid, workers: int = 0):
        self.grid = grid
        self.store = ClipStore(grid.output_dir / CACHE, grid.most_views, workers)

    def describe(self, task: Task) -> dict[str, Any]:
        """What a run is made with."""
        flags = read_flags(task.words).at(task.seed, task.find_folder(self.grid.output_dir))
        labels = get_labels(self.store.read_files(task.material))
        run = describe_run(flags, labels, self.store.describe(task.material), _hash_clip(flags.model.resolve_clip()))
        run["settings"]["baseline"] = {"baseline": task.baseline}
        return run

    def list_unfinished(self) -> list[Task]:
        """The runs that are still to be trained."""
        output_dir = self.grid.output_dir
        return [task for task in self.grid.tasks if not is_finished(task.find_folder(output_dir), self.describe(task))]

    def encode(self, tasks: Sequence[Task]) -> None:
        """Fill the cache before processes share it."""
        for task in tasks:
            self.store.read(task.material, read_flags(task.words))

    def work(self) -> None:
        """Train what nobody else does, until nothing is left."""
        logging.set_verbosity_error()
        torch.set_num_threads(1)
        for task in self.grid.tasks:
            folder = task.find_folder(self.grid.output_dir)
            if (folder / RECORD).is_file():
                continue
            try:
                with locked_folder(folder):
                    if not (folder / RECORD).is_file():
                        self.train(task, folder)
            except Busy:
                continue

    def train(self, task: Task, folder: Path) -> None:
        """One run, or why there is none."""
        flags = read_flags(task.words).at(task.seed, folder)
        try:
            clips, run = self.store.read(task.material, flags), self.describe(task)
            train_run(flags, clips, run) if task.baseline is None else measure_baseline(
                task.baseline, flags, clips, run
            )
        except Exception as error:  # a run that fails is a row of the table
            failure = {"error": f"{type(error).__name__}: {first_line(error)}", "traceback": traceback.format_exc()}
            with complete_file(folder / FAILURE) as path:
                write_json(failure, path)
            tell(f"{task.cell}, {task.material.name}, seed {task.seed}: failed: {failure['error']}")
        else:
            (folder / FAILURE).unlink(missing_ok=True)
            seconds = read_object(folder / RECORD)["seconds"]
            tell(f"{task.cell}, {task.material.name}, seed {task.seed}: {seconds:.1f} s")
        gc.collect()
