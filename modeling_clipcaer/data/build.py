"""The one build: from the clips that a layout finds to a dataset on disk, its record and its audit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets.arrow_writer import ArrowWriter

from modeling_clipcaer.common.files import is_replaceable, replace_folder, working_folder, write_json
from modeling_clipcaer.common.processes import start_anew
from modeling_clipcaer.common.progress import track
from modeling_clipcaer.data.boxes import Entry, check_not_swapped, pack_entry, read_box_file
from modeling_clipcaer.data.features import COUNT_FEATURES, make_features
from modeling_clipcaer.data.record import (
    RECORD_NAME,
    format_table,
    list_few_clips,
    make_record,
    say_findings,
)
from modeling_clipcaer.data.regimes import describe_regime, harden
from modeling_clipcaer.data.rows import Reading, read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import Source, SourceClip, check_labels, settle_persons, shorten_names
from modeling_clipcaer.data.votes import order_votes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


BUILD_MARKS = {RECORD_NAME, "dataset_dict.json"}  # what an earlier build holds


@dataclass
class Plan:
    """What is to be read.

    Args:
        splits: the clips of every split, with the numbers of their labels, their persons and their boxes.
        features: columns of the dataset.
        record: what the build's record says of all this.
        files: that were read.
    """

    splits: dict[str, list[SourceClip]]
    features: datasets.Features
    record: dict[str, Any]
    files: list[Path]


def build(
    find_clips: Callable[[Any], Source], settings: BuildSettings, output: str | Path, num_proc: int = 1
) -> tuple[dict[str, Any], list[str]]:
    """Build the clips of a layout into `output`; its record, which is also written there, and what to print of it.

    An earlier build in `output` is replaced once the new one is complete; any other content is refused.

    Args:
        find_clips: the layout's function, which is given `settings`.
        settings: those of the layout.
        output: the folder to write.
        num_proc: processes to read with.

    Raises:
        InputError: the data or an option is not as expected; `output` is then as it was before.
    """
    output = Path(output).absolute()
    if num_proc < 1:
        raise InputError(f"`num_proc` is {num_proc}, expected at least 1")
    check_output(output)
    source = find_clips(settings)
    plan = plan_build(source, settings)
    arguments = {**vars(settings), **source.arguments, "output": str(output), "num_proc": num_proc}
    with working_folder(output) as working:
        rows, skipped, notes = read_splits(plan, settings, num_proc, working)
        check_skipped(rows, skipped, settings.skip_unreadable)
        record = {
            **make_record(rows, plan.files, arguments),
            **plan.record,
            "unreadable_clips_left_out": skipped,
            "notes_on_videos": notes,
        }
        complete = working / "dataset"
        rows.select_columns(list(plan.features)).save_to_disk(complete)
        write_json(record, complete / RECORD_NAME)
        replace_folder(complete, output, working)
    found = map(printable, (*source.notes, *say_findings(record)))
    return record, [format_table(record), *list_few_clips(record), *found]


def check_output(output: Path) -> None:
    """Refuse a folder that holds anything else than a dataset of a builder, which would be replaced."""
    if output.exists() and not is_replaceable(output, BUILD_MARKS):
        raise InputError(f"{output}: exists and is no dataset of a builder; expected a new or an empty folder")


def cut_source(
    source: Source, settings: BuildSettings
) -> tuple[list[str], dict[str, list[SourceClip]], dict[str, Any]]:
    """Check the clips of a source, and cut them into splits: the labels, the splits, and how they were made."""
    for clip in source.clips:
        try:
            settings.check_inside(clip.path)
        except InputError as error:
            raise InputError(f"{clip.place}: {error}") from error
    labels = check_labels(source.clips, source.labels)
    clips, persons_merged = settle_persons(shorten_names(source.clips), settings.find_person)
    splits, split = settings.cut_splits(clips, labels, source.lists)
    return labels, splits, split | ({"persons_merged": persons_merged} if persons_merged else {})


def plan_build(source: Source, settings: BuildSettings) -> Plan:
    """Cut the clips of a source into splits, and find their boxes."""
    labels, splits, split = cut_source(source, settings)
    boxes, keys, box_files = find_boxes([clip for part in splits.values() for clip in part], settings)
    number: dict[str | int, int] = {name: place for place, name in enumerate(labels)}
    has_votes = any(clip.votes is not None for clip in source.clips)

    def complete(clip: SourceClip) -> SourceClip:
        face, body = (getattr(clip, kind) or boxes[kind].get(clip.path) for kind in boxes)
        votes = order_votes(clip.votes or {}, labels, clip.place) if has_votes else None
        return replace(clip, label=number.get(clip.label, clip.label), face=face, body=body, votes=votes)

    split["name"] += describe_regime(settings)
    return Plan(
        harden({name: list(map(complete, part)) for name, part in splits.items()}, labels, settings),
        make_features(labels, source.clips[0].is_folder, has_votes),
        {
            "origin": {"name": settings.data_name, "link": settings.data_link, "is_drawn": False},
            "split": split,
            "box_keys": {kind: total for kind, (_, total) in keys.items()},
            "box_keys_without_clip": {kind: unused for kind, (unused, _) in keys.items()},
            **source.findings,
        },
        [*source.files, *box_files],
    )


def describe_rows(protocol: str) -> str:
    """The dataset in two sentences; `protocol` is how its splits were made."""
    return f"Academic emotion clips: where their frames are, face and body boxes, labels. Split: {protocol}."


def find_boxes(
    clips: Sequence[SourceClip], settings: BuildSettings
) -> tuple[dict[str, dict[str, Entry]], dict[str, tuple[int, int]], list[Path]]:
    """The boxes of box files, by kind and by their clip's path; of each kind, how many keys belong to no clip, and how
    many there are; and the files."""
    files = {kind: settings.find_box_file(kind) for kind in ("face", "body")}
    entries = {kind: {} if file is None else read_box_file(file, pack_entry) for kind, file in files.items()}
    if files["face"] is not None and files["body"] is not None:
        check_not_swapped(files["face"], files["body"], entries["face"], entries["body"])
    found, keys = {}, {}
    for kind, file in files.items():
        if file is not None and any(getattr(clip, kind) for clip in clips):
            raise InputError(f"--bounding-box-{kind}: the table has {kind} boxes too; expected one of the two")
        found[kind], unused = ({}, 0) if file is None else settings.match_boxes(kind, file, entries[kind], clips)
        keys[kind] = (unused, len(entries[kind]))
    return found, keys, [file for file in files.values() if file is not None]


def read_splits(
    plan: Plan, settings: BuildSettings, num_proc: int, folder: Path
) -> tuple[datasets.DatasetDict, list[dict[str, str]], dict[str, list[str]]]:
    """The rows of every split, written to `folder` as they come, what cannot be read, and what there is to know of
    videos, by clip."""
    ordered = [(split, clip) for split, part in plan.splits.items() for clip in part]
    paths = {split: str(folder / f"{split}.arrow") for split in plan.splits}
    features = datasets.Features({**plan.features, **COUNT_FEATURES})
    skipped: list[dict[str, str]] = []
    notes: dict[str, list[str]] = {}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ArrowWriter(path=paths[split], features=features)) for split in paths}
        readings = read_all([clip for _, clip in ordered], settings, num_proc, stack)
        for (split, clip), reading in track(zip(ordered, readings, strict=True), "reading clips", len(ordered)):
            if reading.row is not None:
                writers[split].write(reading.row)
                notes |= {clip.clip_id: list(reading.notes)} if reading.notes else {}
                continue
            found = {"clip_id": clip.clip_id, "place": clip.place, "problem": reading.problem}
            skipped.append({"split": split, **{name: printable(text) for name, text in found.items()}})
        for writer in writers.values():
            writer.finalize()
    info = datasets.DatasetInfo(description=describe_rows(plan.record["split"]["name"]), features=features)
    rows = {
        split: datasets.Dataset.from_file(paths[split], info=info.copy(), split=datasets.NamedSplit(split))
        for split in paths
    }
    return datasets.DatasetDict(rows), skipped, notes


def read_all(
    clips: Sequence[SourceClip], settings: BuildSettings, num_proc: int, stack: ExitStack
) -> Iterator[Reading]:
    """The readings of `clips`, in their order."""
    read = partial(read_clip, settings=settings)
    if num_proc == 1:
        return map(read, clips)
    pool = stack.enter_context(start_anew(read_clip.__module__).Pool(num_proc))
    # Neighbours are often stretches of one video, which a process has open.
    return pool.imap(read, clips, chunksize=8)


def check_skipped(rows: datasets.DatasetDict, skipped: Sequence[Mapping[str, str]], may_skip: bool) -> None:
    """Refuse clips that cannot be read where none may be left out, and splits that have no clip left."""
    if skipped and not may_skip:
        num_clips = sum(map(len, rows.values())) + len(skipped)
        raise InputError(
            f"{skipped[0]['place']}: {skipped[0]['problem']}; {len(skipped)} of {num_clips} clips cannot be read "
            "(--skip-unreadable leaves them out)"
        )
    for split in rows:
        if not len(rows[split]):
            first = next(clip for clip in skipped if clip["split"] == split)
            raise InputError(f"{first['place']}: {first['problem']}; no clip of {split} can be read")
