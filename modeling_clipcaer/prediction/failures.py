"""What happens in one recording or clip is that one's failure, told in one line; the others go on."""

import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


# Tracebacks of what nobody expected, in the folder of the results.
ERRORS = "errors.log"


@dataclass
class Outcome:
    """What a command says at its end: `lines` on what it did, and in `errors` a line on each that failed."""

    lines: list[str | Text]
    errors: list[str]


def take_away_log(folder: Path) -> None:
    """The log is about one command: what failed in an earlier one is tried again."""
    (folder / ERRORS).unlink(missing_ok=True)


def one_line(text: str) -> str:
    """A text or the name of a file, which may have several lines, and codes that a terminal obeys."""
    return printable(" ".join(text.split()))


def tell_failure(source: str, error: Exception, folder: Path) -> str:
    """One line on why `source` failed, which names it. Of bad input the line says all; the traceback of anything else
    is appended to `ERRORS` in `folder`, which the line names."""
    line, name = one_line(str(error)), one_line(source)
    if isinstance(error, InputError):
        return line if name in line else f"{name}: {line}"
    folder.mkdir(parents=True, exist_ok=True)
    details = "".join(traceback.format_exception(error)).split("\n")
    try:
        with (folder / ERRORS).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join([printable(source), *map(printable, details), ""]))  # at once: others write too
    except OSError as problem:  # a full disk, which may be why it failed
        return f"{name}: {type(error).__name__}: {line} ({ERRORS} cannot be written: {problem.strerror})"
    return f"{name}: {type(error).__name__}: {line} (details: {ERRORS})"
