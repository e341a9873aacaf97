"""Folders of parquet shards, `{split}-00000-of-00003.parquet`: written row by row, found again, and described."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modeling_clipcaer.common.files import replace_folder, working_folder, write_json
from modeling_clipcaer.data.record import RECORD_NAME
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import public_name


CARD_NAME, LICENCE_NAME, PROCESSOR_NAME = "README.md", "LICENSE", "preprocessor_config.json"
SHARD_NAME = re.compile(r"(?P<split>\w+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.parquet")
SPLITS = ("train", "validation", "test")
# What is fetched for a clip of a shard elsewhere: a few clips at most, since training asks for them in any order.
GROUP_BYTES = 4 * 2**20
GROUP_ROWS = 1000
# What a build's record tells others: counts and settings. All else may name this machine's folders.
PUBLISHED = (
    "format_version",
    "origin",
    "splits",
    "shared_persons",
    "split",
    "box_keys",
    "box_keys_without_clip",
    "sources",
    "versions",
)
PUBLISHED_ARGUMENTS = (
    *("split", "val_share", "val_split", "test_share", "folds", "fold", "place", "seed", "person_pattern"),
    *("place_pattern", "outside_boxes", "min_face_share", "min_body_share", "first_label", "labels", "affect"),
    *("check_frames", "skip_unreadable", "ignore_columns"),
)


class ShardWriter:
    """Writes rows of a split, in their order, into shards of at most about `shard_bytes`.

    Shards become known by their final names when the last one is complete: `close` says how many there are.
    """

    def __init__(self, folder: Path, split: str, schema: pa.Schema, shard_bytes: int):
        self.folder, self.split, self.schema, self.shard_bytes = folder, split, schema, shard_bytes
        self.shards: list[Path] = []
        self.num_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._file: pa.NativeFile | None = None
        self._group: list[pa.Table] = []
        self._group_bytes = 0

    def write(self, row: dict[str, Any]) -> int:
        """Add a row; returns its bytes in memory."""
        table = pa.Table.from_pylist([row], self.schema)
        if self._group_bytes + table.nbytes > min(GROUP_BYTES, self.shard_bytes) or len(self._group) == GROUP_ROWS:
            self._write_group()
        self._group.append(table)
        self._group_bytes += table.nbytes
        return table.nbytes

    def close(self) -> None:
        """Write what is left, and name the shards."""
        self._write_group()
        self._close_shard()
        for number, path in enumerate(self.shards):
            path.rename(self.folder / f"{self.split}-{number:05d}-of-{len(self.shards):05d}.parquet")

    def _write_group(self) -> None:
        if not self._group:
            return
        if self._file is not None and self._file.tell() + self._group_bytes > self.shard_bytes:
            self._close_shard()
        if self._writer is None:
            self.shards.append(self.folder / f"{self.split}-{len(self.shards):05d}.parquet")
            self._file = pa.OSFile(str(self.shards[-1]), "wb")
            # Keep: without dictionaries; for values of a megabyte they are an attempt that is thrown away.
            self._writer = pq.ParquetWriter(self._file, self.schema, compression="zstd", use_dictionary=False)
        group = pa.concat_tables(self._group).combine_chunks()
        self._writer.write_table(group, row_group_size=len(group))
        self._group, self._group_bytes = [], 0

    def _close_shard(self) -> None:
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self.num_bytes += self._file.tell()
            self._file.close()
            self._writer = self._file = None


def find_shards(folder: str | Path) -> dict[str, list[str]]:
    """Parquet shards in `folder` by split, in their order; none where the folder holds no such files.

    Raises:
        InputError: a shard is missing, or shards of two writings are mixed.
    """
    found = group_shards(folder, [path.name for path in Path(folder).glob("*.parquet")])
    return {split: [str(Path(folder, name)) for name in names] for split, names in found.items()}


def group_shards(place: str | Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Those of the files `names` at `place` that are shards, by split, in their order.

    Raises:
        InputError: a shard is missing, or shards of two writings are mixed.
    """
    found: dict[str, list[re.Match]] = defaultdict(list)
    for name in sorted(names):
        if match := SHARD_NAME.fullmatch(name):
            found[match["split"]].append(match)
    for split, matches in found.items():
        total = int(matches[0]["total"])
        expected = [f"{split}-{number:05d}-of-{total:05d}.parquet" for number in range(total)]
        there = [match.string for match in matches]
        if there != expected:
            missing, extra = sorted(set(expected) - set(there)), sorted(set(there) - set(expected))
            problem = f"{missing[0]} is missing" if missing else f"{extra[0]} is of another writing"
            raise InputError(f"{place}: expected {total} shards of `{split}`, but {problem}")
    splits = sorted(found, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))
    return {split: [match.string for match in found[split]] for split in splits}


@contextmanager
def replaced_folder(output: Path) -> Iterator[Path]:
    """A new folder that takes the place of `output` once the block has ended without an error.

    Raises:
        InputError: `output` holds something else than an earlier writing, or cannot be written.
    """
    known = {RECORD_NAME, CARD_NAME, LICENCE_NAME, PROCESSOR_NAME}
    foreign = [path.name for path in output.iterdir()] if output.is_dir() else [output.name] * output.exists()
    foreign = [name for name in foreign if name not in known and not SHARD_NAME.fullmatch(name)]
    if foreign:
        raise InputError(f"{output}: expected a new folder or earlier shards, found {min(foreign)}")
    with working_folder(output) as working:
        complete = working / "shards"
        complete.mkdir()
        yield complete
        replace_folder(complete, output, working)


def without_paths(content: Any) -> Any:
    """A record of a build without folders of the machine it ran on: of absolute paths the last part stays."""
    if isinstance(content, dict):
        return {without_paths(name): without_paths(value) for name, value in content.items()}
    if isinstance(content, list):
        return [without_paths(value) for value in content]
    is_absolute = isinstance(content, str) and any(
        kind(content).is_absolute() for kind in (PurePosixPath, PureWindowsPath)
    )
    return public_name(content) if is_absolute else content


def publish_record(dataset: Path, folder: Path) -> dict[str, Any]:
    """Copy of the record of the dataset's build, which names its split, what is for others, and of paths their last
    parts; return that. Nothing where there is no record."""
    if not (dataset / RECORD_NAME).exists():
        return {}
    record = read_object(dataset / RECORD_NAME)
    published = {name: record[name] for name in PUBLISHED if name in record}
    if "arguments" in record:
        arguments = record["arguments"]
        published["arguments"] = {name: arguments[name] for name in PUBLISHED_ARGUMENTS if name in arguments}
    if skipped := record.get("unreadable_clips_left_out"):
        # Keep: their number alone; what is wrong with them is told with the paths of their files.
        published["unreadable_clips_left_out"] = len(skipped)
    published = without_paths(published)
    write_json(published, folder / RECORD_NAME)
    return published
