"""A command that is killed at a chosen moment: `killed.py KIND NTH MILLISECONDS PROCESS COMMAND FLAGS...`.

A while after it has begun KIND of work for the NTH time it gets SIGKILL, with its launcher and the other processes
of it: no handler runs, no block ends, nothing is flushed. PROCESS says whose work is counted.
"""

import functools
import importlib
import os
import sys
import threading
import time

import psutil

from modeling_clipcaer.commands import main as command


# What the process is doing, by the function that does it.
KINDS = {
    "step": "modeling_clipcaer.training.trainer:ClipCaerTrainer.training_step",
    "evaluation": "modeling_clipcaer.training.trainer:ClipCaerTrainer.prediction_step",
    "checkpoint": "modeling_clipcaer.training.resumable_trainer:ResumableTrainer._save_checkpoint",
    "record": "modeling_clipcaer.training.resumable_trainer:write_record",
    "cache": "modeling_clipcaer.training.clip_cache:_write_file",
    "dataset": "modeling_clipcaer.data.build:read_splits",
    "replacing": "modeling_clipcaer.data.build:replace_folder",
    "results": "modeling_clipcaer.reports.evaluation:write_report",
    "windows": "modeling_clipcaer.prediction.recordings:window_row",
    "timeline": "modeling_clipcaer.prediction.recordings:write_recording",
    "tables": "modeling_clipcaer.prediction.files:write_manifest",
}


def main() -> None:
    kind, nth, milliseconds, process, *words = sys.argv[1:]
    if kind != "never" and int(os.environ.get("RANK", 0)) == int(process):
        arm(KINDS[kind], int(nth), float(milliseconds) / 1000)
    sys.argv = ["clipcaer", *words]
    raise SystemExit(command.main())


def arm(place: str, nth: int, delay: float) -> None:
    module_name, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module_name))
    real, calls = getattr(owner, name), []

    @functools.wraps(real)
    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == nth:
            threading.Thread(target=kill, args=(delay,), daemon=True).start()
        return real(*args, **kwargs)

    setattr(owner, name, counted)


def kill(delay: float) -> None:
    victims = [psutil.Process()]
    if "RANK" in os.environ:  # the launcher, which would end the others in an orderly way, first
        launcher = victims[0].parent()
        victims = [launcher, *launcher.children(recursive=True)]
    time.sleep(delay)
    for victim in sorted(victims, key=lambda process: process.pid == os.getpid()):
        victim.kill()


if __name__ == "__main__":
    main()
