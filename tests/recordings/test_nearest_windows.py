"""The windows around given seconds."""

import pytest
import torch

from modeling_clipcaer.recordings.crops import Crop, CropCutter, PersonCrops, WindowCrops, nearest_windows


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


class Processor:
    """Cuts what it is asked for, and tells it: one crop each."""

    def cut_face(self, frame, box):
        return [("face", frame.shape[-2:], box)]

    def cut_context(self, frame, box):
        return [("context", frame.shape[-2:], box)]


@pytest.mark.parametrize("context", ["body", "frame"])
def test_a_cutter_cuts_the_streams_that_the_model_has_and_the_context_that_is_wanted(context):
    frame, box = torch.zeros(3, 40, 60, dtype=torch.uint8), (10.0, 5.0, 30.0, 25.0)
    cutter = CropCutter(Processor(), True, True, context)
    assert cutter.cut_face(frame, box).content == ("face", (40, 60), box)
    # Cut to the body's box before, so that the processor's own setting has no part in it.
    assert cutter.cut_context(frame, box).content == ("context", (20, 20) if context == "body" else (40, 60), None)
    assert cutter.cut_context(frame).content == ("context", (40, 60), None)
    assert CropCutter(Processor(), False, True, context).cut_face(frame, box) is None
    assert CropCutter(Processor(), True, False, context).cut_context(frame, box) is None


def test_a_crop_is_neither_asked_for_nor_encoded_at_first():
    crop = Crop(torch.ones(3))
    assert (crop.is_asked, crop.is_encoded) == (False, False) and crop.content.sum() == 3
    with pytest.raises(AttributeError):
        crop.other = 1  # there may be a hundred thousand


def test_of_two_windows_as_near_the_first_is_taken_and_of_each_one():
    windows = [make_window(number) for number in (0, 2, 4)]  # whose middles are 1, 3 and 5
    assert [window.number for window in nearest_windows(windows, [2.0, 4.0, 4.1, 0.0])] == [0, 2, 4]
    assert [window.number for window in nearest_windows(windows, [4.0, 2.0])] == [0, 2]
    with_people = WindowCrops(
        7, 7, 9, [PersonCrops("a", "none", 0, 1, [], [])], PersonCrops("room", "none", 0, 1, [], [])
    )
    assert nearest_windows([with_people], [0.0]) == [with_people]
