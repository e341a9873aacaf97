"""Where faces are in frames, and which of them are one person over time.

Frames come in; boxes and tracks go out, without identity features.
Start with `face_detection.py`.
"""
