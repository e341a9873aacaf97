"""Files are there and whole, or not there; readable as the umask has it; held by one run; refused in one line."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from helpers.places import ROOT
from helpers.small_material import make_material, run_main
from helpers.small_run import train_small
from modeling_clipcaer.commands import (
    clip_to_video,
    detect_boxes,
    evaluate,
    export,
    predict,
    pretrain_tiny_clip,
    train,
    zero_shot,
)
from modeling_clipcaer.commands import parquet as write_parquet
from modeling_clipcaer.commands import view as view_samples
from modeling_clipcaer.common.disk import check_room, tell_disk_errors
from modeling_clipcaer.common.files import complete_file, complete_folder, remove_folder, staged_folder
from modeling_clipcaer.common.locks import locked_folder, locked_name
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.face_adapter_files import save_face_adapter


@pytest.fixture(params=[0o002, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path) -> int:
    return Path(path).stat().st_mode & 0o777


def write_weights(path):
    save_file({"weight": torch.ones(3)}, path)


def names_in(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Modes


def test_a_file_has_the_mode_that_open_would_give_it(tmp_path, umask):
    with complete_file(tmp_path / "weights.safetensors") as path:
        write_weights(path)  # which are 0600 by themselves
    assert mode_of(tmp_path / "weights.safetensors") == 0o666 & ~umask


@pytest.mark.parametrize("writer", [staged_folder, complete_folder])
def test_a_folder_and_all_in_it_have_the_modes_that_open_and_mkdir_would_give(tmp_path, umask, writer):
    with writer(tmp_path / "out") as folder:
        (folder / "inner").mkdir()
        write_weights(folder / "inner" / "weights.safetensors")
        write_weights(folder / "weights.safetensors")
    assert mode_of(tmp_path / "out") == mode_of(tmp_path / "out" / "inner") == 0o777 & ~umask
    for name in ("weights.safetensors", "inner/weights.safetensors"):
        assert mode_of(tmp_path / "out" / name) == 0o666 & ~umask


# Whole or not there


@pytest.mark.parametrize("writer", [complete_file, staged_folder, complete_folder])
def test_what_is_not_finished_leaves_what_was_there_before(tmp_path, writer):
    with writer(tmp_path / "out") as path:
        (path if path.is_file() else path / "rows").write_text("first")
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path) if (tmp_path / name).is_file()}
    with pytest.raises(RuntimeError), writer(tmp_path / "out") as path:
        (path if path.is_file() else path / "rows").write_text("second")
        raise RuntimeError
    after = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path) if (tmp_path / name).is_file()}
    assert after == before and len(after) == 1


def test_what_says_that_all_is_complete_is_gone_before_the_first_of_the_new_files_is_there(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text("of an earlier run")
    moved = []

    def note(source, target):
        moved.append((Path(target).name, (tmp_path / "report.json").exists()))
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", note)
    with staged_folder(tmp_path) as folder:
        for name in ("report.json", "weights", "a"):
            (folder / name).write_text("new")
    assert moved == [("a", False), ("weights", False), ("report.json", False)]


KILLED = """
import os, sys
from modeling_clipcaer.common.files import complete_file, staged_folder

with complete_file(sys.argv[1] + "/file") as file, staged_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL and len(list(tmp_path.glob(".partial-*"))) == 2
    with complete_file(tmp_path / "file") as path:
        path.write_text("whole")
    with staged_folder(tmp_path):
        pass
    assert names_in(tmp_path) == ["file"]


# Full and forbidden


def test_a_full_disk_is_one_line_with_the_file_and_the_room_there_was(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 0, 8000))
    with pytest.raises(InputError) as caught, staged_folder(tmp_path / "out") as folder:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.safetensors"))
    wanted = (
        f"{tmp_path}/out/model.safetensors: No space left on device; more is needed than the 8.0 kB that were free"
    )
    assert str(caught.value) == wanted


@pytest.mark.parametrize("writer", [complete_file, staged_folder, complete_folder])
def test_a_file_that_may_not_grow_leaves_nothing(tmp_path, writer):
    """The real thing: the system refuses to write on, and torch and safetensors say so in words of their own."""
    script = f"""
import resource, signal, sys, torch
from safetensors.torch import save_file
from modeling_clipcaer.common.files import {writer.__name__}
from modeling_clipcaer.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
save = {{"plain": lambda path: path.write_bytes(bytes(5000)),
         "torch": lambda path: torch.save(torch.zeros(5000), path),
         "safetensors": lambda path: save_file({{"weight": torch.zeros(5000)}}, path)}}
for name in save:
    try:
        with {writer.__name__}(sys.argv[1] + "/" + name) as path:
            save[name](path / "file" if path.is_dir() else path)
    except InputError as error:
        print(name, error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["plain", "torch", "safetensors"]
    assert all(f"{tmp_path}/{line.split()[0]}" in line and ".partial" not in line for line in lines)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_errors_that_are_not_the_disks_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="a defect"), tell_disk_errors(tmp_path):
        raise RuntimeError("a defect")


def test_a_disk_that_is_too_small_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**7, 0, 2 * 10**6))
    check_room(tmp_path / "not" / "there", 2e6)
    with pytest.raises(InputError, match=r"there: 3.5 MB are needed, 2.0 MB are free"):
        check_room(tmp_path / "not" / "there", 3.5e6)


# One run at a time

HOLD = """
import sys
from modeling_clipcaer.common.locks import locked_folder, locked_name

with locked_folder(sys.argv[1]), locked_name(sys.argv[1] + ".png"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_into_a_folder_is_refused_until_the_first_has_ended(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    first = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="out: another run is writing to it"), locked_folder(tmp_path / "out"):
            pass
    finally:
        first.kill()
        first.communicate()
    again = (locked_folder(tmp_path / "out"), locked_folder(tmp_path / "out"), locked_name(tmp_path / "out.png"))
    with again[0], again[1], again[2]:  # the same process may ask again
        (tmp_path / "out" / "result").touch()
    assert names_in(tmp_path) == ["out", "out/result"]


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, which holds also the name of a file beside it, out.png."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    other = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    yield tmp_path / "out"
    other.kill()
    other.communicate()


def test_two_runs_into_one_place_are_refused_by_every_command_before_any_work(
    held, tmp_path, tmp_path_factory, capsys
):
    (tmp_path / "lesson.mp4").touch()
    (tmp_path / "clips" / "one").mkdir(parents=True)
    (tmp_path / "clips" / "one" / "1.jpg").touch()
    material, run = (make(tmp_path_factory.getbasetemp()) for make in (make_material, train_small))
    data, into = ("--dataset", material.dataset), ("--output_dir", held)
    assert run_main(train.main, *material.flags, *into) == 2
    assert run_main(predict.main, tmp_path / "lesson.mp4", "--model", "not/asked", *into) == 2
    assert run_main(evaluate.main, "--model", run, *data, *into) == 2
    assert run_main(zero_shot.main, "--clip_model", material.clip, *data, *into) == 2
    assert run_main(export.main, "--model", run, "--format", "torch_export", *into) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert errors == [f"error: {held}: another run is writing to it; expected one at a time, or another folder"] * 5
    assert names_in(held) == [".lock"]

    file = held.with_name("out.png")
    assert run_main(view_samples.main, material.dataset, "--output", file) == 2
    assert run_main(clip_to_video.main, *data, "--output", file) == 2
    assert run_main(pretrain_tiny_clip.main, "--output_dir", file) == 2
    assert run_main(detect_boxes.main, tmp_path / "clips", "--output", file, "--face-detector", "haar") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert errors == [f"error: {file}: another run is writing it; expected one at a time, or another name"] * 4
    assert not file.exists()


def test_a_run_that_leaves_nothing_leaves_no_folder(tmp_path):
    with pytest.raises(InputError), locked_folder(tmp_path / "new" / "out"):
        raise InputError("refused")
    assert not list(tmp_path.iterdir())


# Reading


def run_as_nobody(script: str, *words: object) -> subprocess.CompletedProcess:
    """Run Python as a user who owns nothing, where this process may become one; imports come first."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    drop = "import os\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
    head, _, body = script.partition("# then as nobody\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", head + drop + body, *map(str, words)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


CHECK = """
import sys
from modeling_clipcaer.errors import InputError, check_readable
# then as nobody
for path in sys.argv[1:]:
    try:
        check_readable(path)
        print("passes")
    except InputError as error:
        print(error)
"""


@pytest.fixture
def open_folder():
    """A folder that other users can come to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_what_may_not_be_read_is_said_to_be_there(open_folder):
    closed, model = open_folder / "closed", open_folder / "model"
    for folder in (closed, model):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    closed.chmod(0o700)
    (model / "config.json").chmod(0o600)
    (open_folder / "link").symlink_to(closed / "config.json")
    (open_folder / "whole").mkdir()
    names = ("closed/config.json", "closed/none", "closed", "model", "model/config.json", "link", "whole", "none")
    result = run_as_nobody(CHECK, *(open_folder / name for name in names))
    assert result.returncode == 0, result.stderr
    denied = "cannot be read: Permission denied"
    assert result.stdout.replace(f"{open_folder}/", "").splitlines() == [
        f"closed/config.json: {denied} (no way through closed)",
        f"closed/none: {denied} (no way through closed)",
        f"closed: {denied}",
        f"model/config.json: {denied}",
        f"model/config.json: {denied}",
        f"link: {denied}",
        "passes",
        "passes",
    ]
    check_readable(open_folder / "closed")  # its owner may


COMMANDS = """
import datasets, importlib, json, pkgutil, sys
import modeling_clipcaer, pyarrow.dataset, scipy.optimize
# Nobody may have no way to what is installed.
for module in pkgutil.walk_packages(modeling_clipcaer.__path__, "modeling_clipcaer."):
    importlib.import_module(module.name)
from transformers import AutoModelForVideoClassification
from modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.frames import open_clip
from modeling_clipcaer.commands import evaluate
from modeling_clipcaer.commands import predict
from modeling_clipcaer.commands import train
from modeling_clipcaer.commands import audit as audit_raer
from modeling_clipcaer.commands import build
# then as nobody
def run(main, *words):
    sys.argv = ["command", *map(str, words)]
    return run_command(main)

folder = sys.argv[1]
out, dataset, model = folder + "/open/out", folder + "/dataset", folder + "/model"
for closed in (model, folder + "/closed/model"):
    assert run(evaluate.main, "--model", closed, "--dataset", dataset, "--output_dir", out) == 2
assert run(predict.main, folder + "/closed/lesson.mp4", "--model", folder + "/open/model", "--output_dir", out) == 2
assert run(audit_raer.main, folder + "/closed/dataset") == 2
assert run(build.main, "raer", "--root", folder + "/closed", "--output", out) == 2
assert run(train.main, "--config", folder + "/closed/run.yaml", "--output_dir", out) == 2
for source in (folder + "/closed/lesson.mp4", folder + "/closed"):
    try:
        open_clip(source)
    except ValueError as error:
        print("error:", error, file=sys.stderr)
try:
    AutoModelForVideoClassification.from_pretrained(model)
except ValueError as error:
    print("error:", error, file=sys.stderr)
"""


@pytest.mark.slow
def test_commands_say_that_a_file_may_not_be_read_and_never_that_it_is_not_there(open_folder, tmp_path_factory):
    run, material = train_small(tmp_path_factory.getbasetemp()), make_material(tmp_path_factory.getbasetemp())
    shutil.copytree(run, open_folder / "model", ignore=shutil.ignore_patterns("checkpoint-*"))
    shutil.copytree(open_folder / "model", open_folder / "open" / "model")
    (open_folder / "model" / "model.safetensors").chmod(0o600)
    shutil.copytree(material.dataset, open_folder / "dataset")
    (open_folder / "closed" / "images").mkdir(parents=True)
    (open_folder / "closed").chmod(0o700)
    (open_folder / "open").chmod(0o777)
    result = run_as_nobody(COMMANDS, open_folder)
    assert result.returncode == 0, result.stderr[-3000:]
    errors = [line for line in result.stderr.replace(f"{open_folder}/", "").splitlines() if line.startswith("error")]
    assert len(errors) == 9
    for error in errors:
        assert ("Permission denied" in error and "closed" in error) or "model/model.safetensors" in error, error
    assert "Traceback" not in result.stderr


def test_the_full_disk_behind_another_error_and_the_written_side_of_a_copy_are_found(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/read/from", None, str(tmp_path / "copy"))
    with pytest.raises(InputError, match=f"{tmp_path}/copy: No space left on device"), tell_disk_errors(tmp_path):
        raise RuntimeError("An error occurred while generating the dataset") from full


@pytest.mark.slow
def test_all_that_commands_write_can_be_read_by_whom_the_umask_allows(tmp_path, tmp_path_factory):
    material = make_material(tmp_path_factory.getbasetemp())
    before = os.umask(0o027)
    try:
        build_dataset(material.raer, tmp_path / "dataset", val_annotation=f"{material.raer}/annotation/validation.txt")
        cache = ("--cache_crops", "--cache_dir", tmp_path / "cache", "--save_trainable_only", "true")
        flags = ("--epochs", 1, "--dataloader_num_workers", 0, "--output_dir", tmp_path / "run", *cache)
        assert run_main(train.main, *material.flags, *flags) == 0
        model, _ = load_checkpoint(str(tmp_path / "run"))
        save_face_adapter(model, tmp_path / "adapter")
        model.save_pretrained(tmp_path / "saved")
        words = (tmp_path / "dataset", "--output", tmp_path / "shards", "--embed", "frames", write_parquet.SHARE_FLAG)
        assert run_main(write_parquet.main, *words) == 0
        export_words = ("--model", tmp_path / "run", "--output_dir", tmp_path / "exported", "--format", "torch_export")
        assert run_main(export.main, *export_words) == 0
    finally:
        os.umask(before)
    found = {path.relative_to(tmp_path).as_posix(): mode_of(path) for path in tmp_path.rglob("*")}
    wanted = {name: 0o750 if (tmp_path / name).is_dir() else 0o640 for name in found}
    assert found == wanted
    assert {Path(name).suffix for name in found} >= {".safetensors", ".arrow", ".parquet", ".pt", ".pt2", ".png"}


def test_a_folder_gives_way_to_a_staged_one_of_its_name(tmp_path):
    for content in ("old", "new"):
        with staged_folder(tmp_path) as staged:
            (staged / "figures").mkdir()
            (staged / "figures" / content).write_text(content)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["new"]


def test_a_folder_that_is_removed_is_gone_at_once_and_its_rest_with_the_next_that_is_written(tmp_path, monkeypatch):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "weights").write_text("old")
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):  # as a process that is killed in the middle
        remove_folder(tmp_path / "checkpoint-5")
    monkeypatch.undo()
    assert not (tmp_path / "checkpoint-5").exists() and len(list(tmp_path.iterdir())) == 1
    with staged_folder(tmp_path) as staged:
        (staged / "report.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
