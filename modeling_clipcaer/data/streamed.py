"""Datasets on the Hub, or at another address: ids, labels and boxes are read at once, and of each row its place.

What comes out is a [`datasets.Dataset`] like any other, so that order, sampling, resuming and counting are those of
one on disk. [`~fetching.fetch_pictures`] fetches a row's pictures when its turn comes. An address on the Hub holds the
commit that a dataset had when it was first looked at: a run sees one state of it. A folder of this machine that is
laid out as those on the Hub is read in the same way.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
from datasets import Dataset, Features, Value, concatenate_datasets, load_dataset_builder
from huggingface_hub import HfApi

from modeling_clipcaer.data.fetching import PLACE, find_pictures, open_shard, read_file
from modeling_clipcaer.data.parquet.shards import group_shards
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.names import is_hub_id


HUB = "hf://datasets/"
PLACES = Features({PLACE: {"address": Value("string"), "group": Value("int32"), "row": Value("int32")}})


def is_streamed(place: str | os.PathLike) -> bool:
    """Whether `place` names a dataset elsewhere: an address, or an id on the Hub. A path into a folder that is here is
    a path, also where nothing of its name is there."""
    name = os.fspath(place)
    return "://" in name or (is_hub_id(name) and "/" in name and not os.path.isdir(name.partition("/")[0]))


def is_laid_out(folder: Path) -> bool:
    """Whether a folder of this machine is laid out as datasets on the Hub are: shards in `data`, or videos with a
    table of what is known of them."""
    tables = [f"{depth}metadata.{kind}" for depth in ("", "*/") for kind in ("csv", "jsonl", "parquet")]
    return any(any(folder.glob(pattern)) for pattern in ("data/*.parquet", *tables))


@lru_cache
def pin(place: str) -> str:
    """The address of a dataset; on the Hub with the commit that it is at.

    Raises:
        InputError: the Hub does not give it.
    """
    if not place.startswith(HUB) and not is_hub_id(place):
        return place.rstrip("/")
    name, _, revision = place.removeprefix(HUB).strip("/").partition("@")
    try:
        found = HfApi().dataset_info(name, revision=revision or None)
    except Exception as error:  # those of the Hub's HTTP library too, which has changed before
        absent = "" if place.startswith(HUB) else "there is no such folder, and "
        raise InputError(f"{place}: {absent}the Hub gives no such dataset ({first_line(error)})") from error
    return f"{HUB}{name}@{found.sha}"


def find_on_hub(place: str | os.PathLike) -> tuple[str, str] | None:
    """Id and commit of a dataset on the Hub; `None` for one elsewhere."""
    address = pin(os.fspath(place)) if is_streamed(place) else ""
    hub_id, _, commit = address.removeprefix(HUB).partition("@")
    return (hub_id, commit) if address.startswith(HUB) else None


def read_beside(place: str, name: str) -> bytes | None:
    """The content of a file of a dataset elsewhere; `None` where it has none of that name."""
    try:
        return read_file(f"{pin(place)}/{name}")
    except FileNotFoundError:
        return None


def read_streamed(place: str, splits: Sequence[str] | None) -> dict[str, Dataset]:
    """The clips of `splits`, by default of all.

    Raises:
        InputError: there is no such dataset, it lacks a split, or it is of another form.
    """
    read, found = _find_files(pin(place))
    missing = [split for split in splits or () if split not in found]
    if missing:
        raise InputError(f"{place}: has no split `{missing[0]}`; it has {', '.join(found) or 'none'}")
    return {split: read(found[split]) for split in splits or found}


def _find_files(address: str) -> tuple[Callable[[Any], Dataset], dict[str, Any]]:
    """What reads a split, and what it takes for each."""
    if "://" in address and not address.startswith(HUB):
        files, folder = fsspec.core.url_to_fs(address)
        names = [PurePosixPath(path).name for path in files.ls(folder, detail=False)]
        found = group_shards(address, names)
        return _read_shards, {split: [f"{address}/{name}" for name in shards] for split, shards in found.items()}
    name, _, commit = address.removeprefix(HUB).partition("@")
    builder = load_dataset_builder(name, revision=commit or None)
    if builder.name == "parquet":
        read, files = partial(_read_shards, features=builder.info.features), builder.config.data_files
        return read, {str(split): list(shards) for split, shards in files.items()}
    if builder.name == "videofolder":
        tables = builder.as_streaming_dataset()
        return partial(_read_videos, address), {str(split): rows for split, rows in tables.items()}
    raise InputError(f"{name}: expected parquet shards, or videos with their labels; found {builder.name}")


def _read_shards(addresses: Iterable[str], features: Features | None = None) -> Dataset:
    """The rows of parquet shards, their pictures null. `features` are the columns, by default as a shard has them."""
    shards = []
    for address in addresses:
        shard = open_shard(address)
        schema, pictures = shard.schema_arrow, find_pictures(shard.schema_arrow)
        if PLACE in schema.names:
            raise InputError(f"{address}: has a column `{PLACE}`, which no dataset may bring")
        light, groups = [name for name in schema.names if name not in pictures], []
        for group in range(shard.num_row_groups):
            table = shard.read_row_group(group, columns=light)
            places = [{"address": address, "group": group, "row": row} for row in range(len(table))]
            groups.append(table.append_column(PLACE, pa.array(places, PLACES.arrow_schema.field(PLACE).type)))
        table = pa.concat_tables(groups)
        for name in pictures:
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
        columns = Features({**(features or Features.from_arrow_schema(schema)), **PLACES})
        shards.append(Dataset(table.select(list(columns)).cast(columns.arrow_schema)))
    return concatenate_datasets(shards)


def _read_videos(address: str, rows: Any) -> Dataset:
    """The rows of a table of videos without these. What such a clip is called is the path of its video."""
    listed = []
    for row in rows.decode(False):
        path = row["video"]["path"]
        listed.append({"clip_id": path.removeprefix(f"{address}/"), **row, PLACE: {"address": path}, "video": None})
    features = Features({"clip_id": Value("string"), **rows.features, **PLACES})
    return Dataset.from_list(listed, features=features)
