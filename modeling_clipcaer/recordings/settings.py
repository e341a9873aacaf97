"""The settings of timelines: flags of `predict`, keyword arguments of the pipeline, and what an analysis goes by."""

import math
from dataclasses import dataclass, fields

from modeling_clipcaer.common.flags import option
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import DETECTORS


# Frames a second of frames that carry no time: folders, lists, arrays.
DEFAULT_FPS = 25.0
ABOVE_ZERO = {
    **dict.fromkeys(("window", "stride", "max_gap"), "seconds above 0"),
    **dict.fromkeys(("fps", "duration"), "a number above 0"),
}


@dataclass(frozen=True)
class TimelineSettings:
    """How recordings are read, cut into windows, searched for faces and answered, and windows joined into segments.

    Raises:
        InputError: a value is out of its range.
    """

    window: float = option(10.0, "Seconds of a window, over which as many frames are sampled as the model takes.")
    stride: float = option(5.0, "Seconds between the beginnings of windows.")
    smoothing: int = option(3, "Neighbouring windows whose mean makes segments, odd; 1: off.")
    hysteresis: float = option(0.1, "Lead in probability by which another label takes over in segments; 0: off.")
    threshold: float = option(0.0, "Probability below which the label is `uncertain`; 0: off.")
    context: str | None = option(
        None,
        "What the context stream shows: body: the supplied box, or else one grown around each face; frame: the "
        "whole frame; as in training by default.",
        choices=["body", "frame"],
    )
    # Two windows, so that a window without the face is still the person's.
    max_gap: float | None = option(
        None, "Seconds for which a person may be out of sight and keep the number; two windows by default."
    )
    face_detector: str = option(
        "auto", "Who finds faces; auto: YuNet where its file can be had, else Haar.", choices=list(DETECTORS)
    )
    face_detector_weights: str | None = option(None, "Its file, where it is not to be downloaded.")
    fps: float | None = option(None, f"Frames a second of frames that carry no times; {DEFAULT_FPS:g} by default.")
    duration: float | None = option(None, "Stop after so many seconds of each recording.")
    tower_dtype: str = option(
        "auto",
        "Type in which the vision tower computes; auto is bfloat16 where the hardware multiplies in it.",
        choices=["auto", "float32", "bfloat16"],
    )
    batch_size: int = option(32, "Crops that the vision tower sees at a time.")

    def __post_init__(self):
        for setting in fields(self):
            name, value, choices = setting.name, getattr(self, setting.name), setting.metadata.get("choices")
            if value is None and setting.default is None:
                continue
            if name in ABOVE_ZERO:
                _require(value is not None and math.isfinite(value) and value > 0, name, value, ABOVE_ZERO[name])
            if choices is not None:
                _require(value in choices, name, value, " or ".join(map(repr, choices)))
        _require(self.stride <= self.window, "stride", self.stride, f"at most the window, {self.window:g} seconds")
        _require(self.smoothing >= 1 and self.smoothing % 2 == 1, "smoothing", self.smoothing, "odd")
        _require(0 <= self.hysteresis <= 1, "hysteresis", self.hysteresis, "from 0 to 1")
        _require(0 <= self.threshold <= 1, "threshold", self.threshold, "from 0 to 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")

    @property
    def longest_gap(self) -> float:
        """`max_gap`, or its default."""
        return self.max_gap or 2 * self.window


def _require(sound: bool, name: str, value: object, expected: str) -> None:
    if not sound:
        raise InputError(f"`{name}` must be {expected}, got {value!r}")
