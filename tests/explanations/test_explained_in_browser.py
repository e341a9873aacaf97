"""What answers rest on in a real browser: on a page of its own, on that about recordings, and in a report."""

import pytest

from helpers.browser import find_faults, open_browser
from helpers.explained import LABELS, write_explained
from modeling_clipcaer.explanations.page import PAGE, render_page
from modeling_clipcaer.exports.page import write_report_page
from modeling_clipcaer.recordings.timeline import Timeline, TimelineSegment, TimelineWindow
from modeling_clipcaer.reports.evaluation import build_report, write_report


pytestmark = pytest.mark.slow

LONG = "images/SelfStudy/Laboratory/P054/003-a-name-without-a-place-to-break-it-anywhere"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The three pages, by name."""
    folder = tmp_path_factory.mktemp("pages")
    explained = write_explained(folder / "lesson" / "explanation", 3, LONG)
    (explained / PAGE).write_text(render_page(explained))
    window = TimelineWindow(
        "a.mp4", "person-1", 0, 0.0, 10.0, "detected", 4, 4, "busy", 0.8, {"calm": 0.2, "busy": 0.8}
    )
    segment = TimelineSegment("a.mp4", "person-1", 0.0, 10.0, "busy", 0.8, 1)
    settings = {"model": "best", "zero_shot": False, "calibrated": True, "measured": None, "streams": "both"}
    timeline = Timeline("a.mp4", 10.0, 64, 48, LABELS, [window], [segment], [], settings)
    write_report_page([timeline], folder / "recording.html", [], [explained])
    logits = [[1.0, 0.0], [0.0, 2.0], [0.5, 0.0], [0.0, 1.0]]
    report = build_report(logits, [0, 1, 1, 0], LABELS, checkpoint="c", dataset="d", split="test", seed=1)
    write_report(report, folder / "report", explained)
    return {
        "own": explained / PAGE,
        "recording": folder / "recording.html",
        "report": folder / "report" / "report.html",
    }


def open_all(browser):
    """Every part that is folded."""
    browser.run("document.querySelectorAll('details').forEach(details => { details.open = true; })")


@pytest.mark.parametrize("look", [{}, {"prefers_color_scheme": "dark"}, {"forced_colors": "active"}])
@pytest.mark.parametrize("name", ["own", "recording", "report"])
def test_axe_finds_no_fault(browser, pages, name, look):
    browser.open(pages[name], **look)
    open_all(browser)
    assert find_faults(browser) == []


@pytest.mark.parametrize("width", [1440, 390, 320])
@pytest.mark.parametrize("name", ["own", "recording", "report"])
def test_nothing_runs_out_of_the_page(browser, pages, name, width):
    browser.open(pages[name], width, 800)
    open_all(browser)
    assert browser.run("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("name", ["own", "recording", "report"])
def test_the_pages_ask_for_nothing_and_complain_of_nothing(browser, pages, name):
    browser.open(pages[name])
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert asked == [pages[name].resolve().as_uri()] and browser.complaints() == []


def test_answers_are_folded_and_a_button_goes_to_their_time(browser, pages):
    browser.open(pages["recording"])
    assert browser.run("document.querySelectorAll('.answer[open]').length") == 0
    browser.click(".answer:nth-of-type(2) summary")
    browser.click(".answer[open] [data-go]")
    assert browser.run("document.querySelector('[role=slider]').getAttribute('aria-valuenow')") == "1"
    assert browser.run("document.querySelector('.answer[open] img').naturalWidth") == 913


def test_on_paper_every_answer_is_there(browser, pages):
    browser.open(pages["recording"])
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.call("Emulation.setEmulatedMedia", media="print")
    heights = "[...document.querySelectorAll('.answer img')].map(image => image.getBoundingClientRect().height)"
    assert len(shown := browser.run(heights)) == 3 and min(shown) > 50
    browser.call("Emulation.setEmulatedMedia", media="")
