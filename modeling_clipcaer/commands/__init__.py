"""The commands, one readable script each: parse, load, run, write.

Words of a command line come in; files and an exit status go out. Nothing is imported from here.
Start with `main.py`, the table of commands.
"""
