"""Checkpoints of training: what belongs to one, whether all of it is there, and which one is the latest.

A checkpoint has a record, written last: every file with its size and SHA-256, and what its run was made with.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.files import complete_file, complete_folder, file_sha256, remove_folder, write_json
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.json_files import check_format, json_decoder, read_text, tell_broken_json


RECORD, TRAINER_STATE = "resume.json", "trainer_state.json"
# Of the record; raise it when a run cannot be compared by the earlier one's.
FORMAT_VERSION = 1


def write_record(folder: Path, step: int, run: Mapping[str, Any]) -> None:
    """Write the record of a checkpoint that is otherwise complete. `run` is what its run was made with."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    described = {name: {"size": path.stat().st_size, "sha256": file_sha256(path)} for name, path in files.items()}
    record = {"format_version": FORMAT_VERSION, "step": step, "run": run, "files": described}
    record["sha256"] = _hash_record(record)
    with complete_file(folder / RECORD) as path:
        write_json(record, path, indent=None, allow_nan=True)  # a flag may be infinite


def read_record(checkpoint: str | os.PathLike) -> dict[str, Any]:
    """The record of a checkpoint.

    Raises:
        InputError: there is none, or it is damaged or of a format that is not known.
    """
    path = Path(checkpoint, RECORD)
    check_readable(checkpoint)
    if not path.is_file():
        if Path(checkpoint, TRAINER_STATE).is_file():
            raise InputError(
                f"{checkpoint}: has no {RECORD}, which says what it was made with; if it is of an earlier version, "
                "--resume-without-record goes on from it"
            )
        raise InputError(f"{checkpoint}: is no checkpoint of a training run; expected RUN/checkpoint-N, or `last`")
    try:
        record = _read_json(path)
        version, digest = record["format_version"], record.pop("sha256")
    except (InputError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged") from None
    check_format(version, FORMAT_VERSION, path)
    if digest != _hash_record(record):
        raise InputError(f"{path}: is damaged: not what was written")
    return record


def check_whole(checkpoint: str | os.PathLike, optimizer: bool = True, recorded: bool = True) -> dict[str, Any]:
    """The record of a checkpoint all of whose files are as they were written.

    Args:
        checkpoint: its folder.
        optimizer: whether what a run goes on with besides the weights is needed: the state of optimizer, schedule
            and random numbers.
        recorded: whether it must have a record. Of one that has none there is what its own files say, on trust.

    Raises:
        InputError: a file is missing or was changed, or what is needed was not saved.
    """
    has_record = recorded or Path(checkpoint, RECORD).exists()
    record = read_record(checkpoint) if has_record else _read_unrecorded(Path(checkpoint))
    for name, described in record["files"].items():
        if has_record and (optimizer or not _is_optimizer_state(name)):
            _check_file(Path(checkpoint, name), described)
    missing = [name for name in _optimizer_files(record) if name not in record["files"]] if optimizer else []
    if missing:
        raise InputError(f"{checkpoint}: was saved without {', '.join(missing)}")
    return record


def list_checkpoints(output_dir: str | os.PathLike) -> list[Path]:
    """Folders of checkpoints in an output folder, the latest first."""
    numbers = {path: path.name.partition("-")[2] for path in Path(output_dir).glob("checkpoint-*") if path.is_dir()}
    return sorted((path for path in numbers if numbers[path].isdecimal()), key=lambda path: -int(numbers[path]))


def remove_old(output_dir: str | os.PathLike, step: int, best_step: int | None, limit: int | None) -> None:
    """Leave `limit` checkpoints in an output folder, or all without a limit: those of `step`, which was just written,
    and of `best_step`, and of the steps before.

    Keep: by their steps. Times are those of a clock that may have been set, or of the day that a folder was copied.
    """
    folders = {int(folder.name.partition("-")[2]): folder for folder in list_checkpoints(output_dir)}
    # Those of later steps are first to go: the run has passed them over.
    removable = sorted(folders.keys() - {step, best_step}, key=lambda number: (number <= step, number))
    for number in removable[: max(len(folders) - limit, 0) if limit and limit > 0 else 0]:
        remove_folder(folders[number])


def find_last(output_dir: str | os.PathLike, optimizer: bool = True) -> tuple[Path, list[str]]:
    """The latest complete checkpoint, whose best one so far is complete too, and what was passed over for it and why.

    Raises:
        InputError: there is none.
    """
    passed_over: list[str] = []
    checkpoints = list_checkpoints(output_dir)
    for folder in checkpoints:
        reason = _why_not(folder, optimizer)
        if reason is None:
            return folder, passed_over
        passed_over.append(reason)
    if not passed_over:
        raise InputError(
            f"{output_dir}: holds no checkpoint to resume from; leave out --resume-from-checkpoint to begin anew"
        )
    hint = ""
    if optimizer and any(_why_not(folder, optimizer=False) is None for folder in checkpoints):
        hint = "; --resume-without-optimizer goes on from the weights alone"
    raise InputError(f"{output_dir}: holds no checkpoint to go on from: {'; '.join(passed_over)}{hint}")


def check_best(checkpoint: Path, recorded: bool = True) -> None:
    """Refuse a checkpoint whose run has had a better one that is no longer whole: it could not end with the best.
    `recorded` as in `check_whole`.

    Raises:
        InputError: the best one is missing or damaged.
    """
    state = _read_json(checkpoint / TRAINER_STATE)
    best = state.get("best_global_step")
    if best and best != state["global_step"]:
        try:
            check_whole(checkpoint.with_name(f"checkpoint-{best}"), optimizer=False, recorded=recorded)
        except InputError as error:
            raise InputError(f"{checkpoint}: the best checkpoint of its run so far cannot be used: {error}") from error


def adopt_best(checkpoint: Path, output_dir: str | os.PathLike) -> None:
    """Copy the best checkpoint so far of a run that goes on in another folder, which may yet be the selected one."""
    best = _read_json(checkpoint / TRAINER_STATE).get("best_global_step")
    if best:
        source, target = checkpoint.with_name(f"checkpoint-{best}"), Path(output_dir, f"checkpoint-{best}")
        if not target.is_dir():
            with complete_folder(target) as folder:
                shutil.copytree(source, folder, dirs_exist_ok=True)


def _read_unrecorded(checkpoint: Path) -> dict[str, Any]:
    """In place of a record: what a checkpoint of an earlier version, which has none, says by its other files."""
    check_readable(checkpoint)
    state = _read_json(checkpoint / TRAINER_STATE)
    try:
        step, layout = state["global_step"], {"batch_size": state["train_batch_size"], "steps": state["max_steps"]}
    except (KeyError, TypeError):
        raise InputError(f"{checkpoint / TRAINER_STATE}: does not say at which step of how many a run was") from None
    names = [path.name for path in checkpoint.iterdir()]
    layout["processes"] = max(sum(name.startswith("rng_state_") for name in names), 1)
    return {"step": step, "files": dict.fromkeys(names), "run": {"layout": layout}}


def _read_json(path: Path) -> dict[str, Any]:
    with tell_broken_json(path):
        return json_decoder(path, finite=False).decode(read_text(path))  # a loss may have become NaN, a norm infinite


def _why_not(checkpoint: Path, optimizer: bool) -> str | None:
    """Why no run can go on from a checkpoint."""
    try:
        check_whole(checkpoint, optimizer)
        check_best(checkpoint)
    except InputError as error:
        return str(error)
    return None


def _optimizer_files(record: Mapping[str, Any]) -> list[str]:
    """Names of what a run goes on with besides its weights."""
    processes = record["run"]["layout"]["processes"]
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{number}.pth" for number in range(processes)]
    return ["optimizer.pt", "scheduler.pt", *states]


def _is_optimizer_state(name: str) -> bool:
    return name.startswith(("optimizer", "scheduler", "scaler", "rng_state"))


def _check_file(path: Path, described: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise InputError(f"{path}: is missing")
    size = path.stat().st_size
    if size != described["size"]:
        raise InputError(f"{path}: is damaged: {size} bytes, {described['size']} were written")
    if file_sha256(path) != described["sha256"]:
        raise InputError(f"{path}: is damaged: not the bytes that were written")


def _hash_record(record: Mapping[str, Any]) -> str:
    """Of all that a record says but this."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()
