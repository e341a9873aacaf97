"""Tables of windows and of segments: CSV, JSON lines, Parquet. docs/reference/timeline_files.md has their schema."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.exports.look import milliseconds
from modeling_clipcaer.exports.timeline_json import FinishedRecordings
from modeling_clipcaer.recordings.timeline import SCHEMA_VERSION, Timeline, TimelineWindow


SCORE_DIGITS = 6
ROWS_AT_A_TIME = 4096  # as Arrow, of which a long recording's would else all be in memory

Row = dict[str, Any]


def window_columns(labels: list[str]) -> dict[str, str]:
    """Names and types, as Arrow calls them, of the columns of windows. A label's probability is in `p_<label>`."""
    return {
        **{"source": "string", "person": "string", "window": "int32", "start": "double", "end": "double"},
        **{"face_status": "string", "face_frames": "int32", "num_frames": "int32"},
        **{"label": "string", "score": "double", **{f"p_{label}": "double" for label in labels}},
        **{"zero_shot": "bool", "calibrated": "bool", "schema_version": "string"},
    }


def segment_columns() -> dict[str, str]:
    """Names and types, as Arrow calls them, of the columns of segments."""
    return {
        **{"source": "string", "person": "string", "start": "double", "end": "double"},
        **{"label": "string", "score": "double", "num_windows": "int32"},
        **{"zero_shot": "bool", "calibrated": "bool", "schema_version": "string"},
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


def write_tables(timeline: Timeline, windows: Path, segments: Path) -> None:
    """Write the tables of windows and of segments of one recording, each to the path of its name."""
    write_table(window_rows(timeline), window_columns(timeline.labels), windows)
    write_table(segment_rows(timeline), segment_columns(), segments)


def write_table(rows: Iterable[Row], columns: dict[str, str], path: Path) -> None:
    """Write `rows`, which have all of `columns`, in the format of the suffix of `path`: csv, jsonl, parquet."""
    {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}[path.suffix](rows, columns, path)


def _write_csv(rows: Iterable[Row], columns: dict[str, str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(safe_row(columns))
        for row in rows:
            cells = (str(row[name]).lower() if isinstance(row[name], bool) else row[name] for name in columns)
            writer.writerow(safe_row(cells))


def _write_jsonl(rows: Iterable[Row], columns: dict[str, str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json_line(row) for row in rows)


def json_line(row: Row) -> str:
    """A row as one line of JSON."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _write_parquet(rows: Iterable[Row], columns: dict[str, str], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = [(name, pa.type_for_alias(type_name)) for name, type_name in columns.items()]
    schema = pa.schema(types, {"notice": RESPONSIBLE_USE, "schema_version": SCHEMA_VERSION})
    rows = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, ROWS_AT_A_TIME)):
            writer.write_table(pa.Table.from_pylist(part, schema))


def join_recordings(recordings: FinishedRecordings, *paths: Path) -> None:
    """Write the tables of all recordings, of those that lie in their folders by the same names."""
    for path in paths:
        join_tables([folder / path.name for folder in recordings.folders], path)


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
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))
