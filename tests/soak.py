"""Hours of work in minutes of reading: whether anything grows that should not.

    python tests/soak.py train --minutes 60 --output soak/train
    python tests/soak.py predict --videos 1000 --output soak/predict
    python tests/soak.py lecture --minutes 240 --output soak/lecture

Each starts the real command, watches its processes by what Linux says of them, writes a line a look to
`OUTPUT/looks.jsonl` and ends with a line a measure: its value in the second eighth of the run and in the last one, and
the most of all. `train` and `predict` end with status 1 where memory, open files, threads or temporary files grew.
`lecture` compares the peak with that of the first ten minutes of the same recording.
docs/reliability.md has the last figures. The recordings are drawn, and a stand-in finds their faces.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers import videos


ROOT = Path(__file__).parents[1]
# The share by which a measure may be higher at the end: what an allocator holds back wavers by as much.
TOLERANCE = {"memory_mb": 0.03, "open_files": 0.0, "threads": 0.0, "temporary_files": 0.0}
COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (210, 210, 30), (30, 200, 200), (200, 30, 200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "predict", "lecture"))
    parser.add_argument("--minutes", type=float, default=60, help="of training, or of the lecture")
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--output", type=Path, required=True)
    if sys.argv[1:2] == ["work"]:  # what the others start
        raise SystemExit(predict_with_stand_in(sys.argv[2:]))
    args = parser.parse_args()
    args.output = args.output.absolute()
    shutil.rmtree(args.output, ignore_errors=True)
    args.output.mkdir(parents=True)
    raise SystemExit({"train": soak_training, "predict": soak_prediction, "lecture": soak_lecture}[args.what](args))


# What is run


def soak_training(args) -> int:
    """Epochs with an evaluation, a checkpoint and a worker process each, until the time is over."""
    from helpers.small_material import make_material

    flags = make_material(args.output).flags
    flags += ["--epochs", "100000", "--output_dir", str(args.output / "run"), "--dataloader_num_workers", "1"]
    flags += ["--save_total_limit", "2", "--disable_tqdm", "true", "--lr_scheduler_type", "constant"]
    looks = watch([str(ROOT / "recipes" / "train.py"), *flags], args.output, every=10, minutes=args.minutes)
    (folder, *_) = sorted((args.output / "run").glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    print(f"the run was stopped at {folder.name}")
    return judge(looks, args.output)


def soak_prediction(args) -> int:
    """One call for many short videos."""
    from helpers.small_run import train_small

    model, folder = train_small(args.output), args.output / "videos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(args.videos):
        places = [{videos.RED: rng.uniform((25, 25), (135, 95))} for _ in range(6)]
        videos.write_video(folder / f"{number:04d}.mp4", videos.squares(places), fps=2)
    words = [str(folder), "--model", str(model), "--output", str(args.output / "predicted"), *("--window", "3")]
    return judge(watch(own_words(*words, "--stride", "2"), args.output, every=2), args.output)


def soak_lecture(args) -> int:
    """A long lecture of six people, and its first ten minutes."""
    from helpers.small_run import train_small

    model = train_small(args.output)
    lecture = videos.write_video(args.output / "lecture.mp4", draw_lecture(round(60 * args.minutes)), fps=1)
    peaks = {}
    for name, more in (("ten minutes", ("--duration", "600")), (f"{args.minutes:g} minutes", ())):
        place = args.output / name.replace(" ", "_")
        words = (str(lecture), "--model", str(model), "--output", str(place / "predicted"), *more)
        looks = watch(own_words(*words), place, every=0.5)
        peaks[name] = max(look["peak_mb"] for look in looks)
        rows = sum(len(path.read_text().splitlines()) for path in place.rglob("lecture/timeline.csv")) - 1
        seconds = looks[-1]["second"] - looks[0]["second"]
        print(f"{name}: peak {peaks[name]:.0f} MB, {rows} rows, {seconds:.0f} s", flush=True)
    ten, whole = peaks.values()
    print(f"peak of {args.minutes:g} minutes over that of ten: {whole / ten:.3f}")
    return 0


def draw_lecture(seconds: int) -> Iterator[np.ndarray]:
    """Six squares that waver at their seats, a frame a second; each is out of the picture for some minutes."""
    rng = np.random.default_rng(0)
    for second in range(seconds):
        seats = {
            colour: np.array([30 + 65 * (place % 3), 35 + 70 * (place // 3)]) + rng.uniform(-4, 4, 2)
            for place, colour in enumerate(COLOURS)
            if (second // 120 + 2 * place) % 12
        }
        yield from videos.squares([seats], size=(192, 144))


def own_words(*flags: str) -> list[str]:
    return [__file__, "work", *flags]


def predict_with_stand_in(flags: list[str]) -> int:
    """`clipcaer predict` with squares in the place of faces."""
    from helpers.stand_in_faces import SquareDetector
    from modeling_clipcaer.commands import predict
    from modeling_clipcaer.common.terminal import run_command
    from modeling_clipcaer.prediction import loading

    loading.build_face_detector = lambda kind, weights: SquareDetector(COLOURS)
    sys.argv = ["predict", *flags]
    return run_command(predict.main)


# What is watched


def watch(words: list[str], output: Path, every: float, minutes: float | None = None) -> list[dict]:
    """Run Python with `words`, and look at it every so many seconds; after `minutes` it is asked to end."""
    temporary = output / "temporary"
    temporary.mkdir(parents=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
    }
    environment["HF_HUB_OFFLINE"] = "1"
    looks, start = [], time.monotonic()
    with (output / "told.txt").open("w") as told, (output / "looks.jsonl").open("w") as file:
        process = subprocess.Popen([sys.executable, *words], stdout=told, stderr=told, env=environment)
        try:
            while process.poll() is None:
                second = time.monotonic() - start
                look = {"second": round(second, 1), **look_at(process.pid, temporary)}
                if look.get("memory_mb"):
                    looks.append(look)
                    file.write(json.dumps(look) + "\n")
                    file.flush()
                if minutes is not None and second > 60 * minutes:
                    process.send_signal(signal.SIGTERM)
                    break
                time.sleep(every)
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
    print(f"{' '.join(Path(word).name for word in words[:2])}: status {status}, {looks[-1]['second']:.0f} s")
    if status != 0 and minutes is None:
        raise SystemExit((output / "told.txt").read_text()[-3000:])
    return looks


def look_at(process: int, temporary: Path) -> dict[str, float]:
    """Of the process alone: those that it starts come and go. Its children are counted."""
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        return {
            "memory_mb": int(status["RssAnon"].split()[0]) / 1024,
            "peak_mb": int(status["VmHWM"].split()[0]) / 1024,
            "threads": int(status["Threads"]),
            "open_files": len(os.listdir(f"/proc/{process}/fd")),
            "temporary_files": sum(1 for _ in temporary.rglob("*")),
        }
    except (OSError, KeyError):  # it has ended
        return {}


def judge(looks: list[dict], output: Path) -> int:
    """Compare the middle of the second eighth of a run, when all is warm, with that of the last one."""
    eighth, grew = max(len(looks) // 8, 1), []
    for name, tolerance in TOLERANCE.items():
        early, late = (
            statistics.median(look[name] for look in part) for part in (looks[eighth : 2 * eighth], looks[-eighth:])
        )
        most = max(look[name] for look in looks)
        print(f"{name}: {early:.1f} early, {late:.1f} late, {most:.1f} at most")
        if late > early * (1 + tolerance) + 0.5:
            grew.append(name)
    print(f"grew: {', '.join(grew) or 'nothing'}; {len(looks)} looks in {output / 'looks.jsonl'}")
    return int(bool(grew))


if __name__ == "__main__":
    main()
