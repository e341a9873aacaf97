"""Timelines as files of other programs, and for people to look at.

A `Timeline` comes in; a file of some format goes out, one module a format.
Start with `formats.py`, the table of them.
"""
