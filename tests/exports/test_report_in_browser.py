"""The recordings' page in a real Chromium; skipped where there is none."""

import os
from pathlib import Path

import pytest

from helpers.browser import Browser
from helpers.timelines import build_timeline
from modeling_clipcaer.exports.page import write_report_page


@pytest.fixture
def browser(tmp_path):
    write_report_page([build_timeline(3, 60, stay=0.97)], tmp_path / "one.html")
    write_report_page([build_timeline(12, 24, source=f"{number}.mp4") for number in range(2)], tmp_path / "two.html")
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "one.html")
        yield browser


SLIDER = "document.querySelector('[role=slider]')"


def test_the_page_in_a_browser(browser, tmp_path):
    # The first screen holds every lane.
    tops = browser.run("[...document.querySelectorAll('.cells')].map(lane => lane.getBoundingClientRect().bottom)")
    assert len(tops) == 4 and tops[0] < 700 and tops[-1] < 900
    assert browser.run("document.querySelector('[role=note]').getBoundingClientRect().height") < 30  # one line

    # A click moves the cursor, keys move it on; what it says is what the lanes show there.
    browser.click(".track", 0.5)
    assert browser.run(f"document.activeElement === {SLIDER}")
    assert browser.run(f"{SLIDER}.getAttribute('aria-valuetext')").startswith("2:3")
    browser.press("Home")
    browser.press("ArrowRight")
    text = browser.run(f"{SLIDER}.getAttribute('aria-valuetext')")
    assert text.startswith("0:05: Person 1 ") and "Person 3 " in text and "Everybody " in text
    browser.press("ArrowUp")  # to the next change
    first = browser.run(
        "Math.min(...[...document.querySelectorAll('[data-go]')].map(b => +b.dataset.go).filter(t => t > 5))"
    )
    assert browser.run(f"+{SLIDER}.getAttribute('aria-valuenow')") == pytest.approx(first, abs=0.51)
    browser.click(".stand button")
    wanted = browser.run("+document.querySelector('.stand button').dataset.go")
    assert browser.run(f"+{SLIDER}.getAttribute('aria-valuenow')") == pytest.approx(wanted, abs=0.51)

    # A label's button dims its stretches, and shows them again.
    browser.click("[data-l='3']")
    assert browser.run("[...document.querySelectorAll('.cells .c3')].every(cell => cell.classList.contains('off'))")
    assert browser.run("document.querySelectorAll('.cells .off:not(.c3)').length") == 0
    browser.click("[data-l='3']")
    assert browser.run("document.querySelectorAll('.off').length") == 0

    # Nothing hangs out sideways, and on a phone the first lane is on the first screen.
    for width, height in [(1024, 768), (390, 844), (320, 700)]:
        browser.resize(width, height)
        for name in ("one.html", "two.html"):
            browser.open(tmp_path / name)
            assert browser.run("document.documentElement.scrollWidth") <= width, (name, width)
    browser.resize(390, 844)
    browser.open(tmp_path / "one.html")
    assert browser.run("document.querySelector('.cells').getBoundingClientRect().bottom") < 844


@pytest.mark.parametrize("name", ["one.html", "two.html"])
def test_axe_finds_no_fault(browser, tmp_path, name):
    axe = os.environ.get("CLIPCAER_AXE")
    if not axe:
        pytest.skip("needs axe-core: the path of npm's axe.min.js as CLIPCAER_AXE")
    browser.open(tmp_path / name)
    browser.run(Path(axe).read_text(encoding="utf-8") + ";0")
    faults = browser.run(
        "axe.run().then(found => found.violations.map(v => [v.id, v.nodes.map(n => n.html + n.failureSummary)]))"
    )
    assert faults == []
