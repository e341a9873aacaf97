"""One training run inside this process: from clips, flags and a folder to the answers of every epoch.

A run that is finished is a folder with `run.json`, which is written last: what it was made with, and its course;
`logits.npz`, the answers of every epoch; and `predictions.parquet`, those of the last one to the test clips. No
checkpoint is kept.
"""

import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.utils import logging

from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.flags import given_flags, parse_arguments, split_configs
from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.data.cached_clips import CachedEmbedsCollator
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.data.loading import get_labels
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.baselines import measure_baselines
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.metrics import (
    compute_uar_war,
    macro_f1,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.models.arguments import ModelArguments, TrainableArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.trainable import prepare_lora
from modeling_clipcaer.reports.predictions import FILE_NAME as PREDICTIONS
from modeling_clipcaer.reports.predictions import collect_predictions, write_predictions
from modeling_clipcaer.settings_clipcaer import PixelSettings
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES, ClipCaerTrainingArguments
from modeling_clipcaer.training.clip_cache import check_cache_arguments, read_in_process
from modeling_clipcaer.training.flag_effects import check_flags
from modeling_clipcaer.training.resumable_trainer import as_json
from modeling_clipcaer.training.run_comparison import (
    choose_settings,
    compare_runs,
    describe_layout,
)
from modeling_clipcaer.training.settings import CacheArguments
from modeling_clipcaer.training.trainer import ClipCaerTrainer


RECORD, LOGITS = "run.json", "logits.npz"
FORMAT_VERSION = 1
MEASURED = ("validation", "test")
MEASURES = {"uar": unweighted_average_recall, "war": weighted_average_recall, "macro_f1": macro_f1}
# The flags of `train` without those that say which clips, which an experiment does.
FLAG_TYPES = tuple(kind for kind in ARGUMENT_TYPES if kind is not DataArguments)
# Flags that an experiment has for all of its runs: nothing is kept but the answers, which every epoch gives.
OWN_FLAGS = {
    "output_dir": "runs",
    "eval_strategy": "epoch",
    "save_strategy": "no",
    "logging_strategy": "epoch",
    "report_to": "none",
    "disable_tqdm": "true",
}


@dataclass(frozen=True)
class RunFlags:
    """The flags of a run, read: what `train` has them as, those that were given, and those without an effect."""

    model: ModelArguments
    pixels: PixelSettings
    cache: CacheArguments
    trainable: TrainableArguments
    training: ClipCaerTrainingArguments
    given: Mapping[str, Any]
    unused: Mapping[str, str]

    def at(self, seed: int, folder: Path) -> "RunFlags":
        """The same run with another seed, in another folder."""
        training = copy(self.training)
        training.seed, training.output_dir = seed, str(folder)
        training._n_gpu = min(training.n_gpu, 1)  # Keep: a run is on one device, and others on the others.
        return RunFlags(**{**vars(self), "training": training})


def read_run_flags(words: Sequence[str]) -> RunFlags:
    """Flags of `train` by the one parser, `--config` files among them.

    Raises:
        InputError: one is unknown, of the wrong type or out of range, belongs to the experiment, or does not go with
            the others.
    """
    given = given_flags(FLAG_TYPES, list(words))
    # A preset's seed is that of a single run, for which the experiment's stand in.
    told = {*given_flags(FLAG_TYPES, split_configs(list(words))[1]), *(given.keys() - {"seed"})}
    for name in ("seed", *OWN_FLAGS):
        if name in told:
            raise InputError(f"`{name}` is not taken: an experiment decides it for all of its runs")
    own = [f"--{name}={value}" for name, value in OWN_FLAGS.items()]
    model, pixels, cache, trainable, training = parse_arguments(FLAG_TYPES, [*words, *own], "")
    check_cache_arguments(cache, training, trainable.use_lora)
    if cache.cache_frame_embeds:
        read_in_process(training)
    unused = check_flags(given, (model, pixels, cache, trainable, training))
    given.pop("seed", None)
    return RunFlags(model, pixels, cache, trainable, training, given, unused)


def describe_run(flags: RunFlags, labels: Sequence[str], clips: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """What a run is made with, as JSON: what a finished one is compared by.

    Args:
        flags: of the run.
        labels: their names, in order.
        clips: of each split what `fingerprint_clips` says.
        weights: digest of the CLIP checkpoint's.
    """
    file, training = flags.model.labels_file, flags.training
    settings = {
        "model": vars(flags.model),
        "processor": vars(flags.pixels),
        "training": training.to_dict(),
        "cache": vars(flags.cache),
        "parts": vars(flags.trainable),
        "clip": {"weights of clip_model": weights, "texts of labels_file": read_label_entries(file) if file else None},
    }
    layout = describe_layout(training, training.train_batch_size, clips["train"]["clips"])
    return as_json(
        {
            "labels": list(labels),
            "settings": {section: choose_settings(values) for section, values in settings.items()},
            "clips": dict(clips),
            "layout": asdict(layout),
        }
    )


def is_finished(folder: Path, run: Mapping[str, Any]) -> bool:
    """Whether a folder holds the finished run that `run` describes.

    Raises:
        InputError: it holds that of another one.
    """
    if not (folder / RECORD).is_file():
        return False
    found = compare_runs(read_object(folder / RECORD)["run"], run)
    if differing := found.refused + found.rounding + found.changed:
        raise InputError(f"{folder}: its run had {'; '.join(differing)}: name another --output, or remove it")
    return True


def train_run(flags: RunFlags, clips: DatasetDict, run: Mapping[str, Any]) -> None:
    """Train on `clips` and write the run's folder, which `flags` name.

    Args:
        flags: of the run.
        clips: the splits train, validation and test; frames, or their embeddings.
        run: the run's description.
    """
    started, folder = time.perf_counter(), Path(str(flags.training.output_dir))
    logging.get_logger("transformers").setLevel(logging.ERROR)
    set_seed(flags.training.seed)
    model = build_model(flags.model, get_labels(clips))
    prepare_lora(model, flags.trainable, flags.training.lr_image_encoder)
    trainer = ClipCaerTrainer(
        model,
        flags.training,
        train_dataset=clips["train"],
        eval_dataset=clips["validation"],
        processing_class=build_processor(model, flags.pixels),
    )
    if isinstance(trainer.train_collator, CachedEmbedsCollator):
        trainer.train_collator.most_views = flags.cache.cache_views
    answers = _Answers(trainer, clips["test"])
    trainer.train()
    logits = {split: np.stack(answers.logits[split]).astype(np.float32) for split in MEASURED}
    record = {
        "format_version": FORMAT_VERSION,
        "seed": flags.training.seed,
        "flags": dict(flags.given),
        "unused_flags": dict(flags.unused),
        "history": trainer.state.log_history,
        "seconds": round(time.perf_counter() - started, 2),
        "run": run,
    }
    with staged_folder(folder, last=RECORD) as staged:
        np.savez(staged / LOGITS, **logits)  # type: ignore[arg-type]
        test = collect_predictions(clips["test"], logits["test"][-1], get_labels(clips))
        write_predictions(test, staged / PREDICTIONS)
        write_json(record, staged / RECORD, allow_nan=True)


def measure_baseline(name: str, flags: RunFlags, clips: DatasetDict, run: Mapping[str, Any]) -> None:
    """Measure a baseline of that name on `clips` in the place of a run; its folder has `run.json` with its `figures`
    alone. Arguments as in [`train_run`]."""
    started, folder = time.perf_counter(), Path(str(flags.training.output_dir))
    model = build_model(flags.model, get_labels(clips)).to(flags.training.device).eval()
    found = measure_baselines(
        model,
        build_processor(model, flags.pixels),
        clips,
        tower_dtype=flags.training.tower_dtype,
        seed=flags.training.seed,
    )
    figures = next(rival for rival in found if rival["name"] == name)
    record = {
        "format_version": FORMAT_VERSION,
        "seed": flags.training.seed,
        "flags": dict(flags.given),
        "figures": {measure: figures[measure] for measure in MEASURES if measure in figures},
        "history": [],
        "seconds": round(time.perf_counter() - started, 2),
        "run": run,
    }
    with staged_folder(folder, last=RECORD) as staged:
        write_json(record, staged / RECORD)


class _Answers(TrainerCallback):
    """Keeps the logits of both measured splits after every epoch."""

    def __init__(self, trainer: ClipCaerTrainer, test: Dataset):
        self.trainer, self.test = trainer, test
        self.logits: dict[str, list[np.ndarray]] = {split: [] for split in MEASURED}
        self.validation = np.empty(0)
        trainer.compute_metrics = self.measure
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self)

    def measure(self, prediction: Any) -> dict[str, float]:
        """The Trainer's `compute_metrics`."""
        self.validation = prediction.predictions
        return compute_uar_war(prediction)

    def on_evaluate(self, args, state, control, **kwargs):
        """After the validation split, the test split."""
        self.logits["validation"].append(self.validation)
        # Keep: a loader draws a number, and the run would no longer be the one of `train`, which tests but once.
        with torch.random.fork_rng():
            self.logits["test"].append(self.trainer.predict(self.test).predictions)


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run answered.

    Args:
        record: `run.json`.
        logits: of each measured split float32 of shape (num_epochs, num_clips, num_labels); none of a baseline.
    """

    record: Mapping[str, Any]
    logits: Mapping[str, np.ndarray]

    @property
    def evaluations(self) -> list[Mapping[str, Any]]:
        """The log's entry of each epoch's validation."""
        return [entry for entry in self.record["history"] if "eval_uar" in entry]


def read_run(folder: Path) -> FinishedRun:
    """Read what [`train_run`] or [`measure_baseline`] wrote."""
    if not (folder / LOGITS).is_file():
        return FinishedRun(read_object(folder / RECORD), {})
    with np.load(folder / LOGITS) as file:
        logits = {split: file[split] for split in MEASURED}
    return FinishedRun(read_object(folder / RECORD), logits)


def choose_epochs(run: FinishedRun) -> dict[str, int]:
    """The epoch, from 0, by each way to choose one: the last, or the first with the best validation figure."""
    found = run.evaluations
    return {
        "last": len(found) - 1,
        "best validation UAR": int(np.argmax([entry["eval_uar"] for entry in found])),
        "least validation loss": int(np.argmin([entry["eval_loss"] for entry in found])),
    }
