"""Image files: which way up they are, how much of them is decoded, and what is not opened at all."""

import os
import socket
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageOps

from helpers.places import ROOT
from modeling_clipcaer import ClipCaerVideoProcessor, image_files
from modeling_clipcaer.commands.convert import REFERENCE_PIXELS
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import list_frame_names
from modeling_clipcaer.frames import open_clip
from modeling_clipcaer.image_files import read_image, read_image_size
from modeling_clipcaer.settings_clipcaer import PixelSettings


CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
# Of a picture with red, green, blue and white in its corners, clockwise from the left top one: what is seen there once
# it is turned as the EXIF standard says of the stored rows and columns (6: row 0 is the right side, column 0 the top).
UPRIGHT = {
    1: ("red", "green", "blue", "white"),
    2: ("green", "red", "white", "blue"),
    3: ("blue", "white", "red", "green"),
    4: ("white", "blue", "green", "red"),
    5: ("red", "white", "blue", "green"),
    6: ("white", "red", "green", "blue"),
    7: ("blue", "green", "red", "white"),
    8: ("green", "blue", "white", "red"),
}


def draw_corners(width=48, height=32):
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[:12, :12], picture[:12, -12:] = CORNERS["red"], CORNERS["green"]
    picture[-12:, -12:], picture[-12:, :12] = CORNERS["blue"], CORNERS["white"]
    return Image.fromarray(picture)


def name_corners(pixels):
    seen = [pixels[:, y, x] for y, x in ((3, 3), (3, -4), (-4, -4), (-4, 3))]
    return tuple(
        min(CORNERS, key=lambda name: (corner.int() - torch.tensor(CORNERS[name])).abs().sum()) for corner in seen
    )


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.fixture(params=["opencv", "pillow"])
def decoder(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(image_files, "imdecode", None)
    return request.param


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright_whatever_holds_it(tmp_path, orientation, suffix, decoder):
    path = tmp_path / f"photo.{suffix}"
    draw_corners().save(path, exif=exif(orientation), quality=100)
    expected = (3, 48, 32) if orientation >= 5 else (3, 32, 48)
    with Image.open(path) as opened, Image.open(path) as for_size:
        for image in (path, str(path), path.read_bytes(), opened):
            frame = read_image(image)
            assert frame.shape == expected and name_corners(frame) == UPRIGHT[orientation]
        assert read_image_size(path) == read_image_size(path.read_bytes()) == expected[:0:-1]
        assert np.array_equal(read_image(path).permute(1, 2, 0), ImageOps.exif_transpose(for_size))
    assert name_corners(read_image(path, upright=False)) == UPRIGHT[1]
    if suffix == "jpg":
        assert np.array_equal(read_image(path).permute(1, 2, 0), cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_decoded_small_is_turned_too(tmp_path, orientation):
    path = tmp_path / "photo.jpg"
    draw_corners().resize((480, 320)).save(path, exif=exif(orientation), quality=100)
    frame = read_image(path, min_side=70)
    assert max(frame.shape) < 480 and name_corners(frame) == UPRIGHT[orientation]


def make_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def add_chunks_behind(png, *chunks):
    end = png.rindex(b"\0\0\0\0IEND")
    return png[:end] + b"".join(make_chunk(*chunk) for chunk in chunks) + png[end:]


def test_the_size_of_a_png_minds_an_orientation_behind_its_pixels_and_decodes_no_other(tmp_path, monkeypatch):
    file = BytesIO()
    draw_corners().save(file, "PNG")
    tags = exif(6).tobytes().removeprefix(b"Exif\0\0")
    turned = add_chunks_behind(file.getvalue(), (b"tEXt", b"date:create\x002026"), (b"eXIf", tags))
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'
    for png, corners in ((turned, UPRIGHT[6]), (add_chunks_behind(file.getvalue(), (b"iTXt", xmp)), UPRIGHT[8])):
        assert read_image_size(png) == (32, 48)
        assert name_corners(read_image(png)) == corners
    plain = add_chunks_behind(file.getvalue(), (b"tEXt", b"date:create\x002026"))
    monkeypatch.setattr(Image.Image, "load", None)
    assert read_image_size(plain) == (48, 32)


BROKEN_EXIF = {
    "no TIFF": b"Exif\0\0nonsense",
    "cut off": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01",
    "far away": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "a text": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x026\0\0\0\0\0\0\0",
    "nine": exif(9).tobytes(),
    "nought": exif(0).tobytes(),
}


@pytest.mark.parametrize("broken", BROKEN_EXIF)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_broken_exif_changes_nothing(tmp_path, broken, suffix, decoder):
    path, plain = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    draw_corners().save(path, exif=BROKEN_EXIF[broken])
    draw_corners().save(plain)
    assert read_image(path).equal(read_image(plain))
    assert read_image_size(path) == (48, 32)


def test_a_clip_is_upright_and_the_reference_setting_leaves_it_as_stored(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        draw_corners().save(tmp_path / name, exif=exif(6), quality=100)
    files = [tmp_path / "1.jpg", tmp_path / "2.jpg"]
    upright = ClipCaerVideoProcessor(num_frames=2, image_size=48, do_normalize=False)
    stored = ClipCaerVideoProcessor(num_frames=2, image_size=48, do_normalize=False, exif_orientation="ignore")
    with Image.open(files[0]) as first, Image.open(files[1]) as second:
        for clip in (tmp_path, files, [first, second]):
            assert name_corners(next(iter(open_clip(clip).read([0])))) == UPRIGHT[6]
            _, face = upright.process_clip(clip, face_boxes=[20, 0, 32, 12])
            assert face.shape == (2, 3, 48, 48)
            for processor, corners in ((upright, UPRIGHT[6]), (stored, UPRIGHT[1])):
                _, face = processor.process_clip(clip)
                assert name_corners(face[1]) == corners


def test_a_phones_file_of_several_pictures_and_palettes_are_turned_too(tmp_path):
    draw_corners().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[draw_corners()], exif=exif(8))
    draw_corners().quantize(8).save(tmp_path / "b.png", exif=exif(5))
    draw_corners().convert("CMYK").save(tmp_path / "c.jpg", exif=exif(3), quality=100)
    draw_corners().convert("RGBA").save(tmp_path / "d.png", exif=exif(7))
    for name, orientation in {"a.jpg": 8, "b.png": 5, "c.jpg": 3, "d.png": 7}.items():
        assert name_corners(read_image(tmp_path / name)) == UPRIGHT[orientation], name


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    draw_corners().save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InputError, match=r"a\.jpg: cannot be read as an image \(.*Permission denied"):
        read_image(tmp_path / "a.jpg")


# --- what is not decoded, and what is not opened ---


def write_header_only(path, width, height):
    """A PNG file of some bytes that claims so many pixels."""
    header = make_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + make_chunk(b"IDAT", zlib.compress(bytes(1000))))


@pytest.mark.parametrize("side", [9000, 13000, 40000])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(tmp_path, side, monkeypatch):
    write_header_only(tmp_path / "a.png", side, side)
    monkeypatch.setattr(Image.Image, "load", None)
    for read in (read_image, read_image_size):
        with pytest.raises(InputError, match=r"a\.png: expected an image of at most 67108864 pixels, found"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "tiff.jpg"])
def test_a_large_picture_of_any_type_is_refused(tmp_path, name, monkeypatch):
    kind = {"a.jpg": "JPEG", "tiff.jpg": "TIFF"}.get(name)
    Image.new("L", (101, 100)).save(tmp_path / name, kind)
    monkeypatch.setattr(image_files, "MAX_PIXELS", 10_000)
    for read in (read_image, read_image_size):
        with pytest.raises(InputError, match="at most 10000 pixels, found one of 101x100"):
            read(tmp_path / name)
    with Image.open(tmp_path / name) as opened, pytest.raises(InputError, match="an image: expected"):
        read_image(opened)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    kinds = {"pipe": "a named pipe", "folder": "a folder", "device": "a device", "gone": "nothing"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for name, kind in {**kinds, "socket": "a socket"}.items():
            for read in (read_image, read_image_size):
                with pytest.raises(InputError, match=f"{name}.jpg: expected an image file, found {kind}$"):
                    read(tmp_path / f"{name}.jpg")
    # A subfolder is no frame; whatever else is named like one is, and reading it says what it is.
    assert list_frame_names(tmp_path) == ["device.jpg", "gone.jpg", "pipe.jpg", "socket.jpg"]


def test_a_pipe_called_a_video_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4: expected a video, found a named pipe"):
        open_clip(tmp_path / "a.mp4")


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="expected a readable folder, found: Permission denied"):
        list_frame_names(tmp_path)


def test_the_reference_preset_reads_photos_as_they_are_stored():
    preset = yaml.safe_load((ROOT / "recipes" / "raer_reference.yaml").read_text(encoding="utf-8"))
    assert preset["exif_orientation"] == REFERENCE_PIXELS["exif_orientation"] == "ignore"
    assert ClipCaerVideoProcessor().exif_orientation == PixelSettings().exif_orientation == "upright"


def test_no_file_is_handed_to_ghostscript(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_a_film_is_no_frame_and_a_phones_photo_with_a_second_picture_is(tmp_path, suffix):
    pictures = [Image.new("RGB", (16, 16), (value, 0, 0)) for value in (0, 90, 180)]
    film, still, photo = tmp_path / f"film.{suffix}", tmp_path / f"still.{suffix}", tmp_path / "photo.jpg"
    pictures[0].save(film, save_all=True, append_images=pictures[1:], duration=100)
    pictures[0].save(still)
    pictures[0].save(photo, "MPO", save_all=True, append_images=pictures[1:])
    with pytest.raises(InputError, match=f"film.{suffix}: expected a single picture, found an animation of 3"):
        read_image(film)
    assert read_image(still).shape == read_image(photo).shape == (3, 16, 16)
