"""What a model looks at, and what its answer rests on.

A model and the pixels of a clip come in; maps over frames, shares of streams and frames, and nearest texts go out.
Start with `attention.py`.
"""
