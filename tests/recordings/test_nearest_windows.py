"""The windows around given seconds."""

import torch

from modeling_clipcaer.recordings.crops import Crop, PersonCrops, WindowCrops, nearest_windows


def make_window(number: int, with_picture: bool = True) -> WindowCrops:
    """A window of two seconds that begins at `number`."""
    context = [Crop(torch.full((3, 2, 2), number, dtype=torch.uint8))] * 2 if with_picture else []
    return WindowCrops(number, number, number + 2, [], PersonCrops("room", "none", 0, 1, context, []))


def test_each_time_has_the_window_whose_middle_is_nearest_once_and_in_order():
    windows = (make_window(number) for number in range(6))
    found = nearest_windows(windows, [4.2, 0, 4.3, 99])
    assert [window.number for window in found] == [0, 3, 5]


def test_windows_without_a_picture_are_passed_over():
    windows = [make_window(0, with_picture=False), make_window(1), make_window(2, with_picture=False)]
    assert [window.number for window in nearest_windows(windows, [0, 3])] == [1]
    assert nearest_windows(windows[:1], [0]) == []


def test_a_persons_pixels_are_those_of_the_streams_that_there_are():
    pixels = make_window(3).room.stack_pixels()
    assert list(pixels) == ["context"] and pixels["context"].shape == (2, 3, 2, 2) and pixels["context"].unique() == 3
