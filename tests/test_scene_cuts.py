"""Cuts of scenes in small pictures, by hand."""

import numpy as np
import pytest
import torch

from modeling_clipcaer.scene_cuts import find_cuts, is_cut, is_other, join_cuts, see_face


def picture(*levels, shape=(2, 2)):
    """A picture (2, 2, 3) of four grey levels."""
    return np.repeat(np.array(levels, np.uint8).reshape(*shape, 1), 3, axis=2)


def cuts(*pictures, **options):
    """The maps of cut cells, by the place of the frame."""
    found = list(find_cuts(range(len(pictures)), lambda place: pictures[place], **options))
    assert [item for item, _ in found] == list(range(len(pictures)))
    return {place: cells.astype(int).ravel().tolist() for place, cells in found if cells is not None}


# Means of the pictures are kept equal, so that light has no part in it.
CALM, SWAPPED = picture(100, 100, 100, 100), picture(80, 120, 107, 93)


def test_a_cut_is_where_cells_change_by_eight_levels_and_three_times_what_they_do_around_it():
    assert cuts(*[CALM] * 6, *[SWAPPED] * 6) == {6: [1, 1, 0, 0]}
    # Exactly eight levels are enough, and a little less is not.
    assert cuts(*[CALM] * 6, *[picture(92, 108, 100, 100)] * 6) == {6: [1, 1, 0, 0]}
    assert cuts(*[CALM] * 6, *[picture(93, 107, 100, 100)] * 6) == {}
    assert cuts(CALM, CALM) == {} == cuts() == cuts(CALM)


@pytest.mark.parametrize(("before", "is_found"), [(6, True), (7, False)])
def test_what_changed_a_third_as_much_before_is_motion(before, is_found):
    # Cells of the first row move by so many levels, and back, in every frame; then they change by 20.
    other = picture(100 - before, 100 + before, 100, 100)
    frames = [CALM, other] * 3 + [CALM] + [picture(80, 120, 100, 100)] * 4
    assert (cuts(*frames) != {}) == is_found


@pytest.mark.parametrize(("distance", "is_found"), [(12, False), (13, True)])
def test_twelve_frames_before_count_as_around_it(distance, is_found):
    frames = [CALM, SWAPPED, *[SWAPPED] * (distance - 1), *[CALM] * 5]
    assert (1 + distance in cuts(*frames)) == is_found


@pytest.mark.parametrize(("distance", "is_found"), [(3, False), (4, True)])
def test_a_flash_of_up_to_three_frames_is_none(distance, is_found):
    frames = [*[CALM] * 5, *[SWAPPED] * distance, *[CALM] * 5]
    assert (5 in cuts(*frames)) == is_found
    assert 5 in cuts(*frames, after=0)


def test_frames_are_yielded_as_soon_as_those_after_them_are_known():
    asked = []
    frames = (asked.append(place) or place for place in range(9))
    found = find_cuts(frames, lambda place: CALM)
    next(found)
    assert asked == [0, 1, 2, 3]
    assert [item for item, _ in found] == list(range(1, 9))


def test_light_that_is_switched_on_is_no_cut_up_to_four_times():
    dark = picture(10, 20, 30, 40)
    for times, is_found in ((2, False), (4, False), (6, True)):
        assert bool(cuts(*[dark] * 5, *[dark * times] * 5)) == is_found
        assert bool(cuts(*[dark * times] * 5, *[dark] * 5)) == is_found


def test_cells_cut_in_either_map_are_joined():
    left, right = np.array([True, False, False]), np.array([False, False, True])
    assert join_cuts(left, right).tolist() == [True, False, True]
    assert join_cuts(left, None) is left and join_cuts(None, right) is right and join_cuts(None, None) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 100, 50), True),  # rows 0 and 1 of 4, all columns: 5 of 10 cells
        ((0, 0, 100, 100), False),  # 5 of 20
        ((0, 0, 50, 25), True),  # columns 0 to 2 of 5, of which the last one half
        ((0, 0, 40, 50), True),  # 2 of 4 cells
        ((40, 0, 100, 50), True),  # 3 of 6
        ((40, 25, 100, 50), False),
        ((0, 25, 100, 26), False),  # within row 1
        ((0, 24, 100, 26), True),  # rows 0 and 1: 5 of 10
        ((-50, -50, 1, 1), True),  # beyond the frame: the cell next to it
        ((150, 150, 160, 160), False),
        ((99, -9, 99, 0), True),
    ],
)
def test_a_cut_is_one_of_a_box_from_two_fifths_of_its_cells_on(box, expected):
    cells = np.zeros((4, 5), bool)
    cells[0] = True
    assert is_cut(cells, box, height=100, width=100) is expected


def test_a_box_ends_at_its_right_side():
    cells = np.zeros((4, 5), bool)
    cells[:, 0] = True
    assert is_cut(cells, (0, 0, 40, 100), 100, 100) and not is_cut(cells, (0, 0, 60, 100), 100, 100)
    assert is_cut(cells.T, (0, 0, 100, 40), 100, 100) and not is_cut(cells.T, (0, 0, 100, 80), 100, 100)


@pytest.mark.parametrize(("count", "expected"), [(1, False), (2, True), (5, True)])
def test_exactly_two_fifths_are_enough(count, expected):
    cells = np.arange(5)[None] < count
    assert is_cut(cells, (0, 0, 10, 10), 10, 10) is expected


def test_a_look_at_a_face_is_eight_cells_a_side_of_what_is_within_its_box():
    frame = torch.zeros(3, 40, 60, dtype=torch.uint8)
    frame[0, 10:26, 20:36] = torch.arange(0, 160, 10, dtype=torch.uint8)[:, None]
    look = see_face(frame, (20, 10, 36, 26))
    assert look.shape == (3, 8, 8) and look.dtype == np.float32
    assert look[0, :, 3].tolist() == pytest.approx([10 * (2 * row + 0.5) for row in range(8)], abs=5)
    assert not look[1:].any()


def test_two_looks_are_of_different_pictures_where_two_fifths_of_the_cells_differ():
    look = np.full((3, 2, 5), 100, np.float32)
    for count, expected in ((3, False), (4, True), (5, True)):
        other = look.copy()
        other[0].ravel()[:count] += 20
        other[1].ravel()[:count] -= 20  # the light of the whole is the same
        assert is_other(look, other) is expected
    assert is_other(None, look) is True
    other = look.copy()
    other[0, :], other[1, :] = 107.9, 92.1
    assert is_other(look, other) is False
    other[0, :], other[1, :] = 108, 92
    assert is_other(look, other) is True
