"""What holds of any timeline: its windows, its segments, its persons, and the files that it comes back from."""

import csv
import json
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.timelines import window
from modeling_clipcaer.exports.tables import segment_columns, segment_rows, write_table, write_tables
from modeling_clipcaer.exports.timeline_json import load_timeline, save_timeline
from modeling_clipcaer.exports.vtt import write_vtt
from modeling_clipcaer.faces.boxes import grow_context_box
from modeling_clipcaer.faces.tracking import FaceTracker
from modeling_clipcaer.recordings.stretches import find_stretches
from modeling_clipcaer.recordings.timeline import FaceSighting, Timeline
from modeling_clipcaer.recordings.windows import build_segments, hold_labels, plan_grid, smooth


SHARES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda row: (np.array(row) / sum(row)).tolist())
ROWS = st.lists(SHARES, min_size=1, max_size=20)
STRIDE, LENGTH = 5.0, 10.0


@st.composite
def timelines(draw):
    """Windows of some persons, each of whom may be away for any of them."""
    labels, windows = ["calm", "glad", "müde"], []
    for number in range(draw(st.integers(1, 12))):
        persons = sorted(draw(st.sets(st.integers(1, 3), min_size=1)))
        windows += [window(f"person-{one}", number, draw(SHARES), labels=labels, stride=STRIDE) for one in persons]
    settings = {"model": "m", "zero_shot": draw(st.booleans()), "calibrated": draw(st.booleans())}
    smoothing, hysteresis, threshold = draw(st.sampled_from([1, 3, 5])), draw(st.floats(0, 0.5)), draw(st.floats(0, 1))
    segments = build_segments(windows, smoothing, hysteresis, threshold)
    box = draw(st.lists(st.floats(0, 100), min_size=4, max_size=4))
    sightings = [FaceSighting("person-1", draw(st.floats(0, 50)), tuple(box), "detected")]
    end = max(row.end for row in windows)
    notes = draw(st.lists(st.text()))
    return Timeline("lesson.mp4", end, 640, 360, labels, windows, segments, sightings, settings, notes)


@given(timeline=timelines())
def test_segments_of_a_person_neither_overlap_nor_leave_gaps_and_add_up(timeline):
    assert [part.start for part in timeline.segments] == sorted(part.start for part in timeline.segments)
    for person in timeline.persons:
        numbers = [row.window for row in timeline.windows if row.person == person]
        parts = [part for part in timeline.segments if part.person == person]
        assert sum(part.num_windows for part in parts) == len(numbers)
        seen = [(STRIDE * number, STRIDE * number + LENGTH) for number in numbers]
        # By hand: the time that any window of the person holds, each second once.
        covered, reached = 0.0, 0.0
        for start, end in seen:
            covered += max(end - max(start, reached), 0.0)
            reached = max(reached, end)
        assert sum(part.end - part.start for part in parts) == pytest.approx(covered)
        for before, after in pairwise(parts):
            assert before.end <= after.start + 1e-9
            is_gap = any(start == after.start for start, _ in seen) and before.end < after.start - 1e-9
            assert is_gap or before.end == pytest.approx(after.start)
        assert all(0 <= part.score <= 1 and part.end > part.start for part in parts)


@given(rows=ROWS, width=st.sampled_from([1, 3, 5, 7]), hysteresis=st.floats(0, 1))
def test_smoothed_rows_are_means_that_add_up_to_one_and_labels_change_only_by_the_lead(rows, width, hysteresis):
    probabilities = np.array(rows)
    smoothed, half = smooth(probabilities, width), width // 2
    for place in range(len(rows)):
        near = rows[max(place - half, 0) : place + half + 1]
        assert smoothed[place] == pytest.approx([sum(column) / len(near) for column in zip(*near, strict=True)])
    assert smoothed.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    labels = hold_labels(probabilities, hysteresis)
    assert labels[0] == probabilities[0].argmax()
    for row, before, now in zip(rows[1:], labels, labels[1:], strict=False):
        if now != before:
            assert row[now] == max(row) and row[now] - row[before] >= hysteresis
        else:
            assert row[before] >= max(row) - hysteresis or row[before] == max(row)


@given(span=st.floats(0.5, 60), share=st.floats(0.05, 1), num_frames=st.integers(1, 32), length=st.floats(0.05, 500))
def test_windows_cover_every_sampled_time_and_hold_frames_enough(span, share, num_frames, length):
    grid = plan_grid(span, share * span, num_frames, length)
    times = list(grid.times(length))
    starts = grid.starts(len(times))
    assert times and all(0 <= time <= length for time in times) and grid.places >= num_frames
    covered = {place for start in starts for place in range(start, min(start + grid.places, len(times)))}
    assert covered == set(range(len(times))) and starts == sorted(set(starts))
    assert all(after - before <= grid.stride for before, after in pairwise(starts))
    assert 0 < grid.covered(len(times), length) <= length + 1e-6


GAPS = st.lists(st.floats(0.001, 60), max_size=30)


@given(gaps=GAPS, start=st.floats(0, 20), tail=st.floats(0.01, 40), hold=st.floats(0.5, 10))
def test_stretches_with_a_picture_follow_each_other_within_the_recording(gaps, start, tail, hold):
    seconds = (start + np.cumsum([0.0, *gaps])).tolist()
    duration = seconds[-1] + tail
    found = find_stretches(seconds, duration, hold)
    assert found and found[0][0] >= 0 and found[-1][1] <= duration + 1e-9
    assert all(begin < end for begin, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    assert all(any(begin - 1e-9 <= second <= end for begin, end in found) for second in seconds)


BOX = st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(1, 100), st.floats(1, 100)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(frames=st.lists(st.lists(BOX, max_size=4), min_size=1, max_size=8), step=st.floats(0.1, 3), data=st.data())
def test_faces_of_a_frame_have_numbers_of_their_own_in_order_of_appearance(frames, step, data):
    tracker, other, most = FaceTracker(max_gap=4.0), FaceTracker(max_gap=4.0), 0
    for number, boxes in enumerate(frames):
        found = tracker.update(step * (number + 1), boxes)
        assert len(found) == len(boxes) == len(set(found))
        new = sorted(one for one in found if one > most)
        assert new == list(range(most + 1, most + 1 + len(new)))
        most += len(new)
        assert other.update(step * (number + 1), boxes) == found


@given(boxes=st.integers(1, 4), places=st.lists(st.integers(0, 3), min_size=2, max_size=10), data=st.data())
def test_people_who_sit_apart_keep_their_numbers_in_whatever_order_they_are_found(boxes, places, data):
    seats = [(1000.0 * seat, 0.0, 1000.0 * seat + 50, 60.0) for seat in range(boxes)]
    tracker = FaceTracker(max_gap=5.0)
    first = dict(zip(seats, tracker.update(0.0, seats), strict=True))
    for number in range(1, len(places)):
        order = data.draw(st.permutations(seats))
        assert tracker.update(0.5 * number, order) == [first[seat] for seat in order]


@given(box=BOX, width=st.integers(1, 800), height=st.integers(1, 800))
def test_a_grown_box_lies_in_the_frame_and_is_a_pixel_or_more(box, width, height):
    left, top, right, bottom = grow_context_box(box, height, width)
    assert left >= 0 and left + 1 <= right <= width and top >= 0 and top + 1 <= bottom <= height
    if left > 0 and right < width:
        assert right - left == pytest.approx(4 * (box[2] - box[0]))
    if top > 0 and bottom < height:
        assert bottom - top == pytest.approx(5.25 * (box[3] - box[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("timelines")


@given(timeline=timelines())
def test_a_timeline_comes_back_whole_from_its_file(folder, timeline):
    save_timeline(timeline, folder / "recording.json", outputs=["csv"])
    assert load_timeline(folder / "recording.json") == timeline


@given(timeline=timelines())
def test_tables_of_every_format_hold_the_same_rows_and_times_to_the_millisecond(folder, timeline):
    write_tables(timeline, folder / "windows.csv", folder / "segments.csv")
    for suffix in ("jsonl", "parquet"):
        write_table(segment_rows(timeline), segment_columns(), folder / f"segments.{suffix}")
    lines = [json.loads(line) for line in (folder / "segments.jsonl").read_text().splitlines()]
    assert lines == pq.read_table(folder / "segments.parquet").to_pylist()
    with (folder / "segments.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    for part, line, row in zip(timeline.segments, lines, cells, strict=True):
        told = {name: str(value) for name, value in line.items()}
        assert row == told | {name: told[name].lower() for name in ("zero_shot", "calibrated")}
        assert (line["person"], line["label"], line["num_windows"]) == (part.person, part.label, part.num_windows)
        assert abs(line["start"] - part.start) <= 0.0005 + 1e-9 and abs(line["end"] - part.end) <= 0.0005 + 1e-9
    with (folder / "windows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for answer, row in zip(timeline.windows, rows, strict=True):
        shares = {name.removeprefix("p_"): float(value) for name, value in row.items() if name.startswith("p_")}
        assert shares == pytest.approx(answer.probabilities, abs=1e-6)


def read_clock(time):
    """Seconds of `01:02:03.456`."""
    return sum(60**power * float(part) for power, part in enumerate(reversed(time.split(":"))))


@given(timeline=timelines())
def test_subtitles_have_a_cue_for_each_segment_whose_times_do_not_run_backwards(folder, timeline):
    write_vtt(timeline, folder / "a.vtt")
    cues = [line for line in (folder / "a.vtt").read_text().splitlines() if " --> " in line]
    times = [tuple(map(read_clock, cue.split(" --> "))) for cue in cues]
    starts = [start for start, _ in times]
    assert len(times) == len(timeline.segments) and starts == sorted(starts)
    expected = sorted((part.start, part.end) for part in timeline.segments)
    assert np.abs(np.array(sorted(times)) - np.array(expected)).max() <= 0.0005 + 1e-9
