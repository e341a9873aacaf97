"""Large JSON objects, member by member: parsed at once, a file of boxes takes ten times its size in memory."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import describe_json, json_decoder, parse_json, read_text, tell_broken_json


OPENING = re.compile(r"[ \t\r\n]*\{[ \t\r\n]*")
COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
COMMA_OR_END = re.compile(r"[ \t\r\n]*(?:(,)[ \t\r\n]*|\}[ \t\r\n]*\Z)")


def iterate_members(path: Path) -> Iterator[tuple[str, Any]]:
    """Keys and values of the object in a JSON file, in its order.

    Raises:
        InputError: the file is broken or holds something else.
    """
    text = read_text(path)
    # Keep: NaN passes here. Whoever takes the member tells of which clip it is.
    decode = json_decoder(path, finite=False).raw_decode
    mark = OPENING.match(text)
    while mark is not None and text.startswith('"', mark.end()):
        with tell_broken_json(path):
            key, end = decode(text, mark.end())
            colon = COLON.match(text, end)
            if colon is None:
                break
            value, end = decode(text, colon.end())
        yield key, value
        mark = COMMA_OR_END.match(text, end)
        if mark is not None and mark[1] is None:
            return
    content = parse_json(text, path)  # broken, which json says best, or empty, or no object
    if content != {}:
        raise InputError(f"{path}: expected an object of clip dirs, found {describe_json(content)}")
