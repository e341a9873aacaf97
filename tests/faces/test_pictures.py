"""Frames as OpenCV has them, and finds in shrunk ones."""

import cv2
import numpy as np
import pytest
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.pictures import asking_opencv, shrink, to_detections, to_picture


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((100, 50), 100, (100, 50)),  # no longer than it may be
        ((50, 100), 100, (50, 100)),
        ((101, 50), 100, (100, 50)),  # 49.5 to the even one
        ((200, 100), 100, (100, 50)),
        ((100, 200), 100, (50, 100)),
        ((1000, 3), 100, (100, 1)),  # and never less than a pixel
        ((3, 1000), 100, (1, 100)),
    ],
)
def test_a_picture_is_shrunk_to_its_longest_side_and_never_grown(size, side, expected):
    height, width = size
    picture = np.zeros((height, width), np.uint8)
    assert shrink(picture, side).shape == expected and (shrink(picture, side) is picture) == (size == expected)
    assert shrink(np.zeros((height, width, 3), np.uint8), side).shape == (*expected, 3)


def test_a_shrunk_picture_has_the_mean_of_what_each_pixel_covers():
    picture = np.array([[0, 100, 10, 20], [100, 200, 30, 40]], np.uint8)
    assert shrink(picture, 2).tolist() == [[100, 25]]


def test_finds_are_scaled_each_side_by_its_own_cut_at_the_frame_and_sorted():
    shrunk, picture = np.zeros((10, 20)), np.zeros((30, 40))  # twice as wide, three times as high
    found = [(5, 2, 7, 4, 0.5), (1, 1, 3, 2, 0.25), (-2, -2, 1, 1, 0.75), (19, 9, 22, 12, 1.0)]
    assert to_detections(found, shrunk, picture) == [
        ((0, 0, 2, 3), 0.75),
        ((2, 3, 6, 6), 0.25),
        ((10, 6, 14, 12), 0.5),
        ((38, 27, 40, 30), 1.0),
    ]
    for box in ([1, 1, 2, 2], [-5, -5, 99, 99]):
        (detection,) = to_detections([tuple(np.float32([*box, 0.5]))], shrunk, shrunk)
        assert {type(number) for number in (*detection.box, detection.score)} == {float}


@pytest.mark.parametrize(
    "box", [(-5, 2, 0, 4), (20, 2, 25, 4), (5, -4, 7, 0), (5, 10, 7, 12), (5, 2, 5, 4), (5, 2, 7, 2), (7, 2, 5, 4)]
)
def test_what_has_no_pixel_in_the_frame_is_no_find(box):
    assert to_detections([(*box, 0.9)], np.zeros((10, 20)), np.zeros((10, 20))) == []


def test_a_frame_becomes_a_picture_of_rows_in_one_piece():
    frame = torch.arange(24, dtype=torch.uint8).view(3, 2, 4)
    picture = to_picture(frame)
    assert picture.shape == (2, 4, 3) and picture.flags.c_contiguous
    assert picture[1, 2].tolist() == [6, 14, 22]


@pytest.mark.parametrize("shape", [(3, 0, 5), (3, 5, 0), (4, 5, 6), (1, 5, 6), (5, 6, 3), (3, 5), (2, 3, 5, 6), (3,)])
def test_what_is_no_frame_is_named_by_its_shape(shape):
    with pytest.raises(InputError, match=r"torch.uint8: expected pixels, uint8 \(3, height, width\)") as error:
        to_picture(torch.zeros(shape, dtype=torch.uint8))
    assert f"frame of shape {shape}" in str(error.value)
    with pytest.raises(InputError, match=r"torch.int64: expected pixels"):
        to_picture(torch.zeros(3, 5, 6, dtype=torch.int64))


def test_an_error_of_opencv_is_one_line_after_what_failed_and_its_log_is_as_before():
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_WARNING)
    try:
        with pytest.raises(InputError, match=r"^it failed, OpenCV says: \S.*$") as error, asking_opencv("it failed"):
            assert log.getLogLevel() == log.LOG_LEVEL_SILENT
            cv2.resize(np.empty((0, 0, 3), np.uint8), (3, 3))
        assert "\n" not in str(error.value) and log.getLogLevel() == log.LOG_LEVEL_WARNING
        with pytest.raises(InputError, match=r"^it failed, OpenCV says: two lines$"), asking_opencv("it failed"):
            raise cv2.error("two\n   lines")  # from below OpenCV, without its own account
        with pytest.raises(KeyError), asking_opencv("it failed"):
            raise KeyError
        assert log.getLogLevel() == log.LOG_LEVEL_WARNING
    finally:
        log.setLogLevel(before)
