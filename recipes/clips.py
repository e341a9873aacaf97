"""The dataset that a recipe reads."""

from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError

from data_scripts.build_raer import AUDIT_NAME, build_dataset
from modeling_clipcaer.cached_clips import CROPS_COLUMNS
from modeling_clipcaer.clip_rows import BOX_COLUMNS, describe_forms, find_form
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.strict_loading import first_line

from .labels_file import read_label_entries
from .model_arguments import DataArguments
from .parquet_shards import find_shards


COLUMNS = {"clip_id", *BOX_COLUMNS, "label"}
CROPPED_COLUMNS = {"clip_id", *CROPS_COLUMNS, "num_views", "num_frames", "label"}


def load_clips(folder: str | Path, splits: tuple[str, ...] | None = None) -> DatasetDict:
    """The dataset in `folder`, written by `data_scripts`, or its parquet shards, with at least `splits`, which are by
    default those that it has. Shards are read once into the cache of `datasets` and mapped into memory from there.

    Raises:
        InputError: there is none, it is damaged, or it lacks a split, a column or the labels' names.
    """
    check_readable(folder, depth=2)
    shards = find_shards(folder)
    try:
        clips = load_dataset("parquet", data_files=shards) if shards else load_from_disk(str(folder))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder}: expected a dataset written by data_scripts/build_raer.py, found none") from error
    # Keep: all of these. A value of the wrong kind in its JSON files makes whatever error the line has that uses it.
    except (
        *(OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError),
        DatasetGenerationError,
    ) as error:
        reason = first_line(error.__cause__ or error)
        raise InputError(f"{folder}: is a damaged or empty dataset, build it again: {reason}") from error
    if not isinstance(clips, DatasetDict):
        raise InputError(f"{folder}: expected a dataset with splits, found one split alone")
    for split in clips if splits is None else splits:
        if split not in clips:
            raise InputError(f"{folder}: has no split `{split}`; it has {', '.join(clips)}")
        cropped = set(CROPS_COLUMNS) <= set(clips[split].column_names)
        missing = sorted((CROPPED_COLUMNS if cropped else COLUMNS) - set(clips[split].column_names))
        if missing:
            raise InputError(f"{folder}: split `{split}` has no column `{missing[0]}`")
        if not cropped and find_form(clips[split].column_names) is None:
            raise InputError(f"{folder}: split `{split}` names no frames: expected {describe_forms()}")
        if not isinstance(clips[split].features["label"], ClassLabel):
            raise InputError(f"{folder}: split `{split}`: `label` has no names, expected a ClassLabel")
        if not len(clips[split]):
            raise InputError(f"{folder}: split `{split}` holds no clip")
    return clips


def count_frames(rows: Dataset) -> list[int]:
    """Frames of every clip."""
    if "num_frames" in rows.column_names:
        return rows["num_frames"][:]
    return [len(names) for names in rows["frame_names"][:]]


def get_labels(clips: DatasetDict) -> list[str]:
    """Names of the labels, in the order of their numbers."""
    return next(iter(clips.values())).features["label"].names


def read_split_protocol(folder: str | Path) -> str | None:
    """How the splits of the dataset in `folder` were made; `None` where its build did not record it."""
    try:
        return read_object(Path(folder, AUDIT_NAME))["split"]["name"]
    except (InputError, LookupError, TypeError):
        return None


def prepare_clips(args: DataArguments, labels_file: str | None, build_dir: Path, is_main_process: bool) -> Path:
    """Folder of the dataset: the one given, or one built from RAER's own files into `build_dir`.

    The lists' label numbers mean the labels of `labels_file` in its order, or RAER's.
    """
    if args.dataset is not None:
        return Path(args.dataset)
    if is_main_process:
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
