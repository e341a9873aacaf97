import math

import pytest
import torch
from PIL import Image

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.pixels import (
    Augmentation,
    augment,
    crop_box,
    crop_face,
    draw_augmentation,
    letterbox,
    resize,
    resize_to_square,
)


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def smooth(size=64):
    ramp = torch.arange(size, dtype=torch.float32) * (200 / size)
    red, green = ramp.expand(size, size), ramp.expand(size, size).T
    return torch.stack([red, green, torch.full((size, size), 90.0)]).to(torch.uint8)[None]


def as_image(frame):
    return Image.fromarray(frame.permute(1, 2, 0).numpy())


def as_tensor(image):
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)


# --- crop ---


def test_crop_cuts_exactly_the_pixels_of_the_box():
    frame = noise(3, 40, 60)
    assert crop_box(frame, [10, 5, 30, 25]).equal(frame[:, 5:25, 10:30])


def test_margin_grows_the_box_and_the_frame_clamps_it():
    frame = noise(3, 40, 60)
    assert crop_face(frame, [10.7, 15.2, 30.9, 25.1], 4).equal(frame[:, 11:29, 6:34])
    assert crop_face(frame, [-3, -8, 30, 25], 20).equal(frame[:, 0:40, 0:50])


def test_corners_may_come_in_any_order():
    frame = noise(3, 40, 60)
    assert crop_box(frame, [30, 25, 10, 5]).equal(crop_box(frame, [10, 5, 30, 25]))


@pytest.mark.parametrize("box", [None, [], ()])
def test_no_box_is_the_whole_frame(box):
    frame = noise(3, 40, 60)
    assert crop_face(frame, box, 20).equal(frame)


def test_a_box_thinner_than_a_pixel_still_gives_one_pixel():
    frame = noise(3, 40, 60)
    assert crop_box(frame, [59.2, 39.1, 59.9, 39.8]).equal(frame[:, 39:, 59:])
    assert crop_box(frame, [20.2, 10.1, 20.9, 10.8]).equal(frame[:, 10:11, 20:21])


@pytest.mark.parametrize(
    ("box", "complaint"),
    [
        ([60, 0, 80, 10], "overlaps the frame"),
        ([-30, 5, 0, 10], "overlaps the frame"),
        ([0, 41, 10, 50], "overlaps the frame"),
        ([0, 40, 10, 50], "overlaps the frame"),
        ([0, -20, 10, 0], "overlaps the frame"),
        ([5, 20, 15, 20], "an area"),
        ([5, 5, 20, 20, 20], "four finite numbers"),
        ([5, 5, 5, 20], "an area"),
        ([5, 5, math.nan, 20], "four finite numbers"),
        ([5, 5, 20], "four finite numbers"),
    ],
)
def test_a_box_that_shows_nothing_is_refused_with_box_and_frame_size(box, complaint):
    with pytest.raises(InputError, match=complaint) as refusal:
        crop_face(noise(3, 40, 60), box, 20)
    assert "frame of 60x40 pixels" in str(refusal.value)
    assert f"{float(box[0])}" in str(refusal.value)


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        ([-9, 5, 0.5, 10], (slice(5, 10), slice(0, 1))),
        ([5, -9, 10, 0.5], (slice(0, 1), slice(5, 10))),
        ([59.5, 5, 70, 10], (slice(5, 10), slice(59, 60))),
        ([5, 39.5, 10, 50], (slice(39, 40), slice(5, 10))),
    ],
)
def test_half_a_pixel_within_the_frame_is_enough(box, shown):
    frame = noise(3, 40, 60)
    assert crop_box(frame, box).equal(frame[:, shown[0], shown[1]])


# --- resize and letterbox ---


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
def test_resize_equals_pillow_within_one_level(resample):
    frame = noise(3, 90, 160)
    pillow = as_tensor(as_image(frame).resize((32, 24), getattr(Image.Resampling, resample.upper())))
    ours = resize(frame[None], 24, 32, resample)[0].permute(1, 2, 0)
    assert ours.dtype == torch.uint8
    assert (ours.int() - pillow.int()).abs().max() <= 1


def test_square_ignores_the_aspect_and_letterbox_keeps_it():
    frames = torch.full((2, 3, 72, 128), 200, dtype=torch.uint8)
    assert resize_to_square(frames, 32, "bicubic").eq(200).all()
    boxed = letterbox(frames, 32, "bicubic")
    assert boxed.shape == (2, 3, 32, 32)
    assert boxed[:, :, 7:25].eq(200).all() and boxed[:, :, :7].eq(0).all() and boxed[:, :, 25:].eq(0).all()


def test_letterbox_of_a_tall_frame_has_its_bars_left_and_right():
    boxed = letterbox(torch.full((1, 3, 128, 72), 200, dtype=torch.uint8), 32, "bilinear")
    assert boxed[..., 7:25].eq(200).all() and boxed[..., :7].eq(0).all() and boxed[..., 25:].eq(0).all()


@pytest.mark.parametrize(("reference", "rows", "top"), [(False, 126, 49), (True, 125, 49)])
def test_letterbox_of_720p_has_126_rows_and_125_as_the_research_code(reference, rows, top):
    boxed = letterbox(torch.full((1, 3, 720, 1280), 255, dtype=torch.uint8), 224, "bicubic", reference)
    lit = boxed[0, 0, :, 100].nonzero().flatten()
    assert (lit[0].item(), len(lit)) == (top, rows)


def test_letterbox_of_an_extreme_strip_keeps_one_row():
    for size in ((1, 500), (500, 1)):
        lit = (letterbox(torch.full((1, 3, *size), 255, dtype=torch.uint8), 32, "bicubic") == 255)[0, 0]
        assert lit.sum() == 32 and (lit[15].all() if size == (1, 500) else lit[:, 15].all())


# --- augmentation ---


def test_a_draw_without_settings_changes_nothing():
    frames = noise(4, 3, 16, 16)
    draw = draw_augmentation(0.0, 0.0, 0.0, torch.Generator().manual_seed(1))
    assert draw == Augmentation(flip=False, degrees=0.0, brightness=1.0, contrast=1.0)
    assert augment(frames, draw).equal(frames)


def test_a_flip_mirrors_every_frame_and_twice_is_the_identity():
    frames, flip = noise(4, 3, 16, 16), Augmentation(True, 0.0, 1.0, 1.0)
    assert augment(frames, flip).equal(frames.flip(-1))
    assert augment(augment(frames, flip), flip).equal(frames)


def test_draws_stay_within_their_ranges_and_reach_them():
    generator = torch.Generator().manual_seed(0)
    draws = [draw_augmentation(0.25, 4.0, 0.2, generator) for _ in range(2000)]
    assert sum(draw.flip for draw in draws) / 2000 == pytest.approx(0.25, abs=0.03)
    assert 3.9 < max(draw.degrees for draw in draws) <= 4 and -4 <= min(draw.degrees for draw in draws) < -3.9
    for factors in ([draw.brightness for draw in draws], [draw.contrast for draw in draws]):
        assert 0.8 <= min(factors) < 0.81 and 1.19 < max(factors) <= 1.2
    assert all(draw.brightness != draw.contrast for draw in draws)


def test_one_setting_does_not_shift_the_draws_of_another():
    plain = draw_augmentation(0.0, 4.0, 0.0, torch.Generator().manual_seed(3))
    full = draw_augmentation(1.0, 4.0, 0.3, torch.Generator().manual_seed(3))
    assert plain.degrees == full.degrees


@pytest.mark.parametrize(("degrees", "turns"), [(90.0, 1), (-90.0, -1), (180.0, 2)])
def test_quarter_turns_move_pixels_exactly_and_counterclockwise(degrees, turns):
    frames = noise(2, 3, 16, 16)
    turned = augment(frames, Augmentation(False, degrees, 1.0, 1.0))
    assert turned.equal(frames.rot90(turns, (-2, -1)))


def test_a_small_rotation_agrees_with_pillow_and_its_reverse_undoes_it():
    frames = smooth()
    turned = augment(frames, Augmentation(False, 4.0, 1.0, 1.0))
    pillow = as_tensor(as_image(frames[0]).rotate(4.0, Image.Resampling.BILINEAR)).permute(2, 0, 1)
    assert (turned[0].int() - pillow.int())[:, 8:-8, 8:-8].abs().max() <= 2
    back = augment(turned, Augmentation(False, -4.0, 1.0, 1.0))
    assert (back.int() - frames.int())[..., 8:-8, 8:-8].abs().max() <= 3
    assert turned[0, 2, 0, 0] == 0  # what turns in from outside is black


def test_a_clip_turns_as_each_of_its_frames_does_alone_however_they_lie_in_memory():
    frames, draw = noise(3, 3, 16, 16), Augmentation(False, 4.0, 1.0, 1.0)
    turned = augment(frames, draw)
    assert turned.equal(torch.cat([augment(frame, draw) for frame in frames.split(1)]))
    assert turned.equal(augment(frames.contiguous(memory_format=torch.channels_last), draw))
    assert not turned.equal(frames)


def test_brightness_scales_and_contrast_spreads_about_the_mean():
    frames = smooth()
    assert augment(frames, Augmentation(False, 0.0, 0.5, 1.0)).float().mean().item() == pytest.approx(
        frames.float().mean().item() / 2, abs=0.5
    )
    wide = augment(frames, Augmentation(False, 0.0, 1.0, 1.1)).float()
    assert wide.mean().item() == pytest.approx(frames.float().mean().item(), abs=0.5)
    assert wide.std().item() == pytest.approx(1.1 * frames.float().std().item(), rel=0.02)
