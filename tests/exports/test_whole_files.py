"""Every file of text that a small timeline becomes, to the last character, as it was read over once."""

from pathlib import Path

import pytest

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.elan import write_elan
from modeling_clipcaer.exports.label_studio import render_label_studio_config, write_label_studio
from modeling_clipcaer.exports.tables import write_tables
from modeling_clipcaer.exports.vtt import write_vtt
from modeling_clipcaer.recordings.timeline import Timeline, TimelineSegment, TimelineWindow


EXPECTED = Path(__file__).parents[1] / "fixtures" / "timeline_files"
SOURCE = "/data/lessons/a b.mp4"


@pytest.fixture
def timeline():
    windows = [
        TimelineWindow(
            *(SOURCE, "person-1", 0, 0.0, 10.00049, "detected", 12, 16, "calm", 0.75), {"calm": 0.75, "cross": 0.25}
        ),
        TimelineWindow(SOURCE, "room", 1, 10.0, 20.0, "no_picture", 0, 0, None, None, {}),
    ]
    segments = [
        TimelineSegment(SOURCE, "room", 0.0, 61.5, "calm", 0.5, 3),
        TimelineSegment(SOURCE, "person-1", 3.04, 3.05, "cross", 2 / 3, 1),
    ]
    settings = {"model": "a/model", "zero_shot": False, "calibrated": True}
    return Timeline(SOURCE, 61.5, 640, 360, ["calm", "cross"], windows, segments, settings=settings)


def write_tasks(timeline, path):
    assert write_label_studio([timeline], path, Path("/data")) == ["room", "person-1"]


def write_config(timeline, path):
    path.write_text(render_label_studio_config(["room", "person-1"], timeline.labels), encoding="utf-8")


def write_windows(timeline, path):
    write_tables(timeline, path, path.with_stem("others"))


def write_segments(timeline, path):
    write_tables(timeline, path.with_stem("others"), path)


WRITERS = {
    "timeline.eaf": write_elan,
    "timeline.vtt": write_vtt,
    "label_studio.json": write_tasks,
    "label_studio.xml": write_config,
    "windows.csv": write_windows,
    "windows.jsonl": write_windows,
    "segments.csv": write_segments,
    "segments.jsonl": write_segments,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_what_was_read_over(timeline, name, tmp_path, monkeypatch):
    # Relative paths in an ELAN document are those from its folder.
    monkeypatch.setattr("os.path.relpath", lambda file, folder: f"../{file.removeprefix('/')}")
    WRITERS[name](timeline, tmp_path / name)
    expected = (EXPECTED / name).read_bytes().decode("utf-8").replace("THE NOTICE", RESPONSIBLE_USE)
    assert (tmp_path / name).read_bytes().decode("utf-8") == expected
