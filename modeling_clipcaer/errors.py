"""How bad input is told: in one line."""

import os
from pathlib import Path
from pickle import UnpicklingError

from huggingface_hub.errors import StrictDataclassError

from .names import printable


LONGEST_REASON = 300  # characters of what a library says


class InputError(ValueError):
    """Bad input. Its message is one line: the file, line, field or clip, what was found and what was expected."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line. Of a configuration's validation, what it found."""
    if isinstance(error, StrictDataclassError) and error.__cause__ is not None:
        return first_line(error.__cause__)
    if isinstance(error, UnpicklingError):  # Keep: our own words. torch's are the advice to run the file's code.
        return "its pickled weights are torn, or hold objects beside tensors, which are never run"
    if isinstance(error, KeyError) and error.args:
        return f"unknown or missing key `{error.args[0]}`"
    told = (str(error).strip().splitlines() or [""])[0].strip() or type(error).__name__
    return told.split(". Errors: ")[0][:LONGEST_REASON]


def check_readable(path: str | os.PathLike, depth: int = 1) -> None:
    """Refuse what is there and may not be read, before somebody says that it is not there. What is missing passes.

    Args:
        path: a file, or a folder. An id on the Hub or an address is no path here, and passes.
        depth: levels of a folder that are looked into; 1 for its files, 2 for those of its folders too.

    Raises:
        InputError: this user has no permission to read it, one of its files, or a folder on the way to it.
    """
    path = Path(path)
    for folder in reversed(path.absolute().parents):
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            raise InputError(f"{path}: cannot be read: Permission denied (no way through {folder})")
    try:
        path.stat()
    except PermissionError:  # a link to where there is no way to
        raise InputError(f"{path}: cannot be read: Permission denied") from None
    except (OSError, ValueError):
        return
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise InputError(f"{path}: cannot be read: Permission denied")
    if path.is_dir() and depth > 0:
        for entry in sorted(path.iterdir()):
            if depth > 1 or not entry.is_dir():
                check_readable(entry, depth - 1)


def check_utf8(name: str) -> None:
    """Refuse the name of a file that is not UTF-8, which nothing that is written can hold.

    Raises:
        InputError: it is not.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{printable(name)}: expected a name in UTF-8, as all that is written; rename it") from None
