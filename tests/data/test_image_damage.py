"""Damage in the middle of JPEG files: what is found of it, and that nothing sound is called damaged."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from helpers.miniatures import write_frames
from modeling_clipcaer.data.image_damage import check_undamaged
from modeling_clipcaer.data.rows import read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.image_files import read_image


def draw_photo(size=(320, 240)):
    """Soft structures under fine grain, as a camera sees."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.array(coarse) + random.normal(0, 6, (*size[::-1], 3)), 0, 255).astype(np.uint8))


def encode(image, **options):
    file = BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def damage(data, kind, length, seed):
    random = np.random.default_rng(seed)
    start = int(random.integers(len(data) // 5, len(data) - length - 200))
    middle = {"zeros": bytes(length), "foreign": random.bytes(length), "removed": b""}[kind]
    return data[:start] + middle + data[start + length :]


def is_refused(data):
    try:
        read_image(data)
        check_undamaged(data, "a.jpg")
    except InputError:
        return True
    return False


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("kind", "share"), [("zeros", 0.6), ("foreign", 0.9), ("removed", 0.9)])
def test_most_damages_in_the_middle_are_found(kind, share, progressive):
    data = encode(draw_photo(), quality=85, progressive=progressive)
    found = [is_refused(damage(data, kind, 1024, seed)) for seed in range(20)]
    assert np.mean(found) >= share


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"quality": 20}, {"quality": 95, "subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 4}],
    ids=str,
)
@pytest.mark.parametrize("size", [(320, 240), (33, 17), (8, 8), (1, 1)])
def test_no_sound_file_is_called_damaged(mode, options, size):
    data = encode(draw_photo().resize(size).convert(mode), **options)
    for behind in (b"", bytes(100), b"a phone's own notes"):
        check_undamaged(data + behind, "a.jpg")


def test_files_that_are_no_jpeg_are_left_to_their_check_sums():
    file = BytesIO()
    draw_photo().save(file, "PNG")
    check_undamaged(file.getvalue(), "a.png")
    for seed in range(10):
        with pytest.raises(InputError, match="cannot be read as an image"):
            read_image(damage(file.getvalue(), "foreign", 64, seed))
    for suffix in ("PNG", "WEBP"):
        file = BytesIO()
        draw_photo().save(file, suffix)
        with pytest.raises(InputError, match="cannot be read as an image"):
            read_image(file.getvalue()[: len(file.getvalue()) // 2])


def test_a_clip_ends_before_a_damaged_frame_where_frames_are_checked(tmp_path):
    folder = write_frames(tmp_path / "00001", 6)
    whole = encode(draw_photo())
    (folder / "5.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff" * 9 + whole[len(whole) // 2 + 9 :])
    clip = SourceClip(str(folder), folder.name, 0, "list.txt:7", is_folder=True)
    rows = [read_clip(clip, BuildSettings(check_frames=check)).row for check in (False, True)]
    assert [len(row["frame_names"]) for row in rows] == [6, 4] and rows[1]["frames_cut"] == 2
