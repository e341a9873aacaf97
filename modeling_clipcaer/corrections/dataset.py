"""A dataset with clips added to its training split; what it is measured by stays as it is."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, concatenate_datasets

from modeling_clipcaer.common.files import file_sha256, replace_folder, working_folder, write_json
from modeling_clipcaer.common.progress import track
from modeling_clipcaer.corrections.clips import Origin
from modeling_clipcaer.corrections.segments import Checked
from modeling_clipcaer.data.build import check_output
from modeling_clipcaer.data.clip_rows import find_form
from modeling_clipcaer.data.label_counts import find_absent, find_few
from modeling_clipcaer.data.loading import count_labels
from modeling_clipcaer.data.record import FORMAT_VERSION, RECORD_NAME, count_shared_persons
from modeling_clipcaer.data.rows import read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object


IMPORTS = "imports"  # of the record: what was added, and from where


def takes_videos(clips: DatasetDict, folder: str) -> bool:
    """Whether the clips of a dataset are stretches of videos; else they are folders of frames.

    Raises:
        InputError: they are neither.
    """
    form = find_form(clips["train"].column_names) or ()
    if "video" not in form and "frame_dir" not in form:
        raise InputError(
            f"{folder}: its rows hold the frames themselves; expected a dataset as `clipcaer build` writes it"
        )
    return "video" in form


def check_recordings(segments: Sequence[Checked], clips: DatasetDict, record: Mapping[str, Any], folder: str) -> None:
    """Refuse recordings that a measured split has clips of, or that were imported before.

    Raises:
        InputError: there is one.
    """
    videos = {segment.recording.video for segment in segments}
    earlier = {video for entry in record.get(IMPORTS, []) for video in entry["recordings"]}
    for split, rows in clips.items():
        measured = {os.path.realpath(path) for path in rows["video"][:]} if "video" in rows.column_names else set()
        for video in sorted(videos) if split != "train" else ():
            if os.path.realpath(video) in measured:
                raise InputError(
                    f"{video}: {split} of {folder} has clips of it; expected recordings that nothing is measured by"
                )
    if again := sorted(videos & earlier):
        raise InputError(
            f"{again[0]}: was imported into {folder} before; expected the dataset as it was then, or other recordings"
        )


def read_record(folder: str) -> dict[str, Any]:
    """What the dataset's build says of it; nothing where there is no such file."""
    path = Path(folder, RECORD_NAME)
    return read_object(path) if path.exists() else {"format_version": FORMAT_VERSION}


def make_rows(clips: Sequence[SourceClip], like: Dataset) -> Dataset:
    """The rows of clips, with the columns of other rows.

    Raises:
        InputError: one of the clips cannot be read, or has the name of one of the others.
    """
    labels, settings = like.features["label"].names, BuildSettings(outside_boxes="missing")
    votes, taken = ([0] * len(labels) if "votes" in like.features else None), set(like["clip_id"][:])
    rows = []
    for clip in track(clips, "reading clips", len(clips)):
        if clip.clip_id in taken:
            raise InputError(f"{clip.place}: the dataset has a clip '{clip.clip_id}'; rename the prediction's folder")
        reading = read_clip(replace(clip, label=labels.index(str(clip.label)), votes=votes), settings)
        if reading.row is None:
            raise InputError(f"{clip.place}: {reading.problem}")
        rows.append({name: reading.row.get(name) for name in like.features})
    return Dataset.from_list(rows, features=like.features, split=like.split)


def write_dataset(
    clips: DatasetDict,
    added: Sequence[tuple[SourceClip, Origin]],
    record: Mapping[str, Any],
    entry: Mapping[str, Any],
    output: Path,
) -> None:
    """Write the dataset with `added` behind its training clips.

    Args:
        clips: of the dataset.
        added: the clips, and where each is from.
        record: of the dataset.
        entry: what it says of these clips beside that.
        output: the folder to write; a dataset there is replaced, anything else refused.
    """
    output = output.absolute()
    check_output(output)
    rows = make_rows([clip for clip, _ in added], clips["train"])
    whole = DatasetDict({**clips, "train": concatenate_datasets([clips["train"], rows])})
    origins = {clip.clip_id: asdict(origin) for clip, origin in added}
    with working_folder(output) as working:
        complete = working / "dataset"
        whole.save_to_disk(complete)
        write_json(extend_record(record, whole, {**entry, "clips": origins}), complete / RECORD_NAME)
        replace_folder(complete, output, working)


def describe_import(files: Sequence[str], segments: Sequence[Checked]) -> dict[str, Any]:
    """What a record says of an import: the files, the recordings, and what had predicted them."""
    recordings = {segment.recording.video: segment.recording for segment in segments}
    return {
        "files": {os.path.abspath(file): file_sha256(file) for file in files},
        "recordings": {
            video: {"file": found.made_from.get("file"), "model": found.timeline.settings.get("model")}
            for video, found in recordings.items()
        },
    }


def extend_record(record: Mapping[str, Any], clips: DatasetDict, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a dataset that clips were added to."""
    imports = [*record.get(IMPORTS, []), entry]
    split, splits = dict(record.get("split", {})), dict(record.get("splits", {}))
    built_as = split.get("built_as", split.get("name", "not recorded"))
    total = sum(len(found["clips"]) for found in imports)
    labels = count_labels(clips)["train"]
    splits["train"] = {
        **splits.get("train", {}),
        "num_clips": len(clips["train"]),
        "labels": labels,
        "absent_labels": find_absent(labels),
        "few_clips": find_few(labels),
        "num_persons": len(set(clips["train"]["person_id"][:])),
    }
    return {
        **record,
        "split": {**split, "built_as": built_as, "name": f"{built_as}; {total} corrected clips added to training"},
        "splits": splits,
        "shared_persons": count_shared_persons({name: part["person_id"][:] for name, part in clips.items()}),
        IMPORTS: imports,
    }
