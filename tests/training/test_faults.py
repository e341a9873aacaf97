"""What breaks in the second epoch of a training command: one line, nothing lost, and the same command goes on."""

import errno
import os
import resource
import shutil
import signal
import time

import psutil
import pytest
from datasets import load_from_disk

from helpers.small_material import run_main
from helpers.train_command import assert_same_weights
from modeling_clipcaer.commands import train
from modeling_clipcaer.training import trainer
from modeling_clipcaer.training.checkpoints import check_whole, list_checkpoints


@pytest.fixture(scope="module")
def flags(material):
    return (
        *material.flags,
        "--disable_tqdm",
        "true",
        "--epochs",
        2,
        "--no-baselines",
        "--resume_from_checkpoint",
        "last",
    )


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_main(train.main, *flags, "--dataloader_num_workers", 0, "--output_dir", folder) == 0
    return folder


@pytest.fixture
def in_epoch_two(monkeypatch):
    """Have a function called when the second epoch begins."""

    def call(do):
        real = trainer._EpochStart.on_epoch_begin

        def on_epoch_begin(self, args, state, control, **kwargs):
            if state.epoch == 1:
                do()
            real(self, args, state, control, **kwargs)

        monkeypatch.setattr(trainer._EpochStart, "on_epoch_begin", on_epoch_begin)

    return call


@pytest.fixture
def copied(material, tmp_path):
    """Its own frames, and flags of the dataset that names them."""
    shutil.copytree(material.raer / "images", tmp_path / "images")
    clips = load_from_disk(material.dataset)
    clips = clips.map(lambda row: {"frame_dir": row["frame_dir"].replace(str(material.raer), str(tmp_path))})
    clips.save_to_disk(tmp_path / "dataset")
    return tmp_path / "images", ("--dataset", tmp_path / "dataset")


def expect_line(capsys, *words):
    """One line of error, with these words, and no traceback."""
    told = capsys.readouterr()
    (line,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in told.out + told.err
    for word in words:
        assert str(word) in line, line
    return line


def assert_kept_and_goes_on(whole, folder, *flags):
    """The first epoch's checkpoint is whole, and the rerun ends with the weights of a run that nothing happened to."""
    assert [path.name for path in list_checkpoints(folder)] == ["checkpoint-3"] and check_whole(
        folder / "checkpoint-3"
    )
    assert not (folder / "report.json").exists() and not list(folder.glob(".partial*"))
    assert run_main(train.main, *flags, "--output_dir", folder) == 0
    assert_same_weights(folder, whole)


NO_WORKERS = ("--dataloader_num_workers", 0)


@pytest.mark.reliability
@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_folder_that_vanishes_is_named_with_its_clip(
    whole, flags, copied, tmp_path, in_epoch_two, monkeypatch, capsys, workers
):
    images, dataset = copied
    in_epoch_two(lambda: images.rename(tmp_path / "gone"))
    run = (*flags, *dataset, "--dataloader_num_workers", workers)
    assert run_main(train.main, *run, "--output_dir", tmp_path / "run") == 2
    expect_line(capsys, "clip ", images)
    monkeypatch.undo()
    (tmp_path / "gone").rename(images)
    assert_kept_and_goes_on(whole, tmp_path / "run", *run)


@pytest.mark.reliability
def test_an_image_that_cannot_be_read_in_epoch_two_is_named(
    whole, flags, copied, tmp_path, in_epoch_two, monkeypatch, capsys
):
    images, dataset = copied
    (image, *_) = sorted(images.rglob("P000/*/2.jpg"))
    content = image.read_bytes()
    in_epoch_two(lambda: image.write_bytes(content[:40]))
    run = (*flags, *dataset, *NO_WORKERS)
    assert run_main(train.main, *run, "--output_dir", tmp_path / "run") == 2
    expect_line(capsys, image.parent.name, image.name)
    monkeypatch.undo()
    image.write_bytes(content)
    assert_kept_and_goes_on(whole, tmp_path / "run", *run)


def test_a_loader_worker_that_is_killed_is_told_in_one_line(whole, flags, tmp_path, monkeypatch, capsys):
    real, before = trainer.ClipCaerTrainer.training_step, set(psutil.Process().children())

    def training_step(self, *args, **kwargs):
        if self.state.global_step == 4:
            found = set(psutil.Process().children()) - before
            (worker,) = [child for child in found if child.status() != psutil.STATUS_ZOMBIE]
            worker.send_signal(signal.SIGKILL)
            time.sleep(0.5)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(trainer.ClipCaerTrainer, "training_step", training_step)
    run = (*flags, "--dataloader_num_workers", 1, "--dataloader_persistent_workers", "true")
    assert run_main(train.main, *run, "--output_dir", tmp_path / "run") == 2
    expect_line(capsys, "DataLoader worker (pid", "--dataloader-num-workers")
    monkeypatch.undo()
    assert_kept_and_goes_on(whole, tmp_path / "run", *flags, *NO_WORKERS)


def test_a_full_disk_is_told_and_leaves_the_earlier_checkpoint(
    whole, flags, tmp_path, in_epoch_two, monkeypatch, capsys
):
    """The system's own limit on the size of files: from the second epoch on no file may grow over 20 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    in_epoch_two(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard)))
    try:
        assert run_main(train.main, *flags, *NO_WORKERS, "--output_dir", tmp_path / "run") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    expect_line(capsys, tmp_path / "run" / "checkpoint-6", os.strerror(errno.EFBIG))
    monkeypatch.undo()
    assert_kept_and_goes_on(whole, tmp_path / "run", *flags, *NO_WORKERS)


@pytest.mark.reliability
def test_an_output_that_becomes_read_only_is_named(whole, flags, tmp_path, in_epoch_two, monkeypatch, capsys):
    folder = tmp_path / "run"
    if os.getuid() == 0:  # whom no mode of a folder keeps out: the system's own answer in its place
        real = os.mkdir

        def mkdir(path, *args, **kwargs):
            if str(path).startswith(f"{folder}/.partial"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real(path, *args, **kwargs)

        in_epoch_two(lambda: monkeypatch.setattr(os, "mkdir", mkdir))
    else:
        in_epoch_two(lambda: folder.chmod(0o500))
    assert run_main(train.main, *flags, *NO_WORKERS, "--output_dir", folder) == 2
    expect_line(capsys, folder)
    monkeypatch.undo()
    folder.chmod(0o700)
    assert_kept_and_goes_on(whole, folder, *flags, *NO_WORKERS)


@pytest.mark.reliability
def test_a_clock_that_goes_backwards_changes_no_weight_and_no_checkpoint(
    whole, flags, tmp_path, in_epoch_two, monkeypatch
):
    real, jump = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() - jump[0])
    in_epoch_two(lambda: jump.__setitem__(0, 86400.0 * 365))
    assert run_main(train.main, *flags, *NO_WORKERS, "--save_total_limit", 1, "--output_dir", tmp_path / "run") == 0
    assert jump[0] and check_whole(list_checkpoints(tmp_path / "run")[0])
    # The newest and the best, though the limit is 1.
    assert {path.name for path in list_checkpoints(tmp_path / "run")} == {"checkpoint-3", "checkpoint-6"}
    assert_same_weights(tmp_path / "run", whole)
