"""The page about recordings in a real browser: looked at in four sizes, clicked, played, and worked by keys."""

import pytest

from helpers.browser import find_faults, open_browser
from helpers.videos import plain, write_video
from modeling_clipcaer.exports.page import write_report_page
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline, TimelineSegment, TimelineWindow


pytestmark = pytest.mark.slow

END = 2400.0
STRETCHES = {
    "person-1": [(0, 600, "Confusion", 0.8), (600, 1200, "Neutrality", 0.7), (1200, 2400, "Fatigue", 0.9)],
    "person-2": [(0, 2400, "Neutrality", 0.6)],
    "person-3": [(300, 900, "Distraction", 0.75), (900, 2400, UNCERTAIN, 0.3)],
    ROOM: [(0, 2400, "Neutrality", 0.5)],
}
MEASURED = {"uar": 88.0, "uar_ci95": [82.0, 91.0], "num_clips": 180, "num_labels": 5, "split": "test", "dataset": "d"}
SLIDER = "[role=slider]"


def build_timeline(persons=3, source="lesson.mp4", labels=RAER_LABELS):
    """40 minutes of STRETCHES, and of more persons who are like the second."""
    names = [*(f"person-{number + 1}" for number in range(persons)), ROOM]
    stretches = {name: STRETCHES.get(name, STRETCHES["person-2"]) for name in names}
    windows = [
        TimelineWindow(
            *(source, name, number, 10.0 * number, 10.0 * number + 10, "none" if number % 40 == 7 else "detected"),
            *(16, 16, label, score, dict.fromkeys(labels, 1 / len(labels))),
        )
        for number in range(240)
        for name in names
        for start, end, label, score in stretches[name]
        if start <= 10 * number < end
    ]
    segments = [
        TimelineSegment(source, name, float(start), float(end), label, score, (end - start) // 10)
        for name in names
        for start, end, label, score in stretches[name]
    ]
    settings = {
        **{"model": "best", "window": 10.0, "stride": 10.0, "zero_shot": False, "calibrated": True},
        **{"measured": MEASURED, "versions": {"torch": "2.13.0"}},
    }
    return Timeline(source, END, 1280, 720, list(labels), windows, segments, [], settings)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture
def page(browser, tmp_path):
    """The page about one recording of three people, shown."""
    path = tmp_path / "report.html"
    write_report_page([build_timeline()], path)
    browser.open(path)
    return path


def position(browser):
    return int(browser.run(f"document.querySelector('{SLIDER}').getAttribute('aria-valuenow')"))


def said(browser):
    return browser.run(f"document.querySelector('{SLIDER}').getAttribute('aria-valuetext')")


def test_the_first_screen_holds_the_words_the_player_and_every_lane(browser, page):
    assert browser.box(".cells")[1] < 700
    for selector in ("[role=note]", "h1", ".stand", ".trust", ".screen"):
        _, top, _, height = browser.box(selector)
        assert top >= 0 and top + height < 700, selector
    ends = browser.run("[...document.querySelectorAll('.lane')].map(lane => lane.getBoundingClientRect().bottom)")
    assert len(ends) == 4 and max(ends) <= 900


def test_a_phones_first_screen_has_the_first_lane(browser, page):
    browser.open(page, 390, 844)
    left, top, width, height = browser.box(".cells")
    assert top + height < 844 and left + width <= 390
    assert browser.box(".screen")[1] > top  # the player follows
    places = "[...document.querySelectorAll('[tabindex=\"0\"], button, video, input')].map(e => e.offsetParent && "
    places += "e.closest('.board') && e.closest('.play, .scroll, .tools').getBoundingClientRect().top).filter(Number)"
    assert (tops := browser.run(places)) == sorted(tops)  # what is reached by Tab comes in the order that is seen


def test_the_notice_takes_a_line(browser, page):
    assert browser.box("[role=note]")[3] < 30


@pytest.mark.parametrize("width", [1440, 1024, 390, 320])
@pytest.mark.parametrize("labels", [RAER_LABELS, [*RAER_LABELS, *(f"Label {number}" for number in range(7))]])
def test_nothing_is_hidden_sideways(browser, tmp_path, labels, width):
    write_report_page([build_timeline(labels=labels)], tmp_path / "report.html")
    browser.open(tmp_path / "report.html", width, 800)
    assert browser.run("document.documentElement.scrollWidth") == width
    hidden = "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
    hidden += "/auto|scroll/.test(getComputedStyle(e).overflowX)).map(e => e.className)"
    assert browser.run(hidden) == []


@pytest.mark.parametrize("look", [{}, {"prefers_color_scheme": "dark"}, {"forced_colors": "active"}])
@pytest.mark.parametrize("people", [1, 3, 12])
def test_axe_finds_no_fault(browser, tmp_path, people, look):
    write_report_page([build_timeline(people)] * (1 if people > 1 else 3), tmp_path / "report.html")
    browser.open(tmp_path / "report.html", **look)
    assert find_faults(browser) == []


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser, page):
    assert browser.requests() == [page.resolve().as_uri()] and browser.complaints() == []


def test_the_cursor_is_moved_by_keys(browser, page):
    people = ("Person 1 Confusion 80 %", "Person 2 Neutrality 60 %", "Person 3 away", "Everybody Neutrality 50 %")
    assert said(browser) == "0:00: " + ", ".join(people)
    browser.run(f"document.querySelector('{SLIDER}').focus()")
    browser.press("ArrowRight")
    browser.press("ArrowRight", shift=True)
    assert position(browser) == 65
    browser.press("ArrowLeft")
    assert position(browser) == 60
    places = []
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "Home"):
        browser.press(key)
        places.append(position(browser))
    assert places == [300, 600, 900, 1200, 900, 0]
    browser.press("End")
    assert said(browser).startswith("40:00: Person 1 Fatigue 90 %")


def test_a_click_on_a_lane_and_on_a_time_goes_there(browser, page):
    browser.click(".cells", at=0.25)
    assert position(browser) == pytest.approx(600, abs=3)
    assert browser.run(f"document.activeElement === document.querySelector('{SLIDER}')")
    starts = browser.run("[...document.querySelectorAll('.stand button')].map(button => button.textContent)")
    assert starts == ["0:00", "5:00", "20:00"]  # the longest of what is neither neutral nor uncertain
    browser.click(".stand li:nth-child(2) button")
    assert position(browser) == 300 and "Person 3 Distraction 75 %" in said(browser)
    x, _, width, _ = browser.box(".cells")
    assert browser.box(SLIDER)[0] == pytest.approx(x + width * 300 / END, abs=2)


def test_a_button_of_the_legend_dims_its_label_alone(browser, page):
    faint = "[...document.querySelectorAll('.cells i')].filter(e => getComputedStyle(e).opacity < 0.5).length"
    button = f".tools button[data-l='{RAER_LABELS.index('Neutrality')}']"
    assert browser.run(faint) == 0
    browser.click(button)
    assert browser.run(f"document.querySelector(\"{button}\").getAttribute('aria-pressed')") == "false"
    assert browser.run(faint) == 3  # a stretch of the first, the second's, everybody's
    browser.click(button)
    assert browser.run(faint) == 0


def test_a_wider_timeline_says_what_of_it_is_in_sight(browser, page):
    status = "document.querySelector('[role=status]').textContent"
    assert browser.run(status) == ""
    browser.click("[data-z='1']")
    assert browser.run(status).startswith("0:00 to ") and browser.run(status).endswith("; scroll for the rest")
    browser.run(f"document.querySelector('{SLIDER}').focus()")
    browser.press("End")
    browser.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert " to 40:00; scroll" in browser.run(status)
    browser.click("[data-z='-1']")
    assert browser.run(status) == ""


def write_long_video(path):
    """40 minutes in 24 frames."""
    path.parent.mkdir(exist_ok=True)
    return write_video(path, plain(24), seconds=[100.0 * number for number in range(24)])


def await_video(browser):
    """Until its length is known; and whether the video is what is seen in place of the invitation to choose one."""
    script = "new Promise(done => { const video = document.querySelector('video'); "
    browser.run(script + "video.readyState ? done(1) : video.addEventListener('loadedmetadata', () => done(1)); })")
    return browser.run("getComputedStyle(document.querySelector('video')).display") != "none"


def test_the_overlay_beside_the_page_follows_the_cursor_and_leads_it(browser, tmp_path):
    write_long_video(tmp_path / "lesson" / "overlay.mp4")
    write_report_page([build_timeline()], tmp_path / "report.html", ["lesson/overlay.mp4"])
    browser.open(tmp_path / "report.html")
    assert await_video(browser)
    browser.click(".stand li:nth-child(3) button")
    assert browser.run("document.querySelector('video').currentTime") == pytest.approx(1200, abs=0.1)
    moved = "new Promise(done => { const video = document.querySelector('video'); video.currentTime = 450; "
    browser.run(moved + "video.addEventListener('timeupdate', () => done(1), { once: true }); })")
    assert position(browser) == 450 and "Person 1 Confusion 80 %" in said(browser)


def test_a_video_that_is_not_there_is_asked_for(browser, tmp_path):
    write_report_page([build_timeline()], tmp_path / "report.html", ["lesson/overlay.mp4"])
    browser.open(tmp_path / "report.html")
    shown = (
        "new Promise(done => setTimeout(() => done(getComputedStyle(document.querySelector('.screen label')).display)"
    )
    assert browser.run(f"{shown}, 300))") != "none"


def test_a_recording_is_chosen_from_disk_and_sent_nowhere(browser, page, tmp_path):
    assert browser.run("getComputedStyle(document.querySelector('video')).display") == "none"
    browser.choose_file("input[type=file]", write_long_video(tmp_path / "disk" / "lesson.mp4"))
    assert await_video(browser)
    browser.click(".cells", at=0.5)
    assert browser.run("document.querySelector('video').currentTime") == pytest.approx(1200, abs=5)
    assert all(address.startswith(("file:", "blob:", "data:")) for address in browser.requests())
    assert browser.complaints() == []


def test_on_paper_every_stretch_is_there_and_nothing_to_click(browser, page):
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('.long tbody tr')].filter(row => row.getBoundingClientRect().height).length"
    assert browser.run(shown) == 7
    assert browser.run("(e => e.scrollHeight <= e.clientHeight + 1)(document.querySelector('.long'))")
    columns = (
        "[...document.querySelectorAll('.long tbody tr:first-child td')].map(cell => cell.getClientRects().length)"
    )
    for width in (1440, 720):  # of A4, in a browser's pixels: as narrow as a phone's rules
        browser.resize(width, 1000)
        assert browser.run(columns) == [1] * 6
        assert browser.run("getComputedStyle(document.querySelector('.long tr')).display") == "table-row"
    for selector in (".play", ".filter", "[data-z]"):
        assert browser.run(f"getComputedStyle(document.querySelector('{selector}')).display") == "none"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_what_is_closed_is_printed_open_and_closed_again(browser, page):
    closed = "document.querySelectorAll('details:not([open])').length"
    assert browser.run(closed) == 1
    assert browser.run(f"dispatchEvent(new Event('beforeprint')), {closed}") == 0
    assert browser.run(f"dispatchEvent(new Event('afterprint')), {closed}") == 1


def test_many_recordings_have_an_overview_whose_links_open_them(browser, tmp_path):
    write_report_page([build_timeline(source=f"{number}.mp4") for number in range(20)], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    browser.open(tmp_path / "report.html")
    assert browser.run("document.querySelectorAll('.overview tbody tr').length") == 20
    assert browser.box(".overview")[1] < 300
    strips = "[...document.querySelectorAll('.overview .cells')].map(strip => strip.children.length)"
    assert browser.run(strips) == [1] * 20  # everybody's: Neutrality all the time
    browser.click(".overview tbody tr:nth-child(20) a")
    assert browser.box("#recording-19 .cells")[3] > 0
