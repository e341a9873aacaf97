"""`recipes/predict.py` on recordings: what it leaves, what it skips, killed and resumed runs, several processes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from helpers import videos
from helpers.places import ROOT, TINY_CLIP
from helpers.small_material import run_main
from helpers.stand_in_faces import SquareDetector
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import predict
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports import elan
from modeling_clipcaer.exports.timeline_json import load_timeline
from modeling_clipcaer.models.checkpoints import load_checkpoint, save_checkpoint
from modeling_clipcaer.models.measurement import read_measurement
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.prediction import loading
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.inputs import find_recordings, name_folders
from modeling_clipcaer.recordings import recording
from modeling_clipcaer.recordings.addresses import is_address
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import ROOM, SCHEMA_VERSION


# Windows of 3 frames, which the small model takes, one a second.
QUICK = ("--window", 3, "--stride", 2, "--tower_dtype", "float32")
LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml", "--num_processes", 2)
JOINED = {f"{table}.{suffix}" for table in ("timeline", "segments") for suffix in ("csv", "jsonl", "parquet")}


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """A folder of two videos: two squares that walk past each other, and below it nobody."""
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "empty").mkdir()
    videos.write_video(folder / "walk.mp4", videos.crossing_squares(36), fps=3)
    videos.write_video(folder / "empty" / "room.webm", videos.noise(14), fps=2)
    return folder


@pytest.fixture
def squares(monkeypatch):
    """Squares are faces."""
    monkeypatch.setattr(loading, "build_face_detector", lambda kind, weights: SquareDetector())


def run(*flags):
    """The command's exit status, in this process."""
    try:
        return run_main(predict.main, *flags)
    except SystemExit as error:
        return error.code


def parse(words):
    return parse_arguments((PredictionArguments, TimelineSettings), words, "")


def start(*words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """The bytes of every file, by its path in `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def recordings(folder):
    return read_json(folder / "manifest.json")["recordings"]


# What a command leaves


def test_a_recording_and_a_model_are_enough(trained, lessons, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(lessons / "walk.mp4", "--model", trained) == 0
    assert capsys.readouterr().out.splitlines()[0] == RESPONSIBLE_USE
    folder = tmp_path / "outputs" / "predict"
    assert {path.name for path in folder.iterdir()} == JOINED | {"manifest.json", "walk"}
    assert {path.name for path in (folder / "walk").iterdir()} == JOINED | {"recording.json", "timeline.vtt"}
    (entry,) = recordings(folder)
    assert entry["status"] == "done" and entry["duration"] == pytest.approx(12)
    assert entry["settings"]["window"] == 10 and entry["settings"]["stride"] == 5
    assert entry["detector"] in ("yunet", "haar")


@pytest.fixture(scope="module")
def everything(trained, lessons, tmp_path_factory):
    """The output of one command with every format, on both lessons."""
    folder = tmp_path_factory.mktemp("everything") / "out"
    formats = ("csv", "jsonl", "parquet", "vtt", "elan", "label_studio", "fiftyone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "build_face_detector", lambda kind, weights: SquareDetector())
        flags = (*QUICK, "--hysteresis", 0, "--smoothing", 1, "--threshold", 0.2, "--output_dir", folder)
        assert run("--formats", *formats, lessons, "--model", trained, *flags) == 0
    return folder


def test_a_folder_of_videos_is_gone_through_with_what_lies_below_it(everything, lessons):
    assert {path.name for path in everything.iterdir()} == {
        *(*JOINED, "manifest.json", "walk", "room", "fiftyone", "label_studio.json", "label_studio.xml")
    }
    entries = recordings(everything)
    assert [entry["source"] for entry in entries] == [str(lessons / "walk.mp4"), str(lessons / "empty" / "room.webm")]
    assert [(entry["persons"], entry["windows"], entry["detector"]) for entry in entries] == [
        (2, 6, "squares"),
        (0, 3, "squares"),
    ]


def test_every_table_holds_every_window_of_every_recording(everything):
    timelines = [load_timeline(everything / name / "recording.json") for name in ("walk", "room")]
    expected = [(row.source, row.person, row.window) for timeline in timelines for row in timeline.windows]
    assert Counter(person for _, person, _ in expected) == {ROOM: 9, "person-1": 6, "person-2": 6}
    tables = {
        "csv": read_rows(everything / "timeline.csv"),
        "jsonl": [json.loads(line) for line in (everything / "timeline.jsonl").read_text().splitlines()],
        "parquet": pq.read_table(everything / "timeline.parquet").to_pylist(),
    }
    for rows in tables.values():
        assert [(row["source"], row["person"], int(row["window"])) for row in rows] == expected
        assert {str(row["schema_version"]) for row in rows} == {SCHEMA_VERSION}
    assert tables["jsonl"] == tables["parquet"]
    assert [float(row["score"]) for row in tables["csv"]] == [row["score"] for row in tables["jsonl"]]
    own = [line for name in ("walk", "room") for line in (everything / name / "timeline.csv").read_text().splitlines()]
    header = own[0]
    joined = (everything / "timeline.csv").read_text().splitlines()
    assert joined == [header, *(line for line in own if line != header)]


def test_the_figures_are_the_analyzers(everything, trained, lessons):
    settings = TimelineSettings(window=3, stride=2, hysteresis=0, smoothing=1, threshold=0.2, tower_dtype="float32")
    model, processor = load_checkpoint(str(trained))
    analyzer = RecordingAnalyzer(model, processor, settings, SquareDetector())
    (timeline,) = analyzer.analyze([open_recording(str(lessons / "walk.mp4"))])
    found = load_timeline(everything / "walk" / "recording.json")
    assert found.settings.pop("measured") == read_measurement(
        json.loads((trained / "report.json").read_text()), timeline.labels
    )
    assert found == timeline


def test_the_other_formats_name_both_recordings_and_everybody(everything):
    tasks = read_json(everything / "label_studio.json")
    assert len(tasks) == 2 and 'name="person-2"' in (everything / "label_studio.xml").read_text()
    assert 'value="room: uncertain"' in (everything / "label_studio.xml").read_text()  # there is a threshold
    videos_of = read_json(everything / "fiftyone" / "data.json")
    assert len(videos_of) == 2 and (everything / "fiftyone" / "labels_person-2.json").is_file()
    assert "person-2" in (everything / "walk" / "timeline.eaf").read_text()
    assert (everything / "room" / "timeline.vtt").read_text().startswith("WEBVTT\n")


def test_a_folder_of_frames_and_its_boxes(trained, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, pixels in enumerate(videos.stairs(12), start=1):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "face.json").write_text(json.dumps({"frames": {f"{n}.png": [10, 10, 60, 60] for n in range(1, 9)}}))
    (tmp_path / "body.json").write_text(json.dumps({"frames": [5, 5, 100, 110]}))
    boxes = ("--bounding_box_face", tmp_path / "face.json", "--bounding-box-body", tmp_path / "body.json")
    assert run(folder, "--model", trained, *QUICK, "--fps", 1, *boxes, "--output_dir", tmp_path / "out") == 0
    rows = [row for row in read_rows(tmp_path / "out" / "timeline.csv") if row["person"] == "person-1"]
    assert rows[0]["face_status"] == "supplied" and rows[0]["face_frames"] == "3"
    (entry,) = recordings(tmp_path / "out")
    assert (entry["duration"], entry["detector"], entry["settings"]["context"]) == (12, "supplied", "body")
    assert entry["file"]["frames"] == 12


def test_boxes_that_do_not_know_a_recording_fail_it(trained, lessons, tmp_path, capsys):
    (tmp_path / "face.json").write_text(json.dumps({"walk.mp4": {"0": [10, 10, 60, 60]}}))
    flags = ("--bounding_box_face", tmp_path / "face.json", "--output_dir", tmp_path / "out")
    assert run(lessons, "--model", trained, *QUICK, *flags) == 1
    assert "room.webm: the face boxes hold no such clip" in capsys.readouterr().err
    assert [entry["status"] for entry in recordings(tmp_path / "out")] == ["done", "failed"]


def test_zero_shot_answers_are_marked_in_every_output(tmp_path, lessons, tiny_clip):
    labels = {"happy": "a face with a smile", 'tired, "very"': "a face with closed eyes"}
    entries = {label: {"soft": sentence, "descriptive": [sentence]} for label, sentence in labels.items()}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({"labels": entries}))
    flags = ("--labels", tmp_path / "labels.yaml", "--output_dir", tmp_path / "out", "--duration", 2)
    formats = ("--formats", "csv", "vtt", "elan", "label_studio", "fiftyone")
    assert run(lessons / "walk.mp4", "--model", TINY_CLIP, *QUICK, *flags, *formats) == 0
    rows = read_rows(tmp_path / "out" / "timeline.csv")
    assert {(row["zero_shot"], row["calibrated"]) for row in rows} == {("true", "false")}
    assert set(rows[0]) >= {"p_happy", 'p_tired, "very"'}
    out = tmp_path / "out"
    for name in ("walk/timeline.vtt", "walk/timeline.eaf", "label_studio.json", "fiftyone/labels.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert "zero-shot" in text and "uncalibrated" in text and "EU AI Act" in text, name
    settings = recordings(out)[0]["settings"]
    assert settings["zero_shot"] is True and settings["calibrated"] is False and settings["window"] == 3
    assert settings["model"] == "tiny_clip" and len(settings["model_revision"]) == 12


def test_a_model_without_a_face_stream_looks_for_no_face(lessons, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loading, "build_face_detector", None)
    processor = ClipCaerVideoProcessor(num_frames=3, image_size=32)
    save_checkpoint(tiny_model(num_frames=3, streams="context"), processor, tmp_path / "model")
    flags = (lessons / "walk.mp4", "--model", tmp_path / "model", *QUICK, "--output_dir", tmp_path / "out")
    assert run(*flags) == 0
    assert {(row["person"], row["face_status"]) for row in read_rows(tmp_path / "out" / "timeline.csv")} == {
        (ROOM, "none")
    }
    assert recordings(tmp_path / "out")[0]["detector"] == "none"
    assert run(*flags, "--overlay") == 2
    assert "can blur none: expected --show-faces" in capsys.readouterr().err


@pytest.mark.slow
def test_overlay_and_report_come_with_their_flags(trained, lessons, tmp_path, squares):
    flags = ("--overlay", "--report", "--output_dir", tmp_path / "out", "--formats", "csv")
    assert run(lessons / "walk.mp4", *flags, "--model", trained, *QUICK) == 0
    assert (tmp_path / "out" / "walk" / "overlay.mp4").stat().st_size > 1000
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "walk.mp4" in page and "EU AI Act" in page
    assert 'src="walk/overlay.mp4"' in page
    assert "On 10 clips (test split of RAER) the checkpoint was right for" in page


# Names


def test_recordings_of_one_name_have_folders_of_their_own(trained, lessons, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(lessons / "empty", tmp_path / folder)
    flags = ("--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(tmp_path / "a", tmp_path / "b", tmp_path / "a" / "room.webm", *flags) == 0
    assert [(entry["source"], entry["folder"]) for entry in recordings(tmp_path / "out")] == [
        (str(tmp_path / "a" / "room.webm"), "a-room"),
        (str(tmp_path / "b" / "room.webm"), "b-room"),
    ]
    before = contents(tmp_path / "out" / "a-room"), contents(tmp_path / "out" / "b-room")
    assert run(tmp_path / "b", *flags) == 0
    assert [entry["folder"] for entry in recordings(tmp_path / "out")] == ["b-room"]
    assert (contents(tmp_path / "out" / "a-room"), contents(tmp_path / "out" / "b-room")) == before


def test_names_that_look_alike_are_both_kept_and_one_that_is_not_utf8_fails_alone(
    trained, lessons, tmp_path, squares, capsys
):
    (tmp_path / "in").mkdir()
    names = ["Zo\xeb.mp4".encode(), "Zoe\u0308.mp4".encode(), b"ZO\xc3\x8b.mp4", b"caf\xe9\x1b[31m.mp4"]
    for name in names:
        shutil.copy(lessons / "walk.mp4", os.path.join(os.fsencode(tmp_path / "in"), name))
    out = tmp_path / "out"
    assert run(tmp_path / "in", "--model", trained, "--output_dir", out) == 1
    printed = capsys.readouterr()
    assert "caf\\xe9\\x1b[31m.mp4: expected a name in UTF-8" in printed.err and "\x1b" not in printed.out + printed.err
    done = [entry for entry in recordings(out) if entry["status"] == "done"]
    assert len(done) == 3 and len({identity_key(entry["folder"]) for entry in done}) == 3
    assert {row["source"] for row in read_rows(out / "timeline.csv")} == {entry["source"] for entry in done}
    assert [entry["source"] for entry in recordings(out) if entry["status"] == "failed"] == [
        f"{tmp_path}/in/caf\\xe9\\x1b[31m.mp4"
    ]


def test_a_folder_keeps_its_name_when_another_of_that_name_joins_it():
    def is_own(name, source):
        return (name, source) == ("room", "/d/a/room.webm")

    sources = ["/d/b/room.webm", "/d/a/room.webm"]
    assert name_folders(sources, lambda name, source: name != "room" or is_own(name, source), is_own) == {
        "/d/b/room.webm": "b-room",
        "/d/a/room.webm": "room",
    }


def test_clips_of_class_folders_are_named_by_so_many_folders_as_tell_them_apart():
    sources = ["/d/x/bored/clip_11.mp4", "/d/x/happy/clip_11.mp4", "/d/y/happy/clip_11.mp4", "/d/y/happy/clip_12.mp4"]
    names = ["bored-clip_11", "x-happy-clip_11", "y-happy-clip_11", "clip_12"]
    assert list(name_folders(sources, lambda name, source: True).values()) == names
    both = ["/d/clip.mp4", "/d/clip.mkv"]  # nothing of their paths tells these apart
    assert list(name_folders(both, lambda name, source: True).values()) == ["clip", "clip-2"]
    long = [f"/d/{letter * 60}/{'x' * 60}.mp4" for letter in "ab"]
    assert list(name_folders(long, lambda name, source: True).values()) == ["x" * 50, f"{'x' * 50}-2"]


def test_files_that_are_no_recording_are_said_in_one_line(trained, lessons, tmp_path, capsys):
    folder = tmp_path / "in"
    shutil.copytree(lessons / "empty", folder)
    for name in ("notes.txt", "b.TXT", "index.ts", "README", ".hidden"):
        (folder / name).write_text("const a: number = 1;\n")
    Image.new("L", (8, 8)).save(folder / "still.gif")
    flags = ("--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(folder, *flags) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("passed over"))
    assert line.endswith("5 files (1 .gif, 1 .ts, 2 .txt, 1 without suffix)")
    assert len(recordings(tmp_path / "out")) == 1


def test_what_is_no_file_in_a_folder_is_the_failure_of_its_name(trained, lessons, tmp_path, squares, capsys):
    folder = tmp_path / "in"
    shutil.copytree(lessons, folder)
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "two\nlines.mp4").write_bytes(b"no video")
    shutil.copy(folder / "walk.mp4", folder / "good\nname.mp4")
    (folder / "frames").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "frames" / "1.jpg")
    (folder / "frames" / "2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (folder / "frames" / "3.jpg").symlink_to("3.jpg")
    flags = ("--model", trained, *QUICK, "--formats", "csv", "--overlay", "--output_dir", tmp_path / "out")
    assert run(folder, *flags) == 1
    told = capsys.readouterr()
    assert [line for line in told.err.splitlines() if line.startswith("error: ")] == [
        f"error: {folder}/gone.mp4: expected a video, found nothing",
        f"error: {folder}/loop.mp4: expected a video, found: Too many levels of symbolic links",
        f"error: {folder}/pipe.mp4: expected a video, found a named pipe",
        f"error: {folder}/two lines.mp4: cannot be read as a video (Invalid data found when processing input)",
    ]
    assert f"{folder}/good name.mp4: {tmp_path}/out/good_name/" in told.out.splitlines()
    (frames,) = (entry for entry in recordings(tmp_path / "out") if entry["source"].endswith("frames"))
    assert f"{folder}/frames/2.jpg: expected an image file, found nothing" in str(frames["notes"])


def test_one_name_in_two_working_directories_is_two_recordings(trained, lessons, tmp_path, monkeypatch):
    for folder in ("a", "b"):
        shutil.copytree(lessons / "empty", tmp_path / folder)
        monkeypatch.chdir(tmp_path / folder)
        assert run("room.webm", "--model", trained, *QUICK, "--formats", "csv", "--output_dir", "../out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"room", "room-2"}
    assert run("../a/room.webm", "--model", trained, *QUICK, "--formats", "csv", "--output_dir", "../out") == 0
    (entry,) = recordings(tmp_path / "out")
    assert (entry["source"], entry["folder"]) == ("../a/room.webm", "room")
    assert {row["source"] for row in read_rows(tmp_path / "out" / "timeline.csv")} == {"../a/room.webm"}


def test_a_folder_that_is_somebody_elses_is_left_alone(trained, lessons, tmp_path):
    mine = tmp_path / "out" / "room"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    flags = ("--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(lessons / "empty" / "room.webm", *flags) == 0
    assert contents(mine) == {"notes.txt": b"mine"} and (tmp_path / "out" / "room-2" / "recording.json").is_file()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/Übung 3: Säle.v2.mp4", "Übung 3_ Säle.v2"),
        ("https://example.org/videos/lecture%201.mp4?x=1", "lecture 1"),
        ("/dev/video0", "video0"),
        (".hidden.mp4", "_hidden"),
        ("x" * 200 + ".mp4", "x" * 50),
    ],
)
def test_a_folder_is_named_by_its_recording(source, name):
    assert name_folders([source], lambda name, source: True) == {source: name}


def test_no_recording_takes_the_name_of_a_joined_file(trained, lessons, tmp_path):
    for name in ("fiftyone.webm", "manifest.json.webm"):
        shutil.copy(lessons / "empty" / "room.webm", tmp_path / name)
    flags = ("--model", trained, *QUICK, "--formats", "csv", "fiftyone", "--output_dir", tmp_path / "out")
    assert run(tmp_path / "fiftyone.webm", tmp_path / "manifest.json.webm", *flags) == 0
    assert [entry["folder"] for entry in recordings(tmp_path / "out")] == ["fiftyone-2", "manifest.json-2"]


def test_folders_are_searched_for_videos_and_for_folders_of_frames(tmp_path):
    for name in (
        "10.mp4",
        "9.mov",
        "talk.WEBM",
        "notes.txt",
        ".hidden.mp4",
        "cover.jpg",
        "deep/er/x.mkv",
        "clip/1.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep" / "round").symlink_to(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "overlay.mp4").write_bytes(b"x")
    found = find_recordings([str(tmp_path), str(tmp_path / "clip"), str(tmp_path / "9.mov")], out)
    names = ["9.mov", "10.mp4", "talk.WEBM", "clip", "deep/er/x.mkv"]
    assert found == [str(tmp_path / name) for name in names]
    assert is_address("https://example.org/a.mp4") and not is_address("/dev/video0")
    assert find_recordings(["https://example.org/a.mp4"], out) == ["https://example.org/a.mp4"]


def test_inputs_are_told_from_flags_and_their_values():
    words = "a.mp4 --formats csv vtt b.mp4 --overlay c --report true --window 30 --model=m --show-faces d --inputs e"
    args, settings = parse(words.split())
    assert args.inputs == ["a.mp4", "b.mp4", "c", "d", "e"] and args.formats == ["csv", "vtt"]
    assert args.overlay and args.report and args.show_faces and (args.model, settings.window) == ("m", 30)
    with pytest.raises(InputError, match="argument --formats: invalid choice: 'mp3'"):
        parse(["a.mp4", "--model", "m", "--formats", "mp3"])


def test_inputs_of_a_config_file_come_first(tmp_path):
    config = tmp_path / "predict.yaml"
    config.write_text(yaml.safe_dump({"model": "m", "inputs": ["a.mp4", "b.mp4"], "formats": ["csv", "vtt"]}))
    args, _ = parse(["--config", str(config), "--overlay", "c.mp4"])
    assert args.inputs == ["a.mp4", "b.mp4", "c.mp4"] and args.formats == ["csv", "vtt"]
    args, _ = parse(["--config", str(config)])
    assert args.inputs == ["a.mp4", "b.mp4"]


def test_a_file_whose_name_begins_like_a_flag_is_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-x.mp4").touch()
    assert parse(["-x.mp4", "a.mp4", "--model", "m"])[0].inputs == ["./-x.mp4", "a.mp4"]


# Failure


def test_a_corrupt_file_is_told_and_the_others_go_on(trained, lessons, tmp_path, capsys):
    shutil.copytree(lessons, tmp_path / "data")
    bad = tmp_path / "data" / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    (tmp_path / "data" / "spoilt").mkdir()
    (tmp_path / "data" / "spoilt" / "1.jpg").write_bytes(b"no picture")
    flags = (tmp_path / "data", "--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(*flags) == 1
    entries = {entry["source"].rsplit("/", 1)[1]: entry for entry in recordings(tmp_path / "out")}
    assert {name: entry["status"] for name, entry in entries.items()} == {
        **{"bad.mp4": "failed", "walk.mp4": "done", "room.webm": "done", "spoilt": "failed"}
    }
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        f"error: {entries[name]['error']}" for name in ("bad.mp4", "spoilt")
    ]
    assert str(bad) in entries["bad.mp4"]["error"] and "1.jpg" in entries["spoilt"]["error"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("walk", "room", "timeline.csv", "segments.csv", "manifest.json")
    }
    shutil.rmtree(tmp_path / "data" / "spoilt")
    shutil.copy(lessons / "walk.mp4", bad)
    assert run(*flags) == 0
    assert [entry["status"] for entry in recordings(tmp_path / "out")] == ["done"] * 3


@pytest.mark.parametrize(
    "problem",
    [MemoryError("too large"), RuntimeError("CUDA error:\nno room"), cv2.error("bad shape"), OSError("bad sector"),
     AttributeError("no attribute 'width'")],
)  # fmt: skip
def test_whatever_happens_in_one_recording_is_that_ones_failure(
    trained, lessons, tmp_path, monkeypatch, capsys, analysed, problem
):
    def open_other(source, *rest):
        if source.endswith("room.webm"):
            raise problem
        return open_recording(source, *rest)

    monkeypatch.setattr(recording, "open_recording", open_other)
    flags = (lessons, "--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    for _ in range(2):  # the second time only what failed is tried again
        assert run(*flags) == 1
        assert analysed == ["walk.mp4"]
        good, bad = recordings(tmp_path / "out")
        assert good["status"] == "done" and bad["status"] == "failed"
        assert bad["error"].startswith(str(lessons / "empty" / "room.webm")) and "\n" not in bad["error"]
        assert type(problem).__name__ in bad["error"] and bad["error"].endswith("(details: errors.log)")
        assert f"error: {bad['error']}" in capsys.readouterr().err.splitlines()
        log = (tmp_path / "out" / "errors.log").read_text(encoding="utf-8")
        assert log.startswith(f"{lessons}/empty/room.webm\nTraceback") and log.count("Traceback") == 1
        assert {row["source"] for row in read_rows(tmp_path / "out" / "timeline.csv")} == {good["source"]}
    monkeypatch.undo()
    assert run(*flags) == 0 and not (tmp_path / "out" / "errors.log").exists()


def test_a_writer_that_fails_fails_one_recording_and_keeps_what_was_analysed(
    trained, lessons, tmp_path, monkeypatch, analysed
):
    flags = (lessons, "--model", trained, *QUICK, "--output_dir", tmp_path / "out")
    assert run(*flags, "--formats", "csv") == 0
    before = contents(tmp_path / "out" / "room")

    def write(timeline, path):
        if "room" in timeline.source:
            raise KeyError("label")
        path.write_text("fine")

    monkeypatch.setattr(elan, "write_elan", write)
    assert run(*flags, "--formats", "csv", "elan") == 1
    assert [entry["status"] for entry in recordings(tmp_path / "out")] == ["done", "failed"]
    assert (tmp_path / "out" / "walk" / "timeline.eaf").read_text() == "fine"
    assert contents(tmp_path / "out" / "room") == before and len(analysed) == 2


def test_a_command_that_is_interrupted_ends(trained, lessons, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "open_recording", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(lessons, "--model", trained, *QUICK, "--output_dir", tmp_path / "out")


def test_what_is_cut_short_is_told_beside_its_folder(trained, tmp_path, capsys):
    videos.write_truncated(tmp_path / "half.mp4", videos.noise(60))
    assert run(tmp_path / "half.mp4", "--model", trained, *QUICK, "--output_dir", tmp_path / "out") == 0
    (entry,) = recordings(tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    place = lines.index(f"{tmp_path}/half.mp4: {tmp_path}/out/half/")
    notes = [f"  note: {note}" for note in entry["notes"]]
    assert notes[0].startswith("  note: the file states a length of 6.00 s")
    assert lines[place + 1 : place + 1 + len(notes)] == notes


def test_where_nothing_can_be_read_there_is_a_manifest_alone(trained, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert run(tmp_path / "bad.mp4", "--model", trained, "--output_dir", tmp_path / "out") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json"}


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (("no.mp4",), ["no.mp4", "found nothing"]),
        (("walk.mp4", "empty.d"), ["empty.d", "a folder without any"]),
        ((), ["required: INPUTS"]),
        (("walk.mp4", "--window", "0"), ["`window`", "0"]),
        (("walk.mp4", "--smoothing", "2"), ["`smoothing`", "2"]),
        (("walk.mp4", "--threshold", "1.5"), ["`threshold`", "1.5"]),
        (("walk.mp4", "--stride", "x"), ["stride", "x"]),
        (("walk.mp4", "--duration", "-1"), ["`duration`", "-1"]),
        (("walk.mp4", "--fps", "0"), ["`fps`", "0"]),
        (("walk.mp4", "--formats", "csv", "xml"), ["xml"]),
        (("walk.mp4", "--formats", "xml"), ["formats"]),
        (("walk.mp4", "--windows", "3"), ["--windows", "did you mean --window?"]),
        (("walk.mp4", "--face_detector", "eyes"), ["eyes"]),
        (("walk.mp4", "--device", "abacus"), ["--device abacus"]),
        (("walk.mp4", "--show_faces"), ["--overlay"]),
        (("/dev/null", "--overlay"), ["/dev/null", "--overlay"]),
        (("walk.mp4", "--labels", "no.yaml"), ["no.yaml"]),
        (("walk.mp4", "--bounding_box_face", "no.json"), ["no.json"]),
        (("walk.mp4", "--model", "nowhere"), ["nowhere", "checkpoint"]),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(
    trained, lessons, tmp_path, monkeypatch, capsys, flags, fragments
):
    shutil.copy(lessons / "walk.mp4", tmp_path)
    (tmp_path / "empty.d").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("--model", trained, "--output_dir", "out", *flags) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(line) < 900 and [fragment for fragment in fragments if fragment not in line] == []
    assert not (tmp_path / "out").exists()


# What is done, and what is not


@pytest.fixture
def analysed(monkeypatch):
    """The names of the recordings that are analysed."""
    names = []
    analyze = RecordingAnalyzer.analyze

    def count(self, recordings, on_window=None):
        names.extend(os.path.basename(recording.name) for recording in recordings)
        return analyze(self, recordings, on_window)

    monkeypatch.setattr(RecordingAnalyzer, "analyze", count)
    return names


def test_what_is_done_is_not_done_again_until_it_changes(trained, lessons, tmp_path, analysed):
    shutil.copytree(lessons, tmp_path / "data")
    flags = (tmp_path / "data", "--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(*flags) == 0
    assert analysed == ["walk.mp4", "room.webm"]
    before = contents(tmp_path / "out")
    assert run(*flags) == 0
    assert len(analysed) == 2 and contents(tmp_path / "out") == before
    os.utime(tmp_path / "data" / "walk.mp4", (1, 1))
    assert run(*flags) == 0
    assert analysed[2:] == ["walk.mp4"]
    assert run(*flags, "--stride", 1) == 0
    assert analysed[3:] == ["walk.mp4", "room.webm"]
    assert {entry["settings"]["stride"] for entry in recordings(tmp_path / "out")} == {1}


def test_another_format_needs_no_second_analysis(trained, lessons, tmp_path, analysed):
    flags = (lessons, "--model", trained, *QUICK, "--output_dir", tmp_path / "out", "--formats", "csv")
    assert run(*flags, "jsonl") == 0
    assert run(*flags, "elan", "label_studio") == 0
    assert len(analysed) == 2
    for folder in ("walk", "room"):
        assert {path.name for path in (tmp_path / "out" / folder).iterdir()} == {
            *("timeline.csv", "segments.csv", "timeline.eaf", "recording.json")
        }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("walk", "room", "timeline.csv", "segments.csv", "label_studio.json", "label_studio.xml", "manifest.json")
    }


def test_another_checkpoint_in_the_same_place_is_another_model(trained, lessons, tmp_path, analysed):
    shutil.copytree(trained, tmp_path / "model")
    flags = (lessons / "walk.mp4", "--model", tmp_path / "model", *QUICK, "--output_dir", tmp_path / "out")
    assert run(*flags) == 0
    os.utime(tmp_path / "model" / "model.safetensors", (1, 1))
    assert run(*flags) == 0
    assert len(analysed) == 2


def test_another_detector_in_place_of_the_one_that_ran_does_all_again(
    trained, lessons, tmp_path, analysed, squares, monkeypatch
):
    flags = (lessons / "walk.mp4", "--model", trained, *QUICK, "--output_dir", tmp_path / "out", "--formats", "csv")
    assert run(*flags) == 0 and run(*flags) == 0
    assert len(analysed) == 1
    monkeypatch.setattr(SquareDetector, "name", "others")
    assert run(*flags) == 0
    assert len(analysed) == 2 and recordings(tmp_path / "out")[0]["detector"] == "others"


def test_a_file_that_went_bad_loses_its_old_results(trained, lessons, tmp_path):
    shutil.copy(lessons / "walk.mp4", tmp_path / "a.mp4")
    flags = (tmp_path / "a.mp4", "--model", trained, *QUICK, "--formats", "csv", "--output_dir", tmp_path / "out")
    assert run(*flags) == 0
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert run(*flags) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json"}


# Processes


@pytest.fixture(scope="module")
def many(tmp_path_factory, lessons):
    """A folder of four recordings, one of which takes seconds, and of a file that is none."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copytree(lessons, folder / "data")
    videos.write_video(folder / "data" / "a.mp4", videos.stairs(20), fps=2)
    videos.write_video(folder / "data" / "b.mp4", videos.noise(700), fps=1)
    (folder / "data" / "c.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def many_flags(trained):
    formats = ("--formats", "csv", "jsonl", "parquet", "vtt", "elan", "label_studio", "fiftyone")
    return ("--model", trained, *QUICK, "--batch_size", 7, "--face_detector", "haar", *formats)


@pytest.fixture(scope="module")
def whole(many, many_flags):
    """What one process that is not disturbed leaves of them."""
    assert run(many / "data", *many_flags, "--output_dir", many / "whole") == 1
    return contents(many / "whole")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_files(many, many_flags, whole, analysed):
    flags = (many / "data", *many_flags, "--output_dir", many / "killed")
    process = start("recipes/predict.py", *flags)
    partial = many / "killed" / ".partial-b" / "windows.jsonl"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    output = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL, output
    assert output.splitlines()[0] == RESPONSIBLE_USE
    rows = [json.loads(line) for line in partial.read_text().splitlines()[:-1]]
    assert all(row["source"].endswith("b.mp4") for row in rows)
    assert (many / "killed" / "a" / "recording.json").is_file() and not (many / "killed" / "manifest.json").exists()
    assert run(*flags) == 1
    assert analysed == ["b.mp4", "walk.mp4", "room.webm"]
    assert contents(many / "killed") == whole


@pytest.mark.slow
def test_two_processes_leave_the_files_of_one(many, many_flags, whole):
    flags = (many / "data", *many_flags, "--output_dir", many / "two")
    process = start(*LAUNCH, "recipes/predict.py", *flags)
    output = process.communicate()[0].decode()
    assert process.returncode == 1, output[-3000:]
    assert output.count(RESPONSIBLE_USE) == 1 and output.count("4 of 5 recordings are done") == 1, output
    assert output.count(f"error: {many / 'data' / 'c.mp4'}: cannot be read") == 1
    assert contents(many / "two") == whole


@pytest.mark.parametrize(("word", "status"), [("body", 0), ("frame", 0), ("grown", 2)])
def test_the_context_has_the_processors_words(trained, lessons, tmp_path, capsys, word, status):
    flags = ("--model", trained, *QUICK, "--formats", "csv", "--context", word, "--output_dir", tmp_path / "out")
    assert run(lessons / "walk.mp4", *flags) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == (1 if status else 0) and all("'body'" in line for line in lines)


def test_a_document_root_above_no_recording_is_told_before_anything_is_done(trained, lessons, tmp_path, capsys):
    flags = ("--model", trained, *QUICK, "--formats", "label_studio", "--output_dir", tmp_path / "out")
    assert run(lessons, *flags, "--label_studio_root", tmp_path) == 2
    assert "--label-studio-root" in capsys.readouterr().err and not (tmp_path / "out").exists()
