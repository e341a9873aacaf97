"""From when to when a recording has a picture, by hand."""

import numpy as np
import pytest

from modeling_clipcaer.recordings.stretches import find_stretches


def every(step, start, end):
    return np.arange(start, end - step / 2, step).tolist()


@pytest.mark.parametrize(
    ("seconds", "duration", "expected"),
    [
        ([], 9, []),
        ([9, 10], 9, []),  # none before the end
        (every(1, 0, 9), 9, [(0, 9)]),
        (every(1, 0, 8), 9, [(0, 9)]),
        # The last frame, at 6 s, stands for a second; at this rate no more than three after it are without a picture.
        (every(1, 0, 7), 10, [(0, 10)]),
        (every(1, 0, 7), 10.1, [(0, 7)]),
        (every(1, 2, 9), 9, [(0, 9)]),
        (every(1, 3.5, 9), 9, [(3.5, 9)]),  # at one frame a second one stands for up to three
        (every(1, 3, 9), 9, [(0, 9)]),
        ([*every(1, 0, 5), *every(1, 7, 9)], 9, [(0, 9)]),
        ([*every(1, 0, 5), *every(1, 8, 11)], 11, [(0, 5), (8, 11)]),
        ([*every(0.1, 0, 3), *every(0.1, 5.5, 7)], 7, [(0, 3), (5.5, 7)]),
        ([*every(0.1, 0, 3), *every(0.1, 4.8, 7)], 7, [(0, 7)]),
        # A frame that stands for longer than two seconds, and one alone, stand for what is usual.
        ([*every(0.1, 0, 3), 6, *every(0.1, 9, 10)], 10, [(0, 3), (6, 6.1), (9, 10)]),
    ],
)
def test_a_picture_stands_no_longer_than_it_may(seconds, duration, expected):
    found = find_stretches(seconds, duration, hold=2.0)
    assert found == [pytest.approx(stretch) for stretch in expected]


def test_at_a_low_rate_frames_stand_for_three_times_as_long_as_usual_and_at_most_for_ten_seconds():
    frames = every(3, 0, 30)
    assert find_stretches([*frames, 36], 39, hold=2) == [(0, 39)]
    assert find_stretches([*frames, 37], 40, hold=2) == [(0, 30), (37, 40)]
    frames = every(4, 0, 40)
    assert find_stretches([*frames, 46], 50, hold=2) == [(0, 50)]  # 10 s after the last one at 36 s
    assert find_stretches([*frames, 46.5], 50, hold=2) == [(0, 40), (46.5, 50)]
    assert find_stretches([0, 30, 60, 90], 100, hold=2) == [(0, 10), (30, 40), (60, 70), (90, 100)]
    assert find_stretches([0, 30, 60, 90], 100, hold=50) == [(0, 100)]


def test_frames_of_one_time_have_no_part_in_the_rate_and_two_frames_none():
    frames = [second for second in every(1, 0, 6) for _ in range(3)]
    assert find_stretches([*frames, 8], 9, hold=0.5) == [(0, 9)]  # three seconds after the last one
    assert find_stretches([*frames, 8.5], 9, hold=0.5) == [(0, 6), (8.5, 9)]
    # Of two frames far apart the usual is a third of what a frame may stand for at all.
    assert find_stretches([0, 60], 63, hold=6) == [(0, 2), (60, 63)]
    assert find_stretches([0, 1], 60, hold=6) == [(0, 2)]
    assert find_stretches([0], 60, hold=6) == [(0, 2)] and find_stretches([5], 6, hold=6) == [(0, 6)]
    assert find_stretches([7], 60, hold=6) == [(7, 9)]
