import dataclasses
import itertools
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import videos
from helpers.stand_in_faces import SquareDetector
from helpers.tiny import tiny_model
from helpers.videos import BLUE, GREEN, RED
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.camera import LiveRecording
from modeling_clipcaer.recordings.people import Crop
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN
from modeling_clipcaer.recordings.windows import build_segments, set_threshold
from modeling_clipcaer.video_frames import VideoFrames


FRAMES = 4  # of a window of two seconds: one every half second
SETTINGS = {"window": 2.0, "stride": 1.0, "tower_dtype": "float32"}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return tiny_model(num_frames=FRAMES)


@pytest.fixture
def processor():
    return ClipCaerVideoProcessor(num_frames=FRAMES, image_size=32, face_margin=4)


def analyzer_of(model, processor, detector=None, zero_shot=False, **settings):
    settings = TimelineSettings(**{**SETTINGS, **settings})
    return RecordingAnalyzer(model, processor, settings, detector or SquareDetector(), zero_shot=zero_shot)


def analyze(analyzer, source, **options):
    (timeline,) = analyzer.analyze([open_recording(source, **options)])
    return timeline


def rows_of(timeline, person):
    return [row for row in timeline.windows if row.person == person]


@torch.no_grad()
def answer(model, processor, frames, face_boxes=None, body_box=None, present=True):
    """Probabilities of one clip by the processor and the model alone."""
    pixels = processor(frames, face_boxes=face_boxes, body_boxes=body_box)
    logits = model(**pixels, face_present=torch.tensor([present])).logits[0]
    return dict(zip(model.config.id2label.values(), logits.softmax(-1).tolist(), strict=True))


def frames_at(path, times, fps=10):
    return np.stack(
        [frame.permute(1, 2, 0).numpy() for frame in VideoFrames(path).read([int(t * fps + 1e-3) for t in times])]
    )


# --- one window is one clip


def test_a_window_of_one_colour_is_answered_as_the_processor_and_the_model_answer_its_frames(
    tmp_path, model, processor
):
    path = videos.write_video(tmp_path / "red.mp4", videos.plain(40, (200, 190, 60)))
    timeline = analyze(analyzer_of(model, processor), path)
    expected = answer(model, processor, frames_at(path, [0.25, 0.75, 1.25, 1.75]), present=False)
    assert [row.probabilities for row in timeline.windows] == [pytest.approx(expected, abs=1e-5)] * 3
    assert [(row.person, row.start, row.end) for row in timeline.windows] == [(ROOM, 0, 2), (ROOM, 1, 3), (ROOM, 2, 4)]


def test_supplied_boxes_give_what_the_processor_gives_for_the_same_frames_and_boxes(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "noise.mp4", videos.noise(40))
    boxes = [[20 + number, 10, 60 + number, 60] for number in range(40)]
    body = [10, 5, 150, 110]
    timeline = analyze(analyzer_of(model, processor), path, face_boxes=boxes, body_box=body)
    for row, start in zip(rows_of(timeline, "person-1"), (0, 1, 2), strict=True):
        times = [start + offset for offset in (0.25, 0.75, 1.25, 1.75)]
        seen = [boxes[int(time * 10 + 1e-3)] for time in times]
        assert row.probabilities == pytest.approx(
            answer(model, processor, frames_at(path, times), seen, body), abs=1e-5
        )
        assert (row.face_status, row.face_frames, row.num_frames) == ("supplied", 4, 4)
    assert timeline.settings["face_detector"] == timeline.settings["body_boxes"] == "supplied"
    assert timeline.settings["context"] == "body"


def test_a_found_face_has_a_context_grown_around_it_or_the_whole_frame(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "one.mp4", videos.squares([{RED: (70, 60)}] * 20))
    frames, times = frames_at(path, [0.25, 0.75, 1.25, 1.75]), np.arange(4)
    box = SquareDetector().detect(torch.from_numpy(frames[0]).permute(2, 0, 1))[0].box
    assert box == (55, 45, 85, 75)
    grown = analyze(analyzer_of(model, processor), path)
    body = (10, 22.5, 130, 120)  # 45 to either side, 22.5 above, and 105 below ends with the frame
    expected = answer(model, processor, frames, [box for _ in times], body)
    assert rows_of(grown, "person-1")[0].probabilities == pytest.approx(expected, abs=1e-5)
    whole = analyze(analyzer_of(model, processor, context="frame"), path)
    expected = answer(model, processor, frames, [box for _ in times])
    assert rows_of(whole, "person-1")[0].probabilities == pytest.approx(expected, abs=1e-5)
    assert grown.settings["context"] == "body" and whole.settings["context"] == "frame"
    assert grown.settings["body_boxes"] == "grown"
    untrained = ClipCaerVideoProcessor(num_frames=FRAMES, image_size=32, face_margin=4, context="frame")
    assert analyze(analyzer_of(model, untrained), path).windows == whole.windows
    assert analyze(analyzer_of(model, untrained), path, body_box=[0, 0, 60, 60]).windows == whole.windows
    assert analyze(analyzer_of(model, untrained, context="body"), path).windows == grown.windows


def test_a_recording_shorter_than_a_window_is_one_clip_over_its_whole_length(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "short.mp4", videos.noise(7))
    timeline = analyze(analyzer_of(model, processor), path)
    (row,) = timeline.windows
    assert (row.start, row.end) == (0, pytest.approx(0.7)) and timeline.duration == pytest.approx(0.7)
    pixels = processor(str(path))  # its own sampling
    with torch.no_grad():
        expected = model(**pixels, face_present=torch.tensor([False])).logits[0].softmax(-1).tolist()
    assert list(row.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_one_frame_is_a_timeline_of_one_window(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "one.mp4", videos.squares([{GREEN: (70, 60)}]))
    timeline = analyze(analyzer_of(model, processor), path)
    assert [(row.person, row.face_status, row.face_frames) for row in timeline.windows] == [
        ("person-1", "detected", 1),
        (ROOM, "detected", 1),
    ]
    assert len(timeline.segments) == 2 and timeline.notes == []


# --- time


def test_at_a_variable_rate_a_window_has_the_frames_shown_at_its_times(tmp_path, model, processor):
    seconds = [0, 0.2, 0.3, 1.6, 1.7, 2.1, 3.2, 3.3, 3.4]
    frames = list(videos.noise(9))
    path = videos.write_video(tmp_path / "variable.mp4", frames, seconds=seconds)
    timeline = analyze(analyzer_of(model, processor), path)
    decoded = [frame.permute(1, 2, 0).numpy() for frame in VideoFrames(path).read(range(9))]
    for row, shown in zip(timeline.windows, ([1, 2, 2, 4], [2, 4, 5, 5]), strict=False):
        expected = answer(model, processor, np.stack([decoded[place] for place in shown]), present=False)
        assert row.probabilities == pytest.approx(expected, abs=1e-5)


def test_a_webm_without_a_length_has_the_windows_of_its_frames(tmp_path, model, processor):
    path = videos.write_webm_without_length(tmp_path / "call.webm", videos.noise(43))
    timeline = analyze(analyzer_of(model, processor), path)
    spans = [(row.start, row.end) for row in timeline.windows]
    assert spans == [(0, 2), (1, 3), (2, 4), (2.5, pytest.approx(4.3, abs=0.01))]


def test_a_rotated_recording_is_seen_upright(tmp_path, model, processor):
    path = videos.write_rotated(tmp_path / "phone.mp4", videos.squares([{RED: (40, 60)}] * 20), 90)
    timeline = analyze(analyzer_of(model, processor), path)
    assert (timeline.width, timeline.height) == (120, 160)
    assert timeline.sightings[0].box == pytest.approx((45, 25, 75, 55), abs=3)


def test_the_room_has_a_row_in_every_window_and_segments_without_a_gap(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "long.mp4", videos.noise(117))
    timeline = analyze(analyzer_of(model, processor), path)
    rows = rows_of(timeline, ROOM)
    assert [row.window for row in rows] == list(range(len(rows)))
    assert rows[0].start == 0 and rows[-1].end == timeline.duration == pytest.approx(11.7)
    assert all(after.start <= before.end for before, after in itertools.pairwise(rows))
    assert all(sum(row.probabilities.values()) == pytest.approx(1) for row in rows)
    segments = timeline.segments
    assert segments[0].start == 0 and segments[-1].end == timeline.duration
    assert all(before.end == after.start for before, after in itertools.pairwise(segments))
    assert segments == build_segments(timeline.windows)


# --- people


def test_nobody_in_sight_leaves_the_room_to_the_context_and_a_note_says_so(tmp_path, model, processor):
    timeline = analyze(analyzer_of(model, processor), videos.write_video(tmp_path / "a.mp4", videos.plain(40)))
    assert timeline.persons == [] and timeline.sightings == []
    assert {(row.person, row.face_status, row.face_frames) for row in timeline.windows} == {(ROOM, "none", 0)}
    assert timeline.notes == ["3 of 3 windows show no face: the context decides alone"]


def test_two_persons_who_cross_keep_their_numbers_and_the_room_is_their_mean(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "crossing.mp4", videos.crossing_squares(80))
    timeline = analyze(analyzer_of(model, processor, window=2.0, stride=1.0), path)
    assert timeline.persons == ["person-1", "person-2"]
    for person, sign in (("person-1", 1), ("person-2", -1)):  # the red one walks to the right
        path_of_it = [sighting.box[0] for sighting in timeline.sightings if sighting.person == person]
        assert len(path_of_it) == 16 and (sign * np.diff(path_of_it) > 0).all()
    for window in range(7):
        one, two, room = [row for row in timeline.windows if row.window == window]
        mean = {label: (one.probabilities[label] + two.probabilities[label]) / 2 for label in one.probabilities}
        assert room.person == ROOM and room.probabilities == pytest.approx(mean)
        assert room.face_status == "detected" and room.face_frames == 4


def test_real_faces_that_cross_are_found_and_followed(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "faces.mp4", videos.crossing_faces(60))
    settings = TimelineSettings(**SETTINGS, face_detector="haar")
    timeline = analyze(RecordingAnalyzer(model, processor, settings), path)
    assert timeline.settings["face_detector"] == "haar" and timeline.persons == ["person-1", "person-2"]
    assert {row.face_frames for row in timeline.windows} == {FRAMES}
    heights = [{s.box[1] // 200 for s in timeline.sightings if s.person == person} for person in timeline.persons]
    assert sorted(heights, key=min) == [{0}, {1}]  # one walks above the other


def places_of(seconds_seen, total, fps=10):
    """A red square that is there from and to given seconds."""
    for number in range(total):
        here = any(start <= number / fps < end for start, end in seconds_seen)
        yield {RED: (80, 60)} if here else {}


def test_a_face_that_vanishes_for_a_window_leaves_a_row_to_the_context(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "away.mp4", videos.squares(places_of([(0, 4), (7, 10)], 100)))
    timeline = analyze(analyzer_of(model, processor), path)
    rows = rows_of(timeline, "person-1")
    assert [row.window for row in rows] == list(range(9)) and timeline.persons == ["person-1"]
    assert [row.face_frames for row in rows] == [4, 4, 4, 2, 0, 0, 2, 4, 4]
    assert [row.face_status for row in rows][4:6] == ["none", "none"]
    frames = frames_at(path, [4.25, 4.75, 5.25, 5.75])
    assert next(sighting.box for sighting in timeline.sightings) == (65, 45, 95, 75)
    expected = answer(model, processor, frames, body_box=(20, 22.5, 140, 120), present=False)
    assert rows[4].probabilities == pytest.approx(expected, abs=1e-5)
    assert [row.face_status for row in rows_of(timeline, ROOM)][4:6] == ["none", "none"]
    assert timeline.notes == ["2 of 9 windows show no face: the context decides alone"]


def test_a_short_absence_is_bridged_by_boxes_on_the_way(tmp_path, model, processor):
    seen = [0, 10, 20, 30, 50, 60, 70]  # of 80 frames, of which five show the same
    places = [{RED: (40 + 2 * step, 60)} if step * 5 in seen else {} for step in range(21) for _ in range(5)]
    path = videos.write_video(tmp_path / "walk.mp4", videos.squares([*places][:80], (200, 120)))
    timeline = analyze(analyzer_of(model, processor), path)
    found = {sighting.time: (sighting.box[0], sighting.status) for sighting in timeline.sightings}
    assert found[0.25] == (pytest.approx(25, abs=2), "detected")
    assert found[0.75] == (pytest.approx(27, abs=2), "bridged")
    bridged = [time for time, (_, status) in found.items() if status == "bridged"]
    for time in bridged:
        step = (time - 0.25) / 0.5
        assert found[time][0] == pytest.approx(25 + 2 * step, abs=2)
    assert {row.face_status for row in rows_of(timeline, "person-1")} <= {"detected", "bridged", "none"}


def test_who_left_for_longer_than_the_gap_comes_back_as_another_person(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "left.mp4", videos.squares(places_of([(0, 4), (10, 14)], 140)))
    timeline = analyze(analyzer_of(model, processor, max_gap=3.0), path)
    assert timeline.persons == ["person-1", "person-2"]
    assert [row.window for row in rows_of(timeline, "person-1")] == [0, 1, 2, 3]
    assert [row.window for row in rows_of(timeline, "person-2")] == [9, 10, 11, 12]
    assert len(rows_of(timeline, ROOM)) == 13
    ends = [max(s.time for s in timeline.sightings if s.person == person) for person in timeline.persons]
    assert ends == [3.75, 13.75]  # not the frames after, which borrow the last box
    together = analyze(analyzer_of(model, processor, max_gap=8.0), path)
    assert together.persons == ["person-1"] and len(rows_of(together, "person-1")) == 13


def test_who_counts_as_gone_within_a_window_still_has_its_row(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "left.mp4", videos.squares(places_of([(0, 3)], 80)))
    rows = rows_of(analyze(analyzer_of(model, processor, max_gap=0.6), path), "person-1")
    assert [row.face_frames for row in rows] == [4, 4, 2]


def test_a_face_found_twice_is_no_person_and_is_counted_and_kept_for_those_who_must_hide_it(
    tmp_path, model, processor
):
    path = videos.write_video(tmp_path / "alarm.mp4", videos.squares(places_of([(3, 4)], 100)))
    timeline = analyze(analyzer_of(model, processor), path)
    assert timeline.persons == []
    assert [(seen.person, seen.time, seen.status) for seen in timeline.sightings] == [
        ("passing-1", 3.25, "detected"),
        ("passing-1", 3.75, "detected"),
    ]
    assert "1 face was found too rarely to be followed and is left out" in timeline.notes


def test_supplied_persons_have_the_names_and_boxes_that_were_given(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "noise.mp4", videos.noise(30))
    ann, bob = [10, 10, 50, 50], [[90, 20, 130, 60] if number > 12 else None for number in range(30)]
    detector = SquareDetector()
    analyzer = analyzer_of(model, processor, detector)
    bodies = {"ann": [0, 0, 80, 120], "bob": [80, 0, 160, 120]}
    timeline = analyze(analyzer, path, face_boxes={"ann": ann, "bob": bob}, body_box=bodies)
    assert detector.calls == 0 and timeline.persons == ["ann", "bob"]
    frames = frames_at(path, [1.25, 1.75, 2.25, 2.75])
    for name, box in (("ann", ann), ("bob", [90, 20, 130, 60])):
        expected = answer(model, processor, frames, box, bodies[name])
        assert rows_of(timeline, name)[-1].probabilities == pytest.approx(expected, abs=1e-5)
    assert rows_of(timeline, "bob")[0].face_frames == 1  # at 1.75 s alone; the other frames borrow its box


def test_a_supplied_person_is_in_a_window_once_however_short_the_gap(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "noise.mp4", videos.noise(30))
    boxes = [None if 5 < number < 14 else [40, 30, 80, 70] for number in range(30)]
    timeline = analyze(analyzer_of(model, processor, max_gap=0.6), path, face_boxes={"ann": boxes})
    assert [row.window for row in rows_of(timeline, "ann")] == [0, 1]


def test_a_supplied_box_has_its_corners_in_any_order(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "noise.mp4", videos.noise(20))
    sorted_box, turned = (
        analyze(analyzer_of(model, processor), path, face_boxes=box) for box in ([40, 30, 80, 70], [80, 70, 40, 30])
    )
    assert turned.sightings == sorted_box.sightings and turned.windows == sorted_box.windows


# --- models of one stream


def test_a_model_of_the_context_alone_detects_nothing(tmp_path, processor):
    model, detector = tiny_model(num_frames=FRAMES, streams="context"), SquareDetector()
    path = videos.write_video(tmp_path / "one.mp4", videos.squares([{RED: (70, 60)}] * 20))
    timeline = analyze(analyzer_of(model, processor, detector), path)
    assert detector.calls == 0 and timeline.settings["face_detector"] == "none" and timeline.notes == []
    pixels = processor(frames_at(path, [0.25, 0.75, 1.25, 1.75]))["pixel_values"]
    with torch.no_grad():
        expected = model(pixel_values=pixels).logits[0].softmax(-1).tolist()
    (row,) = timeline.windows
    assert row.person == ROOM and list(row.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_a_model_of_faces_alone_says_nothing_of_windows_without_any(tmp_path, processor):
    model = tiny_model(num_frames=FRAMES, streams="face")
    path = videos.write_video(tmp_path / "away.mp4", videos.squares(places_of([(0, 4), (7, 10)], 100)))
    timeline = analyze(analyzer_of(model, processor), path)
    assert [row.window for row in rows_of(timeline, "person-1")] == [0, 1, 2, 3, 6, 7, 8]
    rooms = rows_of(timeline, ROOM)
    assert len(rooms) == 9
    for row in rooms[4:6]:
        assert row.label == UNCERTAIN and set(row.probabilities.values()) == {0.2} and row.face_status == "none"
    assert timeline.notes == ["2 of 9 windows show no face: nothing is known of them"]
    segments = [segment for segment in timeline.segments if segment.person == ROOM]
    (unknown,) = [segment for segment in segments if segment.label == UNCERTAIN]
    assert (unknown.start, unknown.end, unknown.num_windows) == (4.5, 6.5, 2)
    assert all(before.end == after.start for before, after in itertools.pairwise(segments))


# --- batches


def same_rows(rows, others):
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        assert row.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        assert dataclasses.replace(row, score=0, probabilities={}, label="") == dataclasses.replace(
            other, score=0, probabilities={}, label=""
        )


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    return [
        videos.write_video(folder / "crossing.mp4", videos.crossing_squares(50)),
        videos.write_video(folder / "noise.webm", videos.noise(33)),
        videos.write_video(folder / "away.avi", videos.squares(places_of([(0, 2), (5, 8)], 80))),
        videos.write_video(folder / "short.mp4", videos.squares([{BLUE: (30, 30)}] * 3)),
    ]


@pytest.mark.parametrize("batch_size", [1, 5, 32, 1000])
def test_recordings_together_have_the_rows_that_they_have_alone_for_any_batch_size(
    lessons, model, processor, batch_size
):
    analyzer = analyzer_of(model, processor, batch_size=batch_size)
    rows = []
    timelines = list(analyzer.analyze(map(open_recording, lessons), rows.append))
    assert [timeline.source for timeline in timelines] == list(map(str, lessons))
    assert rows == [row for timeline in timelines for row in timeline.windows]
    for path, timeline in zip(lessons, timelines, strict=True):
        alone = analyze(analyzer_of(model, processor, batch_size=7), path)
        same_rows(timeline.windows, alone.windows)
        assert (timeline.notes, timeline.sightings, timeline.duration) == (
            alone.notes,
            alone.sightings,
            alone.duration,
        )


@pytest.fixture
def encoded(model, monkeypatch):
    """How many frames the tower is given at each call."""
    sizes, encode = [], FrozenParts.encode_frames
    monkeypatch.setattr(
        FrozenParts, "encode_frames", lambda self, pixels: sizes.append(len(pixels)) or encode(self, pixels)
    )
    return sizes


def test_overlapping_windows_encode_each_crop_once_and_batches_fill_across_recordings(
    tmp_path, model, processor, encoded
):
    detector = SquareDetector()
    paths = [videos.write_video(tmp_path / f"{n}.mp4", videos.crossing_squares(50)) for n in range(2)]
    analyzer = analyzer_of(model, processor, detector, batch_size=16, stride=0.5)
    list(analyzer.analyze(map(open_recording, paths)))
    # Ten sampled frames a recording, two persons, a face and a context of each.
    assert sum(encoded) == 2 * 10 * 2 * 2 and encoded == [16, 16, 16, 16, 16]
    assert detector.calls == 20


def test_a_frame_that_is_shown_at_several_times_is_looked_at_and_encoded_once(tmp_path, model, processor, encoded):
    detector = SquareDetector()
    path = videos.write_video(tmp_path / "slow.mp4", videos.squares([{RED: (80, 60)}] * 8), fps=1)
    timeline = analyze(analyzer_of(model, processor, detector), path)
    assert len(timeline.sightings) == 16 and detector.calls == 8 and sum(encoded) == 8 * 2


def test_a_context_of_the_whole_frame_is_encoded_once_however_many_persons(tmp_path, model, processor, encoded):
    path = videos.write_video(tmp_path / "a.mp4", videos.crossing_squares(50))
    analyze(analyzer_of(model, processor, context="frame"), path)
    assert sum(encoded) == 10 * (2 + 1)


def test_rows_come_as_soon_as_they_are_final_and_in_order(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "a.mp4", videos.crossing_squares(200))
    recording, read, late = open_recording(path), [], []
    frames_at_times = recording.frames_at
    recording.frames_at = lambda times: (read.append(shown.time) or shown for shown in frames_at_times(times))
    list(analyzer_of(model, processor, batch_size=1).analyze([recording], lambda row: late.append(read[-1] - row.end)))
    assert len(late) == 3 * 19 and max(late) < 0  # with the last frame of the window


def open_and_log(paths, log):
    """Open recordings one by one, and tell when each was opened and read to its end."""
    for path in paths:
        recording = open_recording(path)
        log.append(f"{path.stem} opened")
        frames_at = recording.frames_at

        def logged(times, path=path, frames_at=frames_at):
            yield from frames_at(times)
            log.append(f"{path.stem} read")

        recording.frames_at = logged
        yield recording


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (1, ["crossing opened", "crossing read"]),
        (24, ["crossing opened", "crossing read", "away opened"]),
        (1000, ["crossing opened", "crossing read", "away opened", "away read"]),
    ],
)
def test_a_timeline_waits_for_no_recording_longer_than_they_share_a_batch(
    lessons, model, processor, batch_size, expected
):
    log = []
    analyzer = analyzer_of(model, processor, batch_size=batch_size)
    first = next(analyzer.analyze(open_and_log([lessons[0], lessons[2]], log)))
    assert first.source == str(lessons[0]) and log == expected


# --- memory


class Alive:
    """Counts what is alive."""

    def __init__(self):
        self.now = self.most = 0

    def add(self, item):
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(item, self._discount)
        return item

    def _discount(self):
        self.now -= 1


def comings_and_goings(total):
    """One stays, one comes and goes, one leaves for good."""
    for number in range(total):
        there = {RED: (40, 60)}
        there |= {GREEN: (120, 40)} if number % 50 < 20 else {}
        there |= {BLUE: (120, 90)} if number < 20 else {}
        yield there


@pytest.fixture
def held(monkeypatch):
    """The most frames, squares of pixels, and crops, pixels or embeddings, that are held at a time."""

    def count(model, processor, total, **settings):
        frames, squares, crops = Alive(), Alive(), Alive()
        recording = open_recording(np.zeros((2, 120, 160, 3), dtype=np.uint8), fps=10)
        recording.seconds, recording.duration = [place / 10 for place in range(total)], total / 10
        scenes = videos.squares(comings_and_goings(total))
        recording.source = SimpleNamespace(
            read=lambda indices: (
                frames.add(torch.from_numpy(scene).permute(2, 0, 1))
                for number, scene in enumerate(scenes)
                if number in set(indices)
            )
        )

        class Counted(Crop):
            def __init__(self, pixels, *where):
                super().__init__(squares.add(pixels), *where)
                crops.add(self)

        with monkeypatch.context() as patch:
            patch.setattr("modeling_clipcaer.recordings.crops.Crop", Counted)
            (timeline,) = analyzer_of(model, processor, **settings).analyze([recording])
        assert len(timeline.persons) >= 3
        return frames.most, squares.most, crops.most

    return count


def test_what_is_held_does_not_grow_with_the_length(model, processor, held):
    short, long = (held(model, processor, total, batch_size=1, max_gap=4.0) for total in (200, 800))
    assert long == short
    frames, squares, crops = short
    assert frames <= FRAMES + 1 and squares < crops  # an embedding takes the place of a square
    assert held(model, processor, 200, batch_size=16)[0] <= FRAMES + 1


# --- what goes wrong


def test_of_a_truncated_recording_there_are_rows_until_it_ends_and_a_note(tmp_path, model, processor):
    path = videos.write_truncated(tmp_path / "cut.mp4", videos.noise(100))
    timeline = analyze(analyzer_of(model, processor), path)
    assert 4 < timeline.duration < 7 and timeline.windows[-1].end == timeline.duration
    assert "the file states a length of 10.00 s" in timeline.notes[0]


def test_a_recording_that_fails_on_the_way_does_not_stop_the_others(tmp_path, model, processor):
    good = videos.write_video(tmp_path / "good.mp4", videos.noise(40))
    boxes = [[10, 10, 50, 50]] * 25 + [[900, 900, 950, 950]] * 15
    bad = open_recording(good, face_boxes=boxes)
    worse = open_recording(good, face_boxes=[900, 900, 950, 950])
    timelines = list(analyzer_of(model, processor).analyze([bad, worse, open_recording(good)]))
    assert timelines[0].duration == 2.5 and timelines[0].windows[-1].end == 2.5
    assert len(rows_of(timelines[0], "person-1")) == 2
    assert "only what comes before 2.50 s could be analysed: box [900.0" in timelines[0].notes[0]
    assert timelines[1].windows == [] and "before 0.00 s" in timelines[1].notes[0]
    assert len(timelines[2].windows) == 3


def test_a_camera_is_answered_while_it_runs(model, processor):
    camera = LiveRecording("testsrc=size=64x48:rate=20,format=gray", duration=5.0, format="lavfi")
    rows, read, late = [], [], []
    frames_at_times = camera.frames_at
    camera.frames_at = lambda times: (read.append(shown.time) or shown for shown in frames_at_times(times))

    def receive(row):
        rows.append(row)
        late.append(read[-1] - row.end)

    (timeline,) = analyzer_of(model, processor, batch_size=1000).analyze([camera], receive)
    assert max(late) < 0
    assert [(row.start, row.end) for row in rows] == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert timeline.duration == 5 and timeline.source.startswith("testsrc")


def test_a_camera_that_ends_before_a_window_is_over_is_one_window(model, processor):
    camera = LiveRecording("testsrc=size=64x48:rate=20,format=gray", duration=1.2, format="lavfi")
    (timeline,) = analyzer_of(model, processor).analyze([camera])
    assert [(row.start, row.end) for row in timeline.windows] == [(0, 1.0)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("window", 0, "be above 0"),
        ("stride", 3.0, "be at most the window, 2 seconds"),
        ("stride", 0.2, "be at least the 0.5 seconds between two sampled frames"),
        ("smoothing", 2, "be odd"),
        ("hysteresis", 1.5, "lie in [0, 1]"),
        ("threshold", -0.1, "lie in [0, 1]"),
        ("context", "face", "be 'body' or 'frame'"),
        ("max_gap", -1, "be above 0"),
        ("batch_size", 0, "be at least 1"),
    ],
)
def test_impossible_settings_are_refused_by_name(model, processor, name, value, expected):
    with pytest.raises(InputError, match=re.escape(f"`{name}` must {expected}, got {value!r}")):
        analyzer_of(model, processor, **{name: value})


# --- what is said of the answers


def test_scores_below_the_threshold_are_uncertain_and_keep_their_probabilities(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "a.mp4", videos.noise(30))
    plain, careful = (analyze(analyzer_of(model, processor, threshold=t), path) for t in (0, 0.999))
    assert {row.label for row in careful.windows} == {segment.label for segment in careful.segments} == {UNCERTAIN}
    assert [row.probabilities for row in careful.windows] == [row.probabilities for row in plain.windows]
    assert all(row.label == max(row.probabilities, key=row.probabilities.get) for row in plain.windows)


def test_a_calibrated_checkpoint_divides_its_logits(tmp_path, processor):
    path = videos.write_video(tmp_path / "a.mp4", videos.noise(20))
    model = tiny_model(num_frames=FRAMES)
    plain = analyze(analyzer_of(model, processor), path)
    model.config.calibration_temperature = 2.0
    calibrated = analyze(analyzer_of(model, processor), path)
    logs = [np.log(list(timeline.windows[0].probabilities.values())) for timeline in (plain, calibrated)]
    assert np.diff(logs[1]) == pytest.approx(np.diff(logs[0]) / 2, abs=1e-5)
    assert (plain.settings["calibrated"], calibrated.settings["calibrated"]) == (False, True)


def test_settings_tell_what_ran(tmp_path, model, processor):
    path = videos.write_video(tmp_path / "a.mp4", videos.noise(5))
    settings = analyze(analyzer_of(model, processor, zero_shot=True, max_gap=7.0), path).settings
    expected = {"face_detector": "squares", "window": 2, "stride": 1, "max_gap": 7, "num_frames": 4, "zero_shot": True}
    assert {name: settings[name] for name in expected} == expected
    assert settings["device"] == "cpu" and settings["tower_dtype"] == "float32"
    assert settings["versions"]["torch"] == torch.__version__


def test_settings_tell_which_weights(tmp_path, model, processor):
    revisions = []
    for weight in (0.0, 1.0, 1.0):
        next(model.parameters()).data.fill_(weight)
        model.save_pretrained(tmp_path / "model")
        model.config._name_or_path = str(tmp_path / "model")
        revisions.append(analyzer_of(model, processor).model_revision)
    assert revisions[0] != revisions[1] == revisions[2] and len(revisions[2]) == 12
    model.config._name_or_path = ""
    assert analyzer_of(model, processor).model_revision is None


def test_seconds_of_every_stage_are_counted(tmp_path, model, processor):
    analyzer = analyzer_of(model, processor)
    analyze(analyzer, videos.write_video(tmp_path / "a.mp4", videos.crossing_squares(30)))
    assert set(analyzer.clock.seconds) == {"decode", "detect", "crop", "encode", "classify"}
    assert all(seconds > 0 for seconds in analyzer.clock.seconds.values())


@pytest.mark.parametrize("streams", ["both", "face"])
def test_a_threshold_set_afterwards_makes_the_timeline_that_an_analysis_with_it_makes(tmp_path, processor, streams):
    """Also of windows of which a model of faces alone knows nothing, which are uncertain at any threshold."""
    torch.manual_seed(1)
    model = tiny_model(num_frames=FRAMES, streams=streams)
    frames = [*videos.crossing_squares(40), *videos.plain(40)]
    path = videos.write_video(tmp_path / "squares.mp4", frames)
    whole = analyze(analyzer_of(model, processor), path)
    scores = sorted({row.score for row in whole.windows})
    assert any(row.label == UNCERTAIN for row in whole.windows) == (streams == "face")
    for threshold in (0.1, scores[len(scores) // 2], 1.0):
        assert set_threshold(whole, threshold) == analyze(analyzer_of(model, processor, threshold=threshold), path)
