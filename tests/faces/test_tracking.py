import numpy as np
import pytest

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.tracking import FaceTracker


STEP = 0.6  # seconds between sampled frames


def seated(number, rng=None, size=60.0):
    """The face of somebody in a row of seats, who sways a little."""
    left, top = 100 + 200 * number, 80.0
    if rng is not None:
        left, top = left + rng.normal(0, 8), top + rng.normal(0, 5)
    return (left, top, left + size, top + size)


@pytest.mark.parametrize("count", [3, 8])
def test_people_who_sit_keep_their_numbers_when_a_tenth_of_the_faces_is_missed(count):
    tracker, rng = FaceTracker(max_gap=5), np.random.default_rng(0)
    tracker.update(0, [seated(number) for number in range(count)])
    for frame in range(1, 60):
        seen = [number for number in range(count) if rng.random() > 0.1]
        numbers = tracker.update(frame * STEP, [seated(number, rng) for number in seen])
        assert numbers == [number + 1 for number in seen]


def test_the_order_of_the_boxes_does_not_matter():
    tracker = FaceTracker(max_gap=5)
    assert tracker.update(0, [seated(0), seated(1), seated(2)]) == [1, 2, 3]
    assert tracker.update(STEP, [seated(2), seated(0), seated(1)]) == [3, 1, 2]


def test_people_who_cross_at_some_distance_keep_their_numbers():
    tracker = FaceTracker(max_gap=5)
    for frame in range(20):
        right, left = 100 + 40 * frame, 900 - 40 * frame
        boxes = [(right, 100, right + 80, 180), (left, 330, left + 80, 410)]
        assert tracker.update(frame * STEP, boxes) == [1, 2]


def test_who_comes_after_somebody_left_is_a_new_person():
    tracker = FaceTracker(max_gap=3)
    assert tracker.update(0, [seated(0), seated(1)]) == [1, 2]
    assert tracker.update(STEP, [seated(1)]) == [2]
    assert tracker.update(2 * STEP, [seated(1), seated(5)]) == [2, 3]


@pytest.mark.parametrize(("gap", "number"), [(2.5, 1), (3, 1), (3.01, 2), (3.5, 2)])
def test_a_gap_is_bridged_up_to_its_longest(gap, number):
    tracker = FaceTracker(max_gap=3)
    tracker.update(0, [seated(0)])
    assert tracker.update(1, []) == []
    assert tracker.update(gap, [seated(0)]) == [number]


@pytest.mark.parametrize("setting", [{"max_gap": bad} for bad in (-1, 0, float("inf"), float("nan"))])
def test_a_gap_that_is_no_number_of_seconds_is_refused(setting):
    with pytest.raises(InputError, match=r"`max_gap` must be a positive number of seconds, got"):
        FaceTracker(**setting)
    FaceTracker(max_gap=0.1)


@pytest.mark.parametrize("bad", [-0.1, 0, 1, 2, float("nan")])
def test_an_overlap_outside_its_range_is_refused(bad):
    with pytest.raises(InputError, match="`min_iou` must lie between 0 and 1"):
        FaceTracker(max_gap=5, min_iou=bad)


@pytest.mark.parametrize("box", [(0, 0, 9), (0, 0, 9, 9, 9), (0, 0, 9, float("nan")), (0, float("inf"), 9, 9)])
def test_what_is_no_box_is_refused_and_the_frame_may_be_given_again(box):
    tracker = FaceTracker(max_gap=5)
    with pytest.raises(InputError, match=r"the frame at 1 s: expected boxes of four finite numbers, got"):
        tracker.update(1, [seated(0), box])
    assert tracker.update(1, [seated(0)]) == [1]


@pytest.mark.parametrize("time", [1, 0.5, float("nan")])
def test_a_frame_that_is_not_later_is_refused(time):
    tracker = FaceTracker(max_gap=5)
    tracker.update(1, [])
    with pytest.raises(InputError, match=r"the tracker was at 1 s: expected a later frame"):
        tracker.update(time, [])


# Of two boxes of one size, grown threefold to a side of 180 px, the overlap is (180 - d) / (180 + d) at a distance d
# along one side: 0.1 at 147.27 px, 0.4 at 77.14 px.


@pytest.mark.parametrize(("along", "moved", "number"), [(0, 147, 1), (0, 148, 2), (1, 147, 1), (1, 148, 2)])
def test_a_face_may_move_as_far_as_a_tenth_of_the_grown_boxes_overlaps(along, moved, number):
    tracker = FaceTracker(max_gap=5)
    tracker.update(0, [(500, 500, 560, 560)])
    left, top = (500 + moved, 500) if along == 0 else (500, 500 - moved)
    assert tracker.update(STEP, [(left, top, left + 60, top + 60)]) == [number]


@pytest.mark.parametrize(("gap", "moved", "number"), [(2.0, 147, 1), (2.1, 78, 2), (2.1, 77, 1), (4, 78, 2)])
def test_a_face_unseen_for_more_than_two_seconds_must_overlap_by_three_tenths_more(gap, moved, number):
    tracker = FaceTracker(max_gap=5)
    tracker.update(0, [(500, 500, 560, 560)])
    assert tracker.update(gap, [(500 + moved, 500, 560 + moved, 560)]) == [number]


def test_boxes_of_two_sizes_overlap_by_the_smaller_part_of_their_union():
    # Grown about one centre: 180 x 180 within 180 x 540, a third, and within 180 x 1860, less than a tenth.
    for height, number in ((180, 1), (620, 2)):
        tracker = FaceTracker(max_gap=5)
        tracker.update(0, [(500, 500, 560, 560)])
        assert tracker.update(STEP, [(500, 530 - height / 2, 560, 530 + height / 2)]) == [number]


def walk(steps, size=60.0, interval=1.0):
    """A tracker to whom a face has been shown at every place of `steps`, each a person's first number."""
    tracker = FaceTracker(max_gap=60)
    for place, (left, top) in enumerate(steps):
        assert tracker.update(place * interval, [(left, top, left + size, top + size)]) == [1]
    return tracker


def is_expected_at(tracker, time, left, top=500.0, size=60.0):
    """Whether a face as far away as a tracked one can just be is the first person."""
    return tracker.update(time, [(left, top, left + size, top + size)]) == [1]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("gap", "number"), [(0.5, 50), (1, 100), (2, 200)])
def test_who_walks_evenly_is_expected_further_on(direction, gap, number):
    # 100 px a second: 147 px beyond where the face is expected it is still the same, 148 px beyond it is not.
    steps = [(1000 + 100 * direction * place, 500.0) for place in range(3)]
    last = 1000 + 200 * direction
    assert is_expected_at(walk(steps), 2 + gap, last + direction * (number + 147))
    assert not is_expected_at(walk(steps), 2 + gap, last + direction * (number + 148))


def test_motion_counts_by_the_second_whatever_the_interval_of_frames():
    steps = [(1000.0 + 50 * place, 500.0) for place in range(3)]  # 50 px in half a second
    assert is_expected_at(walk(steps, interval=0.5), 2, 1100 + 100 + 147)
    assert not is_expected_at(walk(steps, interval=0.5), 2, 1100 + 100 + 148)


@pytest.mark.parametrize(("first", "second"), [(100, 40), (40, 100)])
def test_of_two_steps_the_slower_is_the_motion(first, second):
    steps = [(1000.0, 500.0), (1000.0 + first, 500.0), (1000.0 + first + second, 500.0)]
    last = 1000 + first + second
    assert is_expected_at(walk(steps), 3, last + 40 + 147) and not is_expected_at(walk(steps), 3, last + 40 + 148)


@pytest.mark.parametrize("steps", [[0], [0, 100], [0, 100, 60], [0, 100, 100]])
def test_who_was_seen_once_or_twice_or_turned_or_stopped_is_expected_where_they_were(steps):
    places = [(1000.0 + step, 500.0) for step in steps]
    for side in (1, -1):
        assert is_expected_at(walk(places), len(steps), places[-1][0] + side * 147)
        assert not is_expected_at(walk(places), len(steps), places[-1][0] + side * 148)


def test_motion_to_the_side_and_up_are_two():
    # To the right evenly, up and down in turn: expected 100 px further on, and no higher.
    steps = [(1000.0, 500.0), (1100.0, 560.0), (1200.0, 500.0)]
    assert is_expected_at(walk(steps), 3, 1300, 500 + 147) and not is_expected_at(walk(steps), 3, 1300, 500 + 148)


def test_more_than_two_seconds_later_a_walker_is_expected_where_they_were_last():
    steps = [(1000.0 + 100 * place, 500.0) for place in range(3)]
    assert is_expected_at(walk(steps), 4.5, 1200 - 77) and is_expected_at(walk(steps), 4.5, 1200 + 77)
    assert not is_expected_at(walk(steps), 4.5, 1200 - 78) and not is_expected_at(walk(steps), 4.5, 1200 + 78)


def test_as_many_as_can_be_keep_their_numbers_before_overlaps_are_weighed():
    # The first moves to where the second was, who moves on: the nearest pair alone would leave two without a number.
    tracker = FaceTracker(max_gap=5)
    assert tracker.update(0, [(500, 500, 560, 560), (600, 500, 660, 560)]) == [1, 2]
    assert tracker.update(STEP, [(601, 500, 661, 560), (740, 500, 800, 560)]) == [1, 2]


def test_a_track_that_is_closed_or_begun_anew_is_somebody_else():
    tracker = FaceTracker(max_gap=5)
    assert tracker.update(0, [seated(0), seated(1), seated(2)]) == [1, 2, 3]
    tracker.close(2)
    assert tracker.restart(3) == 4
    assert tracker.update(1, [seated(0), seated(1), seated(2)]) == [1, 5, 4]


def test_who_begins_anew_has_no_motion_from_before():
    tracker = walk([(1000.0 + 100 * place, 500.0) for place in range(3)])
    assert tracker.restart(1) == 2
    assert tracker.update(3, [(1200 - 147, 500, 1260 - 147, 560)]) == [2]
    # The step back and the two steps on before it do not agree, nor does it with none.
    assert tracker.update(4, [(1200 - 294, 500, 1260 - 294, 560)]) == [2]
