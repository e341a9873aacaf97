"""Build clips on disk into a dataset, by the layout of their files.

    clipcaer build csv --csv clips.csv --output data/own

`clipcaer build --help` lists the layouts, `clipcaer build LAYOUT --help` the flags of one.
"""

import os
import sys
from dataclasses import MISSING, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import add_path, complain, run_command, tell, tell_findings
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import Source
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable
from modeling_clipcaer.settings_clipcaer import option


USAGE = "usage: clipcaer build LAYOUT [FLAGS]\n\nclipcaer build LAYOUT --help shows the flags of a layout, of these:"


@dataclass
class BuildArguments:
    """What is written, and how fast."""

    output: str = option(MISSING, "The dataset to write, or to replace.")
    num_proc: int = option(1, "Processes to read with.", least=1)
    detect_boxes: bool = option(False, "Find faces and bodies first, as `clipcaer detect-boxes` does, into DIR-boxes.")


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
    from modeling_clipcaer.data.next_steps import tell_next
    from modeling_clipcaer.data.record import RECORD_NAME

    hide_progress_bars(of_models=False)
    find_clips = partial(find_with_boxes, layout, args) if args.detect_boxes else layout.find_clips
    record, lines = build(find_clips, settings, args.output, args.num_proc)
    tell_findings([*lines, *audit_build(Path(args.output), args.num_proc)])
    tell(add_path(Text(f"dataset and {RECORD_NAME}", "result"), args.output))
    for line in tell_next(args.output, list(record["splits"]["train"]["labels"])):
        tell(line)


def find_with_boxes(layout: ModuleType, args: BuildArguments, settings: BuildSettings) -> Source:
    """The clips that the layout finds. Faces and bodies are looked for in them, and `settings` names their boxes."""
    from modeling_clipcaer.data.build import cut_source
    from modeling_clipcaer.data.detection.detect import detect_boxes
    from modeling_clipcaer.data.detection.files import BODIES, FACES, format_coverage
    from modeling_clipcaer.faces.face_detection import build_face_detector

    if settings.bounding_box_face or settings.bounding_box_body:
        raise InputError("--detect-boxes: box files are given too; expected one of the two")
    source = layout.find_clips(settings)
    cut_source(source, settings)  # Keep: before faces are looked for, for hours. What it refuses, the build would.
    paths = {clip.path for clip in source.clips}
    folder = f"{args.output.rstrip('/')}-boxes"
    build_detector = partial(build_face_detector, build_face_detector("auto").name)
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    record = detect_boxes([root], folder, build_detector, num_proc=args.num_proc, only=paths)
    tell(format_coverage(record))
    if record["coverage"]["clips_with_face"]:
        settings.bounding_box_face, settings.bounding_box_body = f"{folder}/{FACES}", f"{folder}/{BODIES}"
    else:
        complain("warning", "no face was found: both streams will see whole frames")
    return source


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
