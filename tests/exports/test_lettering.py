"""Texts in pictures: every sign has a font, or its label a number, and labels in a row cover neither each other."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from modeling_clipcaer.common import lettering
from modeling_clipcaer.common.lettering import Lettering
from modeling_clipcaer.exports.overlay_drawing import OverlayPainter
from modeling_clipcaer.exports.overlay_labels import overlap, place_label
from modeling_clipcaer.recordings.timeline import FaceSighting, Timeline, TimelineSegment, TimelineWindow
from modeling_clipcaer.reports import plots


HAN = "困惑疲劳"


def write_font(path, characters, name):
    """A font of full squares for `characters`, and no digits or Latin letters."""
    pen = TTGlyphPen(None)
    for place, corner in enumerate([(0, 0), (0, 900), (900, 900), (900, 0)]):
        pen.lineTo(corner) if place else pen.moveTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"uni{ord(character):04X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): f"uni{ord(character):04X}" for character in characters})
    builder.setupGlyf({name: TTGlyphPen(None).glyph() if name == ".notdef" else square for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=0)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def machine(monkeypatch):
    """A machine that has no font but matplotlib's own, of which a test may add some."""
    entries = [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    lettering._warn_once.cache_clear()
    return font_manager.fontManager


def test_labels_without_a_font_are_numbers_and_it_is_said_once(machine, caplog):
    labels = ["Neutrality", "困惑", "🧠 joy", "疲劳", "étonné"]
    for _ in range(2):
        found = Lettering(labels)
    assert [found[label] for label in labels] == ["Neutrality", "label 2", "label 3", "label 4", "étonné"]
    (record,) = caplog.records
    assert all(part in record.getMessage() for part in ("label 2 = 困惑", "label 3 = 🧠 joy", "label 4 = 疲劳"))
    assert not [name for name, _, _ in found.fonts if "Last Resort" in name]


def test_no_two_labels_look_alike(machine):
    labels = ["困惑", "label 1", "a", "a\u200d", "uncertain", "uncertain"]
    found = Lettering(labels)
    assert [found[label] for label in labels[:4]] == ["(label 1)", "label 1", "a", "label 4"]
    assert found["uncertain"] == "uncertain"


def test_each_sign_is_drawn_by_a_font_that_has_it(machine, tmp_path, caplog):
    machine.addfont(write_font(tmp_path / "han.ttf", HAN, "Test Han"))
    found = Lettering(["困惑", "疲劳 A"])
    assert found["困惑"] == "困惑" and found["疲劳 A"] == "疲劳 A" and not caplog.records
    parts = found.split("困惑 82 %")
    assert [part for _, part in parts] == ["困惑", " 82 %"]
    assert parts[0][0].endswith("han.ttf") and "DejaVuSans-Bold" in parts[1][0]
    assert found.families[-1] == "Test Han"


def test_marks_of_direction_joiners_and_line_ends_are_not_drawn():
    assert Lettering(["a\u200d\u202eb\ufe0f\nc"])["a\u200d\u202eb\ufe0f\nc"] == "ab c"


def overlay(labels, boxes, size):
    names = [f"person-{number}" for number in range(1, len(boxes) + 1)]
    windows = [
        TimelineWindow("a", name, 0, 0, 9, "detected", 3, 3, labels[0], 0.5, dict.fromkeys(labels, 1 / len(labels)))
        for name in names
    ]
    segments = [
        TimelineSegment("a", name, 0.0, 9.0, labels[place % len(labels)], 0.5, 1) for place, name in enumerate(names)
    ]
    seen = [
        FaceSighting(name, time, box, "detected")
        for name, box in zip(names, boxes, strict=True)
        for time in (1.0, 2.0)
    ]
    settings = {"zero_shot": False, "calibrated": True}
    timeline = Timeline("a", 9.0, *size, list(labels), windows, segments, seen, settings)
    return OverlayPainter(timeline, *size, True)


def test_the_clock_is_the_same_whatever_the_labels_are_written_in(machine, tmp_path):
    machine.addfont(write_font(tmp_path / "han.ttf", HAN, "Test Han"))
    frames = []
    for labels in (["Confusion"], ["困惑"], ["\U00012000"]):
        frame = np.zeros((360, 640, 3), dtype=np.uint8)
        overlay(labels, [], (640, 360)).paint(frame, 3.0)
        frames.append(frame)
    assert frames[0].any() and np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])
    chip = overlay(["困惑"], [], (640, 360))._chip("困", "#FFFFFF", "#000000")
    assert (chip > 200).mean() > 0.2  # the font's full square, not a hollow box


def test_plots_take_each_sign_from_a_font_that_has_it(machine, tmp_path, recwarn):
    matrix = {"confusion_matrix": [[1, 0], [0, 1]], "uar": 1.0, "war": 1.0, "num_clips": 2, "split": "test"}
    matrix |= {"uar_ci95": [0.5, 1.0], "war_ci95": [0.5, 1.0]}
    plots.draw_confusion_matrix({"labels": ["困惑", "疲劳"], **matrix}, tmp_path / "numbers.png")
    machine.addfont(write_font(tmp_path / "han.ttf", HAN, "Test Han"))
    plots.draw_confusion_matrix({"labels": ["困惑", "疲劳"], **matrix}, tmp_path / "signs.png")
    assert not [warning for warning in recwarn if "missing from" in str(warning.message)]
    assert (tmp_path / "numbers.png").read_bytes() != (tmp_path / "signs.png").read_bytes()


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 240)])
@pytest.mark.parametrize("count", [5, 9])
@pytest.mark.parametrize("labels", [["Confusion"], ["A label of many words that says a lot", "no"]])
def test_labels_of_faces_in_a_row_cover_no_other(size, count, labels, monkeypatch):
    width, height = size
    step = width / count
    boxes = [(step * n + 2, height * 0.3, step * (n + 1) - 3, height * 0.3 + step) for n in range(count)]
    places = []

    def place(*arguments):
        places.append(place_label(*arguments))
        return places[-1]

    monkeypatch.setattr("modeling_clipcaer.exports.overlay_drawing.place_label", place)
    painter = overlay(labels, boxes, size)
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    painter.paint(frame, 1.5)
    assert len(places) == count
    assert not [(a, b) for n, a in enumerate(places) for b in places[:n] if overlap(a, b)]
    assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in places)
    if width > 320:
        assert not [(a, b) for a in places for b in boxes if overlap(a, b)]
