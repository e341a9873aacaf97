"""Build EngageNet into a dataset on disk.

    clipcaer build engagenet --root EngageNet --output OUT

reads the tables EngageNet/{train,validation,test}_engagement_labels.xlsx (or .csv) of `chunk`, a video's name, and
`label`, and the videos in EngageNet/{Train,Validation,Test}/. A person is the subject in a video's name, as in
subject_55_..._17.mp4. Clips in which the subject is not present have no label of engagement: they are left out and
counted.
"""

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from xml.etree import ElementTree

from modeling_clipcaer.data.settings import NAME_HELP, PERSON_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip
from modeling_clipcaer.data.tables import read_csv, read_table
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.settings_clipcaer import option


LABELS = ("Not-Engaged", "Barely-Engaged", "Engaged", "Highly-Engaged")
NOT_PRESENT = "snp"  # (Subject Not Present)
PERSON_PATTERN = r"(?:^|/)(subject_[^_/]+)_"
# Of a table of three columns and some ten thousand lines; a small file may hold any number of them.
LARGEST_PART, MOST_COLUMNS = 2**24, 64  # bytes of XML
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder."""

    root: str = option(MISSING, "The folder with the tables and the videos in it", metavar="DIR")
    data_name: str | None = option("EngageNet", NAME_HELP, rare=True, metavar="NAME")
    person_pattern: str | None = option(PERSON_PATTERN, PERSON_HELP, metavar="REGEX")


def find_clips(settings: Settings) -> Source:
    """The clips of the tables that show a subject."""
    root = Path(settings.root).absolute()
    tables = {split: table for split in SPLITS if (table := find_table(root, split)) is not None}
    left_out: Counter[str] = Counter()
    clips = [clip for split, table in tables.items() for clip in list_clips(root, split, table, left_out)]
    notes = [f"{left_out.total()} clips without a subject are left out"] if left_out else []
    findings = {"subject_not_present": dict(left_out)}
    return Source(clips, LABELS, list(tables.values()), findings=findings, notes=notes)


def find_table(root: Path, split: str) -> Path | None:
    """The table of a split."""
    check_readable(root, depth=0)
    names = [f"{split}_engagement_labels.{suffix}" for suffix in ("xlsx", "csv")]
    found = [root / name for name in names if (root / name).is_file()]
    if not found and split == "train":
        raise InputError(f"{root}: expected the table {' or '.join(names)}, found neither")
    if len(found) > 1:
        raise InputError(f"{root}: has {' and '.join(names)}; expected one of the two")
    return found[0] if found else None


def list_clips(root: Path, split: str, table: Path, left_out: Counter[str]) -> Iterator[SourceClip]:
    """The clips of a table that have a label; the others are counted."""
    names = {identity_key(name): name for name in LABELS}
    rows = read_xlsx(table) if table.suffix == ".xlsx" else read_csv(table)
    for place, line in read_table(rows, table, ("chunk", "label")):
        if identity_key(line["label"]).startswith(NOT_PRESENT):
            left_out[split] += 1
            continue
        # The tables write Barely-engaged, their description Barely-Engaged.
        label = names.get(identity_key(line["label"]))
        if label is None:
            raise InputError(f"{place}: field `label` is '{line['label']}'; expected one of {', '.join(LABELS)}")
        name = f"{split.capitalize()}/{line['chunk']}"
        yield SourceClip(str(root / name), name, label, place, split)


def read_xlsx(path: Path) -> list[tuple[str, list[str]]]:
    """Lines of the first sheet of a workbook, as [`read_csv`] gives those of a CSV file."""
    try:
        with zipfile.ZipFile(path) as workbook:
            texts = []
            if "xl/sharedStrings.xml" in workbook.namelist():
                shared = read_part(workbook, "xl/sharedStrings.xml")
                texts = ["".join(item.itertext()) for item in shared.iter(f"{SHEET}si")]
            rows = list_rows(read_part(workbook, "xl/worksheets/sheet1.xml"), texts, path)
    # What zipfile and the XML reader raise of broken files, and cells whose numbers are none.
    except (
        *(OSError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, RuntimeError),
        *(struct.error, MemoryError, ElementTree.ParseError),
    ) as error:
        raise InputError(
            f"{path}: cannot be read as a workbook ({error}); expected .xlsx, or the same as .csv"
        ) from error
    # Cells that are empty at the end of a row are not written at all.
    width = max((len(values) for _, values in rows), default=0)
    return [(place, values + [""] * (width - len(values))) for place, values in rows]


def read_part(workbook: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """The XML of a part of a workbook.

    Raises:
        ValueError: it is too large.
    """
    if workbook.getinfo(name).file_size > LARGEST_PART:
        raise ValueError(f"{name} is longer than {LARGEST_PART:,} bytes")
    return ElementTree.fromstring(workbook.read(name))


def list_rows(sheet: ElementTree.Element, texts: list[str], path: Path) -> list[tuple[str, list[str]]]:
    """The rows of a sheet that are not empty, each with its place; `texts` are those that its cells name by number."""
    rows: list[tuple[str, list[str]]] = []
    for row in sheet.iter(f"{SHEET}row"):
        cells: dict[int, str] = {}
        for cell in row.iter(f"{SHEET}c"):
            text = "".join(cell.itertext())
            cells[column_of(cell.get("r", ""), len(cells))] = texts[int(text)] if cell.get("t") == "s" else text
        values = [cells.get(place, "").strip() for place in range(max(cells, default=-1) + 1)]
        if any(values):
            rows.append((f"{path}:{row.get('r', len(rows) + 1)}", values))
    return rows


def column_of(reference: str, following: int) -> int:
    """The number of a cell's column, from 0, by its name (AB12); cells without a name follow one another.

    Raises:
        ValueError: it is no name, or one of a column further on than tables reach.
    """
    letters = reference.rstrip("0123456789")
    number = 0
    for letter in letters:
        number = 26 * number + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) + 1
        if number > MOST_COLUMNS:
            break
    column = number - 1 if letters else following
    if column >= MOST_COLUMNS:
        raise ValueError(f"a cell {reference or following}, expected at most {MOST_COLUMNS} columns")
    return column
