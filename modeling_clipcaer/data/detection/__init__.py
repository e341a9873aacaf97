"""The boxes of faces and bodies in data without them.

Folders of clips and a detector come in; box files in RAER's form go out.
Start with `detect.py`.
"""
