import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from helpers import videos
from helpers.places import ROOT
from helpers.small_run import write_clip
from helpers.stand_in_faces import SquareDetector
from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerPipeline, ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import SCHEMA_VERSION, Timeline, TimelineSegment


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return str(write_clip(tmp_path_factory.mktemp("video") / "lesson.mp4"))


@pytest.fixture(scope="session")
def pipe(trained):
    """Answers once for a clip, by a checkpoint with a temperature."""
    pipe = pipeline("academic-emotion-recognition", model=str(trained), window=None)
    pipe.model.config.calibration_temperature = 0.6
    return pipe


@pytest.fixture(scope="session")
def watch(trained):
    """Answers in timelines."""
    return pipeline(
        "academic-emotion-recognition", model=str(trained), face_detector=SquareDetector(), window=3.0, stride=1.0
    )


@pytest.fixture(scope="session")
def lesson(tmp_path_factory):
    return str(videos.write_video(tmp_path_factory.mktemp("lesson") / "lesson.mp4", videos.crossing_squares(50)))


def probabilities(pipe, logits):
    """As the checkpoint tells them: by its temperature."""
    return (logits / pipe.model.config.calibration_temperature).softmax(-1)


def test_the_task_finds_pipeline_model_and_processor(pipe):
    assert isinstance(pipe, ClipCaerPipeline)
    assert isinstance(pipe.model, ClipCaerForVideoClassification)
    assert isinstance(pipe.video_processor, ClipCaerVideoProcessor)


def test_labels_come_likeliest_first_with_probabilities(pipe, video):
    ranking = pipe(video)
    scores = [entry["score"] for entry in ranking]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
    assert {entry["label"] for entry in ranking} == set(pipe.model.config.id2label.values())
    with torch.no_grad():
        logits = pipe.model(**pipe.video_processor([video])).logits[0]
    assert scores == pytest.approx(probabilities(pipe, logits).sort(descending=True).values.tolist())


def test_without_a_fitted_temperature_the_logits_are_told_as_they_are(pipe, video, monkeypatch):
    monkeypatch.setattr(pipe.model.config, "calibration_temperature", None)
    with torch.no_grad():
        logits = pipe.model(**pipe.video_processor([video])).logits[0]
    assert pipe(video)[0]["score"] == pytest.approx(logits.softmax(-1).max().item())


def test_top_k_cuts_the_ranking(pipe, video):
    assert pipe(video, top_k=2) == pipe(video)[:2]


def test_boxes_change_what_is_seen(pipe, video):
    boxes = {"face_boxes": [8, 8, 40, 40], "body_box": [4, 4, 60, 44]}
    with torch.no_grad():
        pixels = pipe.video_processor([video], face_boxes=[boxes["face_boxes"]], body_boxes=[boxes["body_box"]])
        expected = probabilities(pipe, pipe.model(**pixels).logits[0]).max().item()
    assert pipe({"video": video, **boxes})[0]["score"] == pytest.approx(expected)
    assert pipe({"video": video, **boxes}) != pipe(video)


def test_a_list_gives_a_ranking_for_each_clip(pipe, video):
    boxed = {"video": video, "face_boxes": [8, 8, 40, 40]}
    together = pipe([video, boxed], batch_size=1)
    for ranking, alone in zip(together, [pipe(video), pipe(boxed)], strict=True):
        assert [entry["label"] for entry in ranking] == [entry["label"] for entry in alone]
        assert [entry["score"] for entry in ranking] == pytest.approx([entry["score"] for entry in alone])


def assert_same(rankings, others):
    for ranking, other in zip(rankings, others, strict=True):
        scores, other_scores = ({entry["label"]: entry["score"] for entry in entries} for entries in (ranking, other))
        assert scores == pytest.approx(other_scores, abs=1e-5)


def test_batches_give_each_clip_the_ranking_that_it_has_alone(pipe, video):
    noise = np.random.default_rng(1).integers(0, 256, (7, 40, 50, 3), dtype=np.uint8)
    boxed = {"video": video, "face_boxes": [8, 8, 40, 40], "body_box": [4, 4, 60, 44]}
    clips, sizes = [video, boxed, noise, {"video": list(noise[:3])}, noise[::-1], video], []
    alone = pipe(clips)
    assert alone[0] != alone[1] != alone[2] != alone[3]
    hook = pipe.model.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(len(kwargs["context_embeds"])), with_kwargs=True
    )
    together = pipe(clips, batch_size=4)
    hook.remove()
    assert sizes == [4, 2]
    assert_same(together, alone)
    assert_same(pipe((clip for clip in clips), batch_size=4, num_workers=2), alone)
    assert_same(pipe(iter(clips), batch_size=4), alone)
    assert pipe([]) == []
    assert_same(pipe(clips, batch_size=4, num_workers=2), alone)
    assert [len(ranking) for ranking in pipe(clips, batch_size=3, top_k=2)] == [2] * 6


def test_frames_in_a_list_are_a_clip_only_in_a_mapping(pipe):
    frames = [Image.new("RGB", (50, 40), (40 * number, 0, 0)) for number in range(5)]
    assert_same([pipe({"video": frames})], [pipe(np.stack(frames))])
    for wrong, name in ((frames, "Image"), ([np.array(frame) for frame in frames], "ndarray"), (["1.png"], r"1\.png")):
        with pytest.raises(InputError, match=f"{name}: .*found one frame"):
            pipe(wrong)


def test_an_unknown_argument_and_a_clip_that_is_none_are_refused(pipe, video, tmp_path):
    with pytest.raises(ValueError, match="unknown argument `top_n`"):
        pipe(video, top_n=1)
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        pipe(str(tmp_path / "nowhere.mp4"))


def test_an_unknown_key_beside_the_clip_is_refused(pipe, video):
    with pytest.raises(InputError, match="unknown key `face_box`"):
        pipe({"video": video, "face_box": [8, 8, 40, 40]})
    with pytest.raises(InputError, match="no key `video`"):
        pipe({"face_boxes": [8, 8, 40, 40]})


# --- timelines


def test_a_recording_gives_the_timeline_of_the_analysis(watch, lesson):
    timeline = watch(lesson)
    settings = TimelineSettings(window=3.0, stride=1.0, tower_dtype="float32")
    analyzer = RecordingAnalyzer(watch.model, watch.video_processor, settings, SquareDetector())
    (expected,) = analyzer.analyze([open_recording(lesson)])
    assert timeline == expected and timeline.persons == ["person-1", "person-2"]


def test_by_default_windows_of_ten_seconds_follow_each_other_by_five(trained, lesson):
    timeline = pipeline("academic-emotion-recognition", model=str(trained), face_detector=SquareDetector())(lesson)
    assert isinstance(timeline, Timeline)
    assert (timeline.settings["window"], timeline.settings["stride"]) == (10, 5)
    assert (timeline.settings["smoothing"], timeline.settings["hysteresis"]) == (3, 0.1)


def test_the_words_of_a_call_win_over_those_the_pipeline_was_made_with(watch, lesson):
    settings = watch(lesson, stride=2.0, threshold=0.99, max_gap=9.0, context="frame", duration=4.0).settings
    assert (settings["window"], settings["stride"], settings["threshold"]) == (3, 2, 0.99)
    assert (settings["max_gap"], settings["context"]) == (9, "frame")
    assert watch(lesson, window=None)[0].keys() == {"label", "score"}


def test_a_timeline_is_json_and_shows_itself(watch, lesson):
    timeline = watch(lesson)
    content = json.loads(json.dumps(timeline.to_dict()))
    assert content["schema_version"] == SCHEMA_VERSION and content["source"] == lesson
    assert content["windows"][0]["probabilities"] == timeline.windows[0].probabilities
    shown = repr(timeline).splitlines()
    assert shown[0].startswith(f"Timeline of {lesson!r}: 5.0 s, 160x120, 2 persons, 9 rows")
    assert len(shown) == 1 + len(timeline.segments)


def test_a_segment_is_shown_as_people_say_it():
    timeline = Timeline("a.mp4", 3700.0, 8, 8, ["Fatigue"])
    for start, end, person, score in ((0.0, 7.4, "person-1", 0.719), (59.6, 3607.0, "room", 1.0)):
        timeline.segments.append(TimelineSegment("a.mp4", person, start, end, "Fatigue", score, 1))
    assert repr(timeline).splitlines()[1:] == [
        "0:00–0:07     person-1  Fatigue   72 %",
        "1:00–1:00:07  room      Fatigue  100 %",
    ]


def test_the_readmes_lines_print_what_it_shows(trained, lesson, tmp_path, monkeypatch, capsys):
    code, shown = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    ).groups()
    video = tmp_path / "outputs" / "demo" / "video"
    video.mkdir(parents=True)
    (video.parent / "model").symlink_to(trained)
    (video / "lesson.mp4").symlink_to(lesson)
    for name, box in (("face", [8, 8, 40, 40]), ("body", [4, 4, 60, 44])):
        (video / f"lesson.{name}.json").write_text(json.dumps({"lesson.mp4": box}))
    monkeypatch.chdir(tmp_path)
    exec(code)
    assert len([line for line in code.splitlines() if line]) == 4
    for lines in (shown, capsys.readouterr().out):
        title, *segments = lines.splitlines()
        assert title.startswith("Timeline of 'outputs/demo/video/lesson.mp4': ")
        form = re.compile(r"\d+:\d\d–\d+:\d\d +(room|person-\d) .* \d+ %|\.\.\. and \d+ more segments|…")
        assert segments and all(map(form.fullmatch, segments))


def test_lists_and_iterators_of_recordings_are_analysed_together(watch, lesson, video):
    other = {"video": video, "face_boxes": [8, 8, 40, 40], "body_box": [4, 4, 60, 44]}
    alone = [watch(lesson), watch(other)]
    assert alone[1].settings["face_detector"] == alone[1].settings["body_boxes"] == "supplied"
    sizes = []
    hook = watch.model.model.clip.vision_model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    together = watch([lesson, other], batch_size=8)
    hook.remove()
    assert set(sizes[:-1]) == {8}
    lazily = watch(item for item in [lesson, other])
    assert not isinstance(lazily, list)
    for timelines in (together, list(lazily)):
        for timeline, expected in zip(timelines, alone, strict=True):
            assert (timeline.source, timeline.persons) == (expected.source, expected.persons)
            for row, other_row in zip(timeline.windows, expected.windows, strict=True):
                assert row.probabilities == pytest.approx(other_row.probabilities, abs=1e-5)


def test_rows_are_told_as_they_come_and_frames_have_a_rate(watch):
    rows = []
    timeline = watch(np.stack(list(videos.noise(20))), fps=5, on_window=rows.append)
    assert rows == timeline.windows and timeline.duration == 4
    assert "25 a second" in watch({"video": list(videos.noise(20))}).notes[0]


def test_arguments_of_the_other_kind_of_answer_are_refused(watch, pipe, video):
    for name in ("top_k", "num_workers"):
        with pytest.raises(InputError, match=f"`{name}` goes with `window=None`"):
            watch(video, **{name: 2})
    with pytest.raises(InputError, match="`stride` goes with windows"):
        pipe(video, stride=1.0)
    with pytest.raises(ValueError, match="unknown argument `strid`; the pipeline takes `top_k`, `window`, `stride`"):
        watch(video, strid=1.0)


def test_what_cannot_be_analysed_is_refused_in_one_line(watch, video, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        watch(str(tmp_path / "nowhere.mp4"))
    with pytest.raises(InputError, match=r"lesson\.mp4: expected frames to analyse: .*overlaps the frame"):
        watch({"video": video, "face_boxes": [900, 900, 950, 950]})
    with pytest.raises(InputError, match="unknown key `face_box`"):
        watch({"video": video, "face_box": [8, 8, 40, 40]})
    with pytest.raises(InputError, match="found one frame"):
        watch(["1.png"])
