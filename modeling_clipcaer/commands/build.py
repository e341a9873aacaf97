"""Build clips on disk into a dataset, by the layout of their files.

clipcaer build csv --csv clips.csv --output data/own
"""

import sys
from importlib import import_module

from modeling_clipcaer.errors import InputError, run_command


LAYOUTS = {
    "raer": "modeling_clipcaer.data.build_raer",
    "folders": "modeling_clipcaer.data.layouts.class_folders",
    "csv": "modeling_clipcaer.data.layouts.csv",
    "daisee": "modeling_clipcaer.data.layouts.daisee",
    "engagenet": "modeling_clipcaer.data.layouts.engagenet",
    "frame-lists": "modeling_clipcaer.data.layouts.frame_lists",
}


def main() -> None:
    layout = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if layout in ("-h", "--help"):
        print(f"usage: clipcaer build LAYOUT [FLAGS]; layouts: {', '.join(LAYOUTS)}")
        return
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout '{layout}'; expected one of {', '.join(LAYOUTS)}")
    sys.argv = [f"{sys.argv[0]} {layout}", *sys.argv[2:]]
    import_module(LAYOUTS[layout]).main()


if __name__ == "__main__":
    raise SystemExit(run_command(main))
