"""A headless Chromium, told what to do over its DevTools pipe; and axe-core, which finds faults of accessibility."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


# Keys as DevTools names them: what is typed, and the number of the key.
KEYS = {
    **{"ArrowLeft": (None, 37), "ArrowUp": (None, 38), "ArrowRight": (None, 39), "ArrowDown": (None, 40)},
    **{"Home": (None, 36), "End": (None, 35), "Tab": (None, 9), "Enter": ("\r", 13), " ": (" ", 32)},
}
SHIFT = 8


class Browser:
    """One tab, as `open_browser` gives it."""

    def __init__(self, write, read):
        self.write, self.read, self.number, self.session, self.events, self.rest = write, read, 0, None, [], b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The answer to a DevTools command."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        command |= {"sessionId": self.session} if self.session else {}
        os.write(self.write, json.dumps(command).encode() + b"\0")
        while (message := self._receive()).get("id") != self.number:
            self.events.append(message)
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def _receive(self):
        while b"\0" not in self.rest:
            more = os.read(self.read, 1 << 16)
            assert more, "the browser has ended"
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, page, width=1440, height=900, **media):
        """Show a file or an http address in a window of this size; `media` are features as
        `prefers_color_scheme="dark"`."""
        self.resize(width, height)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        address = str(page) if str(page).startswith("http://") else Path(page).resolve().as_uri()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def resize(self, width, height):
        """Make the window this large, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def run(self, script):
        """The value of an expression in the page; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script, seconds=30):
        """Wait until an expression is truthy."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            assert time.monotonic() < end, (script, self.complaints())
            time.sleep(0.1)

    def box(self, selector):
        """Where the first such element is in the window: x, y, width, height."""
        script = f"(e => e && (r => [r.x, r.y, r.width, r.height])(e.getBoundingClientRect()))({find(selector)})"
        box = self.run(script)
        assert box is not None, selector
        return box

    def click(self, selector, at=0.5):
        """Click the first such element, `at` this part of its width."""
        self.run(f"{find(selector)}.scrollIntoView({{block: 'nearest'}})")
        x, y, width, height = self.box(selector)
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": x + at * width, "y": y + height / 2, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def press(self, key, shift=False):
        """Press a key of `KEYS` and let it go."""
        text, number = KEYS[key]
        stroke = {"key": key, "windowsVirtualKeyCode": number, "modifiers": SHIFT if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **stroke, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def choose_file(self, selector, path):
        """Choose a file of this machine, as in the dialogue of an `<input type=file>`."""
        found = self.call("Runtime.evaluate", expression=find(selector))["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=found)

    def screenshot(self, path):
        """Write what the window shows, as PNG."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def requests(self):
        """Addresses that the page asked for since it was opened."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def complaints(self):
        """Errors of scripts and of the page since it was opened."""
        thrown = [event for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        logged = [event["params"]["entry"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return thrown + [entry for entry in logged if entry["level"] == "error"]


def find(selector):
    """The expression for the first element of a CSS selector."""
    return f"document.querySelector({json.dumps(selector)})"


@contextlib.contextmanager
def open_browser():
    """A headless Chromium for a while: Debian's, or the one that CLIPCAER_CHROMIUM names; skips where none is."""
    names = (os.environ.get("CLIPCAER_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if name and (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium, or CLIPCAER_CHROMIUM")
    # Keep: above 4. The browser reads commands from 3, and writes answers to 4.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in (os.pipe(), os.pipe()) for end in _closing(pair)]
    theirs_in, ours_out, ours_in, theirs_out = ends

    def connect():
        os.dup2(theirs_in, 3)
        os.dup2(theirs_out, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
        process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            **{"preexec_fn": connect, "pass_fds": (3, 4)},
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            process.terminate()
            process.wait(20)
            os.close(ours_in)
            os.close(ours_out)


def _closing(ends):
    """The ends of a pipe, each closed after it was used."""
    for end in ends:
        yield end
        os.close(end)


def find_faults(browser):
    """What axe-core finds on the page shown, one line for each fault; skips where its file is not here."""
    path = Path(os.environ.get("CLIPCAER_AXE", "node_modules/axe-core/axe.min.js"))
    if not path.is_file():
        pytest.skip("needs axe-core: npm install axe-core, or CLIPCAER_AXE for its axe.min.js")
    browser.run(path.read_text(encoding="utf-8") + "; true")
    found = browser.run("axe.run().then(found => found.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html)]))")
    return [f"{name}: {text}: {nodes[:3]}" for name, text, nodes in found]
