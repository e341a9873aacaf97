"""The pictures of a row whose files are elsewhere: fetched when they are asked for, and not kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.errors import InputError, first_line


if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


# Column that says where: the `address` of a video file; or of a parquet shard, with the row's `group` and its `row`
# there. It is made here alone: whoever wrote a dataset does not decide what is fetched.
PLACE = "fetched_from"


def fetch_pictures(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """`row` with its pictures, as it is where it holds them or names files of this machine.

    Raises:
        InputError: they cannot be fetched.
    """
    place = row.get(PLACE)
    if place is None:
        return row
    address = place["address"]
    try:
        if place["group"] is None:
            return {**row, "video": {"path": PurePosixPath(address).name, "bytes": read_file(address)}}
        columns = _read_pictures(address, place["group"])
        return {**row, **{name: columns[name][place["row"]].as_py() for name in columns.column_names}}
    except Exception as error:  # those of whichever file system it is
        raise InputError(f"{address}: cannot be fetched ({first_line(error)})") from error


def read_file(address: str) -> bytes:
    """The content of a file elsewhere."""
    import fsspec

    with fsspec.open(address, "rb") as file:
        return file.read()


def open_shard(address: str, head: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """A parquet file elsewhere, of which what is asked for alone is read; `head`, where it is known, is not read."""
    import fsspec
    import pyarrow.parquet as pq

    files, path = fsspec.core.url_to_fs(address)
    # Keep: no reading ahead. The parquet reader knows what it needs, and asks for it in one stretch.
    return pq.ParquetFile(files.open(path, "rb", cache_type="none"), metadata=head, pre_buffer=True)


def find_pictures(schema: pa.Schema) -> list[str]:
    """The columns of a shard that hold files: bytes, lists of them, or `datasets`' videos."""
    import pyarrow as pa

    def holds_bytes(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return any(holds_bytes(field.type) for field in kind)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return holds_bytes(kind.value_type)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    return [field.name for field in schema if holds_bytes(field.type)]


def tell_state(address: str) -> str:
    """What changes when the file at an address does. An address on the Hub holds a commit, and its file stays."""
    import fsspec

    if address.startswith("hf://"):
        return ""
    files, path = fsspec.core.url_to_fs(address)
    return files.ukey(path)


@lru_cache
def _read_head(address: str) -> pq.FileMetaData:
    return open_shard(address).metadata


@lru_cache(maxsize=2)
def _read_pictures(address: str, group: int) -> pa.Table:
    # Keep: rows that follow each other are mostly of one group.
    shard = open_shard(address, _read_head(address))
    return shard.read_row_group(group, columns=find_pictures(shard.schema_arrow))
