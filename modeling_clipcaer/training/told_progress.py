"""How a trainer goes, told: one bar, and in training a line an epoch, in place of the library's bars and dumps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from modeling_clipcaer.common.progress import ProgressBar, show_clock
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.losses.table import ADDED_LOSSES


WIDTH = 7  # of a column


@contextmanager
def telling_progress(trainer: Trainer) -> Iterator[None]:
    """Let a trainer tell how it goes as our commands do."""
    for library in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(library)
    teller = _Teller()
    trainer.add_callback(teller)
    try:
        yield
    finally:
        teller.close()


class _Teller(TrainerCallback):
    """Tells what an epoch logs, and what is then measured of it, in a line. One bar is for the whole training, and one
    for each split that is measured outside of it."""

    training: ProgressBar | None = None
    measuring: ProgressBar | None = None

    def close(self) -> None:
        """Take the bars away."""
        for bar in (self.training, self.measuring):
            if bar is not None:
                bar.stop()
        self.training = self.measuring = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.row: dict[str, Any] = {}  # what is logged since the last line
        self.columns = {
            "loss": "loss",
            "cls": "loss_classification",
            **{loss.name.upper(): f"loss_{loss.name}" for loss in ADDED_LOSSES if loss.is_on(args)},
            **({} if args.eval_strategy == "no" else {"val UAR": "eval_uar", "WAR": "eval_war"}),
            "lr": "learning_rate",
        }
        if state.is_world_process_zero:
            tell("")
            if args.eval_strategy != "no":
                measure = (args.metric_for_best_model or "nothing").upper()
                tell(f"* marks the best epoch so far, by {measure} on the validation split")
            tell(_join("epoch", [*self.columns, "left"]))
            self.training = ProgressBar("training", state.max_steps, state.global_step, args.disable_tqdm)
            self.training.start()

    def on_step_end(self, args, state, control, **kwargs):
        if self.training is not None:
            epoch = min(int(state.epoch) + 1, state.num_train_epochs)
            self.training.move(state.global_step, f"epoch {epoch} of {state.num_train_epochs}")

    def on_prediction_step(self, args, state, control, eval_dataloader=None, **kwargs):
        if self.training is not None:
            self.training.move(state.global_step, "validating")
        elif state.is_world_process_zero:
            if self.measuring is None:
                self.measuring = ProgressBar("measuring", len(eval_dataloader), hidden=args.disable_tqdm)
                self.measuring.start()
            self.measuring.advance()

    def on_predict(self, args, state, control, **kwargs):
        if self.training is None:
            self.close()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.training is None:
            return
        if "loss" in logs and self.row:  # which nothing was measured of
            self._tell_row(args, state)
        if "loss" in logs or "eval_loss" in logs:
            self.row |= logs
        if "eval_loss" in logs or args.eval_strategy == "no":
            self._tell_row(args, state)

    def on_train_end(self, args, state, control, **kwargs):
        self._tell_row(args, state)
        self.close()
        if state.is_world_process_zero:
            tell("")

    def _tell_row(self, args, state) -> None:
        row, self.row = self.row, {}
        if self.training is None or not row:
            return
        cells = [_show(name, row.get(name)) for name in self.columns.values()]
        left = "" if self.training.left is None else show_clock(self.training.left)
        measure = f"eval_{(args.metric_for_best_model or '').removeprefix('eval_')}"
        is_best = measure in row and _is_better(row[measure], state.best_metric, args.greater_is_better)
        tell(_join(f"{row['epoch']:.4g}", [*cells, left]) + ("  *" if is_best else ""))


def _join(epoch: str, cells: list[str]) -> str:
    return "  ".join([f"{epoch:>5}", *(f"{cell:>{WIDTH}}" for cell in cells)])


def _show(name: str, value: float | None) -> str:
    """A figure of the log: measures are in percent, learning rates and small losses go by their first digits."""
    if value is None:
        return "–"
    if name in ("eval_uar", "eval_war"):
        return f"{value:.1f} %"
    return f"{value:.1e}" if name == "learning_rate" or 0 < abs(value) < 1e-3 else f"{value:.4f}"


def _is_better(value: float, best: float | None, greater: bool) -> bool:
    return best is None or (value > best if greater else value < best)
