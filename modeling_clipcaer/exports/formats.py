"""The table of formats: what can be written of recordings, and which file of this folder writes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Format:
    """A format of files.

    The functions are told as `module.function` of this folder, and imported when they are called: pyarrow, OpenCV and
    PyAV take longer to import than a command takes to refuse a flag.

    Attributes:
        name: what `--formats` calls it, or, where it `has_flag`, the switch that asks for it.
        files: names of what it writes.
        write: writes them of one recording, into its folder: gets its `Timeline`, and a path for each of `files`.
        join: writes them of all recordings, into the output folder: gets `FinishedRecordings`, and the same paths.
        options: flags of `predict` that these functions take by name.
        is_default: whether it is written where `--formats` is not given.
        has_flag: whether a switch of its own asks for it.
    """

    name: str
    files: tuple[str, ...]
    write: str | None = None
    join: str | None = None
    options: tuple[str, ...] = ()
    is_default: bool = False
    has_flag: bool = False

    def write_files(self, function: str, content: Any, folder: Path, flags: Mapping[str, Any]) -> None:
        """Call `write` or `join` for its files in `folder`; `flags` are those of `predict`, by name."""
        paths = [folder / name for name in self.files]
        find_function(function)(content, *paths, **{name: flags[name] for name in self.options})


def find_function(name: str) -> Callable[..., None]:
    """The function `module.function` of this folder."""
    module, function = name.split(".")
    return getattr(import_module(f"{__package__}.{module}"), function)


def _table(suffix: str) -> Format:
    files = (f"timeline.{suffix}", f"segments.{suffix}")
    return Format(suffix, files, write="tables.write_tables", join="tables.join_recordings", is_default=True)


# A new format is a file beside this one, and a row here: docs/howto/format.md.
FORMATS = (
    _table("csv"),
    _table("jsonl"),
    _table("parquet"),
    Format("vtt", ("timeline.vtt",), write="vtt.write_vtt", is_default=True),
    Format("elan", ("timeline.eaf",), write="elan.write_elan"),
    Format(
        "label_studio",
        ("label_studio.json", "label_studio.xml"),
        join="label_studio.write_project",
        options=("label_studio_root",),
    ),
    Format("fiftyone", ("fiftyone",), join="fiftyone.write_data_set"),
    Format(
        "overlay",
        ("overlay.mp4",),
        write="overlay.write_own_overlay",
        options=("show_faces", "fps"),
        has_flag=True,
    ),
    Format("report", ("report.html",), join="page.write_joint_page", has_flag=True),
)
# The words of `--formats`, and those that stand for it where it is not given.
NAMES = tuple(row.name for row in FORMATS if not row.has_flag)
DEFAULT_NAMES = tuple(row.name for row in FORMATS if row.is_default)
# What is about all recordings.
JOINED_FILES = tuple(name for row in FORMATS if row.join for name in row.files)
