"""The command that builds, for one layout: what `clipcaer build LAYOUT` is given."""

import sys
from types import SimpleNamespace

from modeling_clipcaer.commands import build


def builder(name: str) -> SimpleNamespace:
    """An object with a `main` that reads `sys.argv`, as the modules of other commands have."""

    def main() -> None:
        sys.argv = ["clipcaer build", name, *sys.argv[1:]]
        build.main()

    return SimpleNamespace(main=main)
