"""Timelines as files of other programs, and for people to look at.

A `Timeline` comes in; one file of one format goes out.
Start with `tables.py`.
"""
