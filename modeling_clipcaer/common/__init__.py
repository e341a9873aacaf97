"""What every command needs and no model does: whole files with the umask's modes, locks, and what the disk refuses.

In come places to write, to hold or to read; out go files that are complete, or an `InputError` of one line. Standard
library alone. Start reading at `files.py`.
"""
