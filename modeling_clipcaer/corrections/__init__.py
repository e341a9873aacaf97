"""Segments that somebody corrected in another program, back as clips to learn from.

Files of ELAN, Label Studio and spreadsheets come in; a dataset with the old clips and the new ones goes out.
Start with `segments.py`: what a correction is, and what is refused of it.
"""
