"""How a run goes, told while it goes: lines on standard output, and bars where a person looks on."""

import sys


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def hide_progress_bars() -> None:
    """Where no person looks on, as in a log, let transformers and datasets draw no bars."""
    if not sys.stderr.isatty():
        import datasets
        from transformers.utils import logging

        logging.disable_progress_bar()
        datasets.disable_progress_bars()
