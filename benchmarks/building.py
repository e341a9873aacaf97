"""Building and auditing a dataset of paths: time and memory against the number of clips.

python benchmarks/building.py
python benchmarks/building.py --num-clips 20000 --by-builder

Clips in RAER's layout with a face box for every frame and a body box, jpg files that are links to a few pictures. Each
build runs in a process of its own, with its workers; memory is that of the largest of them.
"""

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command


# Keep: what takes long to import is imported where it is used. The processes of a build import the script that started
# it, and the commands are as light.

FACE_BOX, BODY_BOX = [20.0, 10.0, 40.0, 30.0], [8.0, 4.0, 56.0, 46.0]
LINKS = 30_000  # of one file; file systems allow no more than about 65,000
TEST_EVERY = 5  # of so many clips one is for testing


@dataclass
class BuildingBenchmarkArguments:
    """What is built."""

    num_clips: list[int] = option(None, "Clips of a dataset; 1,000, 10,000 and 100,000 by default.", nargs="+")
    clip_frames: int = option(8, "Frames of a clip.")
    by_builder: bool = option(False, "Prepare the same rows by the builder of the `datasets` library, too.")
    num_proc: int = option(os.cpu_count() or 1, "Processes of a build; all cores by default.")


def main() -> None:
    from machine import print_report, render_table, run_apart

    (args,) = parse_arguments((BuildingBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before, rows = os.getloadavg()[0], []
    for num_clips in args.num_clips or [1_000, 10_000, 100_000]:
        with TemporaryDirectory() as name:
            raer, output = Path(name, "RAER"), Path(name, "dataset")
            write_raer(raer, num_clips, args.clip_frames)
            cells = []
            for function in (time_build, time_audit, time_builder)[: 3 if args.by_builder else 2]:
                (seconds, workers_mb), own_mb = run_apart(function, raer, output, args.num_proc)
                cells += [f"{seconds:.3g}", f"{num_clips / seconds:.0f}", f"{max(workers_mb, own_mb):.0f}"]
            rows.append([f"{num_clips:,}", *cells])
    steps = ("build", "audit", "builder")[: 3 if args.by_builder else 2]
    header = ["clips", *(title for step in steps for title in (f"{step}, s", "clips/s", "peak memory, MB"))]
    notes = f"{args.clip_frames} frames a clip, {args.num_proc} processes. Files in the page cache."
    print_report(load_before, notes, render_table(header, rows), packages=("datasets", "pillow"))


def time_build(raer: Path, output: Path, num_proc: int) -> tuple[float, float]:
    """Seconds of a build, and MB of its largest worker."""
    from modeling_clipcaer.data.layouts.raer import build_dataset

    start = time.perf_counter()
    build_dataset(raer, output, num_proc)
    return time.perf_counter() - start, read_workers_mb()


def time_audit(raer: Path, output: Path, num_proc: int) -> tuple[float, float]:
    """The same of an audit that decodes nothing."""
    from modeling_clipcaer.data.audit.dataset import audit_dataset

    start = time.perf_counter()
    audit_dataset(output, num_proc=num_proc)
    return time.perf_counter() - start, read_workers_mb()


def time_builder(raer: Path, output: Path, num_proc: int) -> tuple[float, float]:
    """The same of the rows alone, without a record, by `datasets`' own machine."""
    from modeling_clipcaer.data.layouts.raer_builder import Raer

    start = time.perf_counter()
    builder = Raer.create(cache_dir=output.with_name("cache"), root=raer)
    builder.download_and_prepare(num_proc=num_proc)
    builder.as_dataset()
    return time.perf_counter() - start, read_workers_mb()


def read_workers_mb() -> float:
    """Greatest peak of the processes that this one has started and that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6


def write_raer(raer: Path, num_clips: int, clip_frames: int) -> None:
    """RAER's folders, lists and box files."""
    names = [f"{number}.jpg" for number in range(1, clip_frames + 1)]
    lists = {"train": [], "test": []}
    faces, bodies = {}, {}
    for folder in ("annotation", "bounding_box", "images"):
        (raer / folder).mkdir(parents=True)
    for number in range(num_clips):
        if number % (LINKS // clip_frames) == 0:
            picture = raer / f"{number}.jpg"
            Image.new("RGB", (64, 48), (number % 256, 90, 120)).save(picture)
        clip = f"images/Class/Hall/P{number // 100:04d}/{number % 100:03d}"
        (raer / clip).mkdir(parents=True)
        for name in names:
            (raer / clip / name).hardlink_to(picture)
        split, label = "test" if number % TEST_EVERY == 0 else "train", number % 7 % 5 + 1
        lists[split].append(f"RAER/{clip} {clip_frames} {label}")
        faces[clip], bodies[clip] = dict.fromkeys(names, FACE_BOX), BODY_BOX
    for name, lines in lists.items():
        (raer / "annotation" / f"{name}.txt").write_text("\n".join(lines))
    for name, boxes in (("face", faces), ("body", bodies)):
        (raer / "bounding_box" / f"{name}.json").write_text(json.dumps(boxes))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
