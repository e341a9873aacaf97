"""Names of models, data and files for others to read: a place of this machine is told by its last part."""

import os
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


# `org/name` or `name`, as the Hub spells a repository.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# A repository in the Hub's cache, and what is in it: `models--org--name/snapshots/REVISION/model.safetensors`.
_HUB_CACHE = re.compile(r"(?:^|/)(?:models|datasets|spaces)--(?P<id>[^/]+)/snapshots/[^/]+(?P<rest>/.*)?$")


def is_hub_id(name: str) -> bool:
    """Whether `name` may be a repository on the Hub: it is spelt like one, and there is nothing of that name here."""
    return _HUB_ID.fullmatch(name) is not None and not os.path.exists(name)


def public_name(path_or_id: str | os.PathLike | None) -> str:
    """
    What may be told to others of a path, an address or an id on the Hub: nothing that shows whose machine it is.

    Args:
        path_or_id: a path of this machine or of another (absolute or relative, POSIX or Windows, `file://`), an
            address, or an id on the Hub.

    Returns:
        An id on the Hub as it is, unless it is the path of something here; of a place in the Hub's cache the id it is
        of; of every other path and address the last part. The empty string for none.

    Example:

    ```python
    >>> public_name("/home/somebody/models/raer"), public_name("openai/clip-vit-base-patch32")
    ('raer', 'openai/clip-vit-base-patch32')

    ```
    """
    name = os.fspath(path_or_id) if path_or_id is not None else ""
    if is_hub_id(name):
        return name
    if "://" in name:
        address = urlsplit(name)
        name = unquote(address.path) if address.path.strip("/") else (address.hostname or "")
    parts = name.replace("\\", "/")
    if cached := _HUB_CACHE.search(parts):
        return cached["id"].replace("--", "/") + (cached["rest"] or "").rstrip("/")
    if PurePosixPath(parts).name in ("", ".", "..") and parts:
        # Keep: `.` and `runs/..` have no name of their own.
        parts = os.path.abspath(parts).replace("\\", "/")
    last = PurePosixPath(parts).name
    # `~`, `~somebody` and a bare drive are places without a name.
    return "" if last.startswith("~") or re.fullmatch(r"[A-Za-z]:", last) else last
