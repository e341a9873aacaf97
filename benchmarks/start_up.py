"""How long a command takes until it answers: `--help` of each, and the first line of those that work on data.

python benchmarks/start_up.py

Wall-clock seconds of a process from its start to its first line on standard output, the median of several starts after
one that is not counted. Nothing is measured of what the command then does.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

from machine import print_report, render_table

from modeling_clipcaer.commands.main import COMMANDS
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command


DATA_COMMANDS = (
    "synthetic --output drawn --clips-train 1 --clips-test 5 --num-workers 1",
    "build raer --root nowhere --output built",
    "build csv --csv nowhere.csv --output built",
    "audit nowhere",
    "detect-boxes nowhere --output boxes",
    "view nowhere --output sheet.png",
    "parquet nowhere --output shards --embed none",
    "clip-to-video --dataset nowhere --output clip.mp4",
)


@dataclass
class StartUpBenchmarkArguments:
    """How often each command is started."""

    turns: int = option(5, "Starts of a command.")


def first_line(words: list[str]) -> float:
    """Seconds to the first line of a command."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "modeling_clipcaer.commands.main", *words]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()
        seconds = time.perf_counter() - start
        process.kill()
        process.communicate()
    return seconds


def main() -> None:
    (args,) = parse_arguments((StartUpBenchmarkArguments,), sys.argv[1:], __doc__)
    load = os.getloadavg()[0]
    lines = ["--help", *(f"{name} --help" for name in COMMANDS), *DATA_COMMANDS]
    rows = []
    for line in lines:
        seconds = [first_line(line.split()) for _ in range(args.turns + 1)][1:]
        rows.append([f"`clipcaer {line}`", f"{median(seconds):.2f}", f"{max(seconds):.2f}"])
    print_report(
        load,
        "Each command in a process of its own.",
        render_table(["until the first line of", "median, s", "longest, s"], rows),
    )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
