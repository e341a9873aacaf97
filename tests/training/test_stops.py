"""What ends a training before its end is one line and loses nothing: SIGTERM, a loss that is no number, and others."""

import os
import signal

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from helpers.small_training import logged, make_trainer
from helpers.train_command import LAUNCH, QUICK, start
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.checkpoints import check_whole, list_checkpoints
from modeling_clipcaer.training.step_clips import Share, share_step
from modeling_clipcaer.training.stops import STOPPED


SAVING = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2, "save_total_limit": None}


class Before(TrainerCallback):
    """Calls a function when a step begins."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.do(kwargs["model"])


def stop_before(trainer, step, do):
    trainer.add_callback(Before(step, do))
    return trainer


# SIGTERM


@pytest.mark.parametrize(("strategy", "step"), [("steps", 1), ("epoch", 2)])  # the second ends an epoch
def test_sigterm_saves_the_step_that_it_comes_in_and_the_run_goes_on_to_the_same_weights(
    material, tmp_path, step, strategy, capsys
):
    options = {**SAVING, "save_steps": 4, "save_strategy": strategy, "eval_strategy": strategy, "eval_steps": 4}
    options |= {"logging_strategy": "steps", "logging_steps": 1}
    whole = make_trainer(material, tmp_path / "whole", {"temporal_dropout": 0.3}, **options)
    whole.train()
    told = make_trainer(material, tmp_path / "told", {"temporal_dropout": 0.3}, **options)
    stop_before(told, step, lambda model: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        told.train()
    assert ended.value.code == STOPPED == 143 and signal.getsignal(signal.SIGTERM) == before
    last = list_checkpoints(tmp_path / "told")[0]
    assert last.name == f"checkpoint-{step + 1}" and check_whole(last)
    assert f"note: stopped by SIGTERM after step {step + 1} of 6, which is saved: {last};" in capsys.readouterr().err
    resumed = make_trainer(material, tmp_path / "told", {"temporal_dropout": 0.3}, **options)
    resumed.train(resume_from_checkpoint=True)
    for name in ("loss", "eval_loss", "eval_uar"):
        assert logged(resumed, name) == logged(whole, name)
    assert resumed.state.best_global_step == whole.state.best_global_step
    for (name, expected), actual in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(actual, expected), name


@pytest.mark.reliability
def test_sigterm_to_a_launch_of_two_saves_one_whole_checkpoint(material, tmp_path):
    flags = (
        *material.flags,
        *QUICK[2:],
        "--epochs",
        40,
        "--batch-size",
        4,
        "--save_strategy",
        "steps",
        "--save_steps",
        500,
    )
    flags += (
        "--eval_strategy",
        "no",
        "--dataloader_num_workers",
        1,
        "--no-baselines",
        "--output_dir",
        tmp_path / "run",
    )
    process = start(*LAUNCH, "recipes/train.py", *flags)
    line = b""
    while b"epoch " not in line:  # the head of the table of epochs: training begins
        line = process.stdout.readline()
    process.stdout.readline()
    process.terminate()
    told = process.communicate()[0].decode()
    assert process.returncode == 1, told[-3000:]  # the launcher's own
    assert told.count("note: stopped by SIGTERM after step ") == 1, told[-3000:]
    (saved,) = list_checkpoints(tmp_path / "run")
    assert check_whole(saved) and not (tmp_path / "run" / "report.json").exists()


# A loss that is no number


def test_a_loss_that_is_not_finite_stops_with_the_clip_and_the_last_checkpoint(material, tmp_path, monkeypatch):
    trainer = make_trainer(material, tmp_path, **SAVING)
    bad = trainer.train_dataset[7]["clip_id"]
    real = trainer.train_collator

    def spoil(rows):
        batch = real(rows)
        for place, row in enumerate(rows):
            if row["clip_id"] == bad and trainer.state.global_step >= 3:
                batch["pixel_values"] = batch["pixel_values"].float()
                batch["pixel_values"][place] = float("nan")
        return batch

    trainer.train_collator = spoil
    with pytest.raises(InputError) as error:
        trainer.train()
    words = str(error.value)
    assert (
        f": the loss of clips {bad} is nan, so nothing was learned of it; the last checkpoint, of before, is " in words
    )
    last = list_checkpoints(tmp_path)[0]
    assert str(last) in words and "\n" not in words
    state = torch.load(last / "optimizer.pt", weights_only=True)["state"]
    assert state and all(value.isfinite().all() for values in state.values() for value in values.values())
    monkeypatch.undo()
    resumed = make_trainer(material, tmp_path, **SAVING)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 6 and np.isfinite(logged(resumed, "loss")).all()


def test_weights_that_are_not_finite_are_not_saved(material, tmp_path):
    trainer = make_trainer(material, tmp_path, **{**SAVING, "num_train_epochs": 1, "save_steps": 1})
    trainer.add_callback(AtEnd(1, lambda model: model.model.fusion.weight.data.fill_(float("inf"))))
    with pytest.raises(
        InputError, match=r"step 2: the weights model.fusion.weight are no longer finite.*checkpoint-1;"
    ):
        trainer.train()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-1"]


class AtEnd(Before):
    """Calls a function when a step has ended."""

    on_step_begin = TrainerCallback.on_step_begin

    def on_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.do(kwargs["model"])


# No room in memory


@pytest.mark.parametrize(
    ("error", "options", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
            {},
            "a batch of 8 clips does not fit into the memory: take --activation-checkpointing, or --batch-size 4 "
            "--gradient-accumulation-steps 2, which make the same step; the last checkpoint, of before, is .*point-4",
        ),
        (
            MemoryError(),
            {"per_device_train_batch_size": 1, "max_steps": 5},
            "a batch of 1 clips .* take --activation-checkpointing; ",
        ),
    ],
)
def test_a_batch_without_room_names_the_flags_that_halve_it(material, tmp_path, error, options, words, monkeypatch):
    trainer = make_trainer(material, tmp_path, **{**SAVING, **options})
    real = trainer.compute_loss

    def compute_loss(*args, **kwargs):
        if trainer.state.global_step == 4:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(trainer, "compute_loss", compute_loss)
    with pytest.raises(InputError, match=words):
        trainer.train()
    if not options:  # with the flag that it names the run goes on
        resumed = make_trainer(material, tmp_path, **SAVING, activation_checkpointing=True)
        resumed.train(resume_from_checkpoint=True)
        assert resumed.state.global_step == 6


def test_an_evaluation_without_room_names_its_own_flag(material, tmp_path, monkeypatch):
    trainer = make_trainer(material, tmp_path)

    def compute_loss(*args, **kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(trainer, "compute_loss", compute_loss)
    with pytest.raises(
        InputError, match=r"a batch of 8 clips .* take --per-device-eval-batch-size 4, which changes no"
    ):
        trainer.evaluate()


# The share of a step


@pytest.mark.parametrize(
    ("sizes", "processes", "rest", "expected"),
    [
        ([8], 1, None, [[(8, 1.0)]]),
        ([2, 2, 1], 1, 1, [[(2, 6 / 5), (2, 6 / 5), (1, 3 / 5)]]),
        ([4], 2, 5, [[(4, 8 / 5)], [(1, 2 / 5)]]),
        ([2, 2], 2, 1, [[(2, 8 / 5), (1, 4 / 5)], [(2, 8 / 5), (0, 0.0)]]),
    ],
)
def test_every_clip_of_a_step_counts_alike_and_repeated_ones_not_at_all(sizes, processes, rest, expected):
    for process, shares in enumerate(expected):
        found = share_step(sizes, processes, process, rest)
        assert found == [Share(clips, pytest.approx(factor)) for clips, factor in shares]
