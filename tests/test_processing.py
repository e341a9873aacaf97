import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import pipeline
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from helpers.tiny import tiny_model
from modeling_clipcaer import frames, image_files
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.pixels import crop_face, letterbox, resize_to_square
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def small(**settings):
    return ClipCaerVideoProcessor(**{"num_frames": 4, "image_size": 32, **settings})


def write_frames(folder, count=12, size=(48, 64)):
    folder.mkdir()
    for number in range(1, count + 1):
        Image.fromarray(noise(*size, 3, seed=number).numpy()).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def video(tmp_path):
    with av.open(str(tmp_path / "lesson.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 10 * number, dtype=np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path / "lesson.mp4"


# --- pixels of both streams ---


def test_face_is_the_grown_box_squeezed_and_context_the_body_letterboxed():
    frames, face, body = noise(4, 3, 48, 64), [20, 10, 30, 22], [5, 0, 50, 48]
    context, faces = small(face_margin=3).process_clip(frames, face, body)
    assert context.dtype == faces.dtype == torch.uint8
    assert faces.equal(resize_to_square(crop_face(frames, face, 3), 32, "bicubic"))
    assert context.equal(letterbox(frames[..., 0:48, 5:50], 32, "bicubic"))


def test_the_context_is_letterboxed_as_the_research_code_does_where_that_is_asked_for():
    frames = noise(4, 3, 45, 80)
    for is_reference, settings in ((True, {"letterbox": "reference"}), (False, {})):
        context, _ = small(**settings).process_clip(frames)
        assert context.equal(letterbox(frames, 32, "bicubic", reference=is_reference))
        assert not context.equal(letterbox(frames, 32, "bicubic", reference=not is_reference))


def test_context_frame_ignores_the_body_box():
    frames = noise(4, 3, 48, 64)
    whole, _ = small(context="frame").process_clip(frames, body_boxes=[5, 0, 50, 48])
    assert whole.equal(letterbox(frames, 32, "bicubic"))


def test_a_face_box_belongs_to_the_original_frame_not_to_the_sampled_one():
    frames = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 40, 40).clone()
    boxes = [[0, 0, 10, 10]] * 10
    for index in (1, 3, 6, 8):  # the middles of four segments of ten frames
        frames[index, :, 20:30, 20:30] = 100 + index
        boxes[index] = [20, 20, 30, 30]
    _, faces = small(face_margin=0).process_clip(frames, boxes)
    assert faces[:, 0, 16, 16].tolist() == [101, 103, 106, 108]


def test_frames_without_a_box_show_the_whole_frame():
    frames = noise(4, 3, 48, 64)
    _, faces = small().process_clip(frames, [None, [], [20, 10, 30, 22], None])
    whole = resize_to_square(frames, 32, "bicubic")
    assert [faces[index].equal(whole[index]) for index in range(4)] == [True, True, False, True]


def test_frames_of_different_sizes_in_one_folder_become_one_clip(tmp_path):
    folder = write_frames(tmp_path / "clip", 2)
    Image.fromarray(noise(100, 40, 3).numpy()).save(folder / "3.png")
    context, faces = small(num_frames=3).process_clip(folder)
    assert context.shape == faces.shape == (3, 3, 32, 32)


def test_images_of_different_sizes_in_one_list_become_one_clip():
    frames, box = [noise(*size, 3) for size in ((48, 64), (100, 40), (48, 64))], [0, 60, 40, 100]
    images = [Image.fromarray(frame.numpy()) for frame in frames]
    context, faces = small(num_frames=3, face_margin=0).process_clip(images, [None, box, None])
    assert context.shape == faces.shape == (3, 3, 32, 32)
    tall = frames[1].permute(2, 0, 1)[None]
    assert context[1:2].equal(letterbox(tall, 32, "bicubic"))
    assert faces[1:2].equal(resize_to_square(tall[:, :, 60:100], 32, "bicubic"))


def test_each_sampled_file_is_opened_once_for_both_streams_and_no_other(tmp_path, monkeypatch):
    folder = write_frames(tmp_path / "clip", 12)
    opened, real_open = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **_: opened.append(Path(path).name) or real_open(path))
    small().process_clip(folder)
    assert opened == ["2.png", "5.png", "8.png", "11.png"]
    opened.clear()
    context, _ = small(num_frames=30).process_clip(folder)
    assert len(context) == 30 and sorted(opened) == sorted({f"{number}.png" for number in range(1, 13)})


@pytest.mark.parametrize(
    ("streams", "context_is_none", "face_is_none"), [("face", True, False), ("context", False, True)]
)
def test_an_unwanted_stream_is_not_cut_and_the_other_is_unchanged(streams, context_is_none, face_is_none):
    frames = noise(9, 3, 48, 64)

    def process(wanted):
        return small(augment_per_stream=True).process_clip(
            frames, mode="train", generator=torch.Generator().manual_seed(4), streams=wanted
        )

    both, one = process("both"), process(streams)
    assert [pixels is None for pixels in one] == [context_is_none, face_is_none]
    assert all(alone is None or alone.equal(pixels) for alone, pixels in zip(one, both, strict=True))


def test_string_order_reads_10_before_2_and_keeps_each_box_with_its_frame(tmp_path):
    (tmp_path / "clip").mkdir()
    for number in range(1, 12):
        Image.fromarray(np.full((40, 40, 3), number, dtype=np.uint8)).save(tmp_path / "clip" / f"{number}.png")
    boxes = [[0, 0, 10, 10] if number != 10 else [500, 0, 510, 10] for number in range(1, 12)]
    natural, _ = small(num_frames=11).process_clip(tmp_path / "clip")
    string, _ = small(num_frames=11, frame_order="string").process_clip(tmp_path / "clip")
    assert natural[:, 0, 16, 16].tolist() == list(range(1, 12))
    assert string[:, 0, 16, 16].tolist() == [1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    for order in ("natural", "string"):
        with pytest.raises(InputError, match="frame 9: box"):
            small(num_frames=11, frame_order=order).process_clip(tmp_path / "clip", boxes)


# --- JPEG files at a smaller size ---


def draw_scene(width=1280, height=720):
    """Smooth light, hard edges in all directions and a little noise."""
    rng = np.random.default_rng(0)
    light = Image.fromarray(rng.integers(40, 216, (4, 6, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    canvas = ImageDraw.Draw(light)
    for _ in range(40):
        left, top = rng.integers(0, (width, height))
        corners = (left, top, left + rng.integers(8, width // 4), top + rng.integers(8, height // 4))
        (canvas.ellipse if rng.random() < 0.5 else canvas.rectangle)(corners, fill=tuple(rng.integers(0, 256, 3)))
    return Image.fromarray((np.asarray(light) + rng.normal(0, 4, (height, width, 1))).clip(0, 255).astype(np.uint8))


@pytest.fixture
def scene(tmp_path):
    draw_scene().save(tmp_path / "1.jpg", quality=95)
    return tmp_path / "1.jpg"


def sizes_decoded(monkeypatch, processor, *arguments, **options):
    """What a clip becomes, and the size at which each of its files was decoded."""
    sizes, read = [], frames.read_image

    def read_image(path, min_side, name, upright):
        sizes.append(tuple((image := read(path, min_side, name, upright)).shape[1:]))
        return image

    with monkeypatch.context() as patch:
        patch.setattr(frames, "read_image", read_image)
        return processor.process_clip(*arguments, **options), sizes


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("image_size", "size"), [(224, (360, 640)), (120, (180, 320)), (60, (90, 160)), (300, (720, 1280))]
)
def test_a_smaller_jpeg_of_a_whole_frame_moves_no_pixel_far(scene, monkeypatch, image_size, size, resample):
    settings = {"image_size": image_size, "resample": resample, "num_frames": 1}
    scaled, sizes = sizes_decoded(monkeypatch, small(**settings), [scene])
    exact, full = sizes_decoded(monkeypatch, small(**settings, scaled_decoding=False), [scene])
    assert sizes == [size] and full == [(720, 1280)]
    for stream, expected in zip(scaled, exact, strict=True):
        differences = (stream.int() - expected.int()).abs()
        assert differences.float().mean() < 1 and differences.max() <= 24
        assert (size == (720, 1280)) == stream.equal(expected)


@pytest.mark.parametrize("with_opencv", [True, False])
def test_a_frame_is_decoded_at_its_own_size_where_a_stream_crops_it(scene, monkeypatch, with_opencv):
    if not with_opencv:
        monkeypatch.setattr(image_files, "imdecode", None)
    box, whole, half = [300, 10, 600, 300], (720, 1280), (360, 640)
    files, processor = [scene] * 3, small(image_size=224, num_frames=3)

    def sizes(processor, *boxes, **options):
        return sizes_decoded(monkeypatch, processor, files, *boxes, **options)[1]

    assert sizes(processor) == sizes(processor, mode="train") == [half] * 3
    assert sizes(processor, [[], box, None]) == sizes(processor, [[], box, None], streams="context")
    assert sizes(processor, [[], box, None]) == [half, whole, half]
    assert sizes(processor, None, box) == sizes(processor, None, box, streams="face") == [whole] * 3
    assert sizes(small(image_size=224, num_frames=3, context="frame"), None, box) == [half] * 3
    assert sizes(small(image_size=224, num_frames=3, letterbox="reference")) == [whole] * 3


# --- augmentation ---


def test_face_and_context_share_one_flip():
    frames = noise(4, 3, 40, 40)
    upright, processor = small(face_margin=0), small(face_margin=0, flip_prob=0.5, rotation_degrees=0)
    context, face = upright.process_clip(frames, [4, 4, 36, 36])
    flips = []
    for seed in range(20):
        pair = processor.process_clip(
            frames, [4, 4, 36, 36], mode="train", generator=torch.Generator().manual_seed(seed)
        )
        flipped = [pixels.equal(plain.flip(-1)) for pixels, plain in zip(pair, (context, face), strict=True)]
        assert flipped[0] == flipped[1]
        assert flipped[0] or pair[0].equal(context)
        flips.append(flipped[0])
    assert 0 < sum(flips) < 20


def test_draws_per_stream_differ_only_where_asked_for():
    frames = noise(4, 3, 40, 40)

    def differ(per_stream):
        processor = small(augment_per_stream=per_stream, face_margin=0)
        pairs = (
            processor.process_clip(frames, mode="train", generator=torch.Generator().manual_seed(seed))
            for seed in range(10)
        )
        # A square whole frame is the same picture in both streams.
        return sum(not context.equal(face) for context, face in pairs)

    assert differ(False) == 0 and differ(True) == 10


def test_evaluation_never_augments():
    frames = noise(8, 3, 40, 40)
    processor = small(flip_prob=1.0, rotation_degrees=20, color_jitter=0.5)
    first, second = processor.process_clip(frames), processor.process_clip(frames)
    assert first[0].equal(second[0]) and first[0].equal(letterbox(frames[1::2], 32, "bicubic"))


# --- the call ---


def test_every_kind_of_clip_gives_two_normalised_streams(tmp_path, video):
    folder = write_frames(tmp_path / "clip")
    files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    arrays = torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in files])
    processor = small()
    clips = [str(folder), files, arrays, arrays.numpy(), arrays.permute(0, 3, 1, 2)]
    images = [Image.open(path) for path in files]
    outputs = [processor(clip) for clip in (*clips, images, list(arrays), tuple(arrays.numpy()))]
    for output in outputs:
        assert list(output) == ["pixel_values", "face_pixel_values"]
        assert output.pixel_values.shape == output.face_pixel_values.shape == (1, 4, 3, 32, 32)
        assert output.pixel_values.equal(outputs[0].pixel_values)
    batch = processor(
        [folder, video, arrays], [None, [1, 1, 30, 30], [[1, 1, 30, 30]] * 12], [None, [], [0, 0, 40, 40]]
    )
    assert batch.pixel_values.shape == (3, 4, 3, 32, 32)
    assert batch.pixel_values[0].equal(outputs[0].pixel_values[0])
    assert processor(arrays.expand(2, -1, -1, -1, -1)).pixel_values.shape == (2, 4, 3, 32, 32)
    assert processor([images, list(arrays), files]).pixel_values.shape == (3, 4, 3, 32, 32)


def test_frames_may_be_counted_anew_or_all_taken():
    frames = noise(10, 3, 40, 40)
    assert small()(frames, num_frames=7).pixel_values.shape[1] == 7
    assert small()(frames, do_sample_frames=False).pixel_values.shape[1] == 10
    assert isinstance(small()(frames, return_tensors="np").pixel_values, np.ndarray)


def test_normalisation_gives_clips_mean_and_std():
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    normal = small().normalize(pixels)
    expected = [
        (value / 255 - mean) / std
        for value, mean, std in zip((0, 128, 255), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, strict=True)
    ]
    assert normal.dtype == torch.float32 and normal[1, :, 2, 2].tolist() == pytest.approx(expected, abs=1e-6)
    assert small(do_normalize=False).normalize(pixels).equal(pixels.float() / 255)
    assert small().normalize(pixels, do_normalize=False).equal(pixels.float() / 255)
    with pytest.raises(InputError, match="float32"):
        small().normalize(normal)


def test_wrong_numbers_of_boxes_are_refused_with_both_counts():
    frames = noise(10, 3, 40, 40)
    cases = [
        ((frames, [[0, 0, 9, 9]] * 9), "9 frames.*10 frames"),
        (([frames, frames], [[0, 0, 9, 9]]), "`face_boxes` for 1 clips.*2 clips"),
        (([frames, frames], None, [None] * 3), "`body_boxes` for 3 clips.*2 clips"),
        (([frames, frames], [None, [50, 0, 60, 9]]), "clip 1: frame 1: box"),
        ((frames, None, [0, 0, 9]), "four finite numbers"),
    ]
    for arguments, complaint in cases:
        with pytest.raises(InputError, match=complaint):
            small()(*arguments)


def test_calls_that_cannot_mean_anything_are_refused(tmp_path):
    frames = noise(10, 3, 40, 40)
    for call, complaint in [
        (lambda: small()([]), "at least one clip"),
        (lambda: small()([frames, frames[:5]], do_sample_frames=False), "equal lengths"),
        (lambda: small()(frames, num_frames=3, do_sample_frames=False), "`num_frames`"),
        (lambda: small()(frames, num_frames=0), "`num_frames`"),
        (lambda: small()(frames, mode="test"), "`mode`"),
        (lambda: small().process_clip(frames, streams="body"), "`streams`"),
        (lambda: small()(str(tmp_path / "missing.mp4")), "missing"),
    ]:
        with pytest.raises(InputError, match=complaint):
            call()


# --- settings ---


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_frames", 0),
        ("num_frames", 2.5),
        ("num_frames", True),
        ("image_size", "224"),
        ("face_margin", -1),
        ("context", "face"),
        ("resample", "lanczos"),
        ("resample", 3),
        ("letterbox", "top"),
        ("frame_sampling", "uniform"),
        ("frame_order", "random"),
        ("exif_orientation", "sideways"),
        ("flip_prob", 1.5),
        ("rotation_degrees", float("nan")),
        ("color_jitter", 2),
        ("do_normalize", "yes"),
        ("augment_per_stream", None),
        ("scaled_decoding", 1),
        ("image_mean", 0.5),
        ("image_mean", [0.5, 0.5]),
        ("image_mean", [0.5, float("inf"), 0.5]),
        ("image_mean", [0.5, True, 0.5]),
        ("image_std", [0.1, 0.0, 0.1]),
        ("crop_size", 224),
        ("flip_probability", 0.5),
    ],
)
def test_a_wrong_or_unknown_setting_is_refused_by_name(setting, value):
    with pytest.raises(InputError, match=f"`{setting}`"):
        ClipCaerVideoProcessor(**{setting: value})


def test_a_mean_may_be_zero_or_below_as_no_standard_deviation_may():
    assert small(image_mean=[0.0, -0.5, 0.5]).image_mean == [0.0, -0.5, 0.5]
    with pytest.raises(InputError, match=r"`image_std`.*std above 0"):
        small(image_std=[0.5, -0.5, 0.5])


@pytest.mark.parametrize("name", ["nothing/at/all", ""])
def test_a_processor_that_is_not_there_is_refused_before_the_hub_is_asked(name):
    with pytest.raises(OSError if name else InputError) as refusal:
        ClipCaerVideoProcessor.from_pretrained(name)
    expected = f"{name}: there is no such folder" if name else "expected a folder or an id on the Hub"
    assert str(refusal.value).startswith(expected)


OTHER_SETTINGS = {
    "num_frames": 8,
    "image_size": 64,
    "face_margin": 7.5,
    "context": "frame",
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [1.0, 2.0, 3.0],
    "do_normalize": False,
    "resample": "bilinear",
    "letterbox": "reference",
    "frame_sampling": "reference",
    "frame_order": "string",
    "exif_orientation": "ignore",
    "flip_prob": 0.25,
    "rotation_degrees": 10,
    "color_jitter": 0.1,
    "augment_per_stream": True,
    "scaled_decoding": False,
}


def test_every_setting_survives_saving_and_can_be_overridden_when_loading(tmp_path):
    ClipCaerVideoProcessor(**OTHER_SETTINGS).save_pretrained(tmp_path)
    loaded = ClipCaerVideoProcessor.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in OTHER_SETTINGS} == OTHER_SETTINGS
    assert set(vars(loaded)) == {*OTHER_SETTINGS, "auto_map"}
    for name, default in vars(ClipCaerVideoProcessor()).items():
        assert OTHER_SETTINGS[name] != default
        assert getattr(ClipCaerVideoProcessor.from_pretrained(tmp_path, **{name: default}), name) == default
    with pytest.raises(InputError, match="`num_frames`"):
        ClipCaerVideoProcessor.from_pretrained(tmp_path, num_frames=0)


def test_a_misspelled_setting_in_the_file_is_refused(tmp_path):
    small().save_pretrained(tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "face_margn": 3}))
    with pytest.raises(InputError, match="`face_margn`"):
        ClipCaerVideoProcessor.from_pretrained(tmp_path)


# --- inside transformers ---


def test_the_builtin_video_classification_pipeline_takes_a_path(video):
    model = tiny_model()
    classify = pipeline("video-classification", model=model, video_processor=small(num_frames=9))
    answers = classify(str(video), top_k=5)
    pixels = small()(video)
    expected = model(**pixels).logits.softmax(-1)[0]
    scores = {answer["label"]: answer["score"] for answer in answers}
    assert [scores[model.config.id2label[label]] for label in range(5)] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.slow
def test_the_saved_processor_runs_where_the_package_is_not_importable(tmp_path, video, monkeypatch):
    monkeypatch.setattr(ClipCaerVideoProcessor, "_auto_class", "AutoVideoProcessor")
    small().save_pretrained(tmp_path / "model")
    script = (
        "import sys\n"
        "sys.modules['modeling_clipcaer'] = None  # an import of it fails\n"
        "sys.modules['cv2'] = None  # nobody is asked to install it for the model\n"
        "from transformers.models.auto.video_processing_auto import AutoVideoProcessor\n"
        "processor = AutoVideoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "print(processor(sys.argv[2]).face_pixel_values.double().sum().item())\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path / "model"), str(video)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "1",
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(small()(video).face_pixel_values.double().sum().item())
