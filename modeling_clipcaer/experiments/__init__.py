"""Many runs that answer one question: folds, ablations, baselines, stress.

Settings and a dataset come in; a folder of runs, their pooled answers and one table go out.
Start with `runs.py`.
"""
