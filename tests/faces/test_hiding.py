"""Faces that nobody is known by: hidden, as large as the face, and veiled."""

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
