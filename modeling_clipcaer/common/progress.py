"""How far a command is: one bar with a name where a person looks on, and nothing in files and logs."""

import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import parent_process
from typing import TypeVar

from modeling_clipcaer.common.terminal import looks_on


T = TypeVar("T")
REFRESH = 0.1  # seconds between two looks of a bar


class ProgressBar:
    """A bar on the terminal that standard error is, gone once it is left.

    Args:
        name: what is done, as it stands before the bar.
        total: of what `advance` counts.
        done: how much of it was done before.
        hidden: draw none; by default where nobody looks on.
    """

    def __init__(self, name: str, total: float, done: float = 0.0, hidden: bool = False):
        self.name, self.total, self.done = name, total, done
        # Keep: none of a child's. Several would be drawn over each other.
        self._hidden = hidden or not looks_on(sys.stderr) or parent_process() is not None
        self._first, self._shown, self._started = done, 0.0, time.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this pace; `None` before anything is done."""
        done = self.done - self._first
        return (time.monotonic() - self._started) / done * max(self.total - self.done, 0.0) if done > 0 else None

    def __enter__(self) -> "ProgressBar":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Draw it."""
        if not self._hidden:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            # Keep: no thread of its own. Processes that are forked meanwhile would inherit its locks.
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
                expand=True,
                redirect_stdout=looks_on(sys.stdout),
            )
            self._task = self._progress.add_task(self.name, total=self.total, left="")
            self._progress.start()
            self._show()

    def stop(self) -> None:
        """Take it away."""
        if not self._hidden:
            self._progress.stop()

    def advance(self, amount: float = 1.0) -> None:
        """So much more is done."""
        self.move(self.done + amount)

    def move(self, done: float, name: str | None = None) -> None:
        """So much is done; from now on of another `name`, if there is one."""
        self.done = done
        is_renamed = name not in (None, self.name)
        self.name = name or self.name
        if not self._hidden and (is_renamed or time.monotonic() - self._shown > REFRESH):
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._progress.update(
            self._task,
            completed=self.done,
            description=self.name,
            left="" if self.left is None else f"{show_clock(self.left)} left",
            refresh=True,
        )


def track(items: Iterable[T], name: str, total: float) -> Iterator[T]:
    """`items`, of which there are `total`, while a bar counts them."""
    with ProgressBar(name, total) as bar:
        for item in items:
            yield item
            bar.advance()


def show_clock(seconds: float) -> str:
    """`0:07`, `12:30`, `2:03:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def hide_progress_bars(of_models: bool = True) -> None:
    """Let datasets draw no bars, nor transformers where models are loaded and saved. What is fetched from the Hub, by
    the gigabyte, keeps its own where a person looks on."""
    import datasets

    datasets.disable_progress_bars()
    if of_models:
        from huggingface_hub.utils import enable_progress_bars
        from transformers.utils import logging

        logging.disable_progress_bar()
        if looks_on(sys.stderr):
            enable_progress_bars()
