"""RAER, or any data in its layout, as a builder of the `datasets` library: cached, or read as a stream."""

import hashlib
import inspect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from modeling_clipcaer import frame_files, image_files, names, raer_labels
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.data import build, layouts
from modeling_clipcaer.data.build import describe_rows, plan_build
from modeling_clipcaer.data.features import COUNT_FEATURES, make_features
from modeling_clipcaer.data.layouts import raer
from modeling_clipcaer.data.protocols import name_protocol
from modeling_clipcaer.data.rows import read_clip
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


# Keep pathlib out of this module: `as_streaming_dataset` replaces `Path` in the module of its builder for good.
NUM_SHARDS = 64  # upper bound of the processes that can share the work and of the shards of a stream


@dataclass(kw_only=True)
class RaerConfig(raer.Settings, datasets.BuilderConfig):
    """The settings of RAER's layout, as `datasets` keeps them."""

    def __post_init__(self) -> None:
        datasets.BuilderConfig.__post_init__(self)
        raer.Settings.__post_init__(self)


class Raer(datasets.GeneratorBasedBuilder):
    """Builder of RAER, used as a class: `Raer.create(root=...)`, `download_and_prepare()`, `as_dataset()`."""

    BUILDER_CONFIG_CLASS = RaerConfig

    @classmethod
    def create(cls, cache_dir: str | os.PathLike | None = None, **options: Any) -> "Raer":
        """A builder whose cache is keyed by the content of this code, the lists and the box files.

        Without that `hash`, `datasets` keys by the paths alone and gives the old rows after an edit. The frames are no
        part of it: after changing frame folders, prepare with `download_mode="force_redownload"`.

        Args:
            cache_dir: `datasets`' cache, by default the user's.
            options: fields of [`raer.Settings`].
        """
        options = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()
        }
        _, files = raer.locate_sources(RaerConfig(**options))
        contents: list[str | os.PathLike] = [*list_code(), *(file for file in files.values() if file is not None)]
        digest = hashlib.sha256("".join(map(file_sha256, contents)).encode()).hexdigest()
        return cls(cache_dir=os.fspath(cache_dir) if cache_dir is not None else None, hash=digest, **options)

    def _info(self) -> datasets.DatasetInfo:
        features = datasets.Features({**make_features(self.config.labels), **COUNT_FEATURES})
        return datasets.DatasetInfo(description=describe_rows(name_protocol(self.config)), features=features)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        plan = plan_build(raer.find_clips(self.config), self.config)
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": cut_shards(clips)})
            for split, clips in plan.splits.items()
        ]

    def _generate_examples(self, shards: list[list[SourceClip]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in shards:
            for clip in shard:
                reading = read_clip(clip, self.config)
                if reading.row is None:
                    raise InputError(f"{clip.place}: {reading.problem}")
                yield clip.clip_id, reading.row

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        # Keep: `datasets` wraps what the generator raises, and the cause is lost on the way from a worker process.
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise


def cut_shards(clips: Sequence[SourceClip]) -> list[list[SourceClip]]:
    """The clips in parts that processes can share."""
    size = -(-len(clips) // NUM_SHARDS)
    return [list(clips[start : start + size]) for start in range(0, len(clips), size)]


def list_code() -> list[str]:
    """The source files that decide what the rows are."""
    folders = [os.path.dirname(inspect.getfile(module)) for module in (build, layouts)]
    code = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(folder))]
    modules = (frame_files, image_files, names, raer_labels)
    return [*(path for path in code if path.endswith(".py")), *map(inspect.getfile, modules)]
