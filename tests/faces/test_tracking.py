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


@pytest.mark.parametrize(("gap", "number"), [(2.5, 1), (3.5, 2)])
def test_a_gap_is_bridged_up_to_its_longest(gap, number):
    tracker = FaceTracker(max_gap=3)
    tracker.update(0, [seated(0)])
    assert tracker.update(1, []) == []
    assert tracker.update(gap, [seated(0)]) == [number]


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(InputError, match="max_gap"):
        FaceTracker(max_gap=-1)
