"""What figures depend on: the command that made them, and the versions of packages."""

import os
import platform
import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from modeling_clipcaer.names import public_name


def list_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of Python and of installed packages, by name; `None` of one that is not, as our own run from a
    clone."""
    return {"python": platform.python_version()} | {package: _find_version(package) for package in packages}


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tell_command(words: Iterable[str]) -> str:
    """A command line as it may stand in a report that is passed on: of a path the name alone."""
    return shlex.join(map(_hide_place, words))


def _hide_place(word: str) -> str:
    flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return flag + equals + (public_name(value) if os.sep in value else value)
