"""What Haar's detector does with a frame before its cascade sees it, and with what the cascade finds."""

import math

import cv2
import numpy as np
import pytest
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.haar import HaarDetector


# Where the cascade's last stage, as OpenCV's file of "alt2" states it, says yes; a find's score is 1 - exp(-m) with m
# what its sum has over that.
THRESHOLD = 53.7556


class Cascade:
    """Finds what it is told to, (left, top, width, height, score), and keeps what it was shown."""

    def __init__(self, *found):
        self.boxes = [box for *box, _ in found]
        self.sums = [THRESHOLD - math.log(1 - score) for *_, score in found]

    def detectMultiScale3(self, picture, **options):  # OpenCV's name
        self.picture, self.options = picture, options
        return np.array(self.boxes), [0] * len(self.boxes), np.array(self.sums)


def detect(frame, *found):
    detector = HaarDetector()
    detector._cascade = Cascade(*found)
    return [(box, pytest.approx(score, abs=1e-6)) for box, score in detector.detect(frame)], detector._cascade


def grey_frame(levels):
    """A frame of grey levels (height, width)."""
    return torch.from_numpy(np.asarray(levels, np.uint8)).expand(3, -1, -1)


def test_the_threshold_is_that_of_opencvs_file():
    with open(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml") as file:
        stages = [line for line in file if "<stageThreshold>" in line]
    last = float(stages[-1].split(">")[1].split("<")[0])
    assert abs(last - THRESHOLD) < 1e-4


def test_its_cascade_is_there():
    assert not HaarDetector()._cascade.empty()


def test_finds_are_boxes_in_pixels_of_the_frame_from_left_to_right():
    frame = torch.full((3, 1080, 1920), 128, dtype=torch.uint8)
    found, cascade = detect(frame, (500, 90, 40, 50, 0.6), (100, 200, 30, 60, 0.75))
    assert found == [((200, 400, 260, 520), 0.75), ((1000, 180, 1080, 280), 0.6)]
    assert cascade.picture.shape == (540, 960)
    assert cascade.options == {
        "scaleFactor": 1.2, "minNeighbors": 2, "minSize": (24, 24), "outputRejectLevels": True
    }  # fmt: skip


def test_a_find_that_is_likelier_false_is_dropped():
    frame = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    found, _ = detect(frame, (0, 0, 9, 9, 0.4999), (20, 0, 9, 9, 0.5001), (40, 0, 9, 9, 0.0), (60, 0, 9, 9, -9.0))
    assert found == [((20, 0, 29, 9), 0.5001)]


def test_nothing_found_is_nothing():
    assert detect(torch.full((3, 200, 200), 128, dtype=torch.uint8))[0] == []


# Beside the face of 40 x 40 at (0, 0), one that shares so much of the smaller of both.
@pytest.mark.parametrize(
    ("other", "is_kept"),
    [
        ((20, 0, 40, 40), True),  # half of both: 20 x 40 of 40 x 40
        ((19, 0, 40, 40), False),
        ((0, 20, 40, 40), True),
        ((0, 19, 40, 40), False),
        ((10, 10, 20, 20), False),  # all of itself, a quarter of the other
        ((30, 10, 20, 40), True),  # 10 x 30 of 20 x 40
        ((39, 39, 2, 2), True),
        ((0, 25, 60, 20), True),  # 40 x 15 of 60 x 20
        ((0, 24, 44, 20), False),  # 40 x 16 of 44 x 20
        ((100, 0, 40, 40), True),
        ((0, 100, 40, 40), True),
        ((100, 100, 40, 40), True),  # apart both ways, whose negative sides must not count
    ],
)
@pytest.mark.parametrize("other_is_likelier", [True, False])
def test_of_two_finds_that_share_more_than_half_of_the_smaller_the_likelier_stays(other, is_kept, other_is_likelier):
    frame = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    face, score = (0, 0, 40, 40), 0.9 if other_is_likelier else 0.7
    left, top, width, height = other
    boxes = sorted([((0, 0, 40, 40), 0.8), ((left, top, left + width, top + height), pytest.approx(score))])
    if not is_kept:
        boxes = [max(boxes, key=lambda box: 0.8 if box[1] == 0.8 else score)]
    for finds in ([(*face, 0.8), (*other, score)], [(*other, score), (*face, 0.8)]):
        assert [(box, score) for box, score in detect(frame, *finds)[0]] == boxes


def test_a_find_within_one_that_was_dropped_stays_where_nothing_that_stays_covers_it():
    # The middle one falls to the first, which the third shares nothing with.
    frame = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    found, _ = detect(frame, (0, 0, 40, 40, 0.9), (18, 0, 40, 40, 0.8), (36, 0, 40, 40, 0.7))
    assert [box for box, _ in found] == [(0, 0, 40, 40), (36, 0, 76, 40)]


def test_a_picture_is_shown_in_grey_and_as_it_is_unless_it_is_dark():
    frame = torch.zeros(3, 100, 120, dtype=torch.uint8)
    frame[1] = 200  # green counts by 0.587: 117.4
    _, cascade = detect(frame)
    assert (cascade.picture == 117).all()
    _, cascade = detect(grey_frame(np.full((100, 120), 64)))
    assert (cascade.picture == 64).all()


@pytest.mark.parametrize(
    ("level", "brightest", "factor"), [(63, 80, 3.0), (10, 60, 4.0), (0, 0, 240.0), (2, 255, 1.0)]
)
def test_a_dark_picture_is_stretched_until_its_brightest_hundredth_is_at_240_and_then_by_tiles(
    level, brightest, factor
):
    levels = np.full((160, 160), level)
    levels[:, :8] = brightest  # a twentieth of it
    levels[1::4] = levels[:, 1::4] = 250  # between the pixels that are looked at
    _, cascade = detect(grey_frame(levels))
    stretched = np.minimum(levels * factor, 255).round().astype(np.uint8)
    expected = cv2.createCLAHE(4.0, (8, 8)).apply(stretched)
    assert np.array_equal(cascade.picture, expected)


def test_an_opencv_without_cascades_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(
        InputError, match=r"haar: expected opencv-python-headless 4, found OpenCV 4.* without cascades"
    ):
        HaarDetector()
    monkeypatch.undo()
    monkeypatch.delattr(cv2, "data")
    with pytest.raises(InputError, match="without cascades"):
        HaarDetector()
