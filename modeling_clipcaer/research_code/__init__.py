"""The public research code's checkpoints and flags.

Its files and command lines come in; ours go out.
Start with `model.py`.
"""
