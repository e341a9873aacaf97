"""A Trainer whose checkpoints are whole or not there, and from which the same run goes on, and no other."""

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_utils import has_length
from transformers.utils import logging

from modeling_clipcaer.common.disk import check_room, tell_disk_errors
from modeling_clipcaer.common.files import complete_file, finish_folder, staged_folder
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.frozen_parts import describe_tower_dtype
from modeling_clipcaer.strict_loading import tell_loading
from modeling_clipcaer.training.checkpoints import check_best, check_whole, find_last, remove_old, write_record
from modeling_clipcaer.training.run_comparison import (
    Comparison,
    Layout,
    choose_settings,
    compare_runs,
    describe_layout,
    describe_model,
    fingerprint_clips,
)
from modeling_clipcaer.training.stops import StopWhenTold, check_weights, ignore_termination, noted_termination


logger = logging.get_logger(__name__)


def as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` as its JSON is read again, so that it compares with a record."""
    return json.loads(json.dumps(content, default=str))


class _ResumedState(TrainerCallback):
    """Makes the state of an earlier start that of this one: its own steps of logging and saving, and the best
    checkpoint, of which the state names the step, and no path."""

    def on_train_begin(self, args, state, control, **kwargs):
        state.compute_steps(args, state.max_steps)
        best = Path(args.output_dir, f"checkpoint-{state.best_global_step}")
        if state.best_global_step and best.is_dir():
            state.best_model_checkpoint = str(best)


class ResumableTrainer(Trainer):
    """The checkpoints of [`ClipCaerTrainer`]. Each is written under another name, synced and then named, with a record
    of its files and of what its run was made with."""

    _staged: str | None = None  # where a checkpoint is written until it is whole
    facts: Mapping[str, Mapping[str, Any]] = {}
    """More of what the run is made with, that the caller knows: `settings` by section, and `splits` of clips."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.add_callback(_ResumedState())

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            # A pickle of every path of this run, in a folder that people upload. Nothing reads it.
            Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def _save_checkpoint(self, model, trial):
        """A checkpoint that is whole, on the disk and without this machine's paths; or none, and one line."""
        run_dir, name = self._get_output_dir(trial), f"checkpoint-{self.state.global_step}"
        check_weights(self.model, self.state.global_step, run_dir)
        writes, limit = self.args.should_save, self.args.save_total_limit
        if writes:
            check_room(Path(run_dir, name), self._count_bytes())
        with staged_folder(run_dir) if writes else nullcontext() as staged:
            try:
                # Keep: all processes write there, and the earlier checkpoints stay until this one has its name.
                (self._staged,) = broadcast_object_list([str(staged)])
                self.args.save_total_limit = None
                folder = Path(self._staged, name)
                with tell_disk_errors(folder, partial=folder):
                    super()._save_checkpoint(model, trial)
                    self.accelerator.wait_for_everyone()
                    if writes:
                        self._complete(folder)
            finally:
                self._staged, self.args.save_total_limit = None, limit
        if self.state.best_global_step == self.state.global_step:
            self.state.best_model_checkpoint = str(Path(run_dir, name))
        if writes:
            remove_old(run_dir, self.state.global_step, self.state.best_global_step, limit)

    def _finalize_training(self, *args, **kwargs):
        """Keep: without the limit. Where it is 1 the Trainer would remove the newest checkpoint beside the best."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            return super()._finalize_training(*args, **kwargs)
        finally:
            self.args.save_total_limit = limit

    def _count_bytes(self) -> int:
        """Of the tensors of a checkpoint, which has little else."""
        left_out = self.model._keys_to_ignore_on_save or ()
        tensors = [value for name, value in self.model.state_dict().items() if name not in left_out]
        if not self.args.save_only_model:
            tensors += [value for state in self.optimizer.state.values() for value in state.values()]
        return sum(value.nbytes for value in tensors if torch.is_tensor(value))

    def _complete(self, checkpoint: Path) -> None:
        # Keep: no path. `_ResumedState` finds it by its step, wherever the folder is by then.
        state = replace(self.state, best_model_checkpoint=None)
        with complete_file(checkpoint / TRAINER_STATE_NAME) as path:
            state.save_to_json(str(path))
        finish_folder(checkpoint)
        write_record(checkpoint, self.state.global_step, self.run | {"layout": asdict(self._describe_layout())})

    def _get_output_dir(self, trial):
        return self._staged or super()._get_output_dir(trial)

    def _describe_layout(self) -> Layout:
        clips = len(self.train_dataset) if has_length(self.train_dataset) else None
        return describe_layout(self.args, self._train_batch_size, clips)

    def describe_run(self) -> dict[str, Any]:
        """What the run is made with, as JSON: what the one that goes on from its checkpoint is compared by."""
        tower_dtype = describe_tower_dtype(self.args.tower_dtype, self.model)
        settings = {
            "training": {**self.args.to_dict(), "tower_dtype": tower_dtype},
            "device": {"device": self.args.device.type, "mixed_precision": self.accelerator.mixed_precision},
            **self.facts.get("settings", {}),
        }
        splits = {"train": self.train_dataset, "validation": self.eval_dataset, **self.facts.get("splits", {})}
        run = describe_model(self.model.config, self.processing_class)
        run["settings"] |= {section: choose_settings(values) for section, values in settings.items()}
        run["clips"] = {split: fingerprint_clips(rows) for split, rows in splits.items()}
        run["layout"] = asdict(self._describe_layout())
        return as_json(run)

    def _complete_record(self, record: Mapping[str, Any], checkpoint: str | os.PathLike) -> Mapping[str, Any]:
        """What a checkpoint's run was made with. Where that has no record, what its files do not say is as here."""
        if "labels" in record["run"]:
            return record["run"]
        logger.warning("%s: has no record: that its clips and flags were those of this run is on trust", checkpoint)
        with tell_loading(checkpoint, "model's and processor's configuration"):
            parts = [type(part).from_pretrained(checkpoint) for part in (self.model.config, self.processing_class)]
        run = as_json(describe_model(*parts))
        layout = self.run["layout"] | record["run"]["layout"]
        return self.run | run | {"settings": self.run["settings"] | run["settings"], "layout": layout}

    def check_resumable(self, checkpoint: str | os.PathLike) -> Comparison:
        """Refuse to go on from a checkpoint that is not whole or of another run; say what differs and may.

        Raises:
            InputError: that is so.
        """
        optimizer, recorded = not self.args.resume_without_optimizer, not self.args.resume_without_record
        record = check_whole(checkpoint, optimizer, recorded)
        check_best(Path(checkpoint), recorded)
        if self.args.ignore_data_skip:
            raise InputError("`ignore_data_skip` would show the clips of a resumed epoch again: leave it out")
        found, steps = compare_runs(self._complete_record(record, checkpoint), self.run), self.run["layout"]["steps"]
        if found.refused:
            raise InputError(
                f"{checkpoint}: its run had {'; '.join(found.refused)}: go on with the run's own, or start another one"
            )
        if record["step"] > steps:
            raise InputError(f"{checkpoint}: is of step {record['step']}, and this run ends at step {steps}")
        if not optimizer and record["step"] < steps:
            found.changed.append("the state of its optimizer and random draws, which start afresh")
        for words in found.rounding:
            logger.warning("%s: its run had %s: equal to rounding, not to the last bit", checkpoint, words)
        for words in found.changed:
            logger.warning("%s: its run had %s", checkpoint, words)
        return found

    def train(self, resume_from_checkpoint=None, *args, **kwargs):
        """Train, or go on from a checkpoint that is whole and of the same run; see `Trainer.train`. A SIGTERM saves
        the step that it comes in, and ends the program with the status [`~stops.STOPPED`].

        Raises:
            InputError: it is not whole, or its run was made with something else.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint, passed_over = find_last(self.args.output_dir)
            for words in passed_over:
                logger.warning("passed over: %s", words)
        self.run = self.describe_run()
        if resume_from_checkpoint:
            self.check_resumable(resume_from_checkpoint)
        resume_from_checkpoint = str(resume_from_checkpoint) if resume_from_checkpoint else None
        with noted_termination() as is_told:
            stop = StopWhenTold(is_told, self.accelerator, self.args.output_dir)
            self.add_callback(stop)
            try:
                return super().train(resume_from_checkpoint, *args, **kwargs)
            finally:
                self.remove_callback(stop)

    def _get_dataloader(self, *args, **kwargs):
        loader = super()._get_dataloader(*args, **kwargs)
        if loader.num_workers:
            loader.worker_init_fn = partial(ignore_termination, loader.worker_init_fn)
        return loader

    def _load_optimizer_and_scheduler(self, checkpoint):
        if checkpoint is None or not self.args.resume_without_optimizer:
            with tell_loading(checkpoint or "", "state of the optimizer"):
                super()._load_optimizer_and_scheduler(checkpoint)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps of a schedule before those of its optimizer
            for _ in range(self.state.global_step):
                self.lr_scheduler.step()

    def _load_rng_state(self, checkpoint):
        with tell_loading(checkpoint or "", "state of the random draws"):
            super()._load_rng_state(None if self.args.resume_without_optimizer else checkpoint)

    def _load_scaler(self, checkpoint):
        super()._load_scaler(None if self.args.resume_without_optimizer else checkpoint)
