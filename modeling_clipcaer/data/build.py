"""The one build: from the clips that a layout finds to a dataset on disk, its record and its audit."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets.arrow_writer import ArrowWriter
from tqdm import tqdm

from modeling_clipcaer.common.files import is_replaceable, replace_folder, working_folder
from modeling_clipcaer.data.boxes import check_not_swapped, match_boxes, pack_entry, read_box_file
from modeling_clipcaer.data.record import (
    RECORD_NAME,
    format_table,
    list_few_clips,
    make_record,
    say_findings,
)
from modeling_clipcaer.data.rows import COUNTS, Reading, ReadOptions, make_features, read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import Source, SourceClip, check_labels, settle_persons, shorten_names
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


BUILD_MARKS = {RECORD_NAME, "dataset_dict.json"}  # what an earlier build holds


@dataclass
class Plan:
    """What is to be read.

    Args:
        splits: the clips of every split, with the numbers of their labels, their persons and their boxes.
        features: columns of the dataset.
        options: how clips are read.
        record: what the build's record says of all this.
        files: that were read.
    """

    splits: dict[str, list[SourceClip]]
    features: datasets.Features
    options: ReadOptions
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
    if output.exists() and not is_replaceable(output, BUILD_MARKS):
        raise InputError(f"{output}: exists and is no dataset of a builder; expected a new or an empty folder")
    source = find_clips(settings)
    plan = plan_build(source, settings)
    arguments = {**vars(settings), **source.arguments, "output": str(output), "num_proc": num_proc}
    with working_folder(output) as working:
        rows, skipped, notes = read_splits(plan, num_proc, working)
        check_skipped(rows, skipped, settings.skip_unreadable)
        record = {
            **make_record(rows, plan.files, arguments),
            **plan.record,
            "unreadable_clips_left_out": skipped,
            "notes_on_videos": notes,
        }
        complete = working / "dataset"
        rows.select_columns(list(plan.features)).save_to_disk(complete)
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (complete / RECORD_NAME).write_text(text, encoding="utf-8", errors="backslashreplace")
        replace_folder(complete, output, working)
    found = map(printable, (*source.notes, *say_findings(record)))
    return record, [format_table(record), *list_few_clips(record), *found]


def plan_build(source: Source, settings: BuildSettings) -> Plan:
    """Check the clips of a source, cut them into splits, and find their boxes."""
    labels = check_labels(source.clips, source.labels)
    clips, persons_merged = settle_persons(shorten_names(source.clips), settings.find_person)
    splits, split = settings.cut_splits(clips, labels, source.lists)
    split |= {"persons_merged": persons_merged} if persons_merged else {}
    files, box_keys = list(source.files), source.box_keys
    if box_keys is None:
        splits, box_keys, box_files = find_boxes(splits, settings)
        files += box_files
    number = {name: place for place, name in enumerate(labels)}
    return Plan(
        {
            name: [replace(clip, label=number.get(clip.label, clip.label)) for clip in part]
            for name, part in splits.items()
        },
        make_features(labels, clips[0].is_folder),
        ReadOptions(settings.outside_boxes, settings.check_frames, source.is_strict, source.box_files),
        {
            "split": split,
            "box_keys": {kind: total for kind, (_, total) in box_keys.items()},
            "box_keys_without_clip": {kind: unused for kind, (unused, _) in box_keys.items()},
            **source.findings,
        },
        files,
    )


def describe_rows(protocol: str) -> str:
    """The dataset in two sentences; `protocol` is how its splits were made."""
    return f"Academic emotion clips: where their frames are, face and body boxes, labels. Split: {protocol}."


def find_boxes(
    splits: Mapping[str, Sequence[SourceClip]], settings: BuildSettings
) -> tuple[dict[str, list[SourceClip]], dict[str, tuple[int, int]], list[Path]]:
    """The clips with the boxes of box files; of each kind, how many keys belong to no clip, and how many there are;
    and these files."""
    clips = [clip for part in splits.values() for clip in part]
    paths = {clip.path for clip in clips}
    found, keys, entries, files = {}, {}, {}, {}
    for kind in ("face", "body"):
        given = getattr(settings, f"bounding_box_{kind}")
        if given is not None and any(getattr(clip, kind) for clip in clips):
            raise InputError(f"--bounding-box-{kind}: the table has {kind} boxes too; expected one of the two")
        files |= {kind: Path(given)} if given is not None else {}
        entries[kind] = read_box_file(Path(given), pack_entry) if given is not None else {}
        found[kind], unused = match_boxes(Path(given), entries[kind], paths) if given is not None else ({}, 0)
        keys[kind] = (unused, len(entries[kind]))
    if entries["face"] and entries["body"]:
        check_not_swapped(files["face"], files["body"], entries["face"], entries["body"])

    def add_boxes(clip: SourceClip) -> SourceClip:
        face, body = (getattr(clip, kind) or found[kind].get(clip.path) for kind in ("face", "body"))
        return replace(clip, face=face, body=body)

    return {split: list(map(add_boxes, part)) for split, part in splits.items()}, keys, list(files.values())


def read_splits(
    plan: Plan, num_proc: int, folder: Path
) -> tuple[datasets.DatasetDict, list[dict[str, str]], dict[str, list[str]]]:
    """The rows of every split, written to `folder` as they come, what cannot be read, and what there is to know of
    videos, by clip."""
    ordered = [(split, clip) for split, part in plan.splits.items() for clip in part]
    paths = {split: str(folder / f"{split}.arrow") for split in plan.splits}
    features = datasets.Features({**plan.features, **COUNTS})
    skipped, notes = [], {}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ArrowWriter(path=paths[split], features=features)) for split in paths}
        readings = read_all([clip for _, clip in ordered], plan.options, num_proc, stack)
        bar = tqdm(zip(ordered, readings, strict=True), "reading", len(ordered), unit="clip", disable=None)
        for (split, clip), reading in bar:
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


def read_all(clips: Sequence[SourceClip], options: ReadOptions, num_proc: int, stack: ExitStack) -> Iterator[Reading]:
    """The readings of `clips`, in their order."""
    read = partial(read_clip, options=options)
    if num_proc == 1:
        return map(read, clips)
    # Keep: fork would copy the locks of threads that this process has used, and the copy waits for ever.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([read_clip.__module__])  # imports take seconds: once, not once a process
    # Neighbours are often stretches of one video, which a process has open.
    return stack.enter_context(context.Pool(num_proc)).imap(read, clips, chunksize=8)


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
