"""What a checkpoint answered on every clip, in one file from which all figures can be computed again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.layouts.raer import place_of
from modeling_clipcaer.data.loading import count_frames
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import check_format, parse_json


FILE_NAME = "predictions.parquet"
# Of a training run FILE_NAME is of its result, which is one of the two, and the other one is beside it.
LAST_FILE_NAME = "predictions_last.parquet"
SELECTED_FILE_NAME = "predictions_selected.parquet"
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
        places: where each clip was recorded, empty where it is not known.
        num_frames: of every clip, int64 of shape (num_clips,); `None`: not known.
        face_shares: share of a clip's frames that have a face box of their own, float64 of shape (num_clips,); `None`:
            not known.
    """

    labels: list[str]
    clip_ids: list[str]
    person_ids: list[str]
    references: np.ndarray
    logits: np.ndarray
    places: list[str] = field(default_factory=list)
    num_frames: np.ndarray | None = None
    face_shares: np.ndarray | None = None

    @property
    def persons(self) -> list[str] | None:
        """Who is seen in each clip; `None` where it is not known of all."""
        return self.person_ids if all(self.person_ids) else None


def collect_predictions(rows: Dataset, logits: np.ndarray, labels: Sequence[str]) -> Predictions:
    """The answers `logits` to `rows`, in their order. Of cached clips neither persons nor boxes are known: give the
    rows of the dataset."""
    clip_ids, names = rows["clip_id"][:], set(rows.column_names)
    is_whole = names & {"frame_names", "num_frames"}
    return Predictions(
        list(labels),
        clip_ids,
        rows["person_id"][:] if "person_id" in names else [""] * len(rows),
        np.asarray(rows["label"][:], np.int64),
        np.asarray(logits, np.float32),
        places=[place or "" for place in (rows["place"][:] if "place" in names else map(place_of, clip_ids))],
        num_frames=np.array(count_frames(rows), np.int64) if is_whole else None,
        face_shares=_share_of_own_boxes(rows) if "face_box_sources" in names else None,
    )


def _share_of_own_boxes(rows: Dataset) -> np.ndarray:
    own = BOX_SOURCES.index("annotated")
    return np.array([sources.count(own) / max(len(sources), 1) for sources in rows["face_box_sources"][:]])


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write a Parquet file with the columns `clip_id`, `person_id`, `label` (its name) and `logits`, and where they
    are known `place`, `num_frames` and `face_share`."""
    about = {"format_version": FORMAT_VERSION, "labels": predictions.labels}
    columns: dict[str, Any] = {
        "clip_id": predictions.clip_ids,
        "person_id": predictions.person_ids,
        "label": [predictions.labels[reference] for reference in predictions.references],
        "logits": pa.array(predictions.logits.tolist(), pa.list_(pa.float32())),
        **({"place": predictions.places} if predictions.places else {}),
        **({} if predictions.num_frames is None else {"num_frames": predictions.num_frames}),
        **({} if predictions.face_shares is None else {"face_share": predictions.face_shares}),
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
    with _tell_other_files(path):
        table = pq.read_table(path)
        about = parse_json((table.schema.metadata or {})[_KEY], path)
        version, labels, columns = about["format_version"], about["labels"], table.to_pydict()
    check_format(version, FORMAT_VERSION, path)
    with _tell_other_files(path):
        references = np.array([labels.index(label) for label in columns["label"]], np.int64)
        logits = np.array(columns["logits"], np.float32).reshape(len(references), len(labels))
        clip_ids, person_ids = columns["clip_id"], columns["person_id"]
    if not np.isfinite(logits).all():
        raise InputError(f"{path}: expected finite logits, found others")
    num_frames, face_shares = columns.get("num_frames"), columns.get("face_share")
    return Predictions(
        labels,
        clip_ids,
        person_ids,
        references,
        logits,
        places=columns.get("place", []),
        num_frames=None if num_frames is None else np.array(num_frames, np.int64),
        face_shares=None if face_shares is None else np.array(face_shares, np.float64),
    )


@contextmanager
def _tell_other_files(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: expected the answers of an evaluation, found no file") from None
    except (OSError, pa.ArrowException, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected {FILE_NAME} of an evaluation, found another file") from error
