"""The clips of a run: a dataset's own splits, a drawing's, or a fold's, and one cache of embeddings for all runs.

What is cached is more than any single run reads: every frame, both streams and the most views that a run asks for. So
the frames that are drawn, the streams and the views of a run are chosen from one cache, and nothing but what changes
pixels makes another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, concatenate_datasets

from modeling_clipcaer.data.loading import get_labels, load_clips
from modeling_clipcaer.data.splits import cut_folds, cut_part
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.runs import RunFlags
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.training.clip_cache import cache_clips
from modeling_clipcaer.training.run_comparison import fingerprint_clips


SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Fold:
    """One fold of a person-disjoint k-fold: which clips of a dataset are for what.

    Args:
        number: from 1, as `clipcaer build raer --fold` counts.
        folds: how many there are.
        val_share: validation's share of what is not for testing, by person.
        seed: of the cuts.
    """

    number: int
    folds: int
    val_share: float
    seed: int


@dataclass(frozen=True)
class Material:
    """The clips of runs.

    Args:
        name: in the names of folders.
        dataset: the folder of the dataset.
        fold: which part of it; `None` for its own splits.
    """

    name: str
    dataset: str
    fold: Fold | None = None

    def cut(self, clips: DatasetDict) -> DatasetDict:
        """Of the clips of the dataset, those of each split.

        Raises:
            InputError: they cannot be cut so.
        """
        return clips if self.fold is None else cut_fold(clips, self.fold, self.dataset)


@dataclass(frozen=True)
class _Clip:
    """What a cut goes by of a row."""

    clip_id: str
    person_id: str
    label: int
    place: str


def cut_fold(clips: DatasetDict, fold: Fold, place: str) -> DatasetDict:
    """All clips of a dataset cut anew: a fold for testing, a share of the persons of the others for validation.

    Raises:
        InputError: persons are not known, a clip is there twice, a person is in two parts, or a label is absent from
            training.
    """
    rows = concatenate_datasets(list(clips.values()))
    entries = list_entries(rows, place)
    parts = cut_folds(entries, fold.folds, fold.seed)
    check_parts({f"fold {number}": part for number, part in enumerate(parts, start=1)}, place)
    test = parts[fold.number - 1]
    chosen = {entry.clip_id for entry in test}
    rest = [entry for entry in entries if entry.clip_id not in chosen]
    train, validation = cut_part(rest, fold.val_share, "person", fold.seed)
    split = {"train": train, "validation": validation, "test": test}
    check_parts(split, f"{place}: fold {fold.number}")
    for number, label in enumerate(get_labels(clips)):
        if number not in {entry.label for entry in train}:
            raise InputError(
                f"{place}: fold {fold.number} leaves no clip of `{label}` for training; expected fewer --folds"
            )
    numbers = {clip_id: number for number, clip_id in enumerate(rows["clip_id"][:])}
    return DatasetDict({name: rows.select([numbers[entry.clip_id] for entry in part]) for name, part in split.items()})


def list_entries(rows: Dataset, place: str) -> list[Any]:
    """The clips that are cut.

    Raises:
        InputError: persons are not known, or a clip is there twice.
    """
    if "person_id" not in rows.column_names:
        raise InputError(f"{place}: has no column `person_id`, by which folds are cut; build it again")
    columns = (rows[name][:] for name in ("clip_id", "person_id", "label"))
    entries = [_Clip(clip_id, person, label, place) for clip_id, person, label in zip(*columns, strict=True)]
    seen: set[str] = set()
    for entry in entries:
        if entry.clip_id in seen:
            raise InputError(f"{place}: clip {entry.clip_id} is there twice; in folds each clip is tested once")
        seen.add(entry.clip_id)
    return entries


def check_parts(parts: Mapping[str, Sequence[Any]], place: str) -> None:
    """Refuse parts of which two have a person in common."""
    seen: dict[str, str] = {}
    for name, part in parts.items():
        for entry in part:
            if seen.setdefault(entry.person_id, name) != name:
                raise InputError(
                    f"{place}: person {entry.person_id} is in {seen[entry.person_id]} and in {name}; expected one"
                )


class ClipStore:
    """The clips of many runs, read and encoded once.

    Args:
        folder: of the cache of embeddings.
        views: of a training clip in it: the most that a run asks for.
        workers: processes that decode the frames which are still to be encoded.
    """

    def __init__(self, folder: Path, views: int, workers: int = 0):
        self.folder, self.views, self.workers = folder, views, workers
        self.kept: dict[Any, Any] = {}

    def read_files(self, material: Material) -> DatasetDict:
        """The clips of a material as files.

        Raises:
            InputError: there is no such dataset, or it cannot be cut so.
        """
        return self._once(("files", material), lambda: material.cut(self._read(material)))

    def describe(self, material: Material) -> dict[str, Any]:
        """What tells its clips from others, by split."""

        def fingerprint() -> dict[str, Any]:
            return {split: fingerprint_clips(rows) for split, rows in self.read_files(material).items()}

        return self._once(("fingerprint", material), fingerprint)

    def read(self, material: Material, flags: RunFlags) -> DatasetDict:
        """The clips as a run with `flags` reads them: their frames' embeddings, or files where it caches none."""
        if not flags.cache.cache_frame_embeds:
            return self.read_files(material)
        tower = (flags.model.clip_model, flags.model.attn_implementation, flags.training.tower_dtype)
        key = (material.dataset, material.fold is None, tower, flags.cache.cache_frames, *vars(flags.pixels).values())
        clips = self._once(key, lambda: self._encode(material, flags))
        return self._once((material, key), lambda: material.cut(clips))

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def _read(self, material: Material) -> DatasetDict:
        splits = SPLITS if material.fold is None else None
        return self._once((material.dataset, splits), lambda: load_clips(material.dataset, splits))

    def _encode(self, material: Material, flags: RunFlags) -> DatasetDict:
        clips, frames = self._read(material), flags.cache.cache_frames
        if frames and material.fold is not None:
            raise InputError("`cache_frames` is not taken with folds, in which a clip is trained on and measured")
        model = build_model(replace(flags.model, streams="both"), get_labels(clips))
        model.to(flags.training.device).eval()
        processor = build_processor(model, flags.pixels)

        def encode(split: str, rows: Dataset) -> Dataset:
            is_trained_on = split == "train" or material.fold is not None
            # Keep: as training clips, which have every frame; evaluation then looks at the same ones of them.
            kind = "test" if frames and not is_trained_on else "train"
            args = replace(flags.cache, cache_views=self.views if is_trained_on else 1)
            return cache_clips(
                model,
                processor,
                DatasetDict({kind: rows}),
                args,
                self.folder,
                self.workers,
                flags.training.tower_dtype,
            )[kind]

        return DatasetDict({split: encode(split, rows) for split, rows in clips.items()})
