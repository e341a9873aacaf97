"""Bring segments that were corrected in ELAN, Label Studio or a spreadsheet back as clips to learn from.

    clipcaer import lesson.eaf --dataset data/mine --output data/mine2

reads the corrected files, and `recording.json` of the prediction that they are of. It writes the dataset once more,
with the corrected stretches as clips of the training split. Validation and test stay as they are: of people who are in
them nothing is added. build.json says of every clip which file it is from, and what was predicted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, complain, run_command, tell, tell_findings
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from modeling_clipcaer.corrections.persons import People
    from modeling_clipcaer.corrections.segments import Checked


@dataclass
class ImportArguments:
    """What comes back, and where it goes."""

    files: list[str] = option(
        MISSING, "ELAN's .eaf, Label Studio's export (JSON or JSON-MIN), segments.csv.", positional=True
    )
    dataset: str = option(MISSING, "The dataset to add to, which stays as it is.", metavar="DIR")
    output: str = option(MISSING, "The dataset to write, or to replace.")
    recordings: list[str] | None = option(
        None, "What `clipcaer predict` wrote; by default where the files lie.", metavar="DIR"
    )
    persons: list[str] | None = option(
        None, "Who is who, as lesson/person-1=anna; others are people of their recording alone.", metavar="WHO"
    )
    clip_seconds: float | None = option(
        None, "Longest clip; a longer segment becomes several. By default the window of the prediction.", above=0
    )
    changed_only: bool = option(False, "Leave out segments that are as they were predicted.")
    room: bool = option(False, "Take segments of the room, too; as clips of whole frames.")
    bounding_box_face: str | None = option(None, "The face boxes that the prediction was given.", metavar="FILE")
    bounding_box_body: str | None = option(None, "The body boxes that the prediction was given.", metavar="FILE")
    write_frames: bool = option(
        False, "Write frames of the clips into OUTPUT-frames; for a dataset of folders of frames. They show people."
    )


def main() -> None:
    (args,) = parse_arguments((ImportArguments,), sys.argv[1:], __doc__)
    tell(f"reading {', '.join(map(printable, args.files))}")  # Keep: before the imports, which take seconds

    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.corrections.clips import make_clips
    from modeling_clipcaer.corrections.dataset import (
        check_recordings,
        describe_import,
        read_record,
        takes_videos,
        write_dataset,
    )
    from modeling_clipcaer.corrections.persons import People, name_persons
    from modeling_clipcaer.corrections.readers import read_corrections
    from modeling_clipcaer.corrections.segments import check_segments, find_recordings
    from modeling_clipcaer.data.audit.dataset import audit_build
    from modeling_clipcaer.data.build import check_output
    from modeling_clipcaer.data.clip_boxes import read_boxes
    from modeling_clipcaer.data.loading import get_labels, load_clips
    from modeling_clipcaer.data.next_steps import tell_next

    hide_progress_bars(of_models=False)
    check_output(Path(args.output).absolute())  # Keep: here. Frames of people are written before the dataset is.
    corrected = [segment for file in args.files for segment in read_corrections(file)]
    recordings = find_recordings(args.files, args.recordings)
    names = name_persons(args.persons or (), recordings)
    boxes = read_boxes(args.bounding_box_face, args.bounding_box_body)
    clips, record = load_clips(args.dataset, ("train", "validation", "test")), read_record(args.dataset)
    labels, people = get_labels(clips), People(clips, names)
    check_form(takes_videos(clips, args.dataset), args)
    segments = check_segments(corrected, recordings, labels)
    check_recordings(segments, clips, record, args.dataset)
    chosen = choose(segments, people, args)
    tell_guesses(chosen, people, has_boxes=bool(boxes.face))
    frames = Path(f"{args.output.rstrip('/')}-frames") if args.write_frames else None
    added = make_clips(chosen, people, boxes, args.clip_seconds, frames)
    write_dataset(clips, added, record, describe_import(args.files, chosen), Path(args.output))
    counts = Counter(clip.label for clip, _ in added)
    listed = ", ".join(f"{printable(label)} {counts[label]}" for label in labels if counts[label])
    tell(f"added to train: {len(added)} clips ({listed})", hang=2)
    tell_findings(audit_build(Path(args.output), num_proc=1))
    tell(add_path("dataset and build.json", args.output))
    for line in tell_next(args.output, labels, like=args.dataset):
        tell(line)


def check_form(takes_videos: bool, args: ImportArguments) -> None:
    """Refuse to write frames where clips are stretches of videos, and to write none where they are not."""
    if takes_videos and args.write_frames:
        raise InputError(
            f"--write-frames has no effect, the clips of {args.dataset} are stretches of videos; leave it out"
        )
    if not takes_videos and not args.write_frames:
        raise InputError(
            f"{args.dataset}: its clips are folders of frames; --write-frames makes the imported ones such, of "
            "pictures that show people"
        )


def choose(segments: Sequence[Checked], people: People, args: ImportArguments) -> list[Checked]:
    """The segments to learn from. Says what became of all of them, and why some are left out."""
    from modeling_clipcaer.corrections.segments import AS_PREDICTED
    from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN

    left_out: Counter[str] = Counter()
    chosen = []
    for segment in segments:
        if segment.label == UNCERTAIN:
            left_out["are still uncertain"] += 1
        elif segment.person == ROOM and not args.room:
            left_out["are the room's (--room takes them)"] += 1
        elif segment.change == AS_PREDICTED and args.changed_only:
            left_out["are as they were predicted"] += 1
        elif people.is_measured(segment):
            left_out[f"are of {printable(people.find(segment))}, who is in validation or test"] += 1
        else:
            chosen.append(segment)
    changes = Counter(segment.change for segment in chosen)
    tell(f"segments: {len(segments)}, of which {len(chosen)} are taken{describe_counts(changes, ' {count} {name}')}")
    if left_out:
        tell("left out" + describe_counts(left_out, " {count} {name}"), hang=2)
    if not chosen:
        raise InputError(f"{', '.join(args.files)}: no segment to learn from is left; expected some with a label")
    return chosen


def describe_counts(counts: Counter[str], form: str) -> str:
    """Counts in words, behind a colon."""
    return ":" + ",".join(form.format(count=count, name=name) for name, count in counts.items()) if counts else ""


def tell_guesses(segments: Sequence[Checked], people: People, has_boxes: bool) -> None:
    """Warn of what nothing says: who somebody is, and where bodies were that the prediction was told of."""
    if unnamed := people.list_unnamed(segments):
        complain(
            "warning",
            f"nothing says who {', '.join(unnamed)} are: each counts as a person of the recording alone, who may "
            f"be in validation or test, too; --persons {unnamed[0]}=NAME says who",
        )
    supplied = {segment.recording.name for segment in segments if segment.recording.had_boxes}
    if supplied and not has_boxes:
        complain(
            "warning",
            f"{', '.join(sorted(supplied))}: was predicted with boxes of yours; without --bounding-box-face and "
            "--bounding-box-body faces are where they were sampled, and bodies are grown around them",
        )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
