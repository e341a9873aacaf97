"""What the builders of neighbouring data share: from a list of labelled clips to a dataset on disk and its build.json.

A builder lists its clips as [`SourceClip`]s; [`build_dataset`] splits them, finds their frames and boxes, and writes.
"""

import argparse
import json
import multiprocessing
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
from datasets.arrow_writer import ArrowWriter
from tqdm import tqdm

from modeling_clipcaer.common.files import file_sha256, is_replaceable, replace_folder, working_folder
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.data.audit.dataset import audit_build
from modeling_clipcaer.data.boxes import check_not_swapped, pack_entry, read_box_file
from modeling_clipcaer.data.build_raer import AUDIT_NAME
from modeling_clipcaer.data.clip_keys import Layout
from modeling_clipcaer.data.source_rows import (
    Reading,
    ReadTask,
    SourceClip,
    add_counts,
    make_features,
    match_boxes,
    read_clip,
)
from modeling_clipcaer.data.source_splits import (
    SEED,
    VAL_SHARE,
    check_labels,
    cut_splits,
    describe_persons,
    settle_persons,
    shorten_names,
)
from modeling_clipcaer.data.summary import (
    count_shared_persons,
    format_table,
    list_few_clips,
    summarise_split,
    with_share,
)
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


def make_parser(description: str, person_pattern: str | None = None) -> CommandParser:
    """A parser with the flags of every builder; `person_pattern` is the layout's own."""
    parser = CommandParser(description=description.split("\n")[0], allow_abbrev=False)
    add = parser.add_argument
    add("--output", required=True, metavar="DIR", help="the dataset to write; an earlier build there is replaced")
    pattern = "none, each clip's file is a person" if person_pattern is None else person_pattern
    pattern_help = f"whose group finds the person in a clip's path (default: {pattern})".replace("%", "%%")
    add("--person-pattern", metavar="REGEX", default=person_pattern, help=pattern_help)
    cut_help = "share of training that becomes %s, by person, where none is listed (%s)"
    add("--val-share", type=float, metavar="SHARE", help=cut_help % ("validation", f"default {VAL_SHARE}"))
    add("--test-share", type=float, metavar="SHARE", help=cut_help % ("the test split", "no default"))
    add("--seed", type=int, metavar="N", help=f"of these cuts (default {SEED})")
    for kind in ("face", "body"):
        add(f"--bounding-box-{kind}", metavar="FILE", help=f"{kind} boxes in RAER's form, keys: a clip's path or name")
    outside_help = "a box wholly outside its frame is this (default error)"
    add("--outside-boxes", choices=("error", "missing"), default="error", help=outside_help)
    add("--check-frames", action="store_true", help="decode all frames; a clip ends at the last that can be read")
    add("--skip-unreadable", action="store_true", help="leave clips out that cannot be read, and list them")
    add("--num-proc", type=int, metavar="N", default=1, help="processes to read with (default 1)")
    parser.epilog = "Dashes and underscores in flags are the same."
    return parser


def parse_flags(parser: CommandParser) -> argparse.Namespace:
    """The command line's arguments, checked."""
    args = parser.parse_args([spell_flag(argument) for argument in sys.argv[1:]])
    for flag in ("val_share", "test_share"):
        share = getattr(args, flag)
        if share is not None and not 0 < share < 1:
            parser.error(f"--{flag.replace('_', '-')} is {share}, expected a number between 0 and 1, both excluded")
    if args.num_proc < 1:
        parser.error(f"--num-proc is {args.num_proc}, expected at least 1")
    Layout(args.person_pattern)
    if Path(args.output).exists() and not is_replaceable(Path(args.output), {AUDIT_NAME, "dataset_dict.json"}):
        parser.error(f"{args.output}: exists and is no dataset of a builder; expected a new or an empty folder")
    return args


def build_dataset(
    clips: Sequence[SourceClip],
    labels: Sequence[str] | None,
    args: argparse.Namespace,
    files: Iterable[Path] = (),
    lists: str = "official",
    **findings: Any,
) -> None:
    """Build `args.output` from `clips`, and print what it holds.

    Args:
        clips: all of one form, videos or folders of frames.
        labels: names of the labels in their order; by default those of the clips, in alphabetical order.
        args: of [`make_parser`].
        files: lists and tables that were read.
        lists: whose splits they are.
        findings: what the builder itself has to say in build.json.

    Raises:
        InputError: the data or an option is not as expected; `args.output` is then as it was before.
    """
    labels = check_labels(clips, labels)
    clips, persons, persons_merged = settle_persons(shorten_names(clips), Layout(args.person_pattern))
    splits, record = cut_splits(clips, persons, labels, args, lists)
    record |= {"persons_from": describe_persons(clips, args.person_pattern)}
    record |= {"persons_merged": persons_merged} if persons_merged else {}
    tasks, keys = make_tasks(splits, persons, labels, args)
    output = Path(args.output).absolute()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    with working_folder(output) as working:
        features = make_features(labels, clips[0].is_folder)
        rows, skipped, notes = read_splits(tasks, add_counts(features), args.num_proc, working)
        check_skipped(rows, skipped, len(clips), args.skip_unreadable)
        audit = {
            "splits": {split: {**summarise_split(rows[split]), **sum_repairs(rows[split])} for split in rows},
            "shared_persons": count_shared_persons({split: rows[split]["person_id"][:] for split in rows}),
            "split": record,
            "box_keys": {kind: total for kind, (_, total) in keys.items()},
            "box_keys_without_clip": {kind: unused for kind, (unused, _) in keys.items()},
            "unreadable_clips_left_out": skipped,
            "notes_on_videos": notes,
            **findings,
            **describe_build(args, files),
        }
        complete = working / "dataset"
        rows.select_columns(list(features)).save_to_disk(complete)
        text = json.dumps(audit, indent=2, ensure_ascii=False) + "\n"
        (complete / AUDIT_NAME).write_text(text, encoding="utf-8", errors="backslashreplace")
        replace_folder(complete, output, working)
    found = [*list_few_clips(audit), *map(printable, say_findings(audit))]
    print("\n".join([format_table(audit), *found, audit_build(output, args.num_proc)]))
    print(f"dataset and {AUDIT_NAME}: {args.output}")


def make_tasks(
    splits: Mapping[str, Sequence[SourceClip]],
    persons: Mapping[str, str],
    labels: Sequence[str],
    args: argparse.Namespace,
) -> tuple[dict[str, list[ReadTask]], dict[str, tuple[int, int]]]:
    """What is to be read of every clip; and of each box file, how many keys belong to none, and how many it has."""
    clips = [clip for part in splits.values() for clip in part]
    paths = {clip.path for clip in clips}
    found, keys, entries = {}, {}, {}
    for kind in ("face", "body"):
        file = getattr(args, f"bounding_box_{kind}")
        if file is not None and any(getattr(clip, kind) for clip in clips):
            raise InputError(f"--bounding-box-{kind}: the table has {kind} boxes too; expected one of the two")
        entries[kind] = read_box_file(Path(file), pack_entry) if file is not None else {}
        found[kind], unused = match_boxes(Path(file), entries[kind], paths) if file is not None else ({}, 0)
        keys[kind] = (unused, len(entries[kind]))
    if entries["face"] and entries["body"]:
        check_not_swapped(Path(args.bounding_box_face), Path(args.bounding_box_body), entries["face"], entries["body"])
    number = {name: place for place, name in enumerate(labels)}

    def make_task(clip: SourceClip) -> ReadTask:
        return ReadTask(
            clip,
            number[clip.label],
            persons[clip.clip_id],
            face=clip.face or found["face"].get(clip.path),
            body=clip.body or found["body"].get(clip.path),
            outside_boxes=args.outside_boxes,
            check_frames=args.check_frames,
        )

    return {split: [make_task(clip) for clip in part] for split, part in splits.items()}, keys


def read_splits(
    tasks: Mapping[str, Sequence[ReadTask]], features: datasets.Features, num_proc: int, folder: Path
) -> tuple[datasets.DatasetDict, list[dict[str, str]], dict[str, list[str]]]:
    """The rows of every split, written to `folder` as they come, what cannot be read, and what there is to know of
    videos, by clip."""
    ordered = [(split, task) for split in tasks for task in tasks[split]]
    paths = {split: str(folder / f"{split}.arrow") for split in tasks}
    skipped, notes = [], {}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ArrowWriter(path=paths[split], features=features)) for split in tasks}
        readings = read_all([task for _, task in ordered], num_proc, stack)
        bar = tqdm(zip(ordered, readings, strict=True), "reading", len(ordered), unit="clip", disable=None)
        for (split, task), reading in bar:
            if reading.row is not None:
                writers[split].write(reading.row)
                notes |= {task.clip.clip_id: list(reading.notes)} if reading.notes else {}
                continue
            found = {"clip_id": task.clip.clip_id, "place": task.clip.place, "problem": reading.problem}
            skipped.append({"split": split, **{name: printable(text) for name, text in found.items()}})
        for writer in writers.values():
            writer.finalize()
    rows = {split: datasets.Dataset.from_file(paths[split], split=datasets.NamedSplit(split)) for split in tasks}
    return datasets.DatasetDict(rows), skipped, notes


def read_all(tasks: Sequence[ReadTask], num_proc: int, stack: ExitStack) -> Iterable[Reading]:
    """The readings of `tasks`, in their order."""
    if num_proc == 1:
        return map(read_clip, tasks)
    # Keep: fork would copy the locks of threads that this process has used, and the copy waits for ever.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([read_clip.__module__])  # imports take seconds: once, not once a process
    # Neighbours are often stretches of one video, which a process has open.
    return stack.enter_context(context.Pool(num_proc)).imap(read_clip, tasks, chunksize=8)


def check_skipped(
    rows: datasets.DatasetDict, skipped: Sequence[Mapping[str, str]], num_clips: int, may_skip: bool
) -> None:
    """Refuse clips that cannot be read where none may be left out, and splits that have no clip left."""
    if skipped and not may_skip:
        raise InputError(
            f"{skipped[0]['place']}: {skipped[0]['problem']}; {len(skipped)} of {num_clips} clips cannot be read "
            "(--skip-unreadable leaves them out)"
        )
    for split in rows:
        if not len(rows[split]):
            first = next(clip for clip in skipped if clip["split"] == split)
            raise InputError(f"{first['place']}: {first['problem']}; no clip of {split} can be read")


def sum_repairs(rows: datasets.Dataset) -> dict[str, int]:
    """How often a clip was cut at a frame that cannot be read, ends with a video that holds less than it states, and
    is listed to end beyond its video."""
    cut = rows["frames_cut"][:]
    beyond, early = (sum(rows[name][:]) for name in ("beyond_video", "ends_early"))
    counts = {"frames_cut": sum(cut), "clips_cut": sum(map(bool, cut))}
    return {**counts, "clips_ending_early": early, "clips_beyond_video": beyond}


def describe_build(args: argparse.Namespace, files: Iterable[Path]) -> dict[str, Any]:
    """What the build was made of and with."""
    boxes = [Path(file) for file in (args.bounding_box_face, args.bounding_box_body) if file is not None]
    return {
        "sources": {str(path.absolute()): file_sha256(path) for path in (*files, *boxes)},
        "arguments": vars(args),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("datasets", "numpy", "av")},
        },
    }


def say_findings(audit: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the table."""
    sentences = [f"persons: {audit['split']['persons_from']}"]
    if merged := audit["split"].get("persons_merged"):
        sentences.append(merged)
    for split, counts in audit["splits"].items():
        if counts["clips_beyond_video"]:
            clips = with_share(counts["clips_beyond_video"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips are listed beyond their video's end and end with it")
        if counts["clips_ending_early"]:
            clips = with_share(counts["clips_ending_early"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips end early, with a video that holds less than it states")
        if counts["clips_cut"]:
            clips = with_share(counts["clips_cut"], counts["num_clips"])
            sentences.append(f"{split}: {clips} clips end at a frame that cannot be read: {counts['frames_cut']} cut")
    for kind, count in audit["box_keys_without_clip"].items():
        if count:
            share = count / audit["box_keys"][kind]
            sentences.append(f"{count} keys of the {kind} box file belong to no clip, {share:.1%} of all")
    if notes := audit["notes_on_videos"]:
        clip, found = next(iter(notes.items()))
        sentences.append(f"{len(notes)} clips are of videos to know something of, see build.json; {clip}: {found[0]}")
    if skipped := audit["unreadable_clips_left_out"]:
        sentences.append(f"{len(skipped)} clips cannot be read and are left out; the first: {skipped[0]['problem']}")
    return sentences
