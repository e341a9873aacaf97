"""How a command speaks: lines that are the same in files and logs; on a terminal with colours, and broken at words.

`error:` and `warning:` are for standard error, all else is for standard output. `NO_COLOR` is honoured.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from rich.text import Text


# What a part of a line is, and how it looks.
STYLES = {"error": "bold red", "warning": "yellow", "info": "default", "result": "bold", "path": "dim"}
# What the machine refuses is no defect of ours: no permission, no room, a name that no file can have.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}
# What torch says of a process that decodes clips and is gone.
_LOST_WORKER = "DataLoader worker (pid"
# The status with which a shell reports a program that SIGPIPE ended.
_READER_GONE = 141
_WHY_LOST = "where the memory was full, fewer of them (--num-workers, --dataloader-num-workers) need less"


def run_command(main: Callable[[], None]) -> int:
    """Run a command's `main` and return its exit status: 2 with one `error:` line for bad input and for what the
    machine refuses or ends, 0 otherwise. What our modules warn of meanwhile is told as `warning:` lines.

    Other exceptions are defects of ours and keep their traceback.
    """
    logger, warnings = logging.getLogger(__name__.partition(".")[0]), _Warnings()
    logger.addHandler(warnings)
    try:
        main()
    except InputError as error:
        # Keep: the end. A loader's worker hands its error on with a whole traceback before the message.
        complain("error", str(error).rpartition(f"{InputError.__module__}.InputError: ")[2].strip())
        return 2
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        complain("error", ": ".join(map(str, filter(None, (error.filename, error.strerror)))))
        return 2
    except RuntimeError as error:
        if not str(error).startswith(_LOST_WORKER):
            raise
        complain("error", f"{str(error).splitlines()[0].rstrip('. ')}: {_WHY_LOST}")
        return 2
    finally:
        logger.removeHandler(warnings)
    return 0


class _Warnings(logging.Handler):
    """Tells what is logged as a warning."""

    def __init__(self):
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        complain("warning", record.getMessage())


def tell(line: str | Text, hang: int | None = None) -> None:
    """Write a line on standard output at once.

    Args:
        line: of a `Text` the styles are those of `STYLES`, or rich's own.
        hang: columns by which it goes on in further lines, where a terminal is too narrow for it; two more than it is
            indented by, if it is.
    """
    _write(line, sys.stdout, hang)


def can_ask() -> bool:
    """Whether somebody is there who may be asked: words come from a terminal, and are shown on one."""
    return looks_on(sys.stdin) and looks_on(sys.stdout)


def ask(question: str, default: str, choices: Sequence[str] = ()) -> str:
    """The answer to a question on the terminal; an empty one is the default. Of an answer that is none of `choices` it
    is said, and the question put again.

    Raises:
        InputError: there is no answer any more.
    """
    expected = f" ({', '.join(choices)})" if choices else ""
    while True:
        _send(f"{question}{expected} [{default}]: ", sys.stdout)
        line = sys.stdin.readline()
        if not line:
            raise InputError(f"no answer to '{question}'; flags answer, too, see --help")
        answer = line.strip() or default
        if not choices or answer in choices:
            return answer
        complain("error", f"'{answer}'; expected one of {', '.join(choices)}")


def complain(kind: str, message: str) -> None:
    """Write `kind: message` on standard error: an error, a warning or a note."""
    # Keep: printable. The name of a file may have line breaks and codes that a terminal obeys.
    line = f"{kind}: {printable(message)}"
    if looks_on(sys.stderr):
        from rich.text import Text

        told = Text.assemble((f"{kind}:", kind if kind in STYLES else ""), line.removeprefix(f"{kind}:"))
        _write(told, sys.stderr, hang=2)
    else:
        _write(line, sys.stderr)


def tell_findings(lines: Iterable[str]) -> None:
    """Write lines that may begin with a severity, `warning  train has ...`, each in its colour."""
    for line in lines:
        kind, space, rest = line.partition(" ")
        if space and kind in STYLES and looks_on(sys.stdout):
            from rich.text import Text

            tell(Text.assemble((kind, kind), space, rest), hang=9)
        else:
            tell(line, hang=9 if line.startswith(" " * 9) else None)


def looks_on(stream: TextIO) -> bool:
    """Whether a person reads what is written, as it is written, on a terminal."""
    # Keep: a cell's `!command` writes to a terminal that cannot go back. Each step of a bar would stay below the cell.
    in_notebook = "JPY_PARENT_PID" in os.environ
    return not in_notebook and getattr(stream, "isatty", bool)()  # what stands in for a stream may have none


def add_path(line: str | Text, path: object) -> Text:
    """`line: path`, or the path alone; where a terminal is too narrow for it the path stands on a line of its own,
    whole."""
    from rich.text import Text

    return Text.assemble(line, ": " if line else "", (printable(str(path)), "path"))


def _write(line: str | Text, stream: TextIO, hang: int | None = None) -> None:
    if not looks_on(stream):
        _send(f"{line}\n", stream)
        return
    from rich.console import Console
    from rich.text import Text
    from rich.theme import Theme

    console = Console(file=stream, theme=Theme(STYLES), highlight=False, markup=False, emoji=False)
    text = line if isinstance(line, Text) else Text(line)
    indent = len(text.plain) - len(text.plain.lstrip(" "))
    path = next((span for span in text.spans if span.style == "path" and span.end == len(text)), None)
    with console.capture() as captured:
        if text.cell_len <= console.width:
            console.print(text)
        elif path is not None:
            console.print(text[: path.start - 1])
            console.print(Text(" " * (indent + 2)) + text[path.start :], soft_wrap=True)
        else:
            if hang is None:
                hang = indent and indent + 2
            lines = text[hang:].wrap(console, max(console.width - hang, 20))
            for part in lines:
                part.rstrip()
            console.print(text[:hang] + Text("\n" + hang * " ").join(lines), soft_wrap=True)
    _send(captured.get(), stream)  # Keep: not by the console, which would write over a bar


def _send(text: str, stream: TextIO) -> None:
    """Write `text` at once. Where nobody reads on, as behind `| head`, the command ends without a word.

    Keep: by `SystemExit`, which no handler of failures takes for one, and by which working folders are removed.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Keep: what is left in the stream would be flushed, and fail, once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(_READER_GONE) from None
