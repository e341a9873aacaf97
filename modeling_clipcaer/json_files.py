"""The one reader of JSON and of text from users: whole, strict, and bounded, or one line that says what is wrong."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError


LARGEST = 2**30  # bytes; the boxes of 100,000 clips take a tenth


def read_text(path: str | os.PathLike, largest: int = LARGEST) -> str:
    """The text of a UTF-8 file, without its byte order mark.

    Raises:
        InputError: it cannot be read, is longer than `largest` bytes, is not UTF-8, or holds a zero byte.
    """
    try:
        # Keep: read and not only asked for its size, which is 0 for a pipe and for what grows.
        with Path(path).open("rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: cannot be read: No such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > largest:
        raise InputError(f"{path}: is longer than {largest:,} bytes")
    # Keep: no text has one, and no path may: whoever asked the disk for it would get an error of Python's.
    if (at := content.find(b"\0")) >= 0:
        raise InputError(f"{path}: cannot be read: it is no text (byte 0x0 at {at})")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = content[error.start]
        raise InputError(
            f"{path}: cannot be read: it is not UTF-8 (byte {found:#x} at {error.start}); save it as UTF-8"
        ) from None


def read_json(path: str | os.PathLike, largest: int = LARGEST) -> Any:
    """The content of a JSON file, which `parse_json` describes."""
    return parse_json(read_text(path, largest), path)


def read_object(path: str | os.PathLike, largest: int = LARGEST) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: as by `parse_json`, or the file holds something else.
    """
    content = read_json(path, largest)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {describe_json(content)}")
    return content


def check_format(version: object, newest: int, place: str | os.PathLike) -> None:
    """Refuse what a newer version of this code wrote.

    Args:
        version: as the file says it.
        newest: that is read here.
        place: of the file, for the message.

    Raises:
        InputError: the version is above the newest one, or is none.
    """
    if type(version) is not int or not 1 <= version <= newest:
        found = f"`format_version` is {version!r}, this version of ClipCaer reads up to {newest}"
        raise InputError(f"{place}: {found}: it was written by a newer version")


def parse_json(text: str | bytes, place: str | os.PathLike) -> Any:
    """The content of JSON text.

    Raises:
        InputError: it is torn or otherwise broken, nested too deep, holds NaN, an infinite number or one of thousands
            of digits, or a key twice with different values. `place` stands before the reason.
    """
    with tell_broken_json(place):
        return json_decoder(place).decode(text if isinstance(text, str) else text.decode("utf-8"))


def json_decoder(place: str | os.PathLike, finite: bool = True) -> json.JSONDecoder:
    """A decoder that refuses repeated keys and, where all is to be `finite`, NaN. It works in `tell_broken_json`."""

    def refuse_constant(name: str):
        raise InputError(f"{place}: holds {name}, which JSON does not have; expected a finite number")

    def refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Keep: json takes the last of two equal keys in silence.
        values: dict[str, Any] = {}
        for key, value in pairs:
            if values.setdefault(key, value) != value:
                raise InputError(f"{place}: key '{key}' occurs twice with different values; expected it once")
        return values

    def read_finite(digits: str) -> float:
        if math.isinf(number := float(digits)):  # Keep: so Python reads what is too large
            raise InputError(f"{place}: holds {digits[:20]}, which is too large; expected a finite number")
        return number

    return json.JSONDecoder(
        object_pairs_hook=refuse_repeated_keys,
        parse_constant=refuse_constant if finite else None,
        parse_float=read_finite if finite else None,
    )


@contextmanager
def tell_broken_json(place: str | os.PathLike) -> Iterator[None]:
    """Tell by `place` what the decoder says of broken JSON, with its line and column."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise InputError(f"{place}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{place}: cannot be read: it is not UTF-8") from None
    except RecursionError:
        raise InputError(f"{place}: broken JSON: nested too deep") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise InputError(f"{place}: broken JSON: a number of thousands of digits") from None


def describe_json(value: Any) -> str:
    """`value` as JSON, cut to the length of a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
