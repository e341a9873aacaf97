"""From flags, labels and folders to a model.

Checkpoints and settings come in; a model, its processor, and what its frozen weights give go out.
Start with `checkpoints.py`.
"""
