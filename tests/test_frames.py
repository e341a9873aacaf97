import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.places import GOLDEN_DIR
from modeling_clipcaer import image_files
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frames import is_image_path, open_clip, read_image, sample_frame_indices


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator()).numpy()


def write_frames(folder, count, size=(20, 30)):
    folder.mkdir(exist_ok=True)
    arrays = []
    for number in range(1, count + 1):
        arrays.append(np.full((*size, 3), number, dtype=np.uint8))
        Image.fromarray(arrays[-1]).save(folder / f"{number}.png")
    return arrays


# --- sampling ---


def test_evaluation_takes_the_middle_of_each_segment():
    assert sample_frame_indices(32, 16, "eval").tolist() == list(range(1, 32, 2))
    assert sample_frame_indices(10, 4, "eval").tolist() == [1, 3, 6, 8]
    assert sample_frame_indices(31, 1, "eval").tolist() == [15]


@pytest.mark.parametrize("total", [16, 17, 30, 31, 33, 47, 1000])
def test_training_reaches_every_frame_of_its_segment_and_no_other(total):
    draws = torch.stack([sample_frame_indices(total, 16, "train", generator(seed)) for seed in range(1500)])
    for place, column in enumerate(draws.T):
        first, end = place * total / 16, (place + 1) * total / 16
        assert first - 1 < column.min() and column.max() < end
        if total < 100:
            assert column.unique().tolist() == list(range(int(first), int(np.ceil(end))))


@pytest.mark.parametrize("total", [17, 31, 45])
def test_training_covers_the_whole_clip(total):
    seen = torch.cat([sample_frame_indices(total, 16, "train", generator(seed)) for seed in range(500)])
    assert seen.unique().tolist() == list(range(total))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("total", range(1, 16))
def test_a_short_clip_repeats_its_frames_in_order_and_keeps_them_all(mode, total):
    indices = sample_frame_indices(total, 16, mode, generator())
    assert indices.diff().ge(0).all()
    assert indices.unique().tolist() == list(range(total))
    assert indices.bincount().max() - indices.bincount().min() <= 1


@pytest.mark.parametrize("sampling", ["segments", "reference"])
def test_one_generator_state_gives_one_choice(sampling):
    def choose(seed):
        return sample_frame_indices(100, 16, "train", generator(seed), sampling).tolist()

    assert choose(1) == choose(1) != choose(2)


def test_reference_evaluation_equals_the_research_code_for_every_length():
    golden = np.load(GOLDEN_DIR / "golden.npz")["test_indices_1_200"]
    for total, expected in enumerate(golden, start=1):
        assert sample_frame_indices(total, 16, "eval", sampling="reference").tolist() == expected.tolist()


def test_reference_training_has_the_ranges_of_the_research_code():
    for total, expected in json.loads((GOLDEN_DIR / "golden.json").read_text())["train_indices"].items():
        draws = torch.stack(
            [sample_frame_indices(int(total), 16, "train", generator(seed), "reference") for seed in range(1000)]
        )
        assert draws.amin(0).tolist() == expected["min_per_segment"]
        assert draws.amax(0).tolist() == expected["max_per_segment"]


@pytest.mark.parametrize(
    "arguments", [(0, 16, "eval"), (5, 0, "eval"), (5, 16, "test"), (5, 16, "eval", None, "uniform")]
)
def test_impossible_sampling_is_refused(arguments):
    with pytest.raises(InputError, match="must be"):
        sample_frame_indices(*arguments)


# --- images ---


def test_grey_palette_alpha_and_cmyk_images_become_rgb(tmp_path):
    for mode, name in [("L", "grey.png"), ("RGBA", "alpha.png"), ("P", "palette.png"), ("CMYK", "cmyk.jpg")]:
        Image.new("RGB", (30, 20), (204, 204, 204)).convert(mode).save(tmp_path / name)
        frame = read_image(tmp_path / name)
        assert frame.shape == (3, 20, 30) and frame.dtype == torch.uint8
        assert (frame.int() - 204).abs().max() <= 2


def test_channels_and_rows_keep_their_order(tmp_path):
    pixels = noise(20, 30, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").permute(1, 2, 0).equal(torch.from_numpy(pixels))


@pytest.mark.parametrize("decoder", ["opencv", "pillow"])
@pytest.mark.parametrize(
    "saving",
    [{}, {"quality": 95, "subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"progressive": True}, {"keep_rgb": True}],
    ids=str,
)
def test_jpeg_files_have_pillows_pixels_whoever_decodes_them(tmp_path, monkeypatch, saving, decoder):
    coarse = Image.fromarray(noise(9, 12, 3)).resize((203, 131), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    coarse.save(tmp_path / "a.jpg", exif=turned, **saving)
    calls, imdecode = [], image_files.imdecode
    count = (lambda data, flags: calls.append(1) or imdecode(data, flags)) if decoder == "opencv" else None
    monkeypatch.setattr(image_files, "imdecode", count)
    frame = read_image(tmp_path / "a.jpg", upright=False)
    assert len(calls) == (decoder == "opencv")
    assert frame.permute(1, 2, 0).equal(torch.from_numpy(np.array(Image.open(tmp_path / "a.jpg"))))


def test_missing_corrupt_truncated_empty_and_deep_images_are_named(tmp_path):
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "whole.jpg")
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    (tmp_path / "corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nonsense" * 20)
    (tmp_path / "empty.jpg").touch()
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    for name in ["missing.jpg", "truncated.jpg", "corrupt.png", "empty.jpg", "deep.png"]:
        with pytest.raises(InputError, match=name) as refusal:
            read_image(tmp_path / name)
        assert "\n" not in str(refusal.value)


# --- clips ---


def test_a_folder_is_read_in_natural_order(tmp_path):
    write_frames(tmp_path / "clip", 12)
    clip = open_clip(tmp_path / "clip")
    assert len(clip) == 12
    assert [frame[0, 0, 0].item() for frame in clip.read(range(12))] == list(range(1, 13))


def test_a_list_of_files_keeps_its_order_and_each_is_opened_when_asked_for(tmp_path, monkeypatch):
    write_frames(tmp_path / "clip", 5)
    clip = open_clip([str(tmp_path / "clip" / f"{number}.png") for number in (3, 1, 5)])
    opened, real_open = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **_: opened.append(Path(path).name) or real_open(path))
    assert [frame[0, 0, 0].item() for frame in clip.read([0, 2])] == [3, 5]
    assert opened == ["3.png", "5.png"]


def test_arrays_come_channels_first_or_last_in_numpy_or_torch():
    pixels = noise(4, 20, 30, 3)
    for clip in (pixels, torch.from_numpy(pixels), pixels.transpose(0, 3, 1, 2), torch.from_numpy(pixels).mT.mT):
        (frame,) = open_clip(clip).read([2])
        assert frame.equal(torch.from_numpy(pixels[2]).permute(2, 0, 1))
    (reversed_channels,) = open_clip(pixels[..., ::-1]).read([2])
    assert reversed_channels.equal(torch.from_numpy(pixels[2]).permute(2, 0, 1).flip(0))


def test_a_list_may_mix_images_and_arrays_of_different_sizes(tmp_path):
    pixels = [noise(20 + number, 30, 3) for number in range(5)]
    Image.fromarray(pixels[4]).save(tmp_path / "opened.png")
    with Image.open(tmp_path / "opened.png") as opened:
        channels_first = torch.from_numpy(pixels[2]).permute(2, 0, 1)
        clip = open_clip([Image.fromarray(pixels[0]), pixels[1], channels_first, pixels[3][..., ::-1], opened])
        frames = list(clip.read(range(5)))
        opened.seek(0)  # still open
    pixels[3] = pixels[3][..., ::-1].copy()
    expected = [torch.from_numpy(array).permute(2, 0, 1) for array in pixels]
    assert all(frame.equal(array) for frame, array in zip(frames, expected, strict=True))
    grey, palette = Image.new("L", (30, 20), 204), Image.new("RGB", (30, 20), (204, 204, 204)).convert("P")
    assert all(frame.eq(204).all() and frame.shape == (3, 20, 30) for frame in open_clip([grey, palette]).read([0, 1]))


def test_a_listed_frame_that_is_none_is_named(tmp_path):
    sound, whole = Image.new("RGB", (30, 20)), tmp_path / "whole.jpg"
    Image.fromarray(noise(64, 64, 3)).save(whole)
    (tmp_path / "truncated.jpg").write_bytes(whole.read_bytes()[:1500])
    cases = [
        (Image.open(tmp_path / "truncated.jpg"), "cannot be read"),
        (Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)), "8 bits"),
        (noise(20, 30, 4), r"\(1, 20, 30, 4\)"),
        (noise(20, 30, 3) / 255, "expected uint8"),
    ]
    for frame, complaint in cases:
        with pytest.raises(InputError, match=f"^frame 1: .*{complaint}"):
            list(open_clip([sound, frame]).read([0, 1]))


def test_clips_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    cases = [
        (tmp_path / "empty", "found none"),
        (tmp_path / "missing", "missing"),
        (noise(4, 20, 30, 3).astype(np.float32), "expected uint8"),
        (noise(20, 30, 3), "expected uint8"),
        (noise(4, 20, 30, 4), r"\(4, 20, 30, 4\)"),
        (noise(0, 20, 30, 3), "found none"),
        ([], "found none"),
        (["a.jpg", 3], "list"),
        (["a.jpg", Image.new("RGB", (30, 20))], "list"),
        ([noise(20, 30)], "list"),
        (Image.new("RGB", (30, 20)), "Image"),
        (7, "int"),
    ]
    for clip, complaint in cases:
        with pytest.raises(InputError, match=complaint):
            open_clip(clip)


class Named:
    """Something that is written as an image's path and is none."""

    def __str__(self):
        return "a.png"


def test_an_image_file_is_told_by_its_ending_and_is_a_path():
    assert is_image_path("a.PNG") and is_image_path(Path("b/c.jpeg"))
    assert not any(map(is_image_path, ("a.mp4", Path("png"), "", None, Named(), b"a.png")))
