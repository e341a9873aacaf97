"""Atomic files and folders: a temporary name beside the target, synced, then renamed.

`complete_file` writes one file, `staged_folder` several into a folder that holds others, `complete_folder` a folder
anew, `working_folder` with `replace_folder` a folder that takes scratch space to make.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.disk import made_folder, tell_disk_errors
from modeling_clipcaer.common.locks import lock


PARTIAL = ".partial-"  # how the name of what is being written begins
STAGED = "files"  # what a staged folder, or one that is being removed, is called behind that
REPLACED = "replaced"  # an earlier build, while the new one takes its place


@contextmanager
def complete_file(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, which becomes `path` once the block has ended without an error.

    Raises:
        InputError: the disk refuses it.
    """
    path = Path(path)
    _remove_left(path)
    partial = _name_partial(path)
    with tell_disk_errors(path, partial):
        try:
            with partial.open("xb") as file:
                mode = os.fstat(file.fileno()).st_mode
            yield partial
            # Keep: some libraries write by a temporary file of their own, which is 0600 whatever the umask.
            partial.chmod(stat.S_IMODE(mode))
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def staged_folder(output_dir: str | os.PathLike, last: str = "report.json") -> Iterator[Path]:
    """A temporary folder whose content is moved into `output_dir` once the block has ended without an error.

    Args:
        output_dir: made where it is not there; what else it holds stays. A folder in it gives way to one of its name.
        last: what is moved last. Its presence says that the others are complete.

    Raises:
        InputError: the disk refuses a file.
    """
    output_dir = Path(output_dir)
    with tell_disk_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        _remove_left(output_dir / STAGED)
    partial = _name_partial(output_dir / STAGED)
    with tell_disk_errors(output_dir, partial):
        partial.mkdir()
        try:
            yield partial
            finish_folder(partial)
            if (partial / last).exists():
                (output_dir / last).unlink(missing_ok=True)
            for path in sorted(partial.iterdir(), key=lambda path: (path.name == last, path.name)):
                if path.is_dir():
                    shutil.rmtree(output_dir / path.name, ignore_errors=True)  # over which no folder can be moved
                os.replace(path, output_dir / path.name)
            _sync(output_dir)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def complete_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """A temporary folder, `.partial-NAME`, that takes the place of `folder` once the block has ended without an error.

    What a killed run left by that name is removed first. Nothing keeps two processes apart: hold a lock.

    Raises:
        InputError: the disk refuses a file.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    with tell_disk_errors(folder, partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            finish_folder(partial)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """An empty folder beside `output`, gone at the end. What killed builds of `output` left there is removed first.

    Raises:
        InputError: another build of `output` is running, or a file cannot be read or written.
    """
    prefix = f".{output.name}-building"
    with tell_disk_errors(output), ExitStack() as stack:
        stack.enter_context(made_folder(output.parent))
        busy = f"{output}: another build is writing it; expected one at a time"
        stack.enter_context(lock(output.with_name(f"{prefix}.lock"), busy))
        _clear_away(output, prefix)
        working = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{prefix}-", dir=output.parent)))
        with tell_disk_errors(output, working):
            yield working


def _clear_away(output: Path, prefix: str) -> None:
    """Remove what killed builds of `output` left beside it."""
    for folder in output.parent.iterdir():
        if re.fullmatch(rf"{re.escape(prefix)}-\w{{8}}", folder.name):
            # Killed in the moment between the two renames: the earlier build is here and nowhere else.
            if (folder / REPLACED).exists() and not output.exists():
                (folder / REPLACED).rename(output)
            shutil.rmtree(folder, ignore_errors=True)


def replace_folder(new: Path, target: Path, working: Path) -> None:
    """Put the folder `new` in the place of `target`; `working` is the build's working folder, which `new` is in."""
    finish_folder(new)
    if target.exists():
        target.rename(working / REPLACED)
    new.rename(target)
    _sync(target.parent)


def finish_folder(folder: Path) -> None:
    """Give all in a new folder the modes that the umask asks for, by which its own was made, and sync it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(mode if path.is_dir() else mode & 0o666)
            _sync(path)
    _sync(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder at once. What a killed process leaves of it goes with the next [`staged_folder`] beside it."""
    left = _name_partial(folder.parent / STAGED)
    with suppress(OSError):
        folder.rename(left)
        shutil.rmtree(left, ignore_errors=True)


def is_replaceable(output: Path, marks: set[str]) -> bool:
    """Whether `output` is an empty folder or an earlier build, which holds `marks`."""
    if not output.is_dir():
        return False
    names = {entry.name for entry in output.iterdir()}
    return not names or marks <= names


def _name_partial(path: Path) -> Path:
    """The name of `path` until it is complete: of this process alone, so that no other writes into it."""
    return path.with_name(f"{PARTIAL}{platform.node()}.{os.getpid()}-{path.name}")


def _remove_left(path: Path) -> None:
    """Remove what killed processes of this machine left of `path`."""
    pattern = re.compile(rf"{re.escape(PARTIAL + platform.node())}\.(\d+)-{re.escape(path.name)}")
    with suppress(OSError):  # no such folder yet, or one that may not be listed
        for left in list(path.parent.iterdir()):
            match = pattern.fullmatch(left.name)
            # Keep: our own number too. In a container the next run has that of the killed one.
            if match is not None and (int(match[1]) == os.getpid() or not _is_running(int(match[1]))):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk, where a power cut cannot take them."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without it
            raise
    finally:
        os.close(descriptor)


def render_json(content: Any, indent: int | None = 2, allow_nan: bool = False) -> str:
    """`content` as JSON, with a line break at its end.

    Raises:
        ValueError: it holds NaN or an infinite number, which JSON does not have, and `allow_nan` does not let it.
    """
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=allow_nan) + "\n"


def write_json(content: Any, path: Path, indent: int | None = 2, allow_nan: bool = False) -> None:
    """Write `content`, with dataclasses as their fields, as JSON to `path`, which lies in a folder that is not yet
    complete, or is such a file."""
    # Keep: piece by piece. Of a long recording the whole text, cut up as it is made, takes ten times its size.
    # Keep: a name that is not UTF-8 is told by its bytes, which JSON reads back.
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(content, file, indent=indent, ensure_ascii=False, allow_nan=allow_nan, default=asdict)
        file.write("\n")


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
