"""YuNet's real network, on real pictures, beside what ONNX Runtime says of them."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from helpers.astronaut import overlap, place, to_frame
from helpers.places import ROOT, YUNET, needs_yunet
from helpers.videos import moving_face, write_video
from helpers.yunet_files import (
    change_weights,
    compute_sizes_within,
    find_with_onnxruntime,
    give_input_size,
    save_form,
)
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import build_face_detector


pytestmark = needs_yunet
# Of the astronaut, in her picture of 512x512: both eyes with their lids, and the mouth. Read off by eye.
EYES_AND_MOUTH = (194, 92, 257, 152)
# (width, height) of frames: square, video, 4K, panoramas, phones, odd sides, small.
SIZES = [(512, 512), (1280, 720), (3840, 2160), (3840, 960), (2600, 411), (1080, 2340), (333, 1001), (157, 111)]


@pytest.fixture(scope="module")
def yunet():
    return build_face_detector("yunet", str(YUNET))


@pytest.fixture(scope="module")
def dynamic_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dynamic") / "dynamic.onnx"
    return save_form(path, lambda model: give_input_size(model, "height", "width"))


def show_astronaut(width, height):
    """A frame with the astronaut as large as fits, at its right end and bottom, and how she was scaled and moved."""
    side = min(width, height)
    canvas = Image.new("RGB", (width, height), (90, 100, 110))
    canvas.paste(Image.fromarray(data.astronaut()).resize((side, side)), (width - side, height - side))
    return to_frame(np.asarray(canvas)), side / 512, (width - side, height - side)


def move(box, scale, corner):
    return tuple(side * scale + corner[place % 2] for place, side in enumerate(box))


def holds(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_the_file_is_the_published_one(yunet, caplog):
    assert yunet.name == "yunet" and build_face_detector("auto", str(YUNET)).name == "yunet"
    assert "as published" not in caplog.text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_box_holds_the_face_in_frames_of_any_size(yunet, width, height):
    frame, scale, corner = show_astronaut(width, height)
    (found,) = yunet.detect(frame)
    assert 0.7 <= found.score <= 1
    assert holds(found.box, move(EYES_AND_MOUTH, scale, corner))
    assert overlap(found.box, move((180, 70, 268, 180), scale, corner)) > 0.7


@pytest.mark.parametrize(("width", "height"), [*SIZES, (32, 32), (45, 31), (500, 32), (20, 300), (4000, 205)])
def test_boxes_are_those_of_onnx_runtime(yunet, dynamic_file, width, height):
    frame, _, _ = show_astronaut(width, height)
    picture = frame.permute(1, 2, 0).numpy()
    shrunk = picture
    if max(width, height) > 640:
        import cv2

        factor = 640 / max(width, height)
        shrunk = cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    candidates = find_with_onnxruntime(dynamic_file, shrunk, 0.7)
    found = yunet.detect(frame)
    assert (len(found) == 0) == (len(candidates) == 0)
    back = np.array([width / shrunk.shape[1], height / shrunk.shape[0]] * 2)
    edges = (candidates[:, :4] * back).clip(0, [width, height] * 2)
    for detection in found:
        distance = np.abs(edges - detection.box).max(axis=1)
        best = distance.argmin()
        assert distance[best] < 0.01 * back.max() and detection.score == pytest.approx(candidates[best, 4], abs=1e-3)


def test_nothing_is_found_in_small_frames_without_anything(yunet):
    rng = np.random.default_rng(0)
    for turn in range(300):
        # Frames of many sizes leave something else in memory each time.
        yunet.detect(show_astronaut(*map(int, rng.integers(40, 200, 2)))[0])
        short, long = (int(side) for side in rng.integers(1, (33, 161)))
        height, width = (short, long) if turn % 2 else (long, short)
        assert yunet.detect(torch.full((3, height, width), int(rng.integers(256)), dtype=torch.uint8)) == []


def test_the_size_may_change_from_frame_to_frame(yunet):
    frames = [show_astronaut(*size)[0] for size in SIZES]
    alone = [build_face_detector("yunet", str(YUNET)).detect(frame) for frame in frames]
    assert [yunet.detect(frame) for frame in frames] == alone
    assert [yunet.detect(frame) for frame in reversed(frames)] == alone[::-1]


def test_eight_faces_are_found_from_left_to_right(yunet):
    frame, faces = place([(20 + 315 * column, 30 + 340 * row) for column in range(4) for row in range(2)], 1.0)
    found = yunet.detect(frame)
    assert len(found) == 8 and [detection.box[0] for detection in found] == sorted(box[0] for box, _ in found)
    columns = [detection.box[0] // 320 for detection in found]
    assert columns == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(max(overlap(detection.box, face) for detection in found) > 0.6 for face in faces)


@pytest.mark.parametrize("degrees", [-45, -30, 30, 45])
def test_a_tilted_face_is_found(yunet, degrees):
    turned = Image.fromarray(data.astronaut()).rotate(degrees, Image.Resampling.BICUBIC)
    (found,) = yunet.detect(to_frame(np.asarray(turned)))
    # Where the point between eyes and mouth (225, 122) goes in a turn about (256, 256), counterclockwise.
    angle = np.deg2rad(degrees)
    across, down = 225 - 256, 122 - 256
    middle = 256 + across * np.cos(angle) + down * np.sin(angle), 256 - across * np.sin(angle) + down * np.cos(angle)
    assert holds(found.box, (middle[0] - 5, middle[1] - 5, middle[0] + 5, middle[1] + 5))


def test_a_mirrored_face_has_the_mirrored_box(yunet):
    frame = to_frame(data.astronaut())
    ((box, _),), ((mirrored, _),) = yunet.detect(frame), yunet.detect(frame.flip(-1))
    assert mirrored == pytest.approx((512 - box[2], box[1], 512 - box[0], box[3]), abs=4)


def test_a_face_in_the_dark_is_found(yunet):
    (found,) = yunet.detect(to_frame(data.astronaut() // 8))
    assert holds(found.box, EYES_AND_MOUTH)


def test_faces_of_many_people_are_found_in_the_dark(yunet):
    # A sixteenth of the light, under which 3 of these are found as they are.
    found = 0
    for face in data.lfw_subset()[:40]:
        canvas = Image.new("L", (640, 360), 110)
        large = Image.fromarray((face * 255).astype(np.uint8)).resize((120, 120), Image.Resampling.BICUBIC)
        canvas.paste(large, (260, 120))
        found += len(yunet.detect(to_frame(np.repeat(np.array(canvas)[..., None] // 16, 3, axis=2))))
    assert 36 <= found <= 40


def test_no_face_is_found_where_there_is_none(yunet):
    for picture in (data.coffee(), data.rocket(), data.hubble_deep_field(), data.immunohistochemistry()):
        assert yunet.detect(to_frame(picture)) == []


FORMS = {
    "dynamic": lambda model: give_input_size(model, "height", "width"),
    "640x640": lambda model: give_input_size(model, 640, 640),
    "320x320": lambda model: give_input_size(model, 320, 320),
    "96x160": lambda model: give_input_size(model, 96, 160),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_another_input_size_finds_the_same(yunet, form, tmp_path, capfd, caplog):
    path = save_form(tmp_path / "yunet.onnx", FORMS[form])
    detector = build_face_detector("yunet", str(path))
    for size in SIZES:
        frame = show_astronaut(*size)[0]
        ours, other = yunet.detect(frame), detector.detect(frame)
        assert len(ours) == len(other) == 1 and other[0].box == pytest.approx(ours[0].box, abs=0.01)
    assert capfd.readouterr().err.count("\n") <= 1


def test_a_file_that_is_not_the_published_one_is_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("modeling_clipcaer.faces.yunet.logger.warning", said.append)
    build_face_detector("yunet", str(save_form(tmp_path / "mine.onnx", FORMS["dynamic"])))
    (line,) = said
    assert "mine.onnx is not face_detection_yunet_2023mar.onnx as published" in line and "\n" not in line


def spoil(name):
    """Bytes of a file that is none of YuNet's."""
    content = YUNET.read_bytes()
    return {
        "empty": b"",
        "half": content[: len(content) // 2],
        "all but the end": content[:-200],
        "zeros": bytes(len(content)),
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:8f23\nsize 232589\n",
        "page": b"<!DOCTYPE html>\n<html><title>404</title></html>",
    }[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "found 0 bytes"),
        ("half", "found 116,294 bytes"),
        ("all but the end", "found 232,389 bytes"),
        ("zeros", "found 232,589 bytes"),
        ("pointer", "found 71 bytes that begin with 'version https://git-lfs.github.com/spec/v1'"),
        ("page", "found 47 bytes that begin with '<!DOCTYPE html>'"),
    ],
)
def test_a_spoilt_file_is_refused_in_one_line(name, said, tmp_path, capfd):
    (tmp_path / "yunet.onnx").write_bytes(spoil(name))
    refuse(tmp_path / "yunet.onnx", said, capfd)


NETWORKS = {
    "that computes its sizes": (compute_sizes_within, "OpenCV says"),
    "with noise for weights": (
        lambda model: change_weights(model, lambda values: np.random.default_rng(0).normal(0, 0.1, values.shape)),
        "a network that does not find a drawn face",
    ),
    "with no numbers for weights": (
        lambda model: change_weights(model, lambda values: values * np.nan),
        "a network that does not find a drawn face",
    ),
    "of other outputs": (
        lambda model: [setattr(output, "name", f"{output.name}x") for output in model.graph.output],
        "OpenCV says",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_another_network_is_refused_in_one_line(name, tmp_path, capfd):
    change, said = NETWORKS[name]
    refuse(save_form(tmp_path / "other.onnx", change), said, capfd)


def test_a_folder_is_refused_in_one_line(tmp_path, capfd):
    refuse(tmp_path, "cannot read it (Is a directory)", capfd)


def refuse(path, said, capfd):
    capfd.readouterr()
    with pytest.raises(InputError) as error:
        build_face_detector("yunet", str(path))
    message = str(error.value)
    assert message.startswith(f"{path}: expected YuNet's file face_detection_yunet_2023mar.onnx")
    assert said in message and "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_opencvs_own_lines_come_back_afterwards(tmp_path):
    import cv2

    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(InputError):
        build_face_detector("yunet", str(save_form(tmp_path / "x.onnx", compute_sizes_within)))
    assert cv2.utils.logging.getLogLevel() == before > cv2.utils.logging.LOG_LEVEL_SILENT


@pytest.mark.slow
@pytest.mark.parametrize("command", ["recipes/predict.py", "data_scripts/detect_boxes.py"])
def test_a_command_refuses_a_wrong_file_in_one_line(command, tmp_path, tiny_clip):
    write_video(tmp_path / "lesson.mp4", moving_face(5), fps=5)
    weights = save_form(tmp_path / "other.onnx", compute_sizes_within)
    (tmp_path / "labels.yaml").write_text(
        "labels: {calm: {soft: calm, descriptive: calm}, bored: {soft: bored, descriptive: bored}}"
    )
    flags = ["--model", tiny_clip, "--labels", str(tmp_path / "labels.yaml"), "--output_dir"]
    if command.startswith("data_scripts"):
        flags = ["--output"]
    ask = ["--face_detector", "yunet", "--face_detector_weights", str(weights), *flags, str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, command, str(tmp_path / "lesson.mp4"), *ask],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {weights}: expected YuNet's file") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
