"""Answers to clips survive their file, and other files are refused."""

import numpy as np
import pandas
import pytest

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.reports.predictions import Predictions, read_predictions, write_predictions


LOGITS = np.array([[1.5, -2.25], [0.1, 0.2], [3.0, 3.0]], np.float32)


def make_predictions() -> Predictions:
    return Predictions(["calm", "glad"], ["a/1", "a/2", "b/1"], ["a", "a", "b"], np.array([0, 1, 1]), LOGITS)


def test_answers_are_read_as_they_were_written(tmp_path):
    write_predictions(make_predictions(), tmp_path / "predictions.parquet")
    found = read_predictions(tmp_path)
    assert (found.labels, found.clip_ids, found.person_ids) == (["calm", "glad"], ["a/1", "a/2", "b/1"], list("aab"))
    assert found.references.tolist() == [0, 1, 1] and np.array_equal(found.logits, LOGITS)


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
