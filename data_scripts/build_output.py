"""Where a build works until it is complete, and what is left of one that was killed. Standard library only."""

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modeling_clipcaer.errors import InputError


try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two builds of one folder apart
    fcntl = None

REPLACED = "replaced"  # an earlier build, while the new one takes its place


@contextmanager
def tell_disk_errors(output: Path) -> Iterator[None]:
    """What the disk refuses, a folder that is a file or a full disk, as one line about the file, or else `output`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or output}: {error.strerror or error}") from error


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """An empty folder beside `output`, gone at the end. What killed builds of `output` left there is removed first.

    Raises:
        InputError: another build of `output` is running, or a file cannot be read or written.
    """
    prefix = f".{output.name}-building"
    with tell_disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with lock(output.with_name(f"{prefix}.lock"), output):
            clear_away(output, prefix)
            with tempfile.TemporaryDirectory(prefix=f"{prefix}-", dir=output.parent) as temporary:
                yield Path(temporary)


def clear_away(output: Path, prefix: str) -> None:
    """Remove what killed builds of `output` left beside it."""
    for folder in output.parent.iterdir():
        if re.fullmatch(rf"{re.escape(prefix)}-\w{{8}}", folder.name):
            # Killed in the moment between the two renames: the earlier build is here and nowhere else.
            if (folder / REPLACED).exists() and not output.exists():
                (folder / REPLACED).rename(output)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock(path: Path, output: Path) -> Iterator[None]:
    """Hold the lock on the file `path`, which the kernel gives back when this process ends, however it ends."""
    with path.open("w") as file:
        try:
            # Keep: lockf, not flock, which worker processes would hold on to after their parent was killed.
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise InputError(f"{output}: another build is writing it; expected one at a time") from None
            raise InputError(f"{path}: cannot be locked: {error.strerror}") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_replaceable(output: Path, marks: set[str]) -> bool:
    """Whether `output` is an empty folder or an earlier build, which holds `marks`."""
    if not output.is_dir():
        return False
    names = {entry.name for entry in output.iterdir()}
    return not names or marks <= names


def replace_folder(new: Path, target: Path, working: Path) -> None:
    """Put `new` in the place of `target`; `working` is the build's working folder."""
    if target.exists():
        target.rename(working / REPLACED)
    new.rename(target)
