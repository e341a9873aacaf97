"""RAER on disk, or any data in its layout, as a dataset of frame paths, boxes and labels."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from modeling_clipcaer.data.annotations import AnnotatedClip, check_disjoint, merge_persons, read_annotation
from modeling_clipcaer.data.boxes import (
    check_coverage,
    check_not_swapped,
    explain_missing_box,
    pack_entry,
    read_box_file,
)
from modeling_clipcaer.data.clip_keys import find_folder
from modeling_clipcaer.data.protocols import name_protocol, record_split, split_lists
from modeling_clipcaer.data.raer_config import RaerConfig, Sources, hash_contents, list_code, locate_sources
from modeling_clipcaer.data.rows import AUDIT_FEATURES, ClipTask, make_features, make_row
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import identity_key


# Keep pathlib out of this module: `as_streaming_dataset` replaces `Path` in the module of its builder for good.
NUM_SHARDS = 64  # upper bound of the processes that can share the work and of the shards of a stream


class Raer(datasets.GeneratorBasedBuilder):
    """Builder of RAER, used as a class: `Raer.create(root=...)`, `download_and_prepare()`, `as_dataset()`."""

    BUILDER_CONFIG_CLASS = RaerConfig
    box_keys: dict[str, dict[str, int]] | None = None
    split_record: dict[str, Any] | None = None

    @classmethod
    def create(cls, cache_dir: str | os.PathLike | None = None, **options: Any) -> "Raer":
        """A builder whose cache is keyed by the content of this code, the lists and the box files.

        Without that `hash`, `datasets` keys by the paths alone and gives the old rows after an edit. The frames are no
        part of it: after changing frame folders, prepare with `download_mode="force_redownload"`.

        Args:
            cache_dir: `datasets`' cache, by default the user's.
            options: fields of `RaerConfig`.
        """
        options = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()
        }
        sources = locate_sources(RaerConfig(**options))
        digest = hash_contents([*list_code(), *sources.files()])
        return cls(cache_dir=os.fspath(cache_dir) if cache_dir is not None else None, hash=digest, **options)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="Academic emotion clips in RAER's layout: frame paths, face and body boxes, labels. "
            f"Split: {name_protocol(self.config)}.",
            features=datasets.Features({**make_features(self.config.labels), **AUDIT_FEATURES}),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        sources = locate_sources(self.config)
        splits, merged = read_splits(self.config, sources)
        self.split_record = record_split(self.config, splits) | ({"persons_merged": merged} if merged else {})
        tasks, self.box_keys = attach_boxes(self.config, sources, splits)
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": cut_shards(tasks[split])}) for split in tasks
        ]

    def _generate_examples(self, shards: list[list[ClipTask]]) -> Iterator[tuple[str, dict[str, Any]]]:
        sources = locate_sources(self.config)
        for shard in shards:
            for task in shard:
                yield task.clip.clip_id, make_row(task, sources, self.config.outside_boxes)

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        # Keep: `datasets` wraps what the generator raises, and the cause is lost on the way from a worker process.
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise


def read_splits(config: RaerConfig, sources: Sources) -> tuple[dict[str, list[AnnotatedClip]], str | None]:
    """The clips of every split, and which persons were spelled in several ways, in a line."""
    paths = {"train": sources.train, "validation": sources.validation, "test": sources.test}
    lists = {
        split: read_annotation(path, config.labels, config.first_label, config.layout)
        for split, path in paths.items()
        if path is not None
    }
    check_disjoint(lists)
    seen: dict[str, AnnotatedClip] = {}
    for clip in (clip for clips in lists.values() for clip in clips):
        folder = find_folder(sources.raer, clip.clip_id)
        if folder is None:
            raise InputError(f"{clip.place}: expected the clip folder {sources.raer / clip.clip_id}, found none")
        # Keep: asked of the disk, which may take no notice of capitals. One clip would be two, perhaps of two splits.
        earlier = seen.setdefault(identity_key(clip.clip_id), clip)
        if earlier is not clip and os.path.samefile(folder, find_folder(sources.raer, earlier.clip_id)):
            raise InputError(
                f"{clip.place}: '{clip.clip_id}' is '{earlier.clip_id}' of {earlier.place}; expected it once"
            )
    lists, merged = merge_persons(lists)
    return split_lists(lists, config), merged


def attach_boxes(
    config: RaerConfig, sources: Sources, splits: dict[str, list[AnnotatedClip]]
) -> tuple[dict[str, list[ClipTask]], dict[str, dict[str, int]]]:
    """Boxes of every clip by its key, and how many keys each box file has and how many of them belong to no clip."""
    files = {"face": sources.face, "body": sources.body}
    boxes = {kind: read_box_file(path, pack_entry) if path is not None else {} for kind, path in files.items()}
    if sources.face is not None and sources.body is not None:
        check_not_swapped(sources.face, sources.body, boxes["face"], boxes["body"])
    known = {clip.clip_id for clips in splits.values() for clip in clips}
    unused = {kind: [key for key in entries if key not in known] for kind, entries in boxes.items()}
    for annotation, clips in group_by_list(splits).items():
        for kind, path in files.items():
            if path is not None:
                gaps = [explain_missing_box(clip.clip_id, sources.raer, boxes[kind]) for clip in clips]
                minimum = getattr(config, f"min_{kind}_share")
                check_coverage(path, annotation, gaps, unused[kind], minimum, f"min-{kind}-share")
    tasks = {
        split: [ClipTask(clip, boxes["face"].get(clip.clip_id), boxes["body"].get(clip.clip_id)) for clip in clips]
        for split, clips in splits.items()
    }
    return tasks, {kind: {"keys": len(boxes[kind]), "without_clip": len(unused[kind])} for kind in files}


def group_by_list(splits: dict[str, list[AnnotatedClip]]) -> dict[str, list[AnnotatedClip]]:
    """Clips by annotation file, since spellings differ between files, and a validation split may be tiny."""
    groups = defaultdict(list)
    for clips in splits.values():
        for clip in clips:
            groups[clip.place.rpartition(":")[0]].append(clip)
    return groups


def cut_shards(tasks: Sequence[ClipTask]) -> list[list[ClipTask]]:
    size = -(-len(tasks) // NUM_SHARDS)
    return [list(tasks[start : start + size]) for start in range(0, len(tasks), size)]
