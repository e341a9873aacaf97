"""What answers rest on, as a section of the page about recordings: what it says, and that it keeps the page small."""

import re

import pytest

from helpers.explained import LABELS, write_explained
from modeling_clipcaer.explanations.page import render_section
from modeling_clipcaer.exports.page import LARGEST_PAGE, write_report_page
from modeling_clipcaer.recordings.timeline import Timeline, TimelineSegment, TimelineWindow


def build_timeline(persons=1, stretches=2, source="a.mp4"):
    """Everybody changes the label every ten seconds."""
    rows = [(f"person-{number + 1}", place) for place in range(stretches) for number in range(persons)]
    windows, segments = [], []
    for person, place in rows:
        label, start, end = LABELS[(place + len(person)) % 2], 10.0 * place, 10.0 * place + 10
        scores = {name: 0.8 if name == label else 0.2 for name in LABELS}
        windows.append(TimelineWindow(source, person, place, start, end, "detected", 4, 4, label, 0.8, scores))
        segments.append(TimelineSegment(source, person, start, end, label, 0.8, 1))
    settings = {"model": "best", "zero_shot": False, "calibrated": True, "measured": None, "streams": "both"}
    return Timeline(source, 10.0 * stretches, 64, 48, LABELS, windows, segments, [], settings)


def write_page(tmp_path, timelines, folders):
    write_report_page(timelines, tmp_path / "report.html", [], folders)
    return (tmp_path / "report.html").read_text()


def test_the_section_says_which_frames_and_streams_matter(tmp_path):
    page = write_page(tmp_path, [build_timeline()], [write_explained(tmp_path / "a" / "explanation", 2)])
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert "1: Person 1, 0:00 to 0:10: busy, 80 % (the surest of its label)" in text
    # By size, from half a point on, at most three; what speaks against the answer is none of them.
    assert (
        "falls most without frame 1 of the face (+30.0 points), frame 1 of the context (+2.0 points), "
        "frame 4 of the face (+0.6 points)." in text
    )
    # Of the second answer no frame speaks for it, and one against it.
    assert text.count("falls most without") == 1 and text.count("No single frame carries the answer") == 1
    assert "context +25.0 +0.50 calm" in text and "face +0.0 -0.10 busy" in text  # no -0.0
    assert 'data-go="1.0"' in page and page.count("data:image/webp;base64,") == 2
    assert 'href="a/explanation/explanation.html"' in page and "75.0 % of the variance" in text
    assert "No picture of a person is in this file" in text and "more do not fit" not in text


def test_pictures_of_people_are_told(tmp_path):
    folder = write_explained(tmp_path / "a" / "explanation", 1, shown=True)
    page = write_page(tmp_path, [build_timeline()], [folder])
    assert "It shows people" in page and "No picture of a person" not in page
    assert "Drawn without the frames" not in page


def test_names_are_text_and_never_markup(tmp_path):
    folder = write_explained(tmp_path / "a" / "explanation", 1, name="<script>x</script>\u202e")
    page = write_page(tmp_path, [build_timeline()], [folder])
    assert page.count("<script>") == 1 and "&lt;script&gt;x" in page and "\u202e" not in page


@pytest.mark.parametrize(("recordings", "persons", "stretches", "answers"), [(1, 8, 1100, 64), (12, 2, 100, 4)])
def test_the_page_stays_below_a_megabyte_and_loses_no_recording(tmp_path, recordings, persons, stretches, answers):
    names = [f"{number}.mp4" for number in range(recordings)]
    folders = [write_explained(tmp_path / name / "explanation", answers, name) for name in names]
    page = write_page(tmp_path, [build_timeline(persons, stretches, name) for name in names], folders)
    assert len(page.encode()) < LARGEST_PAGE
    assert page.count("<article") == recordings == page.count("What answers rest on</h")
    left_out = sum(int(number) for number in re.findall(r"(\d+) more do not fit", page))
    shown = page.count("data:image/webp;base64,")
    assert shown + left_out == recordings * answers and shown >= 2


def test_a_section_takes_no_more_than_its_room_down_to_a_link(tmp_path):
    folder = write_explained(tmp_path / "explanation", 5)
    told = {"link": "x/explanation.html", "lead": "All.", "name": "why"}
    sizes = {room: len(render_section(folder, room=room, **told).encode()) for room in (0, 5000, 60_000, 10**6)}
    assert sizes[5000] < 5000 and sizes[60_000] < 60_000 and sizes[0] < sizes[5000] < sizes[60_000] < sizes[10**6]
    least = render_section(folder, room=0, **told)
    assert "5 more do not fit on this page" in least and 'href="x/explanation.html"' in least and "<svg" not in least
