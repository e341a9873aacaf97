"""How bad input is told: one line, exit status 2."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Bad input. The message is one line that names the file, line, field or clip, what was found and what was expected."""


def run_command(main: Callable[[], None]) -> int:
    """Run a command's `main` and return its exit status: 2 with one `error:` line for bad input, 0 otherwise.

    Other exceptions are defects of ours and keep their traceback.
    """
    try:
        main()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0
