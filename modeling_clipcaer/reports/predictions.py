"""What a checkpoint answered on every clip, in one file from which all figures can be computed again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.errors import InputError


FILE_NAME = "predictions.parquet"
FORMAT_VERSION = 1
_KEY = b"clipcaer"  # of the file's own metadata


@dataclass(frozen=True)
class Predictions:
    """Answers to clips.

    Args:
        labels: names, in the order of the logits.
        clip_ids: of every clip.
        person_ids: who is seen in it.
        references: true labels, int64 of shape (num_clips,), 0-based.
        logits: float32 of shape (num_clips, num_labels), unadjusted.
    """

    labels: list[str]
    clip_ids: list[str]
    person_ids: list[str]
    references: np.ndarray
    logits: np.ndarray


def collect_predictions(rows: Dataset, logits: np.ndarray, labels: Sequence[str]) -> Predictions:
    """The answers `logits` to `rows`, in their order."""
    references = np.asarray(rows["label"][:], np.int64)
    persons = rows["person_id"][:] if "person_id" in rows.column_names else [""] * len(rows)
    return Predictions(list(labels), rows["clip_id"][:], persons, references, np.asarray(logits, np.float32))


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write a Parquet file with the columns `clip_id`, `person_id`, `label` (its name) and `logits`."""
    about = {"format_version": FORMAT_VERSION, "labels": predictions.labels}
    columns: dict[str, Any] = {
        "clip_id": predictions.clip_ids,
        "person_id": predictions.person_ids,
        "label": [predictions.labels[reference] for reference in predictions.references],
        "logits": pa.array(predictions.logits.tolist(), pa.list_(pa.float32())),
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    with complete_file(path) as partial:
        pq.write_table(table, partial)


def read_predictions(path: str | Path) -> Predictions:
    """Read what [`write_predictions`] wrote: a file, or the folder of a run.

    Raises:
        InputError: there is no such file, or it is none of ours.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[_KEY])
    except FileNotFoundError:
        raise InputError(f"{path}: expected the answers of an evaluation, found no file") from None
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{path}: expected {FILE_NAME} of an evaluation, found another file") from error
    if about["format_version"] != FORMAT_VERSION:
        raise InputError(f"{path}: format version {about['format_version']}, this program reads {FORMAT_VERSION}")
    labels, columns = about["labels"], table.to_pydict()
    references = np.array([labels.index(label) for label in columns["label"]], np.int64)
    logits = np.array(columns["logits"], np.float32).reshape(len(references), len(labels))
    return Predictions(labels, columns["clip_id"], columns["person_id"], references, logits)
