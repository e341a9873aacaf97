"""Worker processes that start anew."""

import multiprocessing
import os
from multiprocessing.context import BaseContext


def start_anew(module: str) -> BaseContext:
    """How worker processes start: not as copies of this one, with the module of their work imported once for all.

    Keep: fork would copy the locks of threads that this process has used, and the copy waits for ever.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([module])  # imports take seconds: once, not once a process
    return context


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
