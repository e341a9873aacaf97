"""Errors of the disk as one line, and room on it."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modeling_clipcaer.errors import InputError


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Libraries that write by themselves lose the number of what went wrong.
_TORCH_STOPPED = ("PytorchStreamWriter failed writing", "unexpected pos", "file write failed")


@contextmanager
def tell_disk_errors(place: str | os.PathLike, partial: Path | None = None) -> Iterator[None]:
    """What the disk refuses (a folder that is a file, no permission, a full disk) as one line.

    Args:
        place: file or folder that is written; named where the error names none.
        partial: what stands in for `place` until it is complete. Of a full disk it tells how much was written.

    Raises:
        InputError: in the place of an `OSError`, and of what libraries make of a full disk.
    """
    try:
        yield
    except InputError as error:
        if partial is None or str(partial) not in str(error):
            raise
        raise InputError(str(error).replace(str(partial), str(place))) from error
    except Exception as error:
        refusal = find_refusal(error)
        if refusal is None:
            raise
        # Keep: the second name first. Of a copy it is the one that is written.
        name = str(refusal.filename2 or refusal.filename or place)
        if partial is not None:
            name = name.replace(str(partial), str(place))
        room = _describe_room(Path(place), partial) if refusal.errno == errno.ENOSPC else ""
        raise InputError(f"{name}: {refusal.strerror or ' '.join(str(refusal).split())}{room}") from error


def find_refusal(error: BaseException) -> OSError | None:
    """What the disk refused: `error` itself, or a full disk behind it or in its text; `None`: not the disk."""
    # Keep: not one without a name. It may be of a file that was read, and would be told of the one that is written.
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _FULL):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return cause
        number = next((number for number in _FULL if os.strerror(number) in str(cause)), None)
        if number is None and any(words in str(cause) for words in _TORCH_STOPPED):
            number = errno.ENOSPC
        if number is not None:
            return OSError(number, os.strerror(number))
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """`folder` is there for the block. It and the folders above that were made for it go again if they stay empty."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in new:
            with suppress(OSError):  # it holds something
                place.rmdir()


def _describe_room(place: Path, partial: Path | None) -> str:
    """How much is needed, as far as it is known."""
    files = partial.rglob("*") if partial is not None else ()  # what is there of it yet
    written = sum(file.lstat().st_size for file in files if not file.is_dir())
    return f"; more is needed than the {as_size(_count_free(place) + written)} that were free"


def _count_free(place: Path) -> int:
    """Free bytes of the disk that `place`, which need not be there yet, is on."""
    place = place.absolute()
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free


def check_room(folder: str | os.PathLike, num_bytes: float) -> None:
    """Refuse, before any work, a disk on which `num_bytes` have no room.

    Raises:
        InputError: fewer are free.
    """
    free = _count_free(Path(folder))
    if num_bytes > free:
        raise InputError(
            f"{Path(folder).absolute()}: {as_size(num_bytes)} are needed, {as_size(free)} are free; make room, or "
            "name a folder elsewhere"
        )


def as_size(num_bytes: float) -> str:
    """A number of bytes as people say it."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if num_bytes >= pair[0]), (1e3, "kB"))
    return f"{num_bytes / unit:.1f} {name}"
