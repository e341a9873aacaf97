"""From a video to people, windows and segments.

A recording and a model come in; a `Timeline` goes out.
Start with `analysis.py`.
"""
