"""From clips on disk to a dataset of frames, boxes and labels.

Lists, folders, tables and box files come in; a dataset on disk with its record, `build.json`, goes out.
Start with `build.py`; a layout of files is a module of `layouts/`.
"""
