"""What the model sees of clips, for people to look at.

Clips of a dataset come in; contact sheets and videos go out.
Start with `samples.py`.
"""
