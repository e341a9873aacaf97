"""Large JSON objects, member by member: parsed at once, a file of boxes takes ten times its size in memory."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_scripts.raer_annotations import read_text
from modeling_clipcaer.errors import InputError


OPENING = re.compile(r"[ \t\r\n]*\{[ \t\r\n]*")
COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
COMMA_OR_END = re.compile(r"[ \t\r\n]*(?:(,)[ \t\r\n]*|\}[ \t\r\n]*\Z)")


def iterate_members(path: Path) -> Iterator[tuple[str, Any]]:
    """Keys and values of the object in a JSON file, in its order.

    Raises:
        InputError: the file is broken or holds something else.
    """
    text = read_text(path)
    decode = json.JSONDecoder(object_pairs_hook=partial(_refuse_repeated_keys, path)).raw_decode
    try:
        mark = OPENING.match(text)
        while mark is not None and text.startswith('"', mark.end()):
            key, end = decode(text, mark.end())
            colon = COLON.match(text, end)
            if colon is None:
                break
            value, end = decode(text, colon.end())
            yield key, value
            mark = COMMA_OR_END.match(text, end)
            if mark is not None and mark[1] is None:
                return
        content = json.loads(text)  # broken, which json says best, or empty, or no object
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
    if content != {}:
        raise InputError(f"{path}: expected an object of clip dirs, found {describe(content)}")


def _refuse_repeated_keys(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Keep: json takes the last of two equal keys in silence.
    values: dict[str, Any] = {}
    for key, value in pairs:
        if values.setdefault(key, value) != value:
            raise InputError(f"{path}: key '{key}' occurs twice with different values; expected it once")
    return values


def describe(value: Any) -> str:
    """`value` as JSON, cut to the length of a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
