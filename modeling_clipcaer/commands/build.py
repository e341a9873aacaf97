"""Build clips on disk into a dataset, by the layout of their files.

    clipcaer build csv --csv clips.csv --output data/own

`clipcaer build --help` lists the layouts, `clipcaer build LAYOUT --help` the flags of one.
"""

import sys
from dataclasses import MISSING, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import add_path, run_command, tell, tell_findings
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable
from modeling_clipcaer.settings_clipcaer import option


USAGE = "usage: clipcaer build LAYOUT [FLAGS]\n\nclipcaer build LAYOUT --help shows the flags of a layout, of these:"


@dataclass
class BuildArguments:
    """What is written, and how fast."""

    output: str = option(MISSING, "The dataset to write, or to replace.")
    num_proc: int = option(1, "Processes to read with.", least=1)


def main() -> None:
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {layout:12}  {first_line(load_layout(layout))}" for layout in LAYOUTS]
        tell("\n".join([USAGE, "", *lines]))
        return
    layout = load_layout(name)
    sys.argv[0] = f"clipcaer build {name}"
    args, settings = read_flags(layout, words)
    # Keep: before the imports, which take seconds.
    tell(printable(f"building {args.output} from data in the layout {name}"))

    from rich.text import Text

    from modeling_clipcaer.data.audit.dataset import audit_build
    from modeling_clipcaer.data.build import build
    from modeling_clipcaer.data.record import RECORD_NAME

    hide_progress_bars(of_models=False)
    _, lines = build(layout.find_clips, settings, args.output, args.num_proc)
    tell_findings([*lines, *audit_build(Path(args.output), args.num_proc)])
    tell(add_path(Text(f"dataset and {RECORD_NAME}", "result"), args.output))


def read_flags(layout: ModuleType, words: list[str]) -> tuple[BuildArguments, BuildSettings]:
    """What is written, and the layout's settings."""
    types = (BuildArguments, layout.Settings)
    args, settings = parse_arguments(types, words, layout.__doc__ or "")
    settings.check_given(given_flags(types, words))
    return args, settings


def load_layout(name: str) -> ModuleType:
    """The module of a layout, by what the command calls it."""
    if name not in LAYOUTS:
        raise InputError(f"unknown layout '{name}'; expected one of {', '.join(LAYOUTS)}")
    return import_module(f"modeling_clipcaer.data.layouts.{LAYOUTS[name]}")


def first_line(module: ModuleType) -> str:
    """What a layout is of."""
    line = (module.__doc__ or "").split("\n")[0]
    return line.removeprefix("Build ").replace(" into a dataset on disk", "").rstrip(".,")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
