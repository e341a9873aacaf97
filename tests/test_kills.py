"""Killed at any moment, the same command ends with the files of a run that was left alone, to the last bit."""

import contextlib
import functools
import io
import json
import random
import signal
import sys
from unittest import mock

import pytest

from helpers import videos
from helpers.small_material import make_material
from helpers.small_run import train_small
from helpers.train_command import LAUNCH, start
from modeling_clipcaer.commands.main import start as clipcaer


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """For each command a function from its output folder to its words, and the files that a run left alone leaves."""
    base = tmp_path_factory.getbasetemp()
    material = make_material(base)
    annotation = material.raer / "annotation"
    lists = [f"--{name}-annotation" for name in ("train", "val", "test")]
    files = [annotation / f"{split}.txt" for split in ("train", "validation", "test")]
    own = ["--root-dir", material.raer, *(word for pair in zip(lists, files, strict=True) for word in pair)]
    train = ["train", *own, "--clip_model", material.clip, *material.flags[4:], "--epochs", 2]
    train += [
        "--batch-size",
        8,
        "--weighted_sampler",
        "--temporal_dropout",
        0.3,
        "--cache_frame_embeds",
        "--cache_views",
        2,
    ]
    train += ["--save_strategy", "steps", "--save_steps", 1, "--eval_strategy", "steps", "--eval_steps", 1]
    train += ["--logging_strategy", "steps", "--logging_steps", 1, "--save_total_limit", 2]
    train += ["--resume_from_checkpoint", "last", "--no-baselines"]
    build = ["build", "raer", "--root", material.raer.parent, "--val-annotation", files[1]]
    model, lessons = train_small(base), base / "killed_lessons"
    lessons.mkdir()
    for number in range(3):
        videos.write_video(lessons / f"{number}.mp4", videos.crossing_squares(30), fps=3)
    predict = ["predict", lessons, "--model", model, "--window", 3, "--stride", 2, "--face-detector", "haar"]
    return {"train": train, "build": build, "predict": predict}


def run(words, output, processes=1, kill=None):
    """Its exit status and what it told. One process that is not killed is this one, which has imported everything."""
    words = [*words, "--output", output]
    if processes == 1 and not kill:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told), mock.patch.object(sys, "argv", []):
            return clipcaer(*map(str, words[:1]), words=[*map(str, words[1:])]), told.getvalue()
    words = ["tests/helpers/killed.py", *(kill or ("never", 0, 0, 0)), *words]
    process = start(*((*LAUNCH[:-1], processes) if processes > 1 else ()), *words)
    told = process.communicate(timeout=600)[0].decode()
    return process.returncode, told


@pytest.fixture(scope="session")
def left_alone(commands, tmp_path_factory):
    """The output folder of each command, of one process or two, that nobody killed."""

    @functools.cache
    def folder(name, processes):
        output = tmp_path_factory.mktemp("left_alone") / "out"
        status, told = run(commands[name], output, processes)
        assert status == 0, told[-3000:]
        return output

    return folder


def kill_and_go_on(commands, left_alone, tmp_path, name, processes, kind, nth, milliseconds):
    output = tmp_path / "out"
    kill = (kind, nth, milliseconds, processes - 1 if kind in ("step", "evaluation") else 0)
    status, told = run(commands[name], output, processes, kill)
    assert status == -signal.SIGKILL, told[-3000:]  # of the group, its launcher too
    left = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.glob("**/*")) if tells_moment(path)]
    status, told = run(commands[name], output, processes)
    assert status == 0, told[-3000:]
    assert_same_files(output, left_alone(name, processes))
    return left


def tells_moment(path):
    """Whether it is a checkpoint, or something that is not complete."""
    return (path.is_dir() and path.name.startswith("checkpoint-")) or path.name.startswith(
        (".partial", ".out-", ".dataset-")
    )


def assert_same_files(output, expected):
    """Two folders hold the same names, and files of the same bytes but for times and the folders' own names."""
    names = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (output, expected)
    ]
    assert names[0] == names[1]
    different = [name for name in sorted(names[0]) if (output / name).read_bytes() != (expected / name).read_bytes()]
    for name in different:
        assert name.endswith(TEXTS), name
        left, right = (comparable(folder / name, folder) for folder in (output, expected))
        assert left == right, name


TEXTS = (".json", ".md", ".yaml", ".html")
# What a run tells of its own times; the digests of a record are of files that do. `datasets` draws the last.
TIMES = {"seconds", "sha256", "trainer_state.json", "_fingerprint"}


def comparable(path, folder):
    text = path.read_text().replace(str(folder), "OUT").replace(str(folder.parent), "PARENT")
    return without_times(json.loads(text)) if path.suffix == ".json" else text


def without_times(content):
    if isinstance(content, dict):
        kept = {key for key in content if key not in TIMES and not key.endswith(("_runtime", "_per_second"))}
        return {key: without_times(content[key]) for key in kept}
    return [without_times(value) for value in content] if isinstance(content, list) else content


# Of each command and number of processes, at what it is killed, and how often it does that at most.
KINDS = {
    ("train", 1): {"step": 6, "evaluation": 12, "checkpoint": 6, "record": 6, "cache": 3, "dataset": 1, "results": 1},
    ("train", 2): {"step": 4, "evaluation": 4, "checkpoint": 4, "cache": 2, "results": 1},
    ("build", 1): {"dataset": 1, "replacing": 1},
    ("predict", 1): {"windows": 12, "timeline": 3},
}
TWICE = {("train", 1): ("step", "checkpoint"), ("train", 2): ("step", "checkpoint")}


def draw_moments(seed):
    """Twenty moments: command, processes, kind of work, the how-manieth time, and milliseconds from its beginning."""
    rng = random.Random(seed)
    for (name, processes), kinds in KINDS.items():
        for kind in (*kinds, *TWICE.get((name, processes), ())):
            yield name, processes, kind, rng.randint(1, kinds[kind]), round(rng.uniform(0, 30), 1)


MOMENTS = list(draw_moments(17))
FEW = [MOMENTS[3], MOMENTS[-1], MOMENTS[-3]]


@pytest.mark.slow
@pytest.mark.parametrize("moment", FEW, ids=str)
def test_a_killed_command_given_again_ends_as_if_it_had_been_left_alone(commands, left_alone, tmp_path, moment):
    kill_and_go_on(commands, left_alone, tmp_path, *moment)


@pytest.mark.reliability
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_twenty_kills(commands, left_alone, tmp_path, moment):
    """With `-s` each tells what was in the output at that moment."""
    name, processes, kind, nth, milliseconds = moment
    left = kill_and_go_on(commands, left_alone, tmp_path, *moment)
    print(f"{name}, {processes} processes, {milliseconds:4} ms into {kind} {nth}: left {', '.join(left) or 'nothing'}")
