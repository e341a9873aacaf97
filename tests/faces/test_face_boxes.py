"""The box of a body and its desk, grown from a face."""

import numpy as np
import pytest

from modeling_clipcaer.faces.boxes import FaceDetection, grow_context_box


def test_a_context_box_is_four_faces_wide_and_reaches_from_three_quarters_above_to_three_and_a_half_below():
    # A face of 40 x 60 at (300, 100): 1.5 x 40 to either side, 0.75 x 60 above, 3.5 x 60 below.
    assert grow_context_box((300, 100, 340, 160), 720, 1280) == (240, 55, 400, 370)


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ((10, 30, 50, 70), (0, 0, 110, 210)),  # cut at the left and above
        ((600, 300, 630, 340), (555, 270, 640, 360)),  # and at the right and below
        ((-30, 100, -10, 120), (0, 85, 20, 190)),  # beyond the frame, and seen in part
        ((-300, -300, -280, -280), (0, 0, 1, 1)),  # far beyond it, on every side
        ((900, 700, 920, 720), (639, 359, 640, 360)),
        ((700, 100, 720, 120), (639, 85, 640, 190)),
    ],
)
def test_a_context_box_is_what_the_frame_holds_of_it_and_at_least_a_pixel(face, expected):
    assert grow_context_box(face, 360, 640) == expected


def test_detections_are_in_the_order_of_their_left_sides():
    right, left = FaceDetection((50, 0, 60, 9), 0.9), FaceDetection((9, 70, 20, 90), 0.1)
    assert sorted([right, left]) == [left, right]


@pytest.mark.parametrize(("height", "width"), [(360, 640), (1, 1), (2, 4000), (4000, 2)])
def test_a_context_box_of_any_face_is_within_the_frame_and_never_empty(height, width):
    corners = np.random.default_rng(0).uniform(-2, 3, (500, 2, 2)) * [width, height]
    faces = [(*low, *high) for low, high in zip(corners.min(1), corners.max(1), strict=True)]
    points = [(x, y, x, y) for x in (-5, 0, width, width + 5) for y in (-5, 0, height, height + 5)]
    whole, far = (0, 0, width, height), (9e9, 9e9, 9.1e9, 9.1e9)
    for face in (*faces, *points, whole, far):
        left, top, right, bottom = grow_context_box(face, height, width)
        assert 0 <= left <= right - 1 <= width - 1 and 0 <= top <= bottom - 1 <= height - 1
        if face[0] < width and face[1] < height and face[2] > 0 and face[3] > 0:  # what is seen of it is held
            assert left <= max(face[0], 0) and top <= max(face[1], 0)
            assert right >= min(face[2], width) and bottom >= min(face[3], height)
