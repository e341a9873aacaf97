"""`predict --explain`: which windows are explained, what is shown of them, and where it is written."""

import json
import re

import numpy as np
import pytest

from helpers.small_material import run_main
from helpers.small_run import write_clip
from helpers.tiny import lively_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import predict
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.prediction.explanations import ShownSquares, choose_windows, find_crops, make_sample
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import NO_PICTURE, ROOM, Timeline, TimelineWindow


PROCESSOR = {"num_frames": 4, "image_size": 32}
LABELS = ["calm", "busy", "lost"]
QUICK = ("--window", 0.4, "--stride", 0.2, "--tower_dtype", "float32")


def answer(window, label, score, person="person-1", face_status="detected"):
    """A window of 10 s, every 5 s."""
    times = (5.0 * window, 5.0 * window + 10)
    if face_status == NO_PICTURE:
        return TimelineWindow("a.mp4", person, window, *times, face_status, 0, 0, None, None, {})
    probabilities = {name: score if name == label else (1 - score) / 2 for name in LABELS}
    return TimelineWindow("a.mp4", person, window, *times, face_status, 4, 4, label, score, probabilities)


def timeline_of(*windows, streams="both"):
    return Timeline("a.mp4", 100.0, 64, 48, LABELS, list(windows), settings={"streams": streams})


def test_the_surest_of_each_label_come_first_and_then_the_least_certain_that_lie_apart():
    answers = ("calm", 0.9), ("calm", 0.95), ("busy", 0.6), ("calm", 0.5), ("lost", 0.8), ("calm", 0.7), ("calm", 0.45)
    chosen = choose_windows(timeline_of(*(answer(n, *given) for n, given in enumerate(answers))), 9)
    # 6 is the least certain. 3, the next, overlaps 2 and 4; 5 overlaps 6, and 0 overlaps 1.
    assert [window for window, _ in chosen] == [1, 2, 4, 6]
    assert list(chosen.values()) == ["the surest of its label"] * 3 + ["among the least certain"]


def test_the_commonest_label_comes_first_and_persons_may_overlap():
    windows = [answer(0, "busy", 0.9), answer(2, "calm", 0.8), answer(4, "calm", 0.7)]
    windows.append(answer(2, "calm", 0.5, "person-2"))
    assert list(choose_windows(timeline_of(*windows), 3)) == [(2, "person-1"), (0, "person-1"), (2, "person-2")]
    assert list(choose_windows(timeline_of(*windows), 1)) == [(2, "person-1")]


def test_the_room_is_asked_for_where_nobody_is_and_the_model_sees_it():
    windows = [
        *(answer(0, "calm", 0.9), answer(0, "calm", 0.99, ROOM)),  # the mean of who is there
        *(answer(2, "busy", 0.8, ROOM, "none"), answer(4, None, None, ROOM, NO_PICTURE)),
    ]
    assert list(choose_windows(timeline_of(*windows), 9)) == [(0, "person-1"), (2, ROOM)]
    assert list(choose_windows(timeline_of(*windows, streams="face"), 9)) == [(0, "person-1")]


@pytest.fixture(scope="module")
def model():
    return lively_model(num_frames=4)


def cut(model, frames, context, **boxes):
    """The only window of frames, and what shows it with and without faces."""
    settings = TimelineSettings(window=1.0, stride=1.0, context=context, tower_dtype="float32")
    analyzer = RecordingAnalyzer(model, ClipCaerVideoProcessor(**PROCESSOR), settings)
    timeline, windows = analyzer.cut_windows(open_recording(frames, fps=4, **boxes))
    (window,) = list(windows)
    return window, *(ShownSquares(analyzer, timeline, show_faces) for show_faces in (False, True))


def draw_frames():
    return np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)


def test_every_face_that_was_found_is_unrecognisable_in_the_frames_and_the_rest_stays(model):
    faces = {"person-1": [8, 12, 20, 24], "person-2": [44, 12, 56, 24]}
    window, hidden, shown = cut(model, draw_frames(), "frame", face_boxes=faces)
    assert [person.name for person in window.people] == list(faces)
    for person in window.people:
        pixels = shown.show(person)
        assert {stream: len(squares) for stream, squares in pixels.items()} == {"context": 4, "face": 4}
        own = person.stack_pixels()
        assert all(np.array_equal(pixels[name], own[name].permute(0, 2, 3, 1).numpy()) for name in own)
        coarse = hidden.show(person)
        changed = {name: (coarse[name] != pixels[name]).any(axis=-1) for name in own}
        assert changed["face"].mean() > 0.95
        # 64 x 48 pixels are 32 x 24 of the square, from row 4 on: the boxes are at columns 4 and 22, row 10, 6 wide.
        for left in (4, 22):
            assert changed["context"][:, 10:16, left : left + 6].mean() > 0.95
        assert not changed["context"][:, :, 13:19].any() and not changed["context"][:, 20:].any()


def test_the_boxes_are_found_again_in_a_context_that_was_cut_around_the_person(model):
    boxes = {"face_boxes": {"person-1": [8, 12, 20, 24]}, "body_box": {"person-1": [0, 8, 32, 40]}}
    window, hidden, shown = cut(model, draw_frames(), "body", **boxes)
    person = window.people[0]
    changed = (hidden.show(person)["context"] != shown.show(person)["context"]).any(axis=-1)
    assert changed[:, 4:16, 8:20].mean() > 0.95  # 32 pixels are cut, and 32 shown
    assert not changed[:, 22:].any() and not changed[:, :, 25:].any()


def test_where_nobodys_face_is_known_the_whole_context_is_unrecognisable(model):
    window, hidden, shown = cut(model, draw_frames(), "frame", face_boxes={"person-1": [None] * 4})
    assert not window.people
    coarse, pixels = hidden.show(window.room), shown.show(window.room)
    assert list(pixels) == ["context"]
    assert (coarse["context"] != pixels["context"])[:, 4:28].any(axis=-1).mean() > 0.95  # but for the black borders


def test_a_sample_says_whose_it_is_and_when(model):
    window, hidden, _ = cut(model, draw_frames(), "frame", face_boxes={"person-1": [8, 12, 20, 24]})
    found = find_crops([window], [(0, "person-1"), (3, "person-1")])
    assert list(found) == [(0, "person-1")]
    plain = make_sample("/home/somebody/a.mp4", *found[0, "person-1"], None)
    assert plain.moment == {"person": "person-1", "start": 0.0, "end": 1.0} and plain.shown == {}
    assert plain.name == "a.mp4, person-1, 0 to 1 s"
    assert set(make_sample("a.mp4", *found[0, "person-1"], hidden).shown) == {"context", "face"}


@pytest.fixture(scope="module")
def lesson(model, tmp_path_factory):
    """Flags of a recording, its checkpoint and its boxes."""
    folder = tmp_path_factory.mktemp("lesson")
    save_checkpoint(model, ClipCaerVideoProcessor(**PROCESSOR), folder / "model")
    video = write_clip(folder / "lesson.mp4")  # ten frames a second, one second
    (folder / "faces.json").write_text(json.dumps({"lesson.mp4": {str(n): [8, 8, 40, 40] for n in range(10)}}))
    return (video, "--model", folder / "model", *QUICK, "--bounding_box_face", folder / "faces.json", "--report")


def test_the_page_tells_what_answers_rest_on_if_it_was_asked(lesson, tmp_path, monkeypatch):
    explained = tmp_path / "lesson" / "explanation"

    def run(*flags):
        assert run_main(predict.main, *lesson, "--output_dir", tmp_path, *flags) == 0
        return (tmp_path / "report.html").read_text()

    page = run()
    assert not explained.exists() and "What answers rest on" not in page and "data:image" not in page
    monkeypatch.setattr(RecordingAnalyzer, "analyze", lambda *_: pytest.fail("it was analysed again"))
    page = run("--explain", 2)
    assert "What answers rest on" in page and "No picture of a person is in this file" in page
    pictures = re.findall(r'src="data:image/webp;base64,', page)
    content = json.loads((explained / "explanation.json").read_text())
    assert len(pictures) == len(content["samples"]) and 1 <= len(pictures) <= 2
    assert 'href="lesson/explanation/explanation.html"' in page and (explained / "figures" / "1.png").is_file()
    assert "Person 1, 0:0" in page and not re.search("https?://", page.replace("http://www.w3.org", ""))
    recording = (tmp_path / "lesson" / "recording.json").read_text()
    assert "data:image" not in recording and "explain" not in json.loads(recording)["settings"]
    rows = {(row["person"], round(row["start"], 3)): row for row in json.loads(recording)["windows"]}
    for sample in content["samples"]:  # what is explained is what was answered
        row = rows[sample["person"], sample["start"]]
        assert sample["scores"] == pytest.approx(row["probabilities"], abs=1e-4)
        assert sample["reason"] in ("the surest of its label", "among the least certain")
        assert sample["shown"] is False and set(sample["streams"]) == {"context", "face"}
    plain = (explained / "figures" / "1.png").read_bytes()
    page = run("--explain", 1, "--explain-frames")
    assert "It shows people" in page and (explained / "figures" / "1.png").read_bytes() != plain
    assert "data:image" not in run() and not explained.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--explain-frames",), "--explain-frames has a meaning with --explain alone"),
        (("--show-faces",), "--show-faces has a meaning with --overlay or --explain-frames alone"),
        (("--explain", 3, "--labels", "l.yaml"), "--explain has no meaning with --labels"),
        (("--explain", 3, "--clips"), "--explain has no meaning with --clips"),
        (("--explain", 65), "`explain` must lie in [0, 64]"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(flags, told, tmp_path, capsys):
    assert run_main(predict.main, "a.mp4", "--model", "m", "--output_dir", tmp_path, *flags) == 2
    assert told in capsys.readouterr().err
