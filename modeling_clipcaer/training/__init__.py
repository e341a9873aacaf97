"""How weights are found.

A dataset and typed arguments come in; checkpoints from which a run goes on, and measures, go out.
Start with `trainer.py`.
"""
