"""Frames put on one canvas, turned and described; by hand."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorTrc

from modeling_clipcaer.frame_fitting import (
    FrameFitter,
    FrameLooks,
    describe_sizes,
    find_pixel_aspect,
    fit_size,
    largest_size,
    put_on_canvas,
)


class Turned:
    """A frame that a player turns."""

    def __init__(self, frame, rotation):
        self.frame, self.rotation = frame, rotation

    def __getattr__(self, name):
        return getattr(self.frame, name)


class Reformatter:
    """PyAV's reformatter takes frames of its own kind alone."""

    def __init__(self, reformatter):
        self.reformatter = reformatter

    def reformat(self, frame, **options):
        return self.reformatter.reformat(getattr(frame, "frame", frame), **options)


def make_frame(pixels, rotation=0):
    return Turned(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels, np.uint8), "rgb24"), rotation)


def make_fitter(*args):
    fitter = FrameFitter(*args)
    fitter._reformatter = Reformatter(fitter._reformatter)
    return fitter


QUARTERS = np.kron(np.array([[10, 90], [170, 250]])[..., None], np.ones((40, 60, 3)))  # 120 x 80


@pytest.mark.parametrize(
    ("rotation", "size", "corners"),
    [
        (0, (80, 120), [[10, 90], [170, 250]]),
        (90, (120, 80), [[90, 250], [10, 170]]),  # counterclockwise
        (180, (80, 120), [[250, 170], [90, 10]]),
        (-90, (120, 80), [[170, 10], [250, 90]]),
        (270, (120, 80), [[170, 10], [250, 90]]),
    ],
)
def test_a_frame_is_turned_as_a_player_turns_it_and_so_is_its_thumbnail(rotation, size, corners):
    fitter, frame = make_fitter(), make_frame(QUARTERS, rotation)
    pixels = fitter(frame)
    assert pixels.shape == (3, *size) and pixels.dtype == torch.uint8 and fitter.size == size[::-1]
    assert (fitter.upright_size(frame)) == size[::-1]
    assert np.abs(pixels[0, [2, -3]][:, [2, -3]].numpy().astype(int) - corners).max() <= 2
    small = fitter.make_thumbnail(frame)
    assert small.shape == (36, 64, 3) and small.dtype == np.uint8
    assert np.abs(small[[2, -3]][:, [2, -3], 0].astype(int) - corners).max() <= 2


def test_pixels_that_are_not_square_are_made_so():
    frame = make_frame(QUARTERS)
    assert make_fitter(0.5)(frame).shape == (3, 80, 60) and make_fitter(2.0)(frame).shape == (3, 80, 240)
    assert make_fitter(2.0).upright_size(make_frame(QUARTERS, 90)) == (80, 240)
    assert make_fitter(0.001).upright_size(frame) == (1, 80)


def test_a_frame_of_another_shape_lies_in_the_middle_on_black_and_so_does_its_thumbnail():
    fitter = make_fitter(1.0, (100, 100))
    white = make_frame(np.full((80, 160, 3), 255))
    pixels = fitter(white)
    assert pixels.shape == (3, 100, 100)
    assert not pixels[:, :25].any() and not pixels[:, 75:].any() and (pixels[:, 25:75] > 250).all()
    small = fitter.make_thumbnail(white)
    assert not small[:9].any() and not small[27:].any() and (small[9:27] > 250).all()
    turned = make_frame(np.full((80, 160, 3), 255), 90)
    small = fitter.make_thumbnail(turned)
    assert not small[:, :16].any() and not small[:, 48:].any() and (small[:, 16:48] > 250).all()
    assert fitter(turned)[:, :, 25:75].min() > 250 and not fitter(turned)[:, :, 75:].any()


def test_a_strip_is_a_line_of_cells_in_a_thumbnail():
    fitter = make_fitter(1.0, (100, 100))
    small = fitter.make_thumbnail(make_frame(np.full((2, 400, 3), 255)))
    assert ((small > 250).any(axis=(1, 2)).sum(), (small > 250).any(axis=(0, 2)).sum()) == (1, 64)


def test_the_first_frame_gives_the_size_of_all():
    fitter = make_fitter()
    assert fitter(make_frame(QUARTERS)).shape == fitter(make_frame(QUARTERS[:60])).shape == (3, 80, 120)


@pytest.mark.parametrize(
    ("size", "canvas", "expected"),
    [
        ((100, 50), (200, 200), (200, 100)),
        ((50, 100), (200, 200), (100, 200)),
        ((400, 100), (200, 200), (200, 50)),
        ((7, 9), (7, 9), (7, 9)),
        ((3, 2), (100, 100), (100, 67)),
        ((2, 3), (100, 100), (67, 100)),
        ((1000, 1), (10, 10), (10, 1)),
        ((1, 1000), (10, 10), (1, 10)),
    ],
)
def test_a_size_fills_the_width_or_the_height_of_the_canvas(size, canvas, expected):
    found = fit_size(size, canvas)
    assert found == expected and {type(side) for side in found} == {int}


def test_the_canvas_is_black_around_what_is_in_its_middle():
    pixels = torch.ones(3, 2, 3, dtype=torch.uint8)
    found = put_on_canvas(pixels, (8, 5))
    assert found.shape == (3, 5, 8) and found.sum() == 18 and (found[:, 1:3, 2:5] == 1).all()
    assert put_on_canvas(pixels, (3, 2)) is pixels
    assert put_on_canvas(pixels, (3, 3)).shape == (3, 3, 3)


def test_the_largest_size_is_that_of_the_most_pixels_and_of_equals_the_widest():
    assert largest_size([(10, 10), (5, 30), (30, 5), (149, 1)]) == (30, 5)


def test_several_sizes_are_told_up_to_four_in_order_of_appearance():
    assert describe_sizes([(4, 3), (4, 3)]) == [] == describe_sizes([])
    told = "its picture changes its size ({}): all of it is shown, and boxes are, in the largest"
    assert describe_sizes([(8, 6), (4, 3), (8, 6)]) == [told.format("8x6, 4x3")]
    sizes = [(side, 1) for side in range(1, 6)]
    assert describe_sizes(sizes[:4]) == [told.format("1x1, 2x1, 3x1, 4x1")]
    assert describe_sizes(sizes) == [told.format("1x1, 2x1, 3x1, 4x1, ...")]


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [
        *((value, 1.0) for value in (None, Fraction(0), Fraction(1))),
        *((Fraction(value), float(Fraction(value))) for value in ("4/3", "4", "1/4")),
        *((Fraction(value), 1.0) for value in ("5", "1/5", "401/100")),
    ],
)
def test_a_shape_of_pixels_beyond_four_to_one_is_a_mistake(aspect, expected):
    assert find_pixel_aspect(SimpleNamespace(sample_aspect_ratio=aspect)) == expected


def test_what_a_reader_must_know_of_the_frames_is_told():
    looks = FrameLooks(FrameFitter())

    def look(width, height, transfer, *aspect):
        looks.add(SimpleNamespace(width=width, height=height, rotation=0, color_trc=transfer), *aspect)

    look(8, 6, ColorTrc.BT709)
    assert looks.describe() == []
    look(8, 6, ColorTrc.SMPTE2084, Fraction(4, 3))
    look(8, 6, ColorTrc.ARIB_STD_B67, Fraction(4, 3))
    hdr = "its pictures are HDR ({}) and are taken as they are, paler than a player shows them"
    assert looks.describe() == [hdr.format("HLG"), hdr.format("PQ")]
    look(4, 3, ColorTrc.BT709, Fraction(1, 1))
    assert looks.describe() == [
        "its picture changes its size (8x6, 4x3): all of it is shown, and boxes are, in the largest",
        hdr.format("HLG"),
        hdr.format("PQ"),
        "the shape of its pixels changes (4:3, 1:1): all of it is shown in that of the header",
    ]
