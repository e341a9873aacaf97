"""Progress bars are for people."""

import sys


def hide_progress_bars() -> None:
    """Where no person looks on, as in a log, let transformers and datasets draw no bars."""
    if not sys.stderr.isatty():
        import datasets
        from transformers.utils import logging

        logging.disable_progress_bar()
        datasets.disable_progress_bars()
