"""What is wrong with a dataset before a model is trained on it.

A dataset on disk comes in; findings, each with a severity, go out.
Start with `dataset.py`.
"""
