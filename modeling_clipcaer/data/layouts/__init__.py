"""How a data set lays out its files.

Folders, lists and tables come in; labelled clips go out.
Start with `csv.py`, the plainest.
"""
