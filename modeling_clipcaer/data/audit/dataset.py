"""Auditing a dataset on disk: every row is looked at once, on several processes, and what they say is put together."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo

from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.common.processes import start_anew
from modeling_clipcaer.common.progress import ProgressBar
from modeling_clipcaer.data.audit.checks import (
    OF_BUILD,
    SEVERITIES,
    check_boxes,
    check_frames,
    check_label_names,
    check_labels,
    check_persons,
    check_record,
    check_splits,
    check_votes,
    find_all_repeats,
    make_finding,
    say_share,
    summarise_tally,
)
from modeling_clipcaer.data.audit.clips import NUM_EXAMPLES, Tally, look_at_clip
from modeling_clipcaer.data.audit.plots import draw_audit
from modeling_clipcaer.data.audit.thresholds import AuditThresholds
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, describe_forms, find_form
from modeling_clipcaer.data.record import RECORD_NAME
from modeling_clipcaer.errors import InputError, check_readable, first_line
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import printable


AUDIT_FOLDER = "audit"
REPORT_NAME, PAGE_NAME = "audit.json", "audit.png"
NEEDED = ("clip_id", "label", *BOX_COLUMNS)
USEFUL = ("person_id", "face_box_sources", "votes")
OFFICIAL = {"protocol": "official"}  # how splits were made of which no record says it
CHUNK = 64  # rows that a process looks at before it reports
# Clips that are worth another process, which takes seconds to start, with and without decoding.
WORTH = {True: 64, False: 2048}

Chunk = tuple[str, int, int]  # split, first row, end


def audit_dataset(
    folder: str | Path,
    thresholds: AuditThresholds | None = None,
    decode: bool = False,
    num_proc: int = 1,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Look at every row of the dataset in `folder` and say what is wrong with it.

    Args:
        folder: a dataset on disk, with rows of any of the forms of `clip_rows`.
        thresholds: from where on something is wrong.
        decode: whether to decode every frame: finds unreadable pictures, frames of different sizes and clips that look
            alike. Without it files are only asked for their length, and the first and middle one of a clip is read.
        num_proc: processes to look with.
        output: folder for audit.json and audit.png; by default nothing is written.

    Returns:
        What audit.json holds: counts of every split, findings, thresholds and versions.

    Raises:
        InputError: there is no such dataset. What is wrong in a dataset is a finding and raises nothing.
    """
    thresholds = thresholds or AuditThresholds()
    if num_proc < 1:
        raise InputError(f"`num_proc` is {num_proc}, expected at least 1")
    rows = load_rows(folder)
    record, findings = read_record(Path(folder))
    tallies = {split: Tally() for split in rows}
    for split, tally in look_at_all(folder, rows, thresholds, decode, num_proc):
        tallies[split].add(tally)
    summaries = {
        split: summarise_tally(tally, rows[split].features["label"].names) for split, tally in tallies.items()
    }
    split_record = {**OFFICIAL, **record.get("split", {})}
    findings += check_record(record)
    findings += check_splits(tallies)
    findings += check_label_names(summaries)
    for split, tally in tallies.items():
        findings += check_labels(split, summaries[split], thresholds.max_imbalance) if len(rows[split]) else ()
        findings += check_votes(split, summaries[split], tally)
        findings += check_boxes(split, summaries[split], tally, thresholds)
        findings += check_frames(split, summaries[split], tally, thresholds)
    findings += check_persons(tallies, split_record["protocol"])
    findings += name_repeats(rows, tallies, thresholds, decode)
    audit = make_report(str(Path(folder).absolute()), thresholds, decode, findings, summaries, split_record)
    if output is not None:
        write_outputs(audit, Path(output))
    return audit


def audit_build(folder: Path, num_proc: int) -> list[str]:
    """Audit a dataset that has just been built, without decoding, into its folder `audit`; what is found, in lines,
    but for what the build itself counted."""
    audit = audit_dataset(folder, num_proc=num_proc, output=folder / AUDIT_FOLDER)
    return format_findings([found for found in audit["findings"] if not found["check"].endswith(OF_BUILD)])


def load_rows(folder: str | Path) -> DatasetDict:
    """The dataset in `folder`, its columns that are looked at."""
    check_readable(folder, depth=2)
    try:
        splits = read_object(Path(folder, "dataset_dict.json"))["splits"]
        rows = {split: load_split(Path(folder, split)) for split in splits}
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        expected = f"a dataset with splits, written by save_to_disk: {first_line(error)}"
        raise InputError(f"{folder}: expected {expected}") from error
    for split, part in rows.items():
        missing = [name for name in NEEDED if name not in part.column_names]
        if missing:
            raise InputError(f"{folder}: split `{split}` has no column `{missing[0]}`")
        form = find_form(part.column_names)
        if form is None:
            raise InputError(f"{folder}: split `{split}` names no frames: expected {describe_forms()}")
        if not isinstance(part.features["label"], ClassLabel):
            raise InputError(f"{folder}: split `{split}`: `label` has no names, expected a ClassLabel")
        wanted = {*NEEDED, *USEFUL, *form}
        rows[split] = part.select_columns([name for name in part.column_names if name in wanted])
    return DatasetDict(rows)


def load_split(folder: Path) -> Dataset:
    """One split on disk."""
    if read_object(folder / "state.json")["_data_files"]:
        return Dataset.load_from_disk(folder)
    # Keep: `datasets` writes a split without rows, and fails to read it.
    features = DatasetInfo.from_directory(str(folder)).features
    return Dataset.from_dict({name: [] for name in features}, features=features)


def read_record(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the build wrote about itself, nothing where there is no record, and a finding where it cannot be read."""
    path = folder / RECORD_NAME
    if not path.exists():
        return {}, []
    try:
        return read_object(path), []
    except InputError as error:
        return {}, [make_finding("broken_record", "warning", None, 1, 0, str(error))]


def look_at_all(
    folder: str | Path, rows: DatasetDict, thresholds: AuditThresholds, decode: bool, num_proc: int
) -> Iterator[tuple[str, Tally]]:
    """The tallies of the chunks of every split, in order, so that examples do not depend on the processes."""
    chunks = [
        (split, start, min(start + CHUNK, len(part)))
        for split, part in rows.items()
        for start in range(0, len(part), CHUNK)
    ]
    total = sum(map(len, rows.values()))
    with ProgressBar("auditing", total) as bar:
        workers = min(num_proc, total // WORTH[decode])
        if workers <= 1:
            tallies = (look_at_rows(rows, chunk, thresholds, decode) for chunk in chunks)
            yield from show_progress(chunks, tallies, bar)
            return
        with start_anew(__name__).Pool(workers, start_worker, (str(folder), thresholds, decode)) as pool:
            yield from show_progress(chunks, pool.imap(work, chunks), bar)
            # Keep: processes that are ended by force leave semaphores behind, and Python warns of them on exit.
            pool.close()
            pool.join()


def show_progress(chunks: list[Chunk], tallies: Iterator[Tally], bar: ProgressBar) -> Iterator[tuple[str, Tally]]:
    """The tallies as they come, while a bar counts their clips."""
    for (split, start, stop), tally in zip(chunks, tallies, strict=True):
        bar.advance(stop - start)
        yield split, tally


def look_at_rows(rows: DatasetDict, chunk: Chunk, thresholds: AuditThresholds, decode: bool) -> Tally:
    """The tally of a chunk of a split's rows."""
    split, start, stop = chunk
    tally = Tally()
    for row in rows[split].select(range(start, stop)):
        look_at_clip(row, tally, thresholds, decode)
    return tally


_worker: tuple[DatasetDict, AuditThresholds, bool]


def start_worker(folder: str, thresholds: AuditThresholds, decode: bool) -> None:
    """Every process opens the dataset once; its files are mapped into memory, not copied."""
    global _worker
    _worker = load_rows(folder), thresholds, decode


def work(chunk: Chunk) -> Tally:
    """The tally of a chunk, in a worker process."""
    rows, thresholds, decode = _worker
    return look_at_rows(rows, chunk, thresholds, decode)


def name_repeats(
    rows: DatasetDict, tallies: Mapping[str, Tally], thresholds: AuditThresholds, decoded: bool
) -> Iterator[dict[str, Any]]:
    """Findings of clips that are there twice, by the ids of some of them and of what they repeat."""
    for check, severity, first, second, repeats, words in find_all_repeats(tallies, thresholds, decoded):
        count = len(repeats.places)
        if count:
            pairs = zip(repeats.places[:NUM_EXAMPLES].tolist(), repeats.of[:NUM_EXAMPLES].tolist(), strict=True)
            examples = [f"{rows[second][a]['clip_id']} ({first}: {rows[first][b]['clip_id']})" for a, b in pairs]
            message = f"{say_share(count, len(rows[second]), 'clips')} of {second} {words}"
            split = first if first == second else f"{first}/{second}"
            yield make_finding(check, severity, split, count, len(rows[second]), message, examples)


def make_report(
    dataset: str,
    thresholds: AuditThresholds,
    decoded: bool,
    findings: list[dict[str, Any]],
    splits: Mapping[str, Any],
    split: Mapping[str, Any],
) -> dict[str, Any]:
    """What audit.json holds; `split` is how the splits were made, findings go by severity."""
    return {
        "dataset": dataset,
        "decoded": decoded,
        "split": dict(split),
        "severities": {name: sum(found["severity"] == name for found in findings) for name in SEVERITIES},
        "findings": sorted(findings, key=lambda found: SEVERITIES.index(found["severity"])),
        "splits": dict(splits),
        "thresholds": vars(thresholds).copy(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("datasets", "pillow")}},
    }


def write_outputs(audit: Mapping[str, Any], folder: Path) -> None:
    """audit.json and, where there are splits, audit.png; both complete or not there."""
    with locked_folder(folder), staged_folder(folder, last=REPORT_NAME) as staged:
        write_json(audit, staged / REPORT_NAME)
        if audit["splits"]:
            draw_audit(audit, staged / PAGE_NAME)
        else:
            (folder / PAGE_NAME).unlink(missing_ok=True)


def format_audit(audit: Mapping[str, Any]) -> list[str]:
    """The counts of every split, aligned, and the findings below them."""
    splits = audit["splits"]
    cells = [("", list(splits))]

    def add(title: str, cell: Any) -> None:
        cells.append((title, [str(cell(split)) for split in splits.values()]))

    add("clips", lambda split: split["num_clips"])
    for label in dict.fromkeys(label for split in splits.values() for label in split["labels"]):
        add(f"  {printable(label)}", lambda split, label=label: split["labels"].get(label, 0))
    add("most / fewest of a label", lambda split: split["imbalance"])
    add("persons", lambda split: split["num_persons"])
    add("frames per clip", lambda split: "{min} / {median:g} / {max}".format(**split["frames_per_clip"]))
    for kind in ("face", "body"):
        add(f"clips with a {kind} box", lambda split, kind=kind: f"{split[f'{kind}_boxes']['clip_share']:.1%}")
        add(f"frames with a {kind} box", lambda split, kind=kind: f"{split[f'{kind}_boxes']['frame_share']:.1%}")
    widths = [max(len(row[column]) for _, row in cells) for column in range(len(splits))]
    lines = [
        f"{title:<31}" + "".join(f"  {cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for title, row in cells
        if splits
    ]
    counts = [f"{count or 'no'} {name}{'' if count == 1 else 's'}" for name, count in audit["severities"].items()]
    return [*lines, *format_findings(audit["findings"]), f"found: {', '.join(counts)}"]


def format_findings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each finding, and its examples."""
    lines = []
    for found in findings:
        place = f"{found['split']}: " if found["split"] else ""
        lines.append(f"{found['severity']:<8} {place}{printable(found['message'])}")
        lines += [f"{'':<8} {printable(example)}" for example in found["examples"]]
    return lines
