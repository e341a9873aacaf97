import itertools
from dataclasses import replace

import numpy as np
import pytest

from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.recordings.timeline import UNCERTAIN, TimelineSegment, TimelineWindow
from modeling_clipcaer.recordings.windows import Grid, build_segments, hold_labels, plan_grid, smooth


def test_sampled_times_are_the_middles_of_equal_steps():
    grid = plan_grid(10, 5, 16)
    assert (grid.step, grid.places, grid.stride) == (0.625, 16, 8)
    assert list(grid.times(2.5)) == [0.3125, 0.9375, 1.5625, 2.1875]
    assert list(itertools.islice(plan_grid(8, 8, 4).times(), 3)) == [1, 3, 5]


@pytest.mark.parametrize("duration", [0.04, 1.0, 7.7, 9.999, 10])
def test_a_recording_no_longer_than_a_window_has_the_frames_of_one(duration):
    grid = plan_grid(10, 5, 16, duration)
    assert len(list(grid.times(duration))) == grid.places == 16
    assert grid.starts(16) == [0] and grid.covered(16, duration) == duration


@pytest.mark.parametrize(("total", "num_frames"), [(1, 4), (3, 4), (16, 16), (17, 16), (100, 16), (249, 16)])
def test_a_short_recording_shows_the_frames_that_the_processor_samples(total, num_frames):
    duration = total / 25
    times = plan_grid(10, 5, num_frames, duration).times(duration)
    shown = [int(time * 25 + 1e-6) for time in times]
    assert shown == sample_frame_indices(total, num_frames, "eval").tolist()


def test_every_second_is_sampled_at_the_same_rate_whatever_the_length():
    for duration in (10.3, 33.3, 3600.0):
        times = list(plan_grid(10, 5, 16, duration).times(duration))
        assert abs(len(times) * 0.625 - duration) <= 0.3126
        assert 0 <= duration - times[-1] <= 0.9376


def test_the_sampled_times_end_with_the_recording_unless_they_stop_before():
    grid = plan_grid(10, 5, 16)
    assert grid.covered(16, 10.2) == 10.2
    assert grid.covered(16, 9.8) == 9.8
    assert grid.covered(16, 60.0) == 10.0
    assert grid.covered(16) == 10.0


@pytest.mark.parametrize(
    ("window", "stride", "num_frames"),
    [(10, 5, 16), (3, 1, 16), (10, 3, 16), (10, 4, 16), (10, 10, 16), (7, 2, 16), (1, 0.3, 8), (2.5, 1.7, 3)],
)
def test_windows_start_at_whole_strides_and_hold_enough_times(window, stride, num_frames):
    grid = plan_grid(window, stride, num_frames)
    starts = [start * grid.step for start in grid.starts(100 * grid.places)]
    assert starts[:5] == pytest.approx([number * stride for number in range(5)])
    inside = [time for time in itertools.islice(grid.times(), 4 * grid.places) if time < window]
    assert grid.places == len(inside) >= num_frames


def test_the_last_window_ends_with_the_last_time():
    grid = plan_grid(10, 5, 16)
    assert grid.starts(32) == [0, 8, 16]
    assert grid.starts(33) == [0, 8, 16, 17]
    assert grid.starts(17) == [0, 1]


def test_fewer_times_than_a_window_holds_are_one_window_and_none_are_none():
    grid = plan_grid(10, 5, 16)
    assert grid.starts(16) == grid.starts(3) == [0]
    assert grid.starts(0) == []


@pytest.mark.parametrize("total", range(16, 80))
def test_windows_cover_every_sampled_time(total):
    starts = plan_grid(10, 5, 16).starts(total)
    assert {place for start in starts for place in range(start, start + 16)} == set(range(total))
    assert starts == sorted(set(starts))


def test_smoothing_is_the_mean_of_neighbours_and_keeps_sums():
    probabilities = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]])
    assert smooth(probabilities, 3) == pytest.approx(
        np.array([[1 / 2, 1 / 2], [2 / 3, 1 / 3], [2 / 3, 1 / 3], [1, 0]])
    )
    assert (smooth(probabilities, 1) == probabilities).all()
    random = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    assert smooth(random, 5).sum(axis=1) == pytest.approx(np.ones(20))
    assert smooth(random, 41) == pytest.approx(np.tile(random.mean(axis=0), (20, 1)))


def test_a_label_is_kept_until_another_leads_by_the_hysteresis():
    first = np.array([0.6, 0.48, 0.46, 0.44, 0.52, 0.56])
    probabilities = np.stack([first, 1 - first], axis=1)
    assert hold_labels(probabilities, 0.1) == [0, 0, 0, 1, 1, 0]
    assert hold_labels(probabilities, 0) == probabilities.argmax(axis=1).tolist()
    assert hold_labels(probabilities, 1.0) == [0] * 6


def row(window, first, person="person-1", start=None, length=10.0):
    start = 5.0 * window if start is None else start
    probabilities = {"calm": first, "cross": 1 - first}
    label = max(probabilities, key=probabilities.get)
    return TimelineWindow(
        "a.mp4", person, window, start, start + length, "detected", 16, 16, label, max(first, 1 - first), probabilities
    )


def spans(segments):
    return [(segment.person, segment.start, segment.end, segment.label, segment.num_windows) for segment in segments]


def test_segments_meet_midway_between_the_centres_of_windows():
    rows = [row(0, 0.9), row(1, 0.9), row(2, 0.2), row(3, 0.2, start=13.0)]
    segments = build_segments(rows, smoothing=1, hysteresis=0)
    assert spans(segments) == [("person-1", 0, 12.5, "calm", 2), ("person-1", 12.5, 23, "cross", 2)]
    assert [segment.score for segment in segments] == pytest.approx([0.9, 0.8])


def test_one_window_is_one_segment_over_its_whole_length():
    assert spans(build_segments([row(0, 0.7, length=3.2)])) == [("person-1", 0, 3.2, "calm", 1)]
    assert build_segments([]) == []


def test_smoothing_swallows_a_single_outlier():
    rows = [row(number, 0.1 if number == 2 else 0.9) for number in range(5)]
    assert spans(build_segments(rows)) == [("person-1", 0, 30, "calm", 5)]
    assert len(build_segments(rows, smoothing=1)) == 3


def test_an_absence_parts_a_persons_segments_and_is_not_smoothed_over():
    rows = [row(0, 0.9), row(1, 0.9), row(4, 0.1), row(5, 0.1)]
    segments = build_segments(rows, smoothing=5)
    assert spans(segments) == [("person-1", 0, 15, "calm", 2), ("person-1", 20, 35, "cross", 2)]
    assert [segment.score for segment in segments] == pytest.approx([0.9, 0.9])


def test_segments_parted_by_one_of_many_overlapping_windows_do_not_overlap():
    rows = [row(number, 0.9, start=float(number)) for number in (0, 1, 3, 5)]
    assert spans(build_segments(rows)) == [
        ("person-1", 0, 7, "calm", 2),
        ("person-1", 7, 9, "calm", 1),
        ("person-1", 9, 15, "calm", 1),
    ]


def test_every_person_and_the_room_has_segments_of_their_own_in_order_of_time():
    rows = [row(0, 0.9), row(0, 0.2, "room"), row(1, 0.9), row(1, 0.2, "room"), row(1, 0.3, "person-2")]
    segments = build_segments(rows, smoothing=1)
    assert sorted(spans(segments)) == [
        ("person-1", 0, 15, "calm", 2),
        ("person-2", 5, 15, "cross", 1),
        ("room", 0, 15, "cross", 2),
    ]
    assert [segment.start for segment in segments] == [0, 0, 5]


def test_below_the_threshold_a_segment_is_uncertain_and_scored_all_the_same():
    rows = [row(0, 0.9), row(1, 0.55), row(2, 0.55)]
    segments = build_segments(rows, smoothing=1, threshold=0.6)
    assert [(segment.label, segment.end) for segment in segments] == [("calm", 7.5), (UNCERTAIN, 20)]
    assert segments[1].score == pytest.approx(0.55)


def test_segments_of_all_are_in_order_of_time_where_one_persons_are_not_done_when_the_next_appears():
    rows = [row(0, 0.9), row(0, 0.2, "room"), row(4, 0.9), row(4, 0.9, "room"), row(5, 0.1)]
    segments = build_segments(rows, smoothing=1)
    assert spans(segments) == [
        ("person-1", 0, 10, "calm", 1),
        ("room", 0, 10, "cross", 1),
        ("person-1", 20, 27.5, "calm", 1),
        ("room", 20, 30, "calm", 1),
        ("person-1", 27.5, 35, "cross", 1),
    ]


def test_a_segment_names_its_recording_and_has_the_mean_of_its_windows_scores():
    rows = [row(0, 0.7), row(1, 0.8), row(2, 0.6)]
    assert build_segments(rows, smoothing=1) == [
        TimelineSegment("a.mp4", "person-1", 0, 20, "calm", pytest.approx(0.7), 3)
    ]
    # Smoothed: means of two, of three and of two.
    (segment,) = build_segments(rows)
    assert segment.score == pytest.approx((0.75 + 0.7 + 0.7) / 3)


def test_by_default_three_windows_are_smoothed_and_a_label_leads_by_a_tenth():
    rows = [row(number, first) for number, first in enumerate([0.6, 0.6, 0.47, 0.47, 0.47, 0.47, 0.4])]
    # Smoothed the last but one is 0.447, by which the other leads by 0.107; the one before it is 0.47.
    assert [(segment.label, segment.end) for segment in build_segments(rows)] == [("calm", 27.5), ("cross", 40)]
    assert [segment.end for segment in build_segments(rows, smoothing=1)] == [32.5, 40]
    assert [segment.end for segment in build_segments(rows, smoothing=1, hysteresis=0)] == [12.5, 40]
    assert build_segments([row(0, 0.5), row(1, 0.5)], threshold=0.5)[0].label == "calm"  # not below it


def unknown(number, score):
    return replace(row(number, 0.9), label=UNCERTAIN, score=score)


def test_a_window_of_which_nothing_is_known_is_uncertain_at_any_score_and_no_other_is():
    rows = [row(0, 0.9), unknown(1, 0.9), row(2, 0.9)]
    found = build_segments(rows, smoothing=1)
    assert [(s.label, s.start, s.end, s.score) for s in found] == [
        ("calm", 0, 7.5, 0.9), (UNCERTAIN, 7.5, 12.5, 0.9), ("calm", 12.5, 20, 0.9)
    ]  # fmt: skip
    # One that was uncertain for its score alone goes by what it is smoothed to.
    assert [s.label for s in build_segments([row(0, 0.9), unknown(1, 0.55), row(2, 0.9)], threshold=0.6)] == ["calm"]
    assert [s.label for s in build_segments([unknown(0, None)])] == [UNCERTAIN]
    assert [s.label for s in build_segments([unknown(0, None)], threshold=0.1)] == ["calm"]


def test_stretches_without_a_picture_have_no_segment_and_part_nobody_elses():
    blank = TimelineWindow("a.mp4", "room", 1, 5.0, 15.0, "no_picture", 0, 0, None, None, {})
    rows = [row(0, 0.9, "room"), blank, row(2, 0.9, "room"), row(0, 0.9), row(1, 0.9)]
    assert spans(build_segments(rows)) == [
        ("room", 0, 10, "calm", 1), ("person-1", 0, 15, "calm", 2), ("room", 10, 20, "calm", 1)
    ]  # fmt: skip


@pytest.mark.parametrize("smoothing", [1, 3])
def test_segments_of_drawn_windows_have_no_gap_and_no_overlap_and_add_up(smoothing):
    generator = np.random.default_rng(0)
    for _ in range(30):
        numbers = np.flatnonzero(generator.random(12) < 0.8).tolist()
        rows = [row(number, float(generator.random())) for number in numbers]
        segments = build_segments(rows, smoothing, 0.0)
        assert sum(segment.num_windows for segment in segments) == len(rows)
        for before, after in itertools.pairwise(segments):
            assert before.start < before.end <= after.start < after.end
            assert before.end == after.start or before.end == 5 * round((before.end - 10) / 5) + 10
        covered = sum(segment.end - segment.start for segment in segments)
        inside = [any(5 * n <= t < 5 * n + 10 for n in numbers) for t in np.arange(0.5, 70)]
        assert covered == sum(inside)


def test_a_lead_of_the_hysteresis_is_enough_and_an_equal_one_changes_nothing():
    halves = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25]])
    assert hold_labels(halves, 0.5) == [0, 1, 1, 0]
    assert hold_labels(halves, 0.51) == [0, 0, 0, 0]
    assert hold_labels(halves[::-1], 0) == [0, 0, 1, 0] and hold_labels(np.empty((0, 2)), 0.1) == []


def test_a_recording_as_long_as_a_window_is_one_and_a_little_longer_two():
    assert plan_grid(10, 5, 4, 10) == Grid(2.5, 4, 4, 10) == plan_grid(10, 2.5, 4, 10)
    assert plan_grid(10, 5, 4, 10.01) == plan_grid(10, 5, 4) == Grid(2.5, 4, 2, 10)
    assert plan_grid(10, 5, 4, 3) == Grid(0.75, 4, 4, 3)
    assert plan_grid(10, 4, 4) == Grid(2, 5, 2, 10)  # 1.6 steps to a stride are two


def test_a_length_of_whole_steps_neither_gains_nor_loses_a_time():
    grid = Grid(0.1, 4, 2, 0.4)
    for total in (3, 7, 12, 33):
        assert len(list(grid.times(total * 0.1))) == total
        assert len(list(grid.times(sum([0.1] * total)))) == total
    assert len(list(grid.times(0.35))) == 3 and len(list(grid.times(0.3501))) == 4


def test_times_that_stop_up_to_half_a_step_before_the_end_end_with_it():
    grid = Grid(1.0, 4, 2, 4)
    assert [grid.covered(8, length) for length in (7.2, 8, 8.5, 8.51, 8.52, 20, None)] == [7.2, 8, 8.5, 8.51, 8, 8, 8]


def test_the_longest_smoothing_is_the_mean_of_all_and_of_nothing_nothing():
    assert smooth(np.empty((0, 3)), 3).shape == (0, 3)
    steps = np.arange(5.0)[:, None]
    assert smooth(steps, 5).ravel().tolist() == [1, 1.5, 2, 2.5, 3]
