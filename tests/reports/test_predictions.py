"""Answers to clips survive their file, and other files are refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.reports.predictions import Predictions, collect_predictions, read_predictions, write_predictions


LOGITS = np.array([[1.5, -2.25], [0.1, 0.2], [3.0, 3.0]], np.float32)


def make_predictions() -> Predictions:
    return Predictions(["calm", "glad"], ["a/1", "a/2", "b/1"], ["a", "a", "b"], np.array([0, 1, 1]), LOGITS)


def test_answers_are_read_as_they_were_written(tmp_path):
    write_predictions(make_predictions(), tmp_path / "predictions.parquet")
    found = read_predictions(tmp_path)
    assert (found.labels, found.clip_ids, found.person_ids) == (["calm", "glad"], ["a/1", "a/2", "b/1"], list("aab"))
    assert found.references.tolist() == [0, 1, 1] and np.array_equal(found.logits, LOGITS)


def test_what_is_known_of_clips_is_kept_with_them(tmp_path):
    about = {"places": ["Lab", "Lab", ""], "num_frames": np.array([8, 9, 10]), "face_shares": np.array([1, 0.5, 0])}
    write_predictions(replace(make_predictions(), **about), tmp_path / "predictions.parquet")
    found = read_predictions(tmp_path)
    assert found.places == about["places"] and found.num_frames.tolist() == [8, 9, 10]
    assert found.face_shares.tolist() == [1, 0.5, 0]


def test_rows_tell_places_lengths_and_which_faces_were_found():
    sources = ClassLabel(names=list(BOX_SOURCES))
    features = Features(
        {
            **{name: Value("string") for name in ("clip_id", "person_id")},
            "label": Value("int64"),
            "frame_names": List(Value("string")),
            "face_box_sources": List(sources),
        }
    )
    columns = {
        "clip_id": ["images/SelfStudy/Library/P012/003", "other"],
        "person_id": ["P012", "P013"],
        "label": [1, 0],
        "frame_names": [["1.jpg", "2.jpg"], ["1.jpg"]],
        "face_box_sources": [["annotated", "nearest"], ["frame"]],
    }
    found = collect_predictions(Dataset.from_dict(columns, features), LOGITS[:2], ["calm", "glad"])
    assert found.places == ["Library", ""] and found.num_frames.tolist() == [2, 1]
    assert found.face_shares.tolist() == [0.5, 0] and found.references.tolist() == [1, 0]
    assert replace(found, person_ids=["P012", ""]).persons is None and found.persons == ["P012", "P013"]


def test_pandas_reads_labels_by_name(tmp_path):
    write_predictions(make_predictions(), tmp_path / "predictions.parquet")
    table = pandas.read_parquet(tmp_path / "predictions.parquet")
    assert table["label"].tolist() == ["calm", "glad", "glad"]
    assert np.array_equal(np.stack(table["logits"]), LOGITS)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"predictions\.parquet: expected the answers .*, found no file"):
        read_predictions(tmp_path)
    (tmp_path / "predictions.parquet").write_bytes(b"none")
    with pytest.raises(InputError, match="found another file"):
        read_predictions(tmp_path)
    pandas.DataFrame({"clip_id": ["a"]}).to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(InputError, match="found another file"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    ("about", "change", "message"),
    [
        ([1], {}, "found another file"),
        ({"format_version": 1}, {}, "found another file"),
        ({"format_version": 1, "labels": ["calm"]}, {}, "found another file"),
        ({"format_version": 1, "labels": 5}, {}, "found another file"),
        ({"format_version": 9, "labels": []}, {}, "`format_version` is 9, this version of ClipCaer reads up to 1"),
        ({"format_version": 1, "labels": ["calm", "glad"]}, {"logits": [[1.0], [2.0], [3.0]]}, "found another file"),
        ({"format_version": 1, "labels": ["calm", "glad"]}, {"logits": [[math.nan, 0.0]] * 3}, "expected finite"),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_one_line(tmp_path, about, change, message):
    columns = {"clip_id": ["a", "b", "c"], "person_id": ["p"] * 3, "label": ["calm", "glad", "glad"]}
    columns |= {"logits": LOGITS.tolist()} | change
    table = pa.table(columns).replace_schema_metadata({b"clipcaer": json.dumps(about)})
    pq.write_table(table, tmp_path / "predictions.parquet")
    with pytest.raises(InputError, match=message) as told:
        read_predictions(tmp_path)
    assert "\n" not in str(told.value)
