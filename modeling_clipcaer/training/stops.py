"""What ends a training before its end, told in one line: a signal, a loss that is no number, a batch without room."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerCallback, TrainingArguments

from modeling_clipcaer.common.terminal import complain
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.checkpoints import list_checkpoints


# The exit status of a run that a SIGTERM stopped: as shells have it of any process that one ended.
STOPPED = 128 + signal.SIGTERM
MOST_NAMED = 8  # clips in a message


class NamedBatches:
    """A collator's batches, with the ids of their clips."""

    def __init__(self, collator: Callable[[list], dict[str, Any]]):
        self.collator = collator

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collator(rows)
        return {**batch, "clip_ids": [row["clip_id"] for row in rows]} if "clip_id" in rows[0] else batch


def describe_last(output_dir: str | Path) -> str:
    """In words, from where a run can go on."""
    found = list_checkpoints(output_dir)
    return f"the last checkpoint, of before, is {found[0]}" if found else "there is no checkpoint yet"


def check_loss(
    loss: torch.Tensor, logits: torch.Tensor, clip_ids: Sequence[str] | None, step: int, output_dir: str | Path
) -> None:
    """Stop at a loss that is not finite, before it reaches the weights.

    Args:
        loss: of a batch.
        logits: of its clips, (batch_size, num_labels).
        clip_ids: of them, where they are known.
        step: that the batch is of, from 1.
        output_dir: of the run.

    Raises:
        InputError: it is not; the clips whose logits are not finite either are named, or all.
    """
    if loss.isfinite():
        return
    ids = list(clip_ids or [])
    lost = [clip for clip, row in zip(ids, logits.detach().isfinite().all(-1).tolist(), strict=False) if not row]
    named, rest = (lost or ids)[:MOST_NAMED], len(lost or ids) - MOST_NAMED
    clips = f" of clips {', '.join(named)}" + (f" and {rest} more" if rest > 0 else "") if named else ""
    raise InputError(
        f"step {step}: the loss{clips} is {loss.item():g}, so nothing was learned of it; {describe_last(output_dir)}; "
        "look at these clips, or take a lower --learning-rate"
    )


def check_weights(model: torch.nn.Module, step: int, output_dir: str | Path) -> None:
    """Stop where a checkpoint would be of weights that are not finite.

    Raises:
        InputError: they are not.
    """
    lost = (name for name, weight in model.named_parameters() if weight.requires_grad and not weight.isfinite().all())
    if name := next(lost, None):
        raise InputError(
            f"step {step}: the weights {name} are no longer finite, so none are saved; {describe_last(output_dir)}; "
            "take a lower --learning-rate"
        )


@contextmanager
def told_full_memory(args: TrainingArguments, in_training: bool) -> Iterator[None]:
    """A batch that has no room in memory, told with the flags by which it has.

    Raises:
        InputError: in the place of what torch says.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or should_reduce_batch_size(error)):
            raise
        size, steps = args.per_device_train_batch_size, args.gradient_accumulation_steps
        if not in_training:
            size = args.per_device_eval_batch_size
            flags = f"take --per-device-eval-batch-size {max(size // 2, 1)}, which changes no result"
        elif size > 1:
            flags = f"take --activation-checkpointing, or --batch-size {size // 2} --gradient-accumulation-steps "
            flags += f"{2 * steps}, which make the same step"
        else:
            flags = "take --activation-checkpointing"
        found = f"a batch of {size} clips does not fit into the memory"
        raise InputError(f"{found}: {flags}; {describe_last(args.output_dir)}") from error


@contextmanager
def noted_termination() -> Iterator[Callable[[], bool]]:
    """SIGTERM, by which clusters say that they take a machine away, ends nothing within; gives whether it came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


class StopWhenTold(TrainerCallback):
    """Saves the step that a SIGTERM came in, of all processes if it came to one, and ends the program."""

    def __init__(self, is_told: Callable[[], bool], accelerator: Accelerator, output_dir: str):
        self.is_told, self.accelerator, self.output_dir = is_told, accelerator, output_dir
        self.stops = False

    def on_step_end(self, args, state, control, **kwargs):
        told = torch.tensor(int(self.is_told()), device=self.accelerator.device)
        self.stops = bool(self.accelerator.reduce(told, "sum").item())
        # Keep: not behind the last step of an epoch, whose evaluation would not be done by the run that goes on.
        if self.stops and not float(state.epoch).is_integer():
            control.should_save = True

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.stops:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        if self.stops:
            if state.is_world_process_zero:
                complain(
                    "note",
                    f"stopped by SIGTERM after step {state.global_step} of {state.max_steps}, which is saved: "
                    f"{Path(self.output_dir, f'checkpoint-{state.global_step}')}; the same command with "
                    "--resume-from-checkpoint last goes on",
                )
            raise SystemExit(STOPPED)


def ignore_termination(seed_worker: Callable[[int], None] | None, number: int) -> None:
    """Start a loader's worker, which lets its parent decide where SIGTERM is sent to all processes of a run."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if seed_worker is not None:
        seed_worker(number)
