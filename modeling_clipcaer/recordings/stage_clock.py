"""Where the time of an analysis goes."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up the seconds of each stage.

    Attributes:
        seconds (`dict[str, float]`): of each stage that ran.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin

    def over(self, stage: str, items: Iterable) -> Iterator:
        """`items`; the time that it takes to get each is the stage's."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
