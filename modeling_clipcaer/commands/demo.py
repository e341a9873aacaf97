"""The whole way on drawn data: draw, build, train on the tiny CLIP, test, and turn a recording into a timeline.

    clipcaer demo [FOLDER]

takes about 2.5 minutes on 2 CPU cores. Nothing is downloaded.
"""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object


LAUNCH = ("accelerate.commands.launch", "--config_file", "accelerate_config", "-m", "modeling_clipcaer.commands.train")
# What each step is, and its words; `OUT` is the demo's folder.
STEPS = (
    ("draw student scenes in RAER's layout", "synthetic --output OUT/drawn --seed 1"),
    ("build the dataset", "build raer --root OUT/drawn --output OUT/dataset --val-share 0.15"),
    (
        "measure the CLIP model without training",
        "zero-shot --clip-model tiny_clip --labels-file demo_labels --num-frames 8 --num-context-tokens 4 "
        "--face-margin 4 --dataset OUT/dataset --output OUT/zero_shot",
    ),
    (
        "train, select on the validation split, test once",
        "train --config demo --dataset OUT/dataset --output OUT/model",
    ),
    (
        "evaluate the checkpoint",
        "evaluate --model OUT/model --dataset OUT/dataset --split test --tower-dtype float32 --output OUT/evaluation",
    ),
    (
        "draw a classroom with three students",
        "draw --output OUT/video/lesson.mp4",
    ),
    (
        "the timeline of this recording",
        "predict OUT/video/lesson.mp4 --model OUT/model --output OUT/prediction "
        "--bounding-box-face OUT/video/lesson.face.json --bounding-box-body OUT/video/lesson.body.json "
        "--window 3 --stride 1 --tower-dtype float32 --overlay --show-faces --report --explain 6 --explain-frames",
    ),
)


@dataclass
class DemoArguments:
    """Where all of it goes."""

    output: str = option("outputs/demo", "Folder for all that is made.", positional=True)


def main() -> None:
    (args,) = parse_arguments((DemoArguments,), sys.argv[1:], __doc__)
    out = Path(args.output)
    if out.exists():
        raise InputError(f"{out} exists; remove it, or name another folder: clipcaer demo FOLDER")
    for number, (title, line) in enumerate(STEPS, 1):
        words = [word.replace("OUT", str(out), 1) for word in line.split()]
        tell(Text(f"\n{number}/{len(STEPS)} {title}", "result"))
        tell(f"clipcaer {shlex.join(words)}", hang=2)
        run(words)
    tell_results(out)


def run(words: list[str]) -> None:
    """Run a command in a process of its own; training as on any machine, by accelerate."""
    if words[0] == "train":
        module, *flags = LAUNCH
        start = [module, *(find_preset(flag) for flag in flags), *words[1:]]
    else:
        start = ["modeling_clipcaer.commands.main", *words]
    if status := subprocess.run([sys.executable, "-m", *start], check=False).returncode:
        raise InputError(f"clipcaer {words[0]} ended with status {status}: see above")


def tell_results(out: Path) -> None:
    """Print what the demo measured, and where to look."""
    report, zero_shot = (read_object(out / name / "report.json") for name in ("evaluation", "zero_shot"))
    majority = report["majority_baseline"]
    tell(f"\n{report['num_clips']} drawn test clips of people unseen in training    UAR %   WAR %")
    for name, figures in (
        (f"always answering {majority['label']}", majority),
        ("the tiny CLIP without training (zero-shot)", zero_shot),
        ("ClipCaer", report),
    ):
        tell(f"  {name:<52} {figures['uar']:5.1f}   {figures['war']:5.1f}")
    tell("\nThese are figures of drawings, not of people. Look at")
    for words, path in (
        ("every figure, with intervals", "evaluation/report.md"),
        ("how the losses went down", "model/training_curves.png"),
        ("what is taken for what", "model/confusion_matrix.png"),
        ("the checkpoint's model card", "model/README.md"),
        ("the timeline of video/lesson.mp4, in a browser", "prediction/report.html"),
        ("the same on the recording, whose faces are drawn", "prediction/lesson/overlay.mp4"),
        ("the same as a table", "prediction/timeline.csv"),
    ):
        tell(add_path(f"  {words}", out / path))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
