"""A drawn world of students.

A seed comes in; frames, boxes, labels and captions go out.
Start with `world.py`.
"""
