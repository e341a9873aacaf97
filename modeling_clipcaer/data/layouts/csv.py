"""Build your own videos and a table of their labels into a dataset on disk.

    clipcaer build csv --csv clips.csv --output OUT --test-share 0.2

reads a CSV file with the columns

    video        a path, absolute or relative to --root or the table's folder,
                 and within it unless --allow-outside-root is given
    label        a name
    start, end   seconds from the video's first frame; empty: its ends
    person       who is seen; without it each video is a person of its own
    split        train, validation or test; without it all are training clips
    face_left, face_top, face_right, face_bottom    the face, in pixels
    body_left, body_top, body_right, body_bottom    the body, or other context
    votes_LABEL  of any of the labels: how many raters said it; empty is none

of which the first two are needed, and no others. A box is that of all frames of a clip, and may be empty, all four.
Three lines of such a file:

    video,label,start,end,person,split
    monday.mp4,Fatigue,0,8.5,anna,train
    monday.mp4,Neutrality,8.5,17,anna,train
"""

import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.data.boxes import Box, parse_box
from modeling_clipcaer.data.clip_keys import find_spelled
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip, find_split
from modeling_clipcaer.data.tables import parse_count, read_csv, read_table
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import option


SIDES = ("left", "top", "right", "bottom")
VOTES = "votes_"
BOX_COLUMNS = {kind: [f"{kind}_{side}" for side in SIDES] for kind in ("face", "body")}
OPTIONAL = ("start", "end", "person", "split", *BOX_COLUMNS["face"], *BOX_COLUMNS["body"])


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The table."""

    csv: str = option(
        MISSING,
        f"The table of clips: columns video, label and perhaps {', '.join(OPTIONAL)}, {VOTES}LABEL",
        metavar="FILE",
    )
    root: str | None = option(None, "What paths are relative to (default: the folder of the table)", metavar="DIR")
    labels: list[str] | None = option(None, "The labels, in order (default: those found, A to Z)", metavar="NAME")
    ignore_columns: bool = option(False, "Pass over columns of other names")

    @property
    def clips_folder(self) -> Path:
        return Path(self.csv).parent if self.root is None else Path(self.root)


def find_clips(settings: Settings) -> Source:
    """The clips of the table's lines."""
    table = Path(settings.csv)
    root = find_spelled(Path(os.path.abspath(settings.clips_folder)))
    rows = read_csv(table)
    votes = [name for name in (rows[0][1] if rows else ()) if name.startswith(VOTES)]
    optional = None if settings.ignore_columns else (*OPTIONAL, *votes)
    lines = read_table(rows, table, ("video", "label"), optional, "--ignore-columns passes over others")
    return Source([parse_line(line, place, root) for place, line in lines], settings.labels, [table], "listed")


def parse_line(line: Mapping[str, str], place: str, root: Path) -> SourceClip:
    """The clip of a line, by column."""
    for field in ("video", "label", "person", "split"):
        if not line.get(field, "?"):
            raise InputError(f"{place}: field `{field}` is empty; expected a value")
    split = find_split(line.get("split", "train"))
    if split is None:
        raise InputError(f"{place}: field `split` is '{line['split']}'; expected one of {', '.join(SPLITS)}")
    start, end = parse_seconds(line, "start", place) or 0.0, parse_seconds(line, "end", place)
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"{place}: fields `start` and `end` are {start} and {end}; expected 0 <= start < end")
    # Keep: one spelling of a path, or x/../a.mp4 would be another clip than a.mp4, perhaps of another split.
    path = find_spelled(Path(os.path.abspath(root / line["video"].replace("\\", "/"))))
    return SourceClip(
        path=str(path),
        # Keep: below `/` lies everything; a name relative to that would be the whole path.
        name=path.relative_to(root).as_posix() if path.is_relative_to(root) and root.name else path.as_posix(),
        label=line["label"],
        place=place,
        split=split,
        person=line.get("person"),
        start=start,
        end=end,
        face=parse_box_fields(line, "face", place),
        body=parse_box_fields(line, "body", place),
        votes=parse_votes(line, place),
    )


def parse_votes(line: Mapping[str, str], place: str) -> dict[str, int] | None:
    """The raters' votes by label, `None` where the table has no such column."""
    fields = [field for field in line if field.startswith(VOTES)]
    return {
        field.removeprefix(VOTES): parse_count(line[field], f"{place}: field `{field}`") for field in fields
    } or None


def parse_seconds(line: Mapping[str, str], field: str, place: str) -> float | None:
    """The seconds in a field, `None` where it is empty."""
    text = line.get(field, "")
    return parse_number(text, f"{place}: field `{field}`", "seconds like 12.5") if text else None


def parse_box_fields(line: Mapping[str, str], kind: str, place: str) -> Box | None:
    """The box in the four fields of a kind, `None` where all are empty."""
    texts = {field: line.get(field, "") for field in BOX_COLUMNS[kind]}
    empty = [field for field, text in texts.items() if not text]
    if len(empty) == len(SIDES):
        return None
    if empty:
        raise InputError(f"{place}: field `{empty[0]}` is empty; expected all four of {', '.join(texts)}, or none")
    numbers = [parse_number(text, f"{place}: field `{field}`", "pixels") for field, text in texts.items()]
    return parse_box(numbers, f"{place}: {kind} box")


def parse_number(text: str, where: str, expected: str) -> float:
    """A finite number from the text of a field."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where} is '{text}'; expected {expected}")
    return number
