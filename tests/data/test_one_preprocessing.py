"""One clip, however it comes, is cut into the same pixels to the last bit: codecs that lose nothing, no model."""

import av
import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerCollator, ClipCaerPipeline, ClipCaerVideoProcessor
from modeling_clipcaer.data.clip_search import FoundClip
from modeling_clipcaer.data.detection.clip_faces import detect_clip
from modeling_clipcaer.recordings.recording import open_recording


NUM_FRAMES, SIZE = 11, (60, 80)
BODY = [4.0, 2.0, 70.0, 58.0]
FACES = [[20.0 + number, 10.0, 44.0 + number, 40.0] for number in range(NUM_FRAMES)]
LABELLED = {"clip_id": "c", "label": 1, "face_boxes": FACES, "body_boxes": [BODY]}


@pytest.fixture(scope="module")
def frames():
    """Noise, in which every wrong pixel, frame and colour shows."""
    return np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(frames, tmp_path_factory):
    """The frames as a folder of PNG files, and as a video that loses nothing, RGB in FFV1."""
    folder = tmp_path_factory.mktemp("clip") / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number + 1}.png")
    with av.open(str(folder.parent / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return folder, folder.parent / "clip.mkv"


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    """Settings that are not the defaults, through a checkpoint and back."""
    settings = {"num_frames": 5, "image_size": 24, "face_margin": 3, "context": "body", "resample": "bicubic"}
    folder = tmp_path_factory.mktemp("checkpoint")
    ClipCaerVideoProcessor(**settings).save_pretrained(folder)
    loaded = ClipCaerVideoProcessor.from_pretrained(folder)
    assert {name: getattr(loaded, name) for name in settings} == settings
    return loaded


@pytest.fixture(scope="module")
def forms(files):
    """The rows that a dataset may hold of the clip."""
    folder, video = files
    names = [f"{number}.png" for number in range(1, NUM_FRAMES + 1)]
    return {
        "folder": {"frame_dir": str(folder), "frame_names": names},
        "video": {"video": str(video), "first_frame": 0, "num_frames": NUM_FRAMES},
        "bytes": {"frames": [(folder / name).read_bytes() for name in names], "frame_names": names},
    }


@pytest.fixture(scope="module")
def expected(frames, processor):
    """What the processor makes of the arrays."""
    return processor([list(frames)], face_boxes=[FACES], body_boxes=[BODY])


def assert_same(found, expected):
    assert found.keys() == {"pixel_values", "face_pixel_values"} and expected["pixel_values"].std() > 0.5
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def collate(row, processor, mode):
    rows = Dataset.from_list([{**LABELLED, **row}])
    batch = ClipCaerCollator(processor, mode, seed=3)([rows[0]])
    return {name: processor.normalize(batch[name]) for name in ("pixel_values", "face_pixel_values")}


@pytest.mark.parametrize("form", ["folder", "video", "bytes"])
def test_evaluation_sees_what_the_processor_makes_of_the_arrays(forms, processor, expected, form):
    assert_same(collate(forms[form], processor, "eval"), expected)


@pytest.mark.parametrize("form", ["video", "bytes"])
def test_training_draws_and_augments_the_same_of_every_form(forms, processor, expected, form):
    found, of_files = (collate(forms[name], processor, "train") for name in (form, "folder"))
    assert_same(found, of_files)
    assert not torch.equal(found["pixel_values"], expected["pixel_values"])


@pytest.mark.parametrize("source", ["folder", "video", "paths", "arrays", "tensors"])
def test_the_pipeline_sees_the_same_of_whatever_it_is_given(source, files, frames, processor, expected):
    folder, video = files
    clip = {
        "folder": str(folder),
        "video": str(video),
        "paths": [str(folder / f"{number}.png") for number in range(1, NUM_FRAMES + 1)],
        "arrays": list(frames),
        "tensors": torch.from_numpy(frames).permute(0, 3, 1, 2),
    }[source]
    pipeline = ClipCaerPipeline(model=tiny_model(), video_processor=processor)
    found = pipeline.preprocess({"video": clip, "face_boxes": FACES, "body_box": BODY})
    assert_same(dict(found), expected)


class Recorder:
    """A detector that keeps what it is shown and finds nothing."""

    def __init__(self):
        self.seen = []

    def detect(self, frame):
        self.seen.append(frame.permute(1, 2, 0).numpy())
        return []


@pytest.mark.parametrize("source", [0, 1])
def test_faces_are_looked_for_in_the_same_frames(files, frames, source):
    recorder = Recorder()
    assert detect_clip(FoundClip("clip", str(files[source])), recorder).num_searched == NUM_FRAMES
    np.testing.assert_array_equal(np.stack(recorder.seen), frames)


@pytest.mark.parametrize("source", [0, 1])
def test_timelines_are_made_of_the_same_frames(files, frames, source):
    rate = {"fps": 10} if source == 0 else {}
    shown = open_recording(str(files[source]), **rate).frames_at(number / 10 for number in range(NUM_FRAMES))
    np.testing.assert_array_equal(np.stack([each.frame.permute(1, 2, 0).numpy() for each in shown]), frames)
