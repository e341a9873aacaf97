"""The versions that figures depend on."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def list_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of Python and of installed packages, by name; `None` of one that is not, as our own run from a
    clone."""
    return {"python": platform.python_version()} | {package: _find_version(package) for package in packages}


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
