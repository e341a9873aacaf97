"""The app in a real browser, as a visitor uses it; needs Gradio (the extra `app`) and Chromium."""

import csv
import io
import os
import signal
import socket
import subprocess
import time
import zipfile
from urllib.request import urlopen

import pytest

from helpers import videos
from helpers.browser import find, find_faults, open_browser
from helpers.places import ROOT
from helpers.served_app import serve_app
from helpers.tiny import lively_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.models.checkpoints import save_checkpoint


pytest.importorskip("gradio", reason="gradio is in the extra `app`")

# Keep: not hidden. Gradio measures tabs by others of their names.
BUTTON = "[...document.querySelectorAll('button')].find(e => e.innerText.trim() === '{}' && e.offsetHeight > 1)"
CELLS = "[...document.querySelectorAll('[role=gridcell]')].map(cell => cell.innerText.trim())"
FRAME = "document.querySelector('iframe.made')"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    processor = ClipCaerVideoProcessor(num_frames=4, image_size=32, face_margin=4)
    save_checkpoint(lively_model(num_frames=4), processor, folder)
    return folder


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """A recording of a name that pages have other plans for."""
    return videos.write_video(tmp_path_factory.mktemp("lesson") / "Übung <b> & 3.mp4", videos.noise(60))


@pytest.fixture(scope="module")
def app(model):
    settings = ("--window", 2, "--stride", 1, "--face-detector", "haar", "--device", "cpu")
    with serve_app("--model", model, *settings) as app:
        yield app


@pytest.fixture(scope="module")
def chromium():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def browser(app, chromium):
    """The app's page, before anything is dropped."""
    chromium.open(app.address)
    chromium.wait("document.querySelector('input[type=file]') && !document.body.innerText.includes('Loading...')")
    return chromium


def press(browser, name):
    browser.wait(BUTTON.format(name))
    browser.run(BUTTON.format(name) + ".click()")


def make_timeline(browser, lesson):
    browser.choose_file("input[type=file]", lesson)
    browser.wait("document.body.innerText.includes('Press “Make the timeline”')")
    press(browser, "Make the timeline")
    browser.wait(FRAME)


def await_nothing(app):
    """Until the app keeps no file of anybody."""
    end = time.monotonic() + 20
    while app.list_files():
        assert time.monotonic() < end, app.list_files()
        time.sleep(0.1)


def fetch(browser, link):
    with urlopen(browser.run(f"{find(link)}.href")) as answer:
        return answer.read()


def test_a_visitor_sees_the_notice_first_drops_a_recording_corrects_it_and_leaves_nothing(app, browser, lesson):
    assert "The EU AI Act" in browser.run("document.querySelector('.gradio-container').innerText.slice(0, 150)")
    make_timeline(browser, lesson)
    page = fetch(browser, "a.made[href$='report.html']").decode()
    assert "Übung" in page and "The EU AI Act" in page and str(app.folder) not in page
    press(browser, "People")
    press(browser, "Show people")
    browser.wait("document.querySelector('video.made')?.readyState")
    press(browser, "Explanation")
    press(browser, "Explain")
    browser.wait("document.querySelector('iframe[title=Explanation]')")
    press(browser, "Correct")
    browser.wait(f"{CELLS}.length")
    browser.click("[role=gridcell]")
    label = "[...document.querySelectorAll('label')].find(e => e.innerText.trim() === 'uncertain')"
    browser.wait(label)
    browser.run(f"{label}.click()")
    browser.wait(f"{CELLS}[3] === 'uncertain'")
    press(browser, "Save the table")
    browser.wait("document.querySelector('a.made[href$=zip]')")
    with zipfile.ZipFile(io.BytesIO(fetch(browser, "a.made[href$=zip]"))) as files:
        (name,) = (name for name in files.namelist() if name.endswith("segments.csv"))
        lines = list(csv.DictReader(io.TextIOWrapper(files.open(name), "utf-8", newline="")))
    assert [line["label"] for line in lines if not line["score"]] == ["uncertain"]
    assert all(line["source"].startswith("Übung") for line in lines)
    assert [line for line in browser.complaints() if "favicon" not in str(line)] == []
    assert [address for address in browser.requests() if not address.startswith((app.address, "data:", "blob:"))] == []
    assert app.list_files()
    browser.open("about:blank")
    await_nothing(app)


def test_a_threshold_makes_answers_uncertain_at_once(browser, lesson):
    make_timeline(browser, lesson)
    press(browser, "Correct")
    browser.wait(f"{CELLS}.includes('room')")
    assert "uncertain" not in browser.run(CELLS)
    browser.click("input[type=range]", at=0.98)
    browser.wait(f"{CELLS}.includes('uncertain')")


def test_a_file_that_is_no_video_gets_one_line(browser, tmp_path):
    notes = tmp_path / "notes.mp4"
    notes.write_text("no video at all")
    browser.choose_file("input[type=file]", notes)
    browser.wait("document.body.innerText.includes('Press “Make the timeline”')")
    press(browser, "Make the timeline")
    told = "[...document.querySelectorAll('[data-testid=toast-text]')].map(toast => toast.innerText)"
    browser.wait(f"{told}.length > 1")
    assert browser.run(told) == [
        "Video not playable",  # Gradio's, when it is dropped
        "notes.mp4: cannot be read as a video (Invalid data found when processing input)",
    ]


def test_labels_and_sentences_of_ones_own_are_answered_zero_shot(tiny_clip, chromium, lesson):
    with serve_app(
        "--model", tiny_clip, "--labels", "demo_labels", "--face-detector", "haar", "--device", "cpu"
    ) as app:
        chromium.open(app.address)
        chromium.wait("document.querySelector('textarea')?.value.startsWith('Neutrality: ')")
        chromium.run(
            "(e => { e.value = 'Calm: a still student\\nLively: a student who laughs';"
            " e.dispatchEvent(new Event('input')); })(document.querySelector('textarea'))"
        )
        make_timeline(chromium, lesson)
        page = fetch(chromium, "a.made[href$='report.html']").decode()
        assert "Lively" in page and "zero-shot" in page and "Neutrality" not in page


def test_the_page_has_no_faults_of_ours_for_those_who_cannot_see_it(browser):
    # Keep: but one. What one drops a video on says so in other words to who cannot see it, which is Gradio's choice.
    assert [fault for fault in find_faults(browser) if not fault.startswith("label-content-name-mismatch")] == []


def test_it_listens_on_this_machine_alone_and_a_frame_reads_nothing_of_the_app(app, browser, lesson):
    port = int(app.address.rstrip("/").rpartition(":")[2])
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in others:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass
    make_timeline(browser, lesson)
    assert browser.run(f"{FRAME}.sandbox.value") == "allow-scripts"
    assert browser.run(f"{FRAME}.contentDocument") is None
    with urlopen(browser.run(f"{FRAME}.src")) as answer:
        assert "sandbox allow-scripts" in answer.headers["content-security-policy"]


def test_a_port_that_is_taken_gets_one_line(app, model):
    port = app.address.rstrip("/").rpartition(":")[2]
    command = [*app.process.args[:4], "--model", str(model), "--face-detector", "haar", "--port", port]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    expected = f"error: --port {port}: is taken, or cannot be listened on; expected another one\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_nothing_stays_when_the_command_is_ended(model, chromium, lesson):
    with serve_app("--model", model, "--face-detector", "haar", "--device", "cpu") as app:
        chromium.open(app.address)
        chromium.wait("document.querySelector('input[type=file]')")
        make_timeline(chromium, lesson)
        assert app.list_files()
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(30) == 0
        assert app.list_files() == []
