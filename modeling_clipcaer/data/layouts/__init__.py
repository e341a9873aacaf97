"""How a data set lays out its files.

Settings, each a flag, come in; labelled clips go out.
Start with `csv.py`, the plainest. A layout is a module with `Settings` and `find_clips`, and a line in `LAYOUTS`.
"""

# What `clipcaer build` calls a layout, and its module.
LAYOUTS = {
    "raer": "raer",
    "folders": "class_folders",
    "csv": "csv",
    "daisee": "daisee",
    "engagenet": "engagenet",
    "cremad": "cremad",
    "ravdess": "ravdess",
    "frame-lists": "frame_lists",
}
