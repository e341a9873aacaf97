"""How a run goes, told while it goes: lines on standard output, and bars where a person looks on."""

import sys


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def hide_progress_bars(of_models: bool = True) -> None:
    """Where no person looks on, as in a log, let datasets draw no bars, nor transformers where models are loaded."""
    if sys.stderr.isatty():
        return
    import datasets

    datasets.disable_progress_bars()
    if of_models:
        from transformers.utils import logging

        logging.disable_progress_bar()
