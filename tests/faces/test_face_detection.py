"""Face detection on real pictures, which come with scikit-image."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from helpers.astronaut import overlap, place, to_frame
from helpers.places import ROOT, YUNET, needs_yunet
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import build_face_detector


@pytest.fixture(scope="module")
def haar():
    return build_face_detector("haar")


@pytest.mark.parametrize(
    ("scale", "degrees", "brightness"), [(2.0, 0, 1), (1.0, 0, 1), (0.6, 0, 1), (1.0, 5, 1), (1.0, 0, 0.5)]
)
def test_a_face_is_found_near_and_far_slightly_tilted_and_in_the_dark(haar, scale, degrees, brightness):
    frame, (face,) = place([(300, 60)], scale, degrees, brightness)
    found = haar.detect(frame)
    assert max(overlap(detection.box, face) for detection in found) > 0.4
    assert all(0 <= detection.score <= 1 for detection in found)


def test_eight_faces_are_found_in_one_frame(haar):
    frame, faces = place([(20 + 315 * column, 30 + 340 * row) for column in range(4) for row in range(2)], 1.0)
    found = haar.detect(frame)
    assert all(max(overlap(detection.box, face) for detection in found) > 0.4 for face in faces)


def test_no_face_is_found_where_there_is_none(haar):
    gradient = np.broadcast_to(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (360, 640, 3))
    for picture in (gradient, data.coffee()):
        assert haar.detect(to_frame(picture)) == []


def test_faces_of_many_people_are_found(haar):
    faces = [(np.repeat(face[..., None], 3, axis=2) * 255).astype(np.uint8) for face in data.lfw_subset()[:100]]
    found = 0
    for face in faces:
        canvas = Image.new("RGB", (320, 240), (128, 128, 128))
        canvas.paste(Image.fromarray(face).resize((150, 150), Image.Resampling.BICUBIC), (80, 40))
        found += bool(haar.detect(to_frame(np.asarray(canvas))))
    assert found >= 80


@pytest.mark.parametrize("kind", ["yunet", "ouija"])
def test_a_detector_that_cannot_be_had_is_one_clear_error(kind, tmp_path):
    with pytest.raises(InputError) as error:
        build_face_detector(kind, str(tmp_path / "missing.onnx") if kind == "yunet" else None)
    assert "\n" not in str(error.value)
    assert ("missing.onnx" if kind == "yunet" else "ouija") in str(error.value)


def test_a_broken_file_of_weights_is_named(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"broken\.onnx"):
        build_face_detector("yunet", str(tmp_path / "broken.onnx"))


def test_without_yunet_haar_is_taken_and_the_log_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("modeling_clipcaer.faces.face_detection.logger.warning", said.append)
    assert build_face_detector("auto").name == "haar"
    (line,) = said
    assert (
        "haar" in line and "face_detection_yunet_2023mar.onnx is not in the Hub's cache" in line and "\n" not in line
    )


def test_a_broken_file_in_the_hubs_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder, commit = tmp_path / "models--opencv--face_detection_yunet", "0" * 40
    path = folder / "snapshots" / commit / "face_detection_yunet_2023mar.onnx"
    for file, content in ((folder / "refs" / "main", commit.encode()), (path, b"\x08\x06\x12\x07pytorch" + bytes(99))):
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    for kind in ("auto", "yunet"):
        with pytest.raises(InputError) as error:
            build_face_detector(kind)
        message = str(error.value)
        assert message.startswith(f"{path}: expected YuNet's file") and "found 110 bytes" in message
        assert "\n" not in message


def test_a_cache_that_cannot_be_read_is_one_clear_error(tmp_path, monkeypatch):
    refs = tmp_path / "models--opencv--face_detection_yunet" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_bytes(b"\xff\xfe")  # no name of a commit
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as error:
        build_face_detector("yunet")
    assert "\n" not in str(error.value) and "face_detection_yunet_2023mar.onnx" in str(error.value)


@pytest.mark.slow
def test_a_hub_that_never_answers_is_given_up_soon(tmp_path):
    code = "from modeling_clipcaer.faces.face_detection import build_face_detector as build; build('yunet')"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        settings |= {"HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=os.environ | settings, capture_output=True, text=True, timeout=60
        )  # of which it takes a few
    last = done.stderr.strip().splitlines()[-1]
    assert (
        "InputError: YuNet's face_detection_yunet_2023mar.onnx is not in the Hub's cache and cannot be fetched" in last
    )


class RedAreaNetwork:
    """What `cv2.FaceDetectorYN` is to a detector: refuses a picture of another size, finds what is red."""

    def __init__(self):
        self.size = (32, 32)

    def setInputSize(self, size):  # OpenCV's name
        assert min(size) > 32  # in what is smaller it finds what is in unwritten memory
        self.size = size

    def detect(self, picture):
        assert picture.shape == (*self.size[::-1], 3) and picture.flags.c_contiguous
        rows, columns = np.nonzero(picture[..., 2] > 128)  # blue, green, red
        if not len(rows):
            return 1, None
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        return 1, np.array([[*box, *[0] * 10, 0.9]], dtype=np.float32)


def test_yunets_boxes_are_in_pixels_of_the_frame(tmp_path, monkeypatch):
    (tmp_path / "yunet.onnx").touch()
    monkeypatch.setattr("cv2.FaceDetectorYN.create", lambda *args, **options: RedAreaNetwork())
    detector = build_face_detector("auto", str(tmp_path / "yunet.onnx"))
    assert detector.name == "yunet"
    for height, width in ((90, 120), (720, 1280), (1919, 333), (24, 200), (200, 24), (205, 4000)):
        frame = torch.zeros(3, height, width, dtype=torch.uint8)
        assert detector.detect(frame) == []
        frame[0, height // 3 : height // 2, width // 4 : width // 2] = 255
        (found,) = detector.detect(frame)
        assert found.score == pytest.approx(0.9)
        expected = (width // 4, height // 3, width // 2, height // 2)
        assert found.box == pytest.approx(expected, abs=max(height, width) / 640)


ODD_SIZES = [(1, 1), (1, 2), (3, 7), (1, 640), (640, 1), (1, 20_000), (20_000, 1), (31, 33), (40, 3000), (4000, 4000)]


@pytest.fixture(params=["haar", pytest.param("yunet", marks=needs_yunet)])
def detector(request):
    return build_face_detector(request.param, str(YUNET) if request.param == "yunet" else None)


def test_odd_frames_show_no_face(detector):
    noise = torch.Generator().manual_seed(0)
    for height, width in ODD_SIZES:
        for grey in (0, 255):
            assert detector.detect(torch.full((3, height, width), grey, dtype=torch.uint8)) == []
        dim = torch.randint(0, 40, (1, height, width), generator=noise, dtype=torch.uint8).repeat(3, 1, 1)
        assert detector.detect(dim) == []


@pytest.mark.parametrize(
    "shape", [(3, 0, 0), (3, 0, 5), (3, 5, 0), (1, 40, 50), (4, 40, 50), (40, 50, 3), (40, 50), (2, 3, 40, 50), ()]
)
def test_what_is_no_frame_is_one_clear_error(detector, shape):
    with pytest.raises(InputError, match=r"expected pixels, uint8 \(3, height, width\)") as error:
        detector.detect(torch.zeros(shape, dtype=torch.uint8))
    assert f"frame of shape {shape}" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_a_frame_of_another_type_is_one_clear_error(detector, dtype):
    with pytest.raises(InputError, match=f"{dtype}: expected pixels, uint8"):
        detector.detect(torch.zeros(3, 40, 50, dtype=dtype))


def test_opencvs_failure_at_a_frame_is_one_clear_error(detector, monkeypatch, capfd):
    import cv2

    def fail(*args, **options):
        cv2.resize(np.empty((0, 0, 3), np.uint8), (3, 3))  # an error of OpenCV's own, of several lines

    monkeypatch.setattr(cv2, "cvtColor", fail)
    with pytest.raises(InputError) as error:
        detector.detect(torch.zeros(3, 40, 50, dtype=torch.uint8))
    start = f"the face detector `{detector.name}` failed on a frame of 50x40 pixels, OpenCV says: "
    assert str(error.value).startswith(start) and "\n" not in str(error.value) and capfd.readouterr().err == ""
