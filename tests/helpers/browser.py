"""A real Chromium without a window, told what to do over a pipe by the DevTools protocol."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest


CHROMIUM = os.environ.get("CLIPCAER_CHROMIUM") or shutil.which("chromium") or ""


class Browser:
    """One page of a Chromium; use as a context manager.

    Args:
        folder: where its profile may be kept.
        width, height: of the view, in CSS pixels.
    """

    def __init__(self, folder: Path, width: int = 1440, height: int = 900):
        if not CHROMIUM:
            pytest.skip("needs Chromium: `apt-get install chromium`, or its path as CLIPCAER_CHROMIUM")
        theirs, self._write = os.pipe()
        self._read, ours = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        command = [CHROMIUM, *options, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        # The protocol's pipes are the process's files 3 and 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours}', "chromium", *command]
        self._process = subprocess.Popen(shell, pass_fds=(theirs, ours), stderr=subprocess.DEVNULL)
        for end in (theirs, ours):
            os.close(end)
        self._input, self._number, self._session = os.fdopen(self._read, "rb"), 0, None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._input.close()
        os.close(self._write)

    def send(self, method: str, **parameters: object) -> dict:
        """Call a method of the protocol and wait for what it gives."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._write, json.dumps(call | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _message(self) -> bytes:
        data = bytearray()
        while (byte := self._input.read(1)) != b"\0":
            assert byte, "Chromium is gone"
            data += byte
        return bytes(data)

    def resize(self, width: int, height: int) -> None:
        """Give the view another size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def open(self, path: Path) -> None:
        """Open a file and wait until it is there."""
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, expression: str):
        """The value of an expression, or of what it promises."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str, x: float = 0.5) -> None:
        """Click into the first element that `selector` finds, at the share `x` of its width."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        left, top, width, height = self.run(f"(box => [box.left, box.top, box.width, box.height])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": left + x * width, "y": top + height / 2}
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key)
