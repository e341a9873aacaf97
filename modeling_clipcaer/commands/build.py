"""Build clips on disk into a dataset, by the layout of their files.

    clipcaer build csv --csv clips.csv --output data/own

`clipcaer build --help` lists the layouts, `clipcaer build LAYOUT --help` the flags of one.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from modeling_clipcaer.common.command_flags import CommandParser, add_flags, spell_flag
from modeling_clipcaer.common.progress import tell
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.names import printable


USAGE = "usage: clipcaer build LAYOUT [FLAGS], and clipcaer build LAYOUT --help for the flags of a layout"


def main() -> None:
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {layout:12}  {first_line(load_layout(layout))}" for layout in LAYOUTS]
        print("\n".join([USAGE, "", *lines]))
        return
    layout = load_layout(name)
    options = parse_arguments(layout, words)
    output, num_proc = options.pop("output"), options.pop("num_proc")
    settings = layout.Settings(**options)
    # Keep: before the imports, which take seconds.
    tell(printable(f"building {output} from data in the layout {name}"))

    import datasets

    from modeling_clipcaer.data.audit.dataset import audit_build
    from modeling_clipcaer.data.build import build
    from modeling_clipcaer.data.record import RECORD_NAME

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    _, lines = build(layout.find_clips, settings, output, num_proc)
    print("\n".join([*lines, audit_build(Path(output), num_proc)]))
    print(f"dataset and {RECORD_NAME}: {output}")


def load_layout(name: str) -> ModuleType:
    """The module of a layout, by what the command calls it."""
    if name not in LAYOUTS:
        raise InputError(f"unknown layout '{name}'; expected one of {', '.join(LAYOUTS)}")
    return import_module(f"modeling_clipcaer.data.layouts.{LAYOUTS[name]}")


def first_line(module: ModuleType) -> str:
    return module.__doc__.split("\n")[0]


def parse_arguments(layout: ModuleType, words: list[str]) -> dict[str, Any]:
    """The flags that are given, by name, with those that have no settings: `output` and `num_proc`."""
    parser = CommandParser(
        "clipcaer build",
        "clipcaer build LAYOUT --output DIR [FLAGS]",
        layout.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the dataset to write, or to replace")
    parser.add_argument("--num-proc", type=int, metavar="N", default=1, help="processes to read with (default 1)")
    add_flags(parser, layout.Settings)
    parser.epilog = "Dashes and underscores in flags are the same."
    given = vars(parser.parse_args([spell_flag(word) for word in words]))
    layout.Settings.check_given(given)
    return given


if __name__ == "__main__":
    raise SystemExit(run_command(main))
