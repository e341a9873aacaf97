"""recording.json: a whole timeline, from which its other files can be written again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.recordings.timeline import (
    SCHEMA_VERSION,
    UNCERTAIN,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


# The file's name in the folder of a recording.
RECORDING = "recording.json"


@dataclass(frozen=True)
class FinishedRecordings:
    """Recordings whose folders are complete. Iterated over, they give their timelines, of which one is held at a time.

    Attributes:
        sources: the recordings, as they were named.
        folders: of each.
    """

    sources: Sequence[str]
    folders: Sequence[Path]

    def __iter__(self) -> Iterator[Timeline]:
        return (load_timeline(folder / RECORDING) for folder in self.folders)

    @property
    def labels(self) -> list[str]:
        """The labels that their segments can have."""
        first = next(iter(self))
        # A model of faces alone knows nothing of windows without any.
        can_be_uncertain = first.settings["threshold"] > 0 or first.settings["streams"] == "face"
        return [*first.labels, *([UNCERTAIN] if can_be_uncertain else [])]


def save_timeline(timeline: Timeline, path: Path, **extra: Any) -> None:
    """Write all of `timeline` as one JSON file, behind `extra` keys."""
    content = {"schema_version": SCHEMA_VERSION, "notice": RESPONSIBLE_USE, **extra, **vars(timeline)}
    write_json(content, path, indent=1)


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
