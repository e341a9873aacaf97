"""Tables of windows and of segments, as CSV, JSON lines and Parquet, under one schema: docs/timeline.md."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.recordings.timeline import (
    SCHEMA_VERSION,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


TABLE_FORMATS = ("csv", "jsonl", "parquet")
SCORE_DIGITS = 6

Row = dict[str, Any]


def window_columns(labels: list[str]) -> dict[str, pa.DataType]:
    """Names and types of the columns of windows. A label's probability is in `p_<label>`."""
    return {
        **{"source": pa.string(), "person": pa.string(), "window": pa.int32()},
        **{"start": pa.float64(), "end": pa.float64()},
        **{"face_status": pa.string(), "face_frames": pa.int32(), "num_frames": pa.int32()},
        **{"label": pa.string(), "score": pa.float64(), **{f"p_{label}": pa.float64() for label in labels}},
        **{"zero_shot": pa.bool_(), "calibrated": pa.bool_(), "schema_version": pa.string()},
    }


def segment_columns() -> dict[str, pa.DataType]:
    """Names and types of the columns of segments."""
    return {
        **{"source": pa.string(), "person": pa.string(), "start": pa.float64(), "end": pa.float64()},
        **{"label": pa.string(), "score": pa.float64(), "num_windows": pa.int32()},
        **{"zero_shot": pa.bool_(), "calibrated": pa.bool_(), "schema_version": pa.string()},
    }


def window_row(window: TimelineWindow, labels: list[str], settings: dict[str, Any]) -> Row:
    """The row of one window, in the columns' order. Without a picture, label, score and probabilities are `None`."""
    values = asdict(window)
    probabilities = values.pop("probabilities")
    return _rounded(values) | {
        **{f"p_{label}": _round_score(probabilities.get(label)) for label in labels},
        **_marks(settings),
    }


def window_rows(timeline: Timeline) -> Iterator[Row]:
    """The rows of its windows."""
    return (window_row(window, timeline.labels, timeline.settings) for window in timeline.windows)


def segment_rows(timeline: Timeline) -> Iterator[Row]:
    """The rows of its segments."""
    return (_rounded(asdict(segment)) | _marks(timeline.settings) for segment in timeline.segments)


def milliseconds(seconds: float) -> int:
    """Nearest whole millisecond: how exact the times of every file are."""
    return round(1000 * seconds)


def _rounded(values: Row) -> Row:
    times = {name: milliseconds(values[name]) / 1000 for name in ("start", "end")}
    return values | times | {"score": _round_score(values["score"])}


def _round_score(score: float | None) -> float | None:
    return None if score is None else round(score, SCORE_DIGITS)


def _marks(settings: dict[str, Any]) -> Row:
    return {
        "zero_shot": bool(settings["zero_shot"]),
        "calibrated": bool(settings["calibrated"]),
        "schema_version": SCHEMA_VERSION,
    }


def write_table(rows: Iterable[Row], columns: dict[str, pa.DataType], path: Path) -> None:
    """Write `rows`, which have all of `columns`, in the format of the suffix of `path`: one of `TABLE_FORMATS`."""
    {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}[path.suffix](rows, columns, path)


def _write_csv(rows: Iterable[Row], columns: dict[str, pa.DataType], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(safe_row(columns))
        for row in rows:
            cells = (str(row[name]).lower() if isinstance(row[name], bool) else row[name] for name in columns)
            writer.writerow(safe_row(cells))


def _write_jsonl(rows: Iterable[Row], columns: dict[str, pa.DataType], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json_line(row) for row in rows)


def json_line(row: Row) -> str:
    """A row as one line of JSON."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _write_parquet(rows: Iterable[Row], columns: dict[str, pa.DataType], path: Path) -> None:
    schema = pa.schema(list(columns.items()), {"notice": RESPONSIBLE_USE, "schema_version": SCHEMA_VERSION})
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)


def join_tables(parts: Sequence[Path], path: Path) -> None:
    """One table of the rows of `parts`, at least one, which have the same columns and the format of `path`.

    No more than one of them is in memory at a time.
    """
    {".csv": _join_csv, ".jsonl": _join_jsonl, ".parquet": _join_parquet}[path.suffix](parts, path)


def _join_csv(parts: Sequence[Path], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for number, part in enumerate(parts):
            with part.open(newline="", encoding="utf-8") as part_file:
                rows = csv.reader(part_file)
                header = next(rows)
                writer.writerows(rows if number else [header, *rows])


def _join_jsonl(parts: Sequence[Path], path: Path) -> None:
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as part_file:
                shutil.copyfileobj(part_file, file)


def _join_parquet(parts: Sequence[Path], path: Path) -> None:
    with pq.ParquetWriter(path, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))


def save_timeline(timeline: Timeline, path: Path, **extra: Any) -> None:
    """Write all of `timeline` as one JSON file, behind `extra` keys."""
    content = {"schema_version": SCHEMA_VERSION, "notice": RESPONSIBLE_USE, **extra, **asdict(timeline)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def load_timeline(path: Path) -> Timeline:
    """The timeline that `save_timeline` wrote.

    Raises:
        InputError: it is broken, not whole, or of another version of the schema.
    """
    content = read_object(path)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{path}: expected schema {SCHEMA_VERSION}, found {content.get('schema_version')}")
    try:
        return _as_timeline(content)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(f"{path}: is no whole timeline: {error}") from error


def _as_timeline(content: dict[str, Any]) -> Timeline:
    return Timeline(
        **{name: content[name] for name in ("source", "duration", "width", "height", "labels", "settings", "notes")},
        windows=[TimelineWindow(**window) for window in content["windows"]],
        segments=[TimelineSegment(**segment) for segment in content["segments"]],
        sightings=[FaceSighting(**{**seen, "box": tuple(seen["box"])}) for seen in content["sightings"]],
    )
