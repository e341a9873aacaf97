import re
from dataclasses import replace
from html.parser import HTMLParser
from statistics import fmean

import numpy as np
import pytest

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
from modeling_clipcaer.recordings.windows import build_segments


VOID = {"meta", "link", "br", "hr", "img", "input"}


def window(person, number, probabilities, status="detected", labels=RAER_LABELS, source="lesson.mp4", stride=5.0):
    labels = labels[: len(probabilities)]
    best = int(np.argmax(probabilities))
    return TimelineWindow(
        *(source, person, number, stride * number, stride * number + 10, status, 16, 16, labels[best]),
        score=float(probabilities[best]),
        probabilities=dict(zip(labels, map(float, probabilities), strict=True)),
    )


def build_timeline(
    persons=2, count=24, labels=RAER_LABELS, source="lesson.mp4", seed=0, stay=0.9, smoothing=3, hysteresis=0.1
):
    """A timeline of persons whose moods change at random; the first is away for a while."""
    rng = np.random.default_rng(seed)
    moods = rng.integers(len(labels), size=persons)
    windows = []
    for number in range(count):
        moods = np.where(rng.random(persons) < stay, moods, rng.integers(len(labels), size=persons))
        rows = rng.dirichlet(np.ones(len(labels)), size=persons) / 2 + np.eye(len(labels))[moods] / 2
        status = ("detected", "bridged", "none")[number // 5 % 3]
        here = [place for place in range(persons) if place or not 10 <= number < 14]
        windows += [window(f"person-{place + 1}", number, rows[place], status, labels, source) for place in here]
        windows.append(window(ROOM, number, rows.mean(axis=0), status, labels, source))
    settings = {
        **{"model": "out/best", "window": 10.0, "face_detector": "haar", "zero_shot": False, "calibrated": True},
        "versions": {"torch": "2.13.0", "clipcaer": "0.1.0"},
    }
    segments = build_segments(windows, smoothing, hysteresis)
    sightings = [
        FaceSighting("person-2", 5.0 * number, (10.0, 10.0, 90.0, 100.0), "detected") for number in range(count)
    ]
    return Timeline(
        *(source, 5.0 * count + 5, 1280, 720, list(labels), windows, segments, sightings), settings=settings
    )


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
        if "style" in self.open:
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
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "img",
        "image",
        "link",
        "iframe",
        "object",
        "video",
        "base",
    }
    assert "http" not in text and "@import" not in text and "base64" not in text
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "srcdoc")]
        assert attributes.get("href", "#")[0] == "#" and attributes.get("href", "#recording-0")[1:] in ids
        assert attributes.get("aria-labelledby", ids[0]) in ids
    assert set(re.findall(r"url\((.*?)\)", text)) == {"#hatch"} and "hatch" in ids
    assert "notice" in page.find("p", role="note")[0]["class"]
    words = " ".join(page.text)
    assert RESPONSIBLE_USE in words and words.index(RESPONSIBLE_USE) < words.index("How to read")
    assert f"version {SCHEMA_VERSION}" in words


def test_every_segment_is_drawn_and_listed(tmp_path):
    timeline = build_timeline()
    page = Page(write_page(tmp_path, timeline))
    cells = [cell for cell in page.find("rect") if cell.get("class", "").startswith("c") and cell["width"] != "100%"]
    listed = {tuple(row) for row in page.rows}
    assert len(timeline.segments) >= 7
    for segment in timeline.segments:
        start, end = (f"0:{int(time // 60):02}:{time % 60:04.1f}" for time in (segment.start, segment.end))
        score = f"{100 * segment.score:.0f} %"
        assert (start, end, segment.label, score) in listed
        assert f"{segment.label} {score}, {start[:-2]}–{end[:-2]}" in page.titles
        drawn = [
            cell
            for cell in cells
            if abs(float(cell["x"][:-1]) - 100 * segment.start / timeline.duration) < 0.01
            and abs(float(cell["width"][:-1]) - 100 * (segment.end - segment.start) / timeline.duration) < 0.01
        ]
        assert drawn and f"c{RAER_LABELS.index(segment.label)}" in {cell["class"] for cell in drawn}


def test_shares_are_of_the_time_that_a_person_was_followed():
    windows = [window("person-1", number, [0.1, 0.6, 0.1, 0.1, 0.1]) for number in (0, 1, 2, 5)]
    segments = [
        TimelineSegment("lesson.mp4", "person-1", start, end, label, 0.6, 1)
        for start, end, label in [(0, 15, RAER_LABELS[1]), (15, 20, UNCERTAIN), (25, 35, RAER_LABELS[1])]
    ]
    lanes = summarise(Timeline("lesson.mp4", 40.0, 640, 360, list(RAER_LABELS), windows, segments)).lanes
    assert [lane.person for lane in lanes] == [ROOM, "person-1"]
    assert lanes[1].seconds == 30 and lanes[1].mean_score == pytest.approx(0.6)
    assert lanes[1].shares[RAER_LABELS[1]] == pytest.approx(25 / 30) and lanes[1].shares[UNCERTAIN] == pytest.approx(
        5 / 30
    )
    assert sum(lanes[1].shares.values()) == pytest.approx(1)
    assert lanes[1].summary == f"most often {RAER_LABELS[1]} (83 %)" and lanes[0].summary == "no answer"


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} & 'é' 疲劳"]
)
def test_names_and_labels_are_text_and_never_markup(tmp_path, name):
    timeline = build_timeline(labels=["a", name, "b"], source=f"{name}.mp4")
    timeline.settings[name] = timeline.settings["model"] = name
    timeline.notes.append(name)
    page = Page(write_page(tmp_path, timeline, build_timeline(source=name)))
    assert not {tag for tag, _ in page.elements} & {"script", "img"}
    assert f"{name}.mp4" in page.text and f"Note of the analysis: {name}" in page.text
    assert any(name in title for title in page.titles) and any(name in row for row in page.rows)
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
    assert len(page.find("svg", class_="labels")) == 27
    rows = sum(len(row) == 4 and row[0].startswith("0:") for row in page.rows)
    total = sum(len(timeline.segments) for timeline in timelines)
    left_out = sum(int(number) for number in re.findall(r"(\d+) more are in the files", text))
    assert rows + left_out == total and (left_out > 0) == (stay == 0)


def test_a_page_of_very_many_recordings_keeps_the_overview_and_says_what_it_leaves_out(tmp_path):
    text = write_page(
        tmp_path, *(build_timeline(6, 60, source=f"{number}.mp4", seed=number, stay=0.5) for number in range(150))
    )
    assert 0.8 * LARGEST_PAGE < len(text.encode()) < LARGEST_PAGE
    page = Page(text)
    details = len([found for found in page.find("section") if found.get("id", "").startswith("recording-")])
    assert 10 < details < 150 and f"The details of {150 - details} more recordings" in text
    assert len([row for row in page.rows if row[0].endswith(".mp4")]) == 150 and len(page.find("a")) == details


def test_the_page_says_how_it_was_made_once_for_recordings_alike(tmp_path):
    timelines = [build_timeline(source=f"{number}.mp4") for number in range(3)]
    timelines[2].settings["face_detector"] = "supplied"
    page = Page(write_page(tmp_path, *timelines))
    assert page.rows.count(["versions.torch", "2.13.0"]) == 2 and ["face_detector", "supplied"] in page.rows
    assert any("0.mp4 and 1 more" in text for text in page.text)


def test_zero_shot_and_uncalibrated_scores_are_marked(tmp_path):
    timeline = build_timeline()
    assert not Page(write_page(tmp_path, timeline)).find("span", class_="mark")
    timeline.settings |= {"zero_shot": True, "calibrated": False}
    text = write_page(tmp_path, timeline)
    assert len(Page(text).find("span", class_="mark")) == 4
    assert "was not trained for them" in text and "no frequency of being right" in text


MEASURED = {
    "uar": 44.4,
    "uar_ci95": [25.0, 66.0],
    "num_clips": 9,
    "num_labels": 5,
    "split": "test",
    "dataset": "<raer>",
}


@pytest.mark.parametrize(
    ("measured", "level", "text"),
    [
        (None, "check", "The checkpoint is not yet measured"),
        (MEASURED, "check", "UAR 44.4 % [25.0, 66.0] on 9 clips (test split of <raer>); guessing has 20.0 %"),
        ({**MEASURED, "uar_ci95": [15.0, 46.0]}, "check", "[15.0, 46.0] on 9 clips"),  # guessing may do as well
        ({**MEASURED, "uar_ci95": [40.0, 49.0], "num_clips": 600}, "good", "[40.0, 49.0] on 600 clips"),
    ],
)
def test_the_page_says_how_well_the_checkpoint_was_measured(tmp_path, measured, level, text):
    timeline = build_timeline()
    timeline.settings["measured"] = measured
    page = Page(write_page(tmp_path, timeline))
    assert text in " ".join(page.text)
    first = summarise(timeline).checks[0]
    assert (first.level, text in first.text) == (level, True)


def flagged(timeline):
    return " ".join(check.text for check in check_quality(timeline) if check.level == "check")


def test_what_a_reader_should_check_is_flagged():
    good = build_timeline()
    good.windows = [window(row.person, row.window, list(row.probabilities.values())) for row in good.windows]
    assert flagged(good) == "" and check_quality(good)[0].text == "2 persons were followed."

    faceless = build_timeline(count=30)
    assert re.search(r"29 % of the windows have no face.* 36 % of the windows .* gaps", flagged(faceless))
    small = build_timeline()
    small.sightings = [FaceSighting("person-1", 1.0, (0.0, 0.0, 25.0, 60.0), "detected")]
    assert "Faces measure 25 pixels" in flagged(small)
    assert "Short: 2 windows" in flagged(build_timeline(count=2))
    cut = build_timeline()
    cut.duration = 1000.0
    assert "answered up to 0:02:05.0 of 0:16:40.0" in flagged(cut)
    empty = Timeline("lesson.mp4", 0.0, 0, 0, list(RAER_LABELS), notes=["no frame can be read"])
    assert flagged(empty) == "Nothing could be answered. no frame can be read"
    alone = build_timeline()
    alone.windows = [row for row in alone.windows if row.person == ROOM]
    assert "Nobody was followed" in flagged(alone)
    guess = build_timeline()
    guess.windows = [window(row.person, row.window, [0.24, 0.19, 0.19, 0.19, 0.19]) for row in guess.windows]
    assert "Mean confidence is 24 %; guessing has 20 %" in flagged(guess)


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
    assert len(page.find("svg", class_="labels")) == {"nothing read": 0, "room alone": 1, "one window": 3}[kind]


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


def test_the_face_strip_and_the_curve_show_each_stretch_and_leave_absences_empty():
    windows = [
        window("person-1", 0, [0.5, 0.5]),
        window("person-1", 1, [0.7, 0.3], "none"),
        window("person-1", 3, [1, 0]),
    ]
    assert draw_faces(windows, 50) == {"detected": "M0 0h150M300 0h200", "none": "M150 0h150"}
    assert (PATH_WIDTH, PATH_HEIGHT) == (1000, 100)
    assert draw_confidence(windows, 50) == "M100 50l100 -20M400 0l1 0"


def test_long_curves_are_means_of_few_points():
    windows = [
        window("person-1", number, [0.5 + 0.4 * (number % 2), 0.5 - 0.4 * (number % 2)]) for number in range(720)
    ]
    path = draw_confidence(windows, 3605)
    assert path.startswith("M2 30l") and path.count(" ") <= 720 and set(re.findall(r"\d+ (-?\d+)", path)[1:]) == {"0"}


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
    cells = page.find("rect", class_="blank")
    drawn = [cell for cell in cells if "x" in cell]
    assert len(drawn) == 3 and len(cells) == 4  # the room's lane, two persons', and the legend
    assert {cell["x"] for cell in drawn} == {"25%"} and {cell["width"] for cell in drawn} == {"75%"}
    assert "no picture" in "".join(page.text) and "No picture for 0:01:15.0 of 0:01:40.0" in "".join(page.text)
    shown, before = summarise(timeline), summarise(whole)
    assert shown.num_windows == 4 and shown.missing == 75
    for lane, other in zip(shown.lanes, before.lanes, strict=True):
        assert (lane.shares, lane.mean_score, lane.seconds) == (other.shares, other.mean_score, other.seconds)
    assert not [check for check in shown.checks if "Cut short" in check.text]
    assert not Page(write_page(tmp_path, whole)).find("rect", class_="blank")


def test_a_recording_that_never_shows_a_picture_claims_nothing(tmp_path):
    blank = TimelineWindow("lesson.mp4", ROOM, 0, 0.0, 60.0, NO_PICTURE, 0, 0, None, None, {})
    timeline = replace(build_timeline(count=1), windows=[blank], segments=[], sightings=[], duration=60.0)
    page = Page(write_page(tmp_path, timeline, timeline))
    text = "".join(page.text)
    assert "Nothing could be answered." in text and "no answer" in text and "0 %" not in text.split("Quality")[1]
