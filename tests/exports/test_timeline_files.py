"""Tables of windows and segments: read back, they hold what was written."""

import csv
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pandas
import pyarrow.parquet as pq
import pytest

from helpers.places import ROOT
from helpers.timelines import LABELS, SOURCE, blank_window, make_timeline
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.tables import (
    join_recordings,
    join_tables,
    segment_columns,
    segment_rows,
    window_columns,
    window_rows,
    write_table,
    write_tables,
)
from modeling_clipcaer.exports.timeline_json import load_timeline, save_timeline
from modeling_clipcaer.prediction.clips import write_predictions
from modeling_clipcaer.recordings.timeline import (
    FACE_STATUSES,
    ROOM,
    SCHEMA_VERSION,
    join_notes,
)


def to_millisecond(seconds):
    return round(1000 * seconds) / 1000


def read(path):
    """The rows of a table, with numbers and truth values as such."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return [{name: parse(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def parse(cell):
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_windows_come_back_in_order_with_times_to_the_millisecond(tmp_path, suffix):
    timeline = make_timeline()
    path = tmp_path / f"timeline.{suffix}"
    write_table(window_rows(timeline), window_columns(LABELS), path)
    rows = read(path)
    assert len(rows) == 9
    for row, window in zip(rows, timeline.windows, strict=True):
        assert list(row) == list(window_columns(LABELS))
        for name in ("source", "person", "window", "face_status", "face_frames", "num_frames", "label"):
            assert row[name] == getattr(window, name)
        assert (row["start"], row["end"]) == (to_millisecond(window.start), to_millisecond(window.end))
        assert abs(row["score"] - window.score) <= 5e-7 and row[f"p_{LABELS[1]}"] == row["score"]
        assert math.isclose(sum(row[f"p_{label}"] for label in LABELS), 1, abs_tol=2e-6)
        assert (row["zero_shot"], row["calibrated"]) == (True, False)
        assert str(row["schema_version"]) == SCHEMA_VERSION


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_segments_come_back_with_times_to_the_millisecond(tmp_path, suffix):
    timeline = make_timeline()
    path = tmp_path / f"segments.{suffix}"
    write_table(segment_rows(timeline), segment_columns(), path)
    rows = read(path)
    assert [list(row) for row in rows] == [list(segment_columns())] * 6
    assert [(row["person"], row["start"], row["end"], row["label"], row["num_windows"]) for row in rows] == [
        (
            segment.person,
            to_millisecond(segment.start),
            to_millisecond(segment.end),
            segment.label,
            segment.num_windows,
        )
        for segment in timeline.segments
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_without_rows_is_still_a_table(tmp_path, suffix):
    path = tmp_path / f"timeline.{suffix}"
    write_table([], window_columns(LABELS), path)
    assert read(path) == []
    if suffix == "csv":
        assert next(csv.reader(path.open(encoding="utf-8"))) == list(window_columns(LABELS))


def test_parquet_is_typed_and_carries_the_notice(tmp_path):
    path = tmp_path / "timeline.parquet"
    write_table(window_rows(make_timeline()), window_columns(LABELS), path)
    schema = pq.read_schema(path)
    assert {name: str(schema.field(name).type) for name in schema.names} == window_columns(LABELS)
    assert schema.metadata[b"notice"].decode() == RESPONSIBLE_USE
    assert schema.metadata[b"schema_version"].decode() == SCHEMA_VERSION


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_joined_tables_are_one_table_of_the_rows_of_all(tmp_path, suffix):
    parts = [tmp_path / f"{number}.{suffix}" for number in range(3)]
    rows = [list(window_rows(make_timeline(f"{number}, {SOURCE}"))) for number in range(3)]
    rows[1] = []
    for part, own in zip(parts, rows, strict=True):
        write_table(own, window_columns(LABELS), part)
    join_tables(parts, tmp_path / f"joined.{suffix}")
    write_table(rows[0] + rows[2], window_columns(LABELS), tmp_path / f"at_once.{suffix}")
    assert read(tmp_path / f"joined.{suffix}") == read(tmp_path / f"at_once.{suffix}")
    if suffix == "parquet":
        assert pq.read_schema(tmp_path / "joined.parquet").metadata[b"notice"].decode() == RESPONSIBLE_USE
    else:
        assert (tmp_path / f"joined.{suffix}").read_bytes() == (tmp_path / f"at_once.{suffix}").read_bytes()


def test_a_label_named_like_a_column_has_a_column_of_its_own():
    columns = window_columns(["label", "score", "p_score"])
    assert len(columns) == len(window_columns(LABELS)) and set(columns) >= {"p_label", "p_score", "p_p_score"}


def test_every_column_and_the_version_are_documented():
    text = (ROOT / "docs" / "reference" / "timeline_files.md").read_text(encoding="utf-8")
    windows, segments = text.split("## Windows: ")[1].split("## Segments: ")
    for part, columns in ((windows, window_columns(["<label>"])), (segments, segment_columns())):
        assert [name for name in columns if f"`{name}`" not in part] == []
    assert f"version **{SCHEMA_VERSION}** of the schema" in text
    assert [status for status in FACE_STATUSES if f"`{status}`" not in windows] == []


def test_a_saved_timeline_is_loaded_as_it_was(tmp_path):
    timeline = make_timeline()
    save_timeline(timeline, tmp_path / "recording.json", made_from={"size": 3})
    assert load_timeline(tmp_path / "recording.json") == timeline
    content = json.loads((tmp_path / "recording.json").read_text(encoding="utf-8"))
    assert content["notice"] == RESPONSIBLE_USE and content["made_from"] == {"size": 3}


def test_a_timeline_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "recording.json"
    save_timeline(make_timeline(), path)
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{SCHEMA_VERSION}"', '"0.9"', 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"recording.json: expected schema .*, found 0.9"):
        load_timeline(path)


def test_the_tables_of_all_recordings_are_those_of_their_folders(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        write_tables(make_timeline(f"{folder.name}.mp4"), folder / "timeline.jsonl", folder / "segments.jsonl")
    join_recordings(SimpleNamespace(folders=folders), tmp_path / "timeline.jsonl", tmp_path / "segments.jsonl")
    for name, rows in (("timeline", 9), ("segments", 6)):
        lines = (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["source"] for line in lines] == ["a.mp4"] * rows + ["b.mp4"] * rows


def test_a_stretch_without_a_picture_is_a_row_without_an_answer(tmp_path):
    timeline = make_timeline(num_windows=1)
    timeline.windows.append(blank_window(1, 10.25, 4010.25))
    shares = [f"p_{label}" for label in LABELS]
    for suffix in ("csv", "jsonl", "parquet"):
        write_table(window_rows(timeline), window_columns(LABELS), tmp_path / f"timeline.{suffix}")
    with (tmp_path / "timeline.csv").open(newline="", encoding="utf-8") as file:
        *_, row = csv.DictReader(file)
    assert (row["face_status"], row["person"], row["end"], row["num_frames"]) == ("no_picture", ROOM, "4010.25", "0")
    assert [row[name] for name in ("label", "score", *shares)] == [""] * 5
    row = json.loads((tmp_path / "timeline.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert list(row) == list(window_columns(LABELS)) and [row[name] for name in ("label", *shares)] == [None] * 4
    row = pq.read_table(tmp_path / "timeline.parquet").to_pylist()[-1]
    assert [row[name] for name in ("label", "score", *shares)] == [None] * 5
    frame = pandas.read_csv(tmp_path / "timeline.csv")
    assert frame.iloc[-1][["label", "score", *shares]].isna().all() and frame[shares].dtypes.eq(float).all()
    save_timeline(timeline, tmp_path / "recording.json")
    assert load_timeline(tmp_path / "recording.json") == timeline


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_a_csv_begins_a_formula(tmp_path, start):
    source, label = f"{start}cmd().mp4", f"{start}1"
    timeline = make_timeline(source)
    timeline.segments[:] = [replace(segment, label=label) for segment in timeline.segments]
    write_table(window_rows(timeline), window_columns(LABELS), tmp_path / "timeline.csv")
    write_table(segment_rows(timeline), segment_columns(), tmp_path / "segments.csv")
    join_tables([tmp_path / "segments.csv"] * 2, tmp_path / "joined.csv")
    write_predictions(
        [{"clip": source, "label": label, "score": -0.5, "scores": {label: -0.5}}], {}, [label], "m", tmp_path
    )
    for name in ("timeline", "segments", "joined", "predictions"):
        with (tmp_path / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert f"'{source}" in cells and not [cell for cell in cells if cell[:1] == start and cell != "-0.5"]
    assert "-0.5" in cells  # numbers stay numbers


def test_notes_in_one_line_are_sentences():
    assert join_notes(["the file is short", "3 frames are damaged."]) == "the file is short. 3 frames are damaged"
    assert join_notes([]) == ""


@pytest.mark.parametrize(
    "text", ["[]", '{"schema_ver', "{}", "[" * 10**6, json.dumps({"schema_version": SCHEMA_VERSION})]
)
def test_a_broken_recording_is_told_in_one_line(tmp_path, text):
    path = tmp_path / "recording.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_timeline(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
