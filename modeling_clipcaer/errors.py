"""How bad input is told: one line, exit status 2."""

import sys
from collections.abc import Callable

from tqdm import tqdm


class InputError(ValueError):
    """Bad input. Its message is one line: the file, line, field or clip, what was found and what was expected."""


def run_command(main: Callable[[], None]) -> int:
    """Run a command's `main` and return its exit status: 2 with one `error:` line for bad input, 0 otherwise.

    Other exceptions are defects of ours and keep their traceback.
    """
    try:
        main()
    except InputError as error:
        # Keep: the last line. A loader's worker hands its error on with a whole traceback before the message.
        message = str(error).strip().splitlines()[-1].removeprefix(f"{InputError.__module__}.InputError: ")
        # Keep: the line of an open progress bar has no end yet, and the error would stand behind it.
        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()
        sys.stderr.write(f"error: {message}\n")
        return 2
    return 0
