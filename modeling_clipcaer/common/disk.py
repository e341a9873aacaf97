"""What the disk refuses, in one line: no room, no permission, a folder that is a file."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    except InputError:
        raise
    except Exception as error:
        reason = explain_disk_error(error)
        if reason is None:
            raise
        name = str(getattr(error, "filename", None) or place)
        if partial is not None:
            name = name.replace(str(partial), str(place))
        room = _describe_room(Path(place), partial) if _find_full(error) == errno.ENOSPC else ""
        raise InputError(f"{name}: {reason}{room}") from error


def explain_disk_error(error: BaseException) -> str | None:
    """What the disk refused, in the system's words; `None` where it was not the disk."""
    if isinstance(error, OSError):
        return error.strerror or " ".join(str(error).split())
    number = _find_full(error)
    return os.strerror(number) if number is not None else None


def _find_full(error: BaseException) -> int | None:
    """Number of the error of a full disk or of a file that may not grow, by itself or in the text of a library."""
    if isinstance(error, OSError):
        return error.errno if error.errno in _FULL else None
    text = str(error)
    numbers = (number for number in _FULL if os.strerror(number) in text)
    return next(numbers, errno.ENOSPC if any(words in text for words in _TORCH_STOPPED) else None)


def _describe_room(place: Path, partial: Path | None) -> str:
    """How much is needed, as far as it is known."""
    nearest = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(nearest).free
    files = partial.rglob("*") if partial is not None else ()  # what is there of it yet
    written = sum(file.lstat().st_size for file in files if not file.is_dir())
    return f"; more is needed than the {as_size(free + written)} that were free"


def check_room(folder: str | os.PathLike, num_bytes: float) -> None:
    """Refuse, before any work, a disk on which `num_bytes` have no room.

    Raises:
        InputError: fewer are free.
    """
    folder = Path(folder).absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(nearest).free
    if num_bytes > free:
        raise InputError(f"{folder}: {as_size(num_bytes)} are needed, {as_size(free)} are free")


def as_size(num_bytes: float) -> str:
    """A number of bytes as people say it."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if num_bytes >= pair[0]), (1e3, "kB"))
    return f"{num_bytes / unit:.1f} {name}"
