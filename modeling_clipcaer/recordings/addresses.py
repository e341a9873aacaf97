"""Where a recording is: an address on the network, a device, or a file."""

import os
from pathlib import Path


def is_address(source: str) -> bool:
    """Whether a recording is at an address on the network."""
    return source.startswith(("http://", "https://"))


def file_path(source: str) -> str:
    """The whole path of a recording, without `..`."""
    # Keep: links are followed there. Behind a link `..` is not the folder that is written in front of it.
    return os.path.realpath(source) if ".." in Path(source).parts else os.path.abspath(source)


def media_address(source: str) -> str:
    """The address of a recording, of the scheme `file` where it is a file."""
    return source if is_address(source) else Path(file_path(source)).as_uri()


def full_path(source: str) -> str:
    """What tells a recording from all others, wherever it is named from."""
    return source if is_address(source) else os.path.abspath(source)


def is_camera(source: str) -> bool:
    """Whether a recording is a device, which cannot be read a second time."""
    return source.startswith("/dev/")
