"""How a run goes, told on standard output while it goes."""

import sys


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
