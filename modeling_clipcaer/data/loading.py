"""The dataset that a recipe reads."""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features, Video, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError

from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.data.cached_clips import CROPS_COLUMNS
from modeling_clipcaer.data.clip_labels import align_labels, name_labels
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, describe_forms, find_form, is_elsewhere, open_row
from modeling_clipcaer.data.features import FEATURES
from modeling_clipcaer.data.fetching import PLACE
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.data.parquet.shards import find_shards
from modeling_clipcaer.data.record import FORMAT_VERSION, RECORD_NAME
from modeling_clipcaer.data.streamed import find_on_hub, is_laid_out, is_streamed, read_beside, read_streamed
from modeling_clipcaer.data.votes import find_vote_fault
from modeling_clipcaer.errors import InputError, check_readable, first_line
from modeling_clipcaer.json_files import check_format, parse_json, read_object


logger = logging.getLogger(__name__)

COLUMNS = {"clip_id", *BOX_COLUMNS, "label"}
CROPPED_COLUMNS = {"clip_id", *CROPS_COLUMNS, "num_views", "num_frames", "label"}


def load_clips(
    folder: str | Path, splits: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> DatasetDict:
    """The clips of `splits`, by default of all, of the dataset in `folder`, written by `clipcaer build`, or of its
    parquet shards. Shards are read once into the cache of `datasets` and mapped into memory from there.

    `folder` may also be the id of a dataset on the Hub, or an address. Of its rows the pictures are fetched when they
    are wanted, see [`streamed`].

    In every split the numbers in `label` are those of `labels`, by default of the training split's; where a split has
    them in another order they are mapped by name.

    Raises:
        InputError: there is none, it is damaged or of a newer version, it lacks a split, a column or the labels'
            names, the names differ between splits, or a split that is measured has a clip twice.
    """
    check_readable(folder, depth=2)
    _check_version(folder)
    try:
        clips = _read_splits(folder, splits)
    except InputError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder}: expected a dataset, as `clipcaer build` writes it, found none") from error
    # Keep: all of these. A value of the wrong kind in its JSON files makes whatever error the line has that uses it.
    except (
        *(OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError),
        DatasetGenerationError,
    ) as error:
        reason = first_line(error.__cause__ or error)
        raise InputError(f"{folder}: is a damaged or empty dataset, build it again: {reason}") from error
    labels_of = {}
    for split, rows in clips.items():
        labels_of[split] = _check_split(f"{folder}: split `{split}`", rows)
        if split != "train":
            _check_repeats(f"{folder}: split `{split}`", rows)
    first = "train" if "train" in clips else next(iter(clips))
    reference = "the checkpoint's" if labels is not None else f"those of split `{first}`"
    names = labels_of[first] if labels is None else labels
    return DatasetDict(
        {split: align_labels(rows, names, f"{folder}: split `{split}`", reference) for split, rows in clips.items()}
    )


def _check_version(folder: str | Path) -> None:
    """Refuse a dataset that a later version of this code built; those that say nothing are of the first."""
    version = read_record(folder).get("format_version", FORMAT_VERSION)
    check_format(version, FORMAT_VERSION, f"{folder}/{RECORD_NAME}")


def read_record(folder: str | Path) -> dict[str, Any]:
    """The record of a dataset's build; empty where it has none, or a broken one."""
    try:
        if not is_streamed(folder):
            return read_object(Path(folder, RECORD_NAME))
        content = parse_json(read_beside(str(folder), RECORD_NAME) or "{}", f"{folder}/{RECORD_NAME}")
        return content if isinstance(content, dict) else {}
    except (InputError, UnicodeDecodeError):
        return {}


def _read_splits(folder: str | Path, splits: Sequence[str] | None) -> DatasetDict:
    read = read_streamed if is_streamed(folder) else _read_folder
    clips = DatasetDict(read(str(folder), splits))
    for split, rows in clips.items():
        rows.data.validate(full=True)  # Keep: Arrow does not look at texts and lengths before somebody takes them.
        if isinstance(rows.features.get("video"), Video):
            clips[split] = _complete_videos(rows, split)
    return clips


def _complete_videos(rows: Dataset, split: str) -> Dataset:
    """Rows of `datasets`' videos with what they may lack of ours: names, and boxes, which are then none."""
    rows = rows.cast_column("video", Video(decode=False))  # Keep: its decoder may not be there, and ours reads frames.
    if "clip_id" not in rows.column_names:
        rows = rows.add_column("clip_id", [f"{split}/{number}" for number in range(len(rows))])
    for name in BOX_COLUMNS:
        if name not in rows.column_names:
            logger.warning(f"split `{split}` has no `{name}`: the whole frame is taken")
            rows = rows.add_column(name, [[] for _ in range(len(rows))], feature=FEATURES[name])
    return rows


def _read_folder(folder: str, splits: Sequence[str] | None) -> dict[str, Dataset]:
    shards = find_shards(folder)
    if not shards and is_laid_out(Path(folder)):
        return read_streamed(folder, splits)
    if not shards:
        _check_parts(Path(folder))
    clips = shards or load_from_disk(folder)
    if not isinstance(clips, dict):
        raise InputError(f"{folder}: expected a dataset with splits, found one split alone")
    wanted = list(clips) if splits is None else splits
    for split in wanted:
        if split not in clips:
            raise InputError(f"{folder}: has no split `{split}`; it has {', '.join(clips)}")
    read: dict[str, Any] = {split: _read_shards(split, shards[split]) if shards else clips[split] for split in wanted}
    for split, rows in read.items():
        if PLACE in rows.column_names:
            raise InputError(f"{folder}: split `{split}` has a column `{PLACE}`, which no dataset may bring")
    return read


def _check_parts(folder: Path) -> None:
    """Refuse a dataset whose records name files of other folders, which `datasets` would read in the place of its own.
    What else is wrong with the records is told by who reads them."""
    splits = _read_names(folder / "dataset_dict.json", "splits")
    files = [name for split in splits for name in _read_names(folder / split / "state.json", "_data_files")]
    if (name := next(filter(is_elsewhere, (*splits, *files)), None)) is not None:
        raise InputError(f"{folder}: names '{name}', which lies elsewhere; expected names of its own files")


def _read_names(path: Path, key: str) -> list[str]:
    try:
        found = read_object(path).get(key)
    except InputError:
        return []
    names = [entry.get("filename") if isinstance(entry, dict) else entry for entry in found or ()]
    return [name for name in names if isinstance(name, str)]


def _read_shards(split: str, paths: list[str]) -> Dataset:
    # Keep: a split at a time, and each shard's own names. `datasets` would take those of the first file for all.
    features = {path: Features.from_arrow_schema(pq.read_schema(path)).get("label") for path in paths}
    for path, feature in features.items():
        if feature != features[paths[0]]:
            raise InputError(f"{path}: its labels are {feature}, those of {paths[0]} are {features[paths[0]]}")
    return load_dataset("parquet", data_files={split: paths}, split=split)


def _check_split(place: str, rows: Dataset) -> list[str]:
    """The names of the labels of a split that has all it needs."""
    cropped = set(CROPS_COLUMNS) <= set(rows.column_names)
    missing = sorted((CROPPED_COLUMNS if cropped else COLUMNS) - set(rows.column_names))
    if missing:
        raise InputError(
            f"{place} has no column `{missing[0]}`; expected what `clipcaer build` writes, build it again"
        )
    if not cropped and find_form(rows.column_names) is None:
        raise InputError(f"{place} names no frames: expected {describe_forms()}")
    if not len(rows):
        raise InputError(f"{place} holds no clip; expected some, build the dataset again")
    labels = name_labels(rows)
    if labels is None:
        raise InputError(f"{place}: `label` has no names, expected a ClassLabel or names")
    if None in rows["label"][:]:
        raise InputError(f"{place}: {rows['label'][:].count(None)} clips have no label; expected one for each")
    if "votes" in rows.column_names:
        _check_votes(place, rows, len(labels))
    return labels


def _check_votes(place: str, rows: Dataset, num_labels: int) -> None:
    for number, votes in enumerate(rows["votes"][:]):
        if fault := find_vote_fault(votes, num_labels):
            raise InputError(f"{place}: clip {rows[number]['clip_id']}: {fault}")


def _check_repeats(place: str, rows: Dataset) -> None:
    """Keep: a clip that is measured twice counts twice."""
    counts = Counter(rows["clip_id"][:])
    repeated = [clip for clip, count in counts.items() if count > 1]
    if repeated:
        raise InputError(
            f"{place} holds clip {repeated[0]} {counts[repeated[0]]} times, and repeats {len(repeated)}; expected one "
            "of each"
        )


def count_frames(rows: Dataset) -> list[int]:
    """Frames of every clip."""
    if "num_frames" in rows.column_names:
        return rows["num_frames"][:]
    if "frame_names" in rows.column_names:
        return [len(names) for names in rows["frame_names"][:]]
    return [len(open_row(row)) for row in rows]


def count_labels(clips: DatasetDict) -> dict[str, dict[str, int]]:
    """Clips of each label, by split."""
    labels = get_labels(clips)
    counts = {split: np.bincount(rows["label"][:], minlength=len(labels)).tolist() for split, rows in clips.items()}
    return {split: dict(zip(labels, numbers, strict=True)) for split, numbers in counts.items()}


def tell_shared_clips(clips: DatasetDict) -> list[str]:
    """A sentence for each two splits that have clips in common: what was learnt is then measured."""
    names = {split: set(rows["clip_id"][:]) for split, rows in clips.items()}
    shared = {pair: names[pair[0]] & names[pair[1]] for pair in combinations(names, 2)}
    return [
        f"{first} and {second} have {len(common)} clips in common, {min(common)} for one"
        for (first, second), common in shared.items()
        if common
    ]


def get_labels(clips: DatasetDict) -> list[str]:
    """Names of the labels, in the order of their numbers."""
    return next(iter(clips.values())).features["label"].names


def read_split_protocol(folder: str | Path) -> str | None:
    """How the splits of the dataset in `folder` were made; `None` where its build did not record it."""
    try:
        return read_record(folder)["split"]["name"]
    except (LookupError, TypeError):
        return None


def read_origin(folder: str | Path) -> dict[str, Any] | None:
    """What the dataset in `folder` was built from: the `name` and `link` of the data, each `None` where it is not
    known, and whether they are drawn (`is_drawn`); `None` where its build did not record it.

    Of a dataset on the Hub also its `hub_id` and the `commit` that was read. One without a record is called by its id.
    """
    on_hub = find_on_hub(folder)
    try:
        origin = read_record(folder)["origin"]
        found = {name: origin[name] for name in ("name", "link", "is_drawn")}
    except (LookupError, TypeError):
        if on_hub is None:
            return None
        found = {"name": None, "link": None, "is_drawn": False}
    if on_hub is None:
        return found
    hub_id, commit = on_hub
    if found["name"] is None:
        found |= {"name": hub_id, "link": f"https://huggingface.co/datasets/{hub_id}"}
    return found | {"hub_id": hub_id, "commit": commit}


def prepare_clips(args: DataArguments, labels_file: str | None, build_dir: Path, is_main_process: bool) -> str | Path:
    """Place of the dataset: the one given, or one built from RAER's own files into `build_dir`.

    The lists' label numbers mean the labels of `labels_file` in its order, or RAER's.
    """
    if args.dataset is not None:
        return args.dataset
    if is_main_process and args.root_dir is not None:
        build_dataset(
            args.root_dir,
            build_dir,
            train_annotation=args.train_annotation,
            val_annotation=args.val_annotation,
            test_annotation=args.test_annotation,
            bounding_box_face=args.bounding_box_face,
            bounding_box_body=args.bounding_box_body,
            labels=list(read_label_entries(labels_file)) if labels_file else None,
        )
    return build_dir
