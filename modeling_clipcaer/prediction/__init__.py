"""Many recordings or clips to folders of results.

Paths and a checkpoint come in; a folder a recording, and a manifest from which a killed run goes on, go out.
Start with `recordings.py`.
"""
