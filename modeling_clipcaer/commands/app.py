"""Serve an app for the browser: drop a recording, look at its timeline, correct it, take it away.

    clipcaer app --model DIR

listens on this machine alone (http://127.0.0.1:7860). What is dropped is removed when its page is closed.
"""

import sys

from modeling_clipcaer.app.arguments import AppArguments
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.recordings.settings import TimelineSettings


def main() -> None:
    """Serve what the command line names."""
    args, settings = parse_arguments((AppArguments, TimelineSettings), sys.argv[1:], __doc__)
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise InputError('clipcaer app needs Gradio: pip install "clipcaer[app]"')
    hide_progress_bars()
    tell(RESPONSIBLE_USE)
    from modeling_clipcaer.app.server import serve

    serve(args, settings)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
