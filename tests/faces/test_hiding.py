"""Faces that nobody is known by: hidden, as large as the face, and veiled."""

import cv2
import numpy as np
import pytest

from helpers.videos import draw_faces, likeness, noise, sharpness
from modeling_clipcaer.faces.hiding import hide_between, hide_whole, veil_face


BOX = (275.0, 115.0, 355.0, 220.0)  # of the face that `draw_faces` puts at (320, 180)
FACE = np.s_[120:215, 282:348]


def hide(box, **how):
    """A noisy frame of 400 x 300, whether each of its pixels is changed by hiding what is in `box`."""
    frame = next(noise(1, (400, 300)))
    hidden = frame.copy()
    hide_between(hidden, np.array([box], dtype=float), **how)
    return (hidden != frame).any(axis=2)


def grain(height=300, width=400):
    """A frame of noise, each pixel of its own."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def extents(changed):
    rows, columns = np.nonzero(changed)
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(
    ("boxes", "growth", "expected"),
    [
        # Middle (130, 155), half axes of 60 x 1.46 / 2 and 70 x 1.56 / 2, rounded up: 44 and 55.
        ([(100, 120, 160, 190)], 1.0, (100, 210, 86, 174)),
        ([(100, 120, 160, 190)], 2.0, (45, 265, 42, 218)),  # 88 and 110
        ([(-20, -10, 20, 30)], 1.0, (0, 42, 0, 30)),  # middle (0, 10): 30 and 32
        ([(380, 280, 420, 320)], 1.0, (268, 299, 370, 399)),
        ([(100, 120, 160, 190), (200, 120, 260, 190)], 1.0, (100, 210, 86, 274)),
    ],
)
def test_an_outline_is_an_ellipse_about_half_as_large_again_as_the_box(boxes, growth, expected):
    frame = grain()
    hidden = frame.copy()
    hide_between(hidden, np.array(boxes, float), growth=growth)
    changed = (hidden != frame).any(axis=2)
    assert extents(changed) == pytest.approx(expected, abs=1)
    if len(boxes) == 1 and expected[0] > 0 and expected[1] < 299:
        top, bottom, left, right = expected
        # An ellipse fills pi / 4 of its box, a polygon of 36 corners nearly so much.
        assert changed.sum() == pytest.approx(np.pi / 4 * (bottom - top + 1) * (right - left + 1), rel=0.02)


def test_a_box_without_a_size_is_a_point_with_its_neighbours():
    frame = grain()
    hidden = frame.copy()
    hide_between(hidden, np.array([(200, 150, 200, 150)], float))
    assert extents((hidden != frame).any(axis=2)) == (149, 151, 199, 201)


def mosaic(picture, across, down):
    """Of so many cells, by OpenCV."""
    cells = cv2.GaussianBlur(cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA), (3, 3), 0)
    return cv2.resize(cells, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    ("height", "width", "down", "across"),
    [(60, 80, 4, 5), (80, 60, 5, 4), (3, 100, 1, 5), (100, 100, 5, 5), (3, 2, 3, 2)],
)
def test_a_picture_is_hidden_in_five_cells_along_its_longer_side(height, width, down, across):
    picture = grain(height, width)
    hidden = picture.copy()
    hide_whole(hidden)
    assert np.array_equal(hidden, mosaic(picture, across, down))


@pytest.mark.parametrize(("how", "across", "down"), [({}, 6, 8), ({"cells": 9}, 11, 14)])
def test_a_face_is_hidden_in_cells_of_a_fifth_of_its_box(how, across, down):
    # The box's longer side is 70, a cell 14; the outline's box is 89 wide and 111 high: 6.4 and 7.9 cells.
    frame = grain()
    hidden = frame.copy()
    hide_between(hidden, np.array([(100, 120, 160, 190)], float), **how)
    rows, columns = slice(100, 211), slice(86, 175)
    expected = mosaic(frame[rows, columns], across, down)
    inside = np.s_[40:70, 30:60]
    assert np.array_equal(hidden[rows, columns][inside], expected[inside])


def test_a_veil_lies_over_the_eyes_in_its_colour_and_the_rest_is_in_nine_cells():
    frame = grain()
    veiled, coarse = frame.copy(), frame.copy()
    veil_face(veiled, (100, 120, 200, 220))
    hide_between(coarse, np.array([(100, 120, 200, 220)], float), cells=9)
    # From 18 to 56 of 100 below the top, 8 beyond either side.
    covered = np.s_[138:176, 92:208]
    assert (veiled[covered] == (60, 66, 74)).all()
    coarse[covered] = (60, 66, 74)
    assert np.array_equal(veiled, coarse)
    veil_face(veiled := frame.copy(), (-50, -30, 50, 70))  # as far as the frame goes: 12 above it to 26 within
    assert (veiled[:26, :58] == (60, 66, 74)).all() and not (veiled[26:, :58] == (60, 66, 74)).all(axis=2).any()


def test_what_is_hidden_holds_the_box_and_is_not_two_boxes_wide():
    changed = hide((100, 120, 160, 190))
    rows, columns = np.nonzero(changed)
    assert 60 * 1.3 < np.ptp(columns) < 60 * 1.5 and 70 * 1.3 < np.ptp(rows) < 70 * 1.6
    for y, x in [(121, 101), (121, 158), (188, 101), (188, 158)]:  # the corners
        assert changed[y - 2 : y + 3, x - 2 : x + 3].any()
    assert changed[125:185, 105:155].mean() > 0.95


def test_a_hidden_face_has_nothing_left_to_know_it_by_and_a_veiled_one_has_no_eyes():
    frame = draw_faces([(320, 180)])
    hidden, veiled = frame.copy(), frame.copy()
    hide_between(hidden, np.array([BOX]))
    veil_face(veiled, BOX)
    assert likeness(hidden[FACE], frame[FACE]) < 0.4 and sharpness(hidden[FACE]) < 0.15 * sharpness(frame[FACE])
    # From 0.18 to 0.56 of 105 pixels below the top at 115.
    eyes = veiled[136:172, 275:355]
    assert (eyes == eyes[0, 0]).all()
    mouth = np.s_[176:215, 282:348]
    assert sharpness(veiled[mouth]) < 0.3 * sharpness(frame[mouth])


def test_what_is_between_two_places_is_hidden_too():
    frame = next(noise(1, (400, 300)))
    hidden = frame.copy()
    hide_between(hidden, np.array([[100, 120, 140, 170], [220, 130, 260, 180]], dtype=float))
    changed = (hidden != frame).any(axis=2)
    assert changed[125:170, 105:255].mean() > 0.95
    assert not changed[:95].any() and not changed[210:].any() and not changed[:, :85].any()
    assert not changed[:, 275:].any()


@pytest.mark.parametrize("hide_it", [lambda frame, box: hide_between(frame, np.array([box], float)), veil_face])
def test_corners_are_taken_in_any_order_and_beyond_the_frame(hide_it):
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    straight, turned, outside, above = (picture.copy() for _ in range(4))
    hide_it(straight, (10, 20, 30, 40))
    hide_it(turned, (30, 40, 10, 20))
    assert np.array_equal(straight, turned) and not np.array_equal(straight, picture)
    for box in [(500, 500, 520, 520), (-90, -90, -60, -60)]:
        hide_it(outside, box)
    assert np.array_equal(outside, picture)
    hide_it(above, (-10, -10, 200, 5))
    assert not np.array_equal(above[:5], picture[:5])


def test_a_picture_that_is_hidden_wholly_has_no_detail():
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    hide_whole(picture)
    assert picture.std() < 40
