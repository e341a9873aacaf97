import re
from dataclasses import replace
from html.parser import HTMLParser
from statistics import fmean

import numpy as np
import pytest

from helpers.timelines import build_timeline, window
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.look import luminance
from modeling_clipcaer.exports.page import LARGEST_PAGE, find_video, summarise, write_report_page
from modeling_clipcaer.exports.page_charts import (
    PATH_HEIGHT,
    PATH_WIDTH,
    Span,
    coarsen,
    draw_confidence,
    draw_missing_faces,
    place_ticks,
)
from modeling_clipcaer.exports.page_words import find_doubts, find_findings, group_settings
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.timeline import (
    NO_PICTURE,
    ROOM,
    SCHEMA_VERSION,
    UNCERTAIN,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Reads a page and holds it to be well-formed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text, self.titles, self.rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), tag
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.text.append(data)
        if "title" in self.open:
            self.titles.append(data)
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def find(self, tag, **attributes):
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [found for name, found in self.elements if name == tag and found.items() >= wanted.items()]


def write_page(tmp_path, *timelines):
    write_report_page(iter(timelines), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_stands_alone_and_is_well_formed(tmp_path):
    text = write_page(tmp_path, build_timeline(), build_timeline(source="second.mp4", seed=1))
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"img", "image", "link", "iframe", "object", "base"}
    assert page.find("script") == [{}]  # one, and inline
    assert "http" not in text and "@import" not in text and "base64" not in text and "fetch(" not in text
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "srcdoc")]
        assert attributes.get("href", "#")[0] == "#" and attributes.get("href", "#recording-0")[1:] in ids
        assert attributes.get("aria-labelledby", ids[0]) in ids
    assert "url(" not in text
    words = " ".join(page.text)
    assert RESPONSIBLE_USE in words and words.index(RESPONSIBLE_USE) < words.index("How far to trust it")
    assert f"version {SCHEMA_VERSION}" in words


def read_cells(page):
    """Of each cell of a lane: class, from and to in percent, and what it says when asked."""
    for cell in page.find("i"):
        if "style" in cell:
            left, width = (float(part.split(":")[1].rstrip("%")) for part in cell["style"].split(";"))
            yield cell["class"], left, left + width, cell["title"]


def test_every_segment_is_drawn_and_listed(tmp_path):
    timeline = build_timeline()
    page = Page(write_page(tmp_path, timeline))
    cells, listed = list(read_cells(page)), {tuple(row) for row in page.rows}
    assert len(timeline.segments) >= 7
    for segment in timeline.segments:
        start, end = (f"{round(time) // 60}:{round(time) % 60:02}" for time in (segment.start, segment.end))
        score = f"{100 * segment.score:.0f} %"
        who = {"room": "Everybody", "person-1": "Person 1", "person-2": "Person 2"}[segment.person]
        assert [row[:2] + row[3:5] for row in listed if row[:2] + row[3:5] == (start, end, who, segment.label)]
        bounds = [100 * time / timeline.duration for time in (segment.start, segment.end)]
        kind = f"c{RAER_LABELS.index(segment.label)}"
        drawn = [text for name, *place, text in cells if name == kind and np.allclose(place, bounds, atol=0.02)]
        assert f"{segment.label} {score}, {start}–{end}" in drawn


def test_shares_are_of_the_time_that_a_person_was_followed():
    windows = [window("person-1", number, [0.1, 0.6, 0.1, 0.1, 0.1]) for number in (0, 1, 2, 5)]
    segments = [
        TimelineSegment("lesson.mp4", "person-1", start, end, label, 0.6, 1)
        for start, end, label in [(0, 15, RAER_LABELS[1]), (15, 20, UNCERTAIN), (25, 35, RAER_LABELS[1])]
    ]
    lanes = summarise(Timeline("lesson.mp4", 40.0, 640, 360, list(RAER_LABELS), windows, segments)).lanes
    lanes = lanes[::-1]
    assert [lane.person for lane in lanes] == [ROOM, "person-1"]
    assert lanes[1].seconds == 30 and lanes[1].mean_score == pytest.approx(0.6)
    assert lanes[1].shares[RAER_LABELS[1]] == pytest.approx(25 / 30) and lanes[1].shares[UNCERTAIN] == pytest.approx(
        5 / 30
    )
    assert sum(lanes[1].shares.values()) == pytest.approx(1)
    assert lanes[1].summary == f"83\N{NO-BREAK SPACE}% {RAER_LABELS[1]}" and lanes[0].summary == "no answer"


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} & 'é' 疲劳"]
)
def test_names_and_labels_are_text_and_never_markup(tmp_path, name):
    timeline = build_timeline(labels=["a", name, "b"], source=f"{name}.mp4")
    timeline.settings[name] = timeline.settings["model"] = name
    timeline.notes.append(name)
    page = Page(write_page(tmp_path, timeline, build_timeline(source=name)))
    assert not {tag for tag, _ in page.elements} & {"img"}
    assert page.find("script") == [{}]
    told = name.rpartition("/")[2]  # of a path, the file's name
    assert f"{told}.mp4" in page.text and f"⚠ {name}" in page.text
    assert any(name in text for *_, text in read_cells(page)) and any(name in row for row in page.rows)
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]


@pytest.mark.parametrize(("stay", "smoothing", "hysteresis"), [(0.97, 3, 0.1), (0.0, 1, 0.0)])
def test_three_hours_of_eight_persons_stay_below_a_megabyte(tmp_path, stay, smoothing, hysteresis):
    timelines = [
        build_timeline(
            8, 720, source=f"{number}.mp4", seed=number, stay=stay, smoothing=smoothing, hysteresis=hysteresis
        )
        for number in range(3)
    ]
    text = write_page(tmp_path, *timelines)
    assert len(text.encode()) < LARGEST_PAGE
    page = Page(text)
    assert len(page.find("div", class_="track")) == 27
    rows = len([row for row in page.find("tr") if "data-p" in row])
    total = sum(len(timeline.segments) for timeline in timelines)
    left_out = sum(int(number) for number in re.findall(r"(\d+) more are in the files", text))
    assert rows + left_out == total and (left_out > 0) == (stay == 0)


def test_a_page_of_very_many_recordings_keeps_the_overview_and_says_what_it_leaves_out(tmp_path):
    text = write_page(
        tmp_path, *(build_timeline(6, 60, source=f"{number}.mp4", seed=number, stay=0.5) for number in range(150))
    )
    assert 0.8 * LARGEST_PAGE < len(text.encode()) < LARGEST_PAGE
    page = Page(text)
    details = len(page.find("article"))
    assert 10 < details < 150 and f"The details of {150 - details} more recordings" in text
    assert len([row for row in page.rows if row[0].endswith(".mp4")]) == 150 and len(page.find("a")) == details


def test_the_page_says_how_it_was_made_once_for_recordings_alike(tmp_path):
    timelines = [build_timeline(source=f"{number}.mp4") for number in range(3)]
    timelines[2].settings["face_detector"] = "supplied"
    page = Page(write_page(tmp_path, *timelines))
    assert page.rows.count(["torch", "2.13.0"]) == 2 and ["found by", "supplied"] in page.rows
    assert page.find("details", class_="made") == [{"class": "made"}] * 2  # closed
    assert any("0.mp4 and 1 more" in text for text in page.text)


def test_zero_shot_and_uncalibrated_scores_are_marked(tmp_path):
    timeline = build_timeline()
    assert not Page(write_page(tmp_path, timeline)).find("span", class_="mark")
    timeline.settings |= {"zero_shot": True, "calibrated": False}
    text = write_page(tmp_path, timeline)
    assert len(Page(text).find("span", class_="mark")) == 2
    assert "was not trained for them" in text


MEASURED = {
    "uar": 44.4,
    "uar_ci95": [25.0, 66.0],
    "num_clips": 9,
    "num_labels": 5,
    "split": "test",
    "dataset": "<raer>",
}


@pytest.mark.parametrize(
    ("measured", "is_fine", "text"),
    [
        (None, False, "The checkpoint is not yet measured"),
        (MEASURED, False, "95 % interval 25 to 66. Guessing has 20"),
        ({**MEASURED, "uar_ci95": [15.0, 46.0]}, False, "95 % interval 15 to 46"),  # guessing may do as well
        ({**MEASURED, "uar_ci95": [40.0, 49.0], "num_clips": 600}, True, "On 600 clips (test split of <raer>)"),
    ],
)
def test_the_page_says_how_well_the_checkpoint_was_measured(tmp_path, measured, is_fine, text):
    timeline = build_timeline()
    timeline.settings["measured"] = measured
    assert text in "".join(Page(write_page(tmp_path, timeline)).text)
    doubts = " ".join(find_doubts(timeline))
    assert is_fine == ("not yet measured" not in doubts and "does not show" not in doubts)


def doubts_of(timeline):
    timeline.settings["measured"] = {**MEASURED, "uar_ci95": [40.0, 49.0]}
    return " ".join(find_doubts(timeline))


def test_only_what_a_reader_should_check_is_told():
    good = build_timeline()
    good.windows = [window(row.person, row.window, list(row.probabilities.values())) for row in good.windows]
    assert doubts_of(good) == ""

    faceless = doubts_of(build_timeline(count=30))  # 6 of the first person's 26 windows, 10 of 30
    assert "No face in many windows, where the context decides alone: Person 1 (23 %), Person 2 (33 %)." in faceless
    assert "carried over gaps in many windows: Person 1 (38 %), Person 2 (33 %)." in faceless
    small = build_timeline()
    small.sightings = [FaceSighting("person-1", 1.0, (0.0, 0.0, 25.0, 60.0), "detected")]
    assert "Faces measure 25 pixels" in doubts_of(small)
    assert "It is short: 2 windows" in doubts_of(build_timeline(count=2))
    cut = build_timeline()
    cut.duration = 1000.0
    assert "Answers end at 2 min 5 s of 16 min 40 s" in doubts_of(cut)
    empty = Timeline("lesson.mp4", 0.0, 0, 0, list(RAER_LABELS), settings={"calibrated": True}, notes=["torn file"])
    assert doubts_of(empty) == "Nothing could be answered. torn file"
    alone = build_timeline()
    alone.windows = [row for row in alone.windows if row.person == ROOM]
    assert "Nobody was followed" in doubts_of(alone)
    guess = build_timeline()
    guess.windows = [window(row.person, row.window, [0.24, 0.19, 0.19, 0.19, 0.19]) for row in guess.windows]
    assert "Mean confidence of all answers is 24 %; guessing has 20 %" in doubts_of(guess)
    unsure = build_timeline(persons=1, count=4)
    unsure.segments = [
        TimelineSegment("lesson.mp4", person, start, end, label, 0.5, 1)
        for person in ("person-1", ROOM)
        for start, end, label in [(0, 15, "Fatigue"), (15, 25, UNCERTAIN)]
    ]
    assert "Much of the time is uncertain: Person 1 (40 %)." in doubts_of(unsure)  # the copy is not told


def test_what_stands_out_is_the_commonest_label_and_the_longest_stretches_of_others():
    stretches = [
        ("person-1", 0, 50, "Neutrality"),
        ("person-1", 50, 60, UNCERTAIN),
        ("person-2", 0, 8, "Fatigue"),
        ("person-2", 8, 28, "Neutrality"),
        ("person-2", 28, 32, "Confusion"),
        ("person-2", 32, 37, "Fatigue"),
        ("person-2", 37, 40, "Enjoyment"),
        (ROOM, 0, 60, "Distraction"),
    ]
    timeline = build_timeline(persons=2, count=11)
    timeline.segments = [TimelineSegment("a", who, start, end, label, 0.5, 1) for who, start, end, label in stretches]
    found = find_findings(timeline)
    assert found.commonest == ("the 2 people", "Neutrality", 0.7) and found.uncertain == pytest.approx(0.1)
    assert [(row.start, row.end, row.label) for row in found.stretches] == [
        (0, 8, "Fatigue"),
        (28, 32, "Confusion"),
        (32, 37, "Fatigue"),
    ]


def test_the_room_is_left_out_where_it_repeats_the_only_person(tmp_path):
    timeline = build_timeline(persons=1, count=9)
    timeline.windows = [row for row in timeline.windows if row.person == ROOM]
    timeline.windows += [replace(row, person="person-1") for row in timeline.windows]
    assert [lane.person for lane in summarise(timeline).lanes] == ["person-1"]
    timeline.windows.pop()  # the room has an answer where the person has none
    assert [lane.person for lane in summarise(timeline).lanes] == ["person-1", ROOM]


def test_settings_are_told_in_words_by_group():
    assert group_settings({"window": 10.0, "odd": None, "calibrated": True, "versions": {"torch": "2"}}) == {
        "Checkpoint": {"calibrated confidence": "yes"},
        "Windows": {"seconds of each": "10.0"},
        "Further": {"odd": "–"},
        "Versions": {"torch": "2"},
    }


def test_the_player_shows_the_overlay_or_the_recording_by_a_relative_address(tmp_path):
    folder, source = tmp_path / "out" / "a", tmp_path / "take 1#.mp4"
    folder.mkdir(parents=True)
    assert find_video(str(source), folder, tmp_path / "out") is None
    source.write_bytes(b"")
    assert find_video(str(source), folder, tmp_path / "out") == "../take%201%23.mp4"
    (folder / "overlay.mp4").write_bytes(b"")
    assert find_video(str(source), folder, tmp_path / "out") == "a/overlay.mp4"
    assert find_video("https://example.org/a.mp4", tmp_path, tmp_path) is None
    (tmp_path / "out" / "deep").mkdir()
    assert find_video(str(source), tmp_path, tmp_path / "out" / "deep") is None  # no ../../ that names folders
    write_report_page([build_timeline()], tmp_path / "page.html", ["a/overlay.mp4"])
    (video,) = Page((tmp_path / "page.html").read_text(encoding="utf-8")).find("video")
    assert video["src"] == "a/overlay.mp4"


@pytest.mark.parametrize("kind", ["nothing read", "room alone", "one window"])
def test_recordings_with_little_in_them_have_a_page(tmp_path, kind):
    timeline = build_timeline(count=1 if kind == "one window" else 5)
    if kind == "room alone":
        timeline.windows = [row for row in timeline.windows if row.person == ROOM]
        timeline.segments = [segment for segment in timeline.segments if segment.person == ROOM]
        timeline.sightings = []
    if kind == "nothing read":
        timeline = Timeline("lesson.mp4", 0.0, 0, 0, list(RAER_LABELS), notes=["no frame can be read"])
    page = Page(write_page(tmp_path, timeline))
    assert len(page.find("div", class_="cells")) == {"nothing read": 0, "room alone": 1, "one window": 3}[kind]


def test_a_page_about_no_recording_is_a_page(tmp_path):
    assert "0 recordings" in write_page(tmp_path)


def test_text_can_be_read_on_light_and_dark_pages(tmp_path):
    text = write_page(tmp_path, build_timeline())
    style = text[text.index("<style>") : text.index("</style>")]
    dark = style.index("prefers-color-scheme: dark")
    for part in (style[:dark], style[dark : style.index("}", dark)]):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))
        pairs = [
            ("ink", "card"),
            ("ink", "page"),
            ("soft", "card"),
            ("soft", "page"),
            ("accent", "card"),
            ("accent", "track"),
        ]
        for front, back in [*pairs, ("warn-ink", "warn"), ("good", "card"), ("warn-ink", "card")]:
            light, low = sorted((luminance(colours[name].upper()) + 0.05 for name in (front, back)), reverse=True)
            assert light / low >= 4.5, (front, back)


def test_a_coarse_lane_keeps_what_fills_each_part():
    spans = [
        Span(0, 6, "a", 0.5),
        Span(6, 7, "b", 0.9),
        Span(7, 10, "a", 0.8),
        Span(10, 14, "b", 0.4),
        Span(17, 20, "c", 1),
    ]
    assert coarsen(spans, 20, 5) == spans
    first, second, third = coarsen(spans, 20, 2)[:1] + coarsen(spans, 20, 4)[-2:]
    assert first[:3] == (0, 10, "a") and first.score == pytest.approx((6 * 0.5 + 3 * 0.8) / 9)
    assert second[:3] == (10, 15, "b") and second.score == pytest.approx(0.4)
    assert third[:3] == (15, 20, "c")


def test_marks_stand_where_no_face_was_seen_and_the_area_leaves_absences_empty():
    windows = [
        window("person-1", 0, [0.5, 0.5]),
        window("person-1", 1, [0.7, 0.3], "none"),
        window("person-1", 3, [1, 0]),
    ]
    assert draw_missing_faces(windows, 50) == "M150 0h150"
    assert (PATH_WIDTH, PATH_HEIGHT) == (1000, 100)
    assert draw_confidence(windows, 50) == "M0 100V50l100 0 100 -20 100 0V100zM300 100V0l100 0 100 0V100z"


def test_long_curves_are_means_of_few_points():
    windows = [
        window("person-1", number, [0.5 + 0.4 * (number % 2), 0.5 - 0.4 * (number % 2)]) for number in range(720)
    ]
    path = draw_confidence(windows, 3605)
    assert path.startswith("M0 100V30l2 0") and path.count(" ") <= 740
    assert set(re.findall(r"\d+ (-?\d+)", path)[1:]) == {"0"}


@pytest.mark.parametrize("duration", [0.04, 1, 9, 59, 61, 605, 3605, 7200, 36000, 400000])
def test_an_axis_has_a_few_round_times_and_more_when_widened(duration):
    ticks = place_ticks(duration)
    few = [tick for tick in ticks if not tick.is_wide]
    assert 2 <= len(few) <= 7 or (duration < 1 and len(few) >= 1)
    assert len(ticks) <= 36 and ticks[0].x == "0"
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert fmean(float(tick.x) for tick in ticks) <= 100


def test_a_stretch_without_a_picture_is_hatched_and_counts_for_nothing(tmp_path):
    whole = build_timeline(count=4)
    end = whole.duration
    blank = TimelineWindow("lesson.mp4", ROOM, 4, end, end + 75, NO_PICTURE, 0, 0, None, None, {})
    timeline = replace(whole, windows=[*whole.windows, blank], duration=end + 75)
    page = Page(write_page(tmp_path, timeline))
    drawn = [cell for cell in read_cells(page) if cell[0] == "blank"]
    assert [cell[1:3] for cell in drawn] == [(25, 100)] * 3  # the room's lane and two persons'
    assert len(page.find("i", class_="blank")) == 4  # and the legend
    assert "no picture" in "".join(page.text) and "missing for 1 min 15 s of 1 min 40 s" in "".join(page.text)
    shown, before = summarise(timeline), summarise(whole)
    assert shown.missing == 75
    for lane, other in zip(shown.lanes, before.lanes, strict=True):
        assert (lane.shares, lane.mean_score, lane.seconds) == (other.shares, other.mean_score, other.seconds)
    assert not [doubt for doubt in shown.doubts if "Answers end" in doubt]
    assert not Page(write_page(tmp_path, whole)).find("i", class_="blank")


def test_a_recording_that_never_shows_a_picture_claims_nothing(tmp_path):
    blank = TimelineWindow("lesson.mp4", ROOM, 0, 0.0, 60.0, NO_PICTURE, 0, 0, None, None, {})
    timeline = replace(build_timeline(count=1), windows=[blank], segments=[], sightings=[], duration=60.0)
    page = Page(write_page(tmp_path, timeline, timeline))
    text = "".join(page.text)
    assert "Nothing could be answered." in text and "no answer" in text and not re.search(r"\d\s%", text)
