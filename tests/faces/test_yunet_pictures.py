"""What YuNet's detector asks OpenCV for, shows its network and makes of its rows; without the real file."""

import hashlib
import sys
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces import yunet
from modeling_clipcaer.faces.face_detection import build_face_detector
from modeling_clipcaer.faces.mtcnn import MtcnnDetector


class Network:
    """What `cv2.FaceDetectorYN` is to a detector: finds the drawn face, its sides `off` pixels away, `times` times,
    until it is told `rows`; keeps what it was shown."""

    def __init__(self, off=(0, 0, 0, 0), times=1):
        self.off, self.times, self.rows, self.sizes = np.array(off), times, None, []

    def setInputSize(self, size):  # OpenCV's name
        self.size = size
        self.sizes.append(size)

    def detect(self, picture):
        self.shown = picture
        assert self.size == picture.shape[1::-1]
        rows = self.rows
        if rows is None:
            edges = np.tile(self.size, 2) / 2 + (-27, -36, 27, 36) + self.off
            rows = [(*edges[:2], *(edges[2:] - edges[:2]), 0.9)] * self.times
        if not rows:
            return 1, None
        points = range(100, 110)
        return 1, np.array([(*box, *points, score) for *box, score in rows], np.float32)


def build(monkeypatch, tmp_path, network, content=b"a network"):
    asked = []
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *words: asked.append(words) or network)
    (tmp_path / "yunet.bin").write_bytes(content)
    return build_face_detector("yunet", str(tmp_path / "yunet.bin")), asked


def test_the_network_is_read_from_the_files_bytes_with_a_least_score(tmp_path, monkeypatch):
    _, ((form, content, config, size, least),) = build(monkeypatch, tmp_path, Network())
    assert (form, content.tobytes(), len(config), size, least) == ("onnx", b"a network", 0, (32, 32), 0.7)


@pytest.mark.parametrize("off", [(19, 0, 0, 0), (0, -19, 0, 0), (0, 0, 19, 0), (0, 0, 0, -19)])
def test_a_network_that_finds_the_drawn_face_about_where_it_is_is_taken(tmp_path, monkeypatch, off):
    assert build(monkeypatch, tmp_path, Network(off))[0].name == "yunet"


@pytest.mark.parametrize(
    ("off", "times"),
    [((21, 0, 0, 0), 1), ((0, -21, 0, 0), 1), ((0, 0, 21, 0), 1), ((0, 0, 0, -21), 1), ((0,) * 4, 2), ((0,) * 4, 0)],
)
def test_a_network_that_finds_it_elsewhere_twice_or_not_is_refused(tmp_path, monkeypatch, off, times):
    with pytest.raises(InputError, match=r"YuNet's file .* of 232,589 bytes, found a network that does not find a"):
        build(monkeypatch, tmp_path, Network(off, times))


def test_the_face_that_networks_are_tried_with_is_drawn_in_the_middle_in_its_colours(tmp_path, monkeypatch):
    detector, _ = build(monkeypatch, tmp_path, Network())
    assert detector._network.sizes == [(123, 151), (331, 203)]
    picture = detector._network.shown
    assert picture.shape == (203, 331, 3)
    assert (picture[0] == 110).all()
    drawn = np.argwhere((picture != 110).any(axis=2))
    # An ellipse of 27 x 36 about (165, 101), and hair that is a pixel wider.
    assert drawn.min(axis=0) == pytest.approx([101 - 40, 165 - 28], abs=1.1)
    assert drawn.max(axis=0) == pytest.approx([101 + 36, 165 + 28], abs=1.1)

    # The first and the last pixel of every part, to the right of the middle and below it, and the next but one.
    hair, skin, grey = (30, 40, 60), (140, 170, 215), (110, 110, 110)
    eye, brow, nose, mouth = (40, 50, 60), (50, 60, 90), (110, 140, 190), (90, 90, 170)
    for colour, places in {
        hair: [(0, -40), (0, -19), (28, -20), (-28, -20)],
        skin: [
            *((0, -16), (27, 0), (-27, 0), (0, 36), (0, -3), (3, -7), (19, -7), (11, -2), (2, -13), (20, -13)),
            *((6, 6), (-6, 6), (12, 18), (-12, 18), (0, 24)),
        ],
        grey: [(30, -20), (-30, -20), (0, -43), (29, 0), (-29, 0), (0, 38)],
        eye: [(5, -7), (16, -7), (-5, -7), (-16, -7), (11, -9), (11, -4)],
        brow: [(4, -13), (18, -13), (-4, -13), (-18, -13), (11, -15), (11, -11)],
        nose: [(-4, 6), (4, 6), (0, -1), (0, 12)],
        mouth: [(-10, 18), (10, 18), (0, 14), (0, 22)],
    }.items():
        for right, down in places:
            difference = np.abs(picture[101 + down, 165 + right].astype(int) - colour)
            assert difference.max() < 16, (colour, right, down)


@pytest.mark.parametrize("is_published", [True, False])
def test_a_file_of_other_bytes_is_told(tmp_path, monkeypatch, caplog, is_published):
    content = b"a network"
    if is_published:
        monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(content).hexdigest())
    build(monkeypatch, tmp_path, Network(), content)
    said = [record.getMessage() for record in caplog.records]
    path = tmp_path / "yunet.bin"
    line = f"{path} is not face_detection_yunet_2023mar.onnx as published: what it finds may differ"
    assert said == ([] if is_published else [line])


def show(monkeypatch, tmp_path, frame, rows=()):
    """What a detector finds in a frame, and what its network was shown of it: blue, green, red."""
    detector, _ = build(monkeypatch, tmp_path, Network())
    detector._network.rows = list(rows)
    found = detector.detect(frame)
    return found, detector._network.shown


def test_rows_are_boxes_and_scores_from_left_to_right(tmp_path, monkeypatch):
    frame = torch.full((3, 720, 1280), 99, dtype=torch.uint8)
    found, shown = show(monkeypatch, tmp_path, frame, [(300, 10, 20, 30, 0.75), (100, 50, 10, 20, 0.5)])
    assert shown.shape == (360, 640, 3)
    assert found == [((200, 100, 220, 140), 0.5), ((600, 20, 640, 80), 0.75)]
    assert show(monkeypatch, tmp_path, frame)[0] == []


def test_colours_are_blue_green_red_and_small_pictures_end_in_black(tmp_path, monkeypatch):
    frame = torch.zeros(3, 40, 70, dtype=torch.uint8)
    frame[0], frame[1], frame[2] = 200, 150, 100
    _, shown = show(monkeypatch, tmp_path, frame)
    assert shown.shape == (64, 70, 3)
    assert (shown[:40] == [100, 150, 200]).all() and not shown[40:].any()
    _, shown = show(monkeypatch, tmp_path, frame.transpose(1, 2))
    assert shown.shape == (70, 64, 3)
    assert (shown[:, :40] == [100, 150, 200]).all() and not shown[:, 40:].any()


@pytest.mark.parametrize(
    ("level", "brightest", "factor"), [(24, 60, 1.0), (23, 60, 4.0), (10, 120, 2.0), (0, 0, 240.0), (5, 255, 1.0)]
)
def test_a_dark_picture_is_stretched_until_its_brightest_thousandth_is_at_240(
    tmp_path, monkeypatch, level, brightest, factor
):
    levels = np.full((200, 200), level, np.uint8)
    levels[:, :2] = brightest  # a hundredth: within the brightest hundredth, without it there is less
    levels[1::4] = levels[:, 1::4] = 250  # between the pixels that are looked at
    _, shown = show(monkeypatch, tmp_path, torch.from_numpy(levels).expand(3, -1, -1))
    expected = np.minimum(levels * factor, 255).round()
    assert np.array_equal(shown, np.repeat(expected[..., None], 3, axis=2))


# --- its file


class Hub:
    """The Hub's client: what it has in its cache, and whether it can be reached; writes down what it is asked for."""

    def __init__(self, monkeypatch, has_file, is_there):
        import huggingface_hub

        self.asked = []

        def download(repository, file, **options):
            from huggingface_hub.errors import LocalEntryNotFoundError

            self.asked.append(("download", repository, file, options))
            if options.get("local_files_only") and not has_file:
                raise LocalEntryNotFoundError("not here")
            return "/cache/yunet.onnx"

        def ask(url, **options):
            self.asked.append(("metadata", url, options))
            if not is_there:
                raise ConnectionError("no way\nto there")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", ask)


PLACE = ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
IN_CACHE = ("download", *PLACE, {"local_files_only": True})


def test_a_file_in_the_cache_is_taken_without_a_look_at_the_network(monkeypatch):
    hub = Hub(monkeypatch, has_file=True, is_there=False)
    assert yunet.fetch_yunet() == "/cache/yunet.onnx" and hub.asked == [IN_CACHE]


def test_the_hub_is_asked_once_and_shortly_before_the_file_is_fetched(monkeypatch):
    hub = Hub(monkeypatch, has_file=False, is_there=True)
    assert yunet.fetch_yunet() == "/cache/yunet.onnx"
    first, (kind, url, options), last = hub.asked
    assert (first, last) == (IN_CACHE, ("download", *PLACE, {"etag_timeout": 3}))
    assert (kind, options) == ("metadata", {"timeout": 3})
    assert url.endswith("/opencv/face_detection_yunet/resolve/main/face_detection_yunet_2023mar.onnx")


def test_a_hub_out_of_reach_is_one_line_that_says_why(monkeypatch):
    Hub(monkeypatch, has_file=False, is_there=False)
    said = r"^YuNet's face_detection_yunet_2023mar\.onnx is not in the Hub's cache and cannot be fetched \(.*no way\)$"
    with pytest.raises(InputError, match=said):
        yunet.fetch_yunet()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes"),
        (b"a page\nof text", "14 bytes that begin with 'a page'"),
        (b"  x" + b"y" * 90, "93 bytes that begin with 'x" + "y" * 57 + "'"),
        (b"\n", "1 bytes"),
        ("Übung".encode("latin-1"), "5 bytes"),
        (b"\x08\x06text", "6 bytes"),
        (b"z" * 1234, "1,234 bytes that begin with '" + "z" * 60 + "'"),
    ],
)
def test_a_file_that_is_none_is_described_by_its_length_and_its_first_line_of_text(content, said):
    assert yunet._describe_content(content) == said


def test_a_missing_file_and_a_folder_are_named_with_what_was_expected(tmp_path):
    expected = r"expected YuNet's file face_detection_yunet_2023mar\.onnx, "
    with pytest.raises(InputError, match=rf"none\.onnx: {expected}found no file$"):
        build_face_detector("yunet", str(tmp_path / "none.onnx"))
    with pytest.raises(InputError, match=rf"{expected}cannot read it \(Is a directory\)$"):
        build_face_detector("yunet", str(tmp_path))


# --- which detector


@pytest.mark.parametrize("kind", ["haar", "mtcnn"])
def test_weights_for_a_detector_without_any_are_refused(kind):
    said = f"the face detector `{kind}` takes no weights, got `x.onnx`: they belong to `yunet`"
    with pytest.raises(InputError, match=said):
        build_face_detector(kind, "x.onnx")


def test_an_unknown_detector_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="`ouija`: expected one of auto, yunet, haar, mtcnn"):
        build_face_detector("ouija")


def test_auto_is_yunet_where_its_file_is_and_the_log_says_which(tmp_path, monkeypatch, caplog):
    (tmp_path / "cached.onnx").write_bytes(b"a network")
    monkeypatch.setattr(yunet, "fetch_yunet", lambda: str(tmp_path / "cached.onnx"))
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *words: Network())
    with caplog.at_level("INFO"):
        assert build_face_detector().name == build_face_detector("yunet").name == "yunet"
    assert f"Faces are found by yunet: {tmp_path / 'cached.onnx'}" in caplog.text
    assert build_face_detector("haar").name == "haar"


def test_where_yunet_cannot_be_had_auto_goes_on_with_haar_and_yunet_does_not(monkeypatch, caplog):
    Hub(monkeypatch, has_file=False, is_there=False)
    assert build_face_detector().name == "haar"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Faces are found by haar, which misses tilted, turned and small ones: YuNet's")
    with pytest.raises(InputError, match="cannot be fetched"):
        build_face_detector("yunet")


# --- MTCNN, of a package that is not here


class Mtcnn:
    """facenet-pytorch's network: what it was built with and shown, and what it is told to find."""

    def __init__(self, **options):
        self.options, self.found = options, (None, [None])

    def detect(self, picture):
        self.shown = picture
        return self.found


@pytest.fixture
def mtcnn(monkeypatch):
    package = ModuleType("facenet_pytorch")
    package.MTCNN = Mtcnn
    monkeypatch.setitem(sys.modules, "facenet_pytorch", package)
    return build_face_detector("mtcnn")


def test_mtcnns_finds_of_at_least_nine_tenths_are_boxes_of_the_frame(mtcnn):
    assert mtcnn.name == "mtcnn" and mtcnn._network.options == {"keep_all": True}
    frame = torch.zeros(3, 720, 1280, dtype=torch.uint8)
    frame[0] = 9
    assert mtcnn.detect(frame) == []
    assert mtcnn._network.shown.shape == (360, 640, 3) and (mtcnn._network.shown == [9, 0, 0]).all()
    boxes = np.array([[300, 10, 320, 40], [100, 20, 110, 40], [0, 0, 9, 9]])
    mtcnn._network.found = boxes, [0.9, 0.95, 0.89]
    assert mtcnn.detect(frame) == [((200, 40, 220, 80), 0.95), ((600, 20, 640, 80), 0.9)]


@pytest.mark.parametrize("reason", [ImportError("none\nsuch"), RuntimeError("another torch")])
def test_without_its_package_mtcnn_is_one_line_with_the_remedy(monkeypatch, reason):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise reason

    monkeypatch.setitem(sys.modules, "facenet_pytorch", Broken("facenet_pytorch"))
    with pytest.raises(InputError, match=r"^mtcnn: needs `pip install facenet-pytorch`, its import failed: ") as error:
        MtcnnDetector()
    assert "\n" not in str(error.value)
