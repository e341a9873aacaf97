"""The recordings' page in a real Chromium; skipped where there is none."""

import re

import pytest

from helpers.browser import find, find_faults, open_browser
from helpers.timelines import build_timeline
from helpers.videos import squares, write_video
from modeling_clipcaer.exports.page import write_report_page


SLIDER = find("[role=slider]")
STARTS = "[...document.querySelectorAll('[data-go]')].map(button => +button.dataset.go)"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages about one recording, and about two of twelve persons."""
    folder = tmp_path_factory.mktemp("pages")
    write_video(folder / "lesson.mp4", squares([{}] * 100))
    write_report_page([build_timeline(3, 60, stay=0.97)], folder / "one.html")
    write_report_page([build_timeline(12, 24, source=f"{number}.mp4") for number in range(2)], folder / "two.html")
    write_report_page([build_timeline(1, 2)], folder / "played.html", ["lesson.mp4"])
    return folder


def read_time(browser):
    return browser.run(f"+{SLIDER}.getAttribute('aria-valuenow')")


def test_the_first_screen_holds_the_notice_in_a_line_and_every_lane(browser, pages):
    browser.open(pages / "one.html")
    lanes = browser.run("[...document.querySelectorAll('.cells')].map(lane => lane.getBoundingClientRect().bottom)")
    assert len(lanes) == 4 and lanes[0] < 700 and lanes[-1] < 900
    assert browser.box("[role=note]")[3] < 30
    browser.open(pages / "one.html", 390, 844)
    left, top, width, height = browser.box(".cells")
    assert top + height < 844 and left + width <= 390


def test_clicks_and_keys_move_the_cursor_which_says_what_is_there(browser, pages):
    browser.open(pages / "one.html")
    browser.click(".track", 0.5)
    assert browser.run(f"document.activeElement === {SLIDER}")
    assert abs(read_time(browser) - 305 / 2) <= 1
    browser.press("Home")
    browser.press("ArrowRight")
    text = browser.run(f"{SLIDER}.getAttribute('aria-valuetext')")
    assert re.fullmatch(r"0:05: Person 1 \w+ \d+ %, Person 2 \w+ \d+ %, Person 3 \w+ \d+ %, Everybody \w+ \d+ %", text)
    browser.press("ArrowUp")
    assert abs(read_time(browser) - min(start for start in browser.run(STARTS) if start > 5.1)) <= 0.51
    browser.press("ArrowRight", shift=True)
    browser.press("ArrowLeft", shift=True)
    browser.press("End")
    assert read_time(browser) == 305
    browser.click(".stand button")
    assert abs(read_time(browser) - browser.run(STARTS)[0]) <= 0.51
    assert browser.requests() == [(pages / "one.html").resolve().as_uri()] and browser.complaints() == []


def test_a_labels_button_dims_its_stretches_alone(browser, pages):
    browser.open(pages / "one.html")
    browser.click("[data-l='3']")
    dimmed = browser.run(
        "[...document.querySelectorAll('.cells i')].map(cell => [cell.className, cell.matches('.off')])"
    )
    assert {name.split()[0]: off for name, off in dimmed} == {f"c{place}": place == 3 for place in range(5)}
    browser.click("[data-l='3']")
    assert browser.run("document.querySelectorAll('.off').length") == 0


def test_the_video_follows_the_cursor_and_one_can_be_chosen(browser, pages):
    ready = "new Promise(done => setInterval(() => document.querySelector('.screen.on') && done(true), 20))"
    browser.open(pages / "played.html")
    assert browser.run(ready)
    browser.click(".track", 0.1)
    assert browser.run(f"{find('video')}.currentTime") == pytest.approx(1.5, abs=0.1)
    browser.open(pages / "one.html")
    assert browser.run(find(".screen.on")) is None
    browser.choose_file("input[type=file]", pages / "lesson.mp4")
    assert browser.run(ready) and browser.run(f"{find('video')}.src.startsWith('blob:')")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844), (320, 700)])
@pytest.mark.parametrize("name", ["one.html", "two.html"])
def test_nothing_hangs_out_sideways_and_axe_finds_no_fault(browser, pages, name, width, height):
    browser.open(pages / name, width, height, prefers_color_scheme="dark" if width == 1024 else "light")
    assert browser.run("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('table')].filter(t => t.scrollWidth > t.parentNode.clientWidth).length"
    assert browser.run(wide) == 0
    assert find_faults(browser) == []
