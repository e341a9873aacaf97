"""What every room needs and no model does.

Paths, flags and texts of users come in; files that are whole or not there, typed settings and safe text go out.
Start with `files.py`, the one writer of files.
"""
