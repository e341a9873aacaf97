"""Locks on folders and names, for one run at a time."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from modeling_clipcaer.common.disk import made_folder, tell_disk_errors
from modeling_clipcaer.errors import InputError


try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK = ".lock"


class Busy(InputError):
    """Another process holds what is wanted."""


@contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold `folder`, which is made where it is not there, for one run. A folder that stays empty is removed again.

    Raises:
        InputError: another run holds it, or it cannot be written to.
    """
    folder = Path(folder)
    busy = f"{folder}: another run is writing to it; expected one at a time, or another folder"
    with _held_lock(folder / LOCK, busy, folder):
        yield


@contextmanager
def locked_name(path: str | os.PathLike) -> Iterator[None]:
    """Hold the file or folder `path`, which need not be there, for one run. The folder that it is in is made.

    Raises:
        InputError: another run holds it, or nothing can be written there.
    """
    place = Path(os.path.abspath(path))  # `.` has no name to put the lock's beside
    busy = f"{path}: another run is writing it; expected one at a time, or another name"
    with _held_lock(place.with_name(f".{place.name}.lock"), busy, path):
        yield


@contextmanager
def _held_lock(path: Path, busy: str, place: str | os.PathLike) -> Iterator[None]:
    """[`lock`] in a folder that is made where it is not there. What the disk refuses is told of `place`."""
    with ExitStack() as stack:
        with tell_disk_errors(place):
            stack.enter_context(made_folder(path.parent))
            stack.enter_context(lock(path, busy))
        yield


# The locks of this process.
_held: set[str] = set()


@contextmanager
def lock(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock on the file `path`, which the kernel gives back when this process ends, however it ends.

    A process that holds it may ask again. On a file system without locks a warning is all that there is.

    Raises:
        InputError: another process holds it; `busy` is the message.
    """
    name = os.path.realpath(path)
    # Keep: the lock is the process's. To close the file a second time would give it back to all.
    if name in _held:
        yield
        return
    with tell_disk_errors(path):
        file = _take_lock(path, busy)
    _held.add(name)
    try:
        yield
    finally:
        _held.discard(name)
        path.unlink(missing_ok=True)
        file.close()


def _take_lock(path: Path, busy: str) -> IO:
    while True:
        file = path.open("a")
        try:
            # Keep: lockf, not flock, which worker processes would hold on to after their parent was killed.
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.close()
                raise Busy(busy) from None
            logger.warning("%s: cannot be locked (%s): nothing keeps two runs apart", path, error.strerror)
            return file
        # Keep: whoever held it may have removed the file between our opening it and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()


@contextmanager
def shared_folder(folder: Path, leftovers: str) -> Iterator[None]:
    """Write to `folder` beside other processes. Where there is none, what killed ones left there is removed first.

    Args:
        folder: that all of them write to, each complete files of its own.
        leftovers: pattern of what a killed one leaves.
    """
    with (folder / LOCK).open("a+") as file:
        if fcntl is not None:
            with suppress(OSError):  # others write there, or the file system knows no locks
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for partial in folder.glob(leftovers):
                    partial.unlink()
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_SH)
        yield
