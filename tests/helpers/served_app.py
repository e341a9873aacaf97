"""The app as its command serves it, in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helpers.places import ROOT


class App(NamedTuple):
    """Where an app is served, its process, and the folder in which it keeps what visitors drop."""

    address: str
    process: subprocess.Popen
    folder: Path

    def list_files(self):
        """What it keeps of visitors now."""
        return [path for path in self.folder.glob("clipcaer-app-*/**/*") if path.is_file()]


@contextmanager
def serve_app(*words):
    """Serve `clipcaer app` with these words on a port that is free, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder}
        command = [sys.executable, "-m", "modeling_clipcaer.commands.main", "app", *map(str, words)]
        process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
        try:
            told = next((line for line in process.stdout if line.startswith("the app is at ")), None)
            assert told is not None, "the app did not start"
            yield App(told.split()[4], process, Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
