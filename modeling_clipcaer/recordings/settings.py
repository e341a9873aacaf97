"""The settings of timelines: flags of `predict`, keyword arguments of the pipeline, and what an analysis goes by."""

from dataclasses import dataclass

from modeling_clipcaer.common.flags import check_ranges, option, rare_option
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import DETECTORS
from modeling_clipcaer.models.arguments import TOWER_DTYPES


# Frames a second of frames that carry no time: folders, lists, arrays.
DEFAULT_FPS = 25.0
CONTEXTS = ("body", "frame")


@dataclass(frozen=True)
class WindowSettings:
    """Recordings to windows: their length, and what is cut from whom.

    Raises:
        InputError: a value is out of its range.
    """

    window: float = option(
        10.0, "Seconds of a window, over which as many frames are sampled as the model takes.", above=0
    )
    stride: float = option(5.0, "Seconds between the beginnings of windows, at most a window.", above=0)
    context: str | None = rare_option(
        None,
        "What the context stream shows: body: the supplied box, or else one grown around each face; frame: the "
        "whole frame; as in training by default.",
        choices=list(CONTEXTS),
    )
    face_detector: str = option(
        "auto", "Who finds faces; auto: YuNet where its file can be had, else Haar.", choices=list(DETECTORS)
    )
    face_detector_weights: str | None = rare_option(None, "File of YuNet's weights, where it is not to be downloaded.")
    # So that a window without the face is still the person's.
    max_gap: float | None = rare_option(
        None, "Seconds for which a person may be out of sight and keep the number; two windows by default.", above=0
    )
    fps: float | None = rare_option(
        None, f"Frames a second of frames that carry no times; {DEFAULT_FPS:g} by default.", above=0
    )
    duration: float | None = option(None, "Stop after so many seconds of each recording.", above=0)

    def __post_init__(self):
        check_ranges(self)
        if self.stride > self.window:
            raise InputError(f"`stride` must be at most the window, {self.window:g} seconds, got {self.stride}")
        if self.context not in (None, *CONTEXTS):
            raise InputError(f"`context` must be 'body' or 'frame', got {self.context!r}")

    @property
    def longest_gap(self) -> float:
        """`max_gap`, or its default."""
        return self.max_gap or 2 * self.window


@dataclass(frozen=True)
class TimelineSettings(WindowSettings):
    """Windows to timelines.

    Raises:
        InputError: a value is out of its range.
    """

    threshold: float = option(0.0, "Probability below which the label is `uncertain`; 0: off.", least=0, most=1)
    smoothing: int = rare_option(3, "Neighbouring windows whose mean makes segments, an odd number; 1: off.", least=1)
    hysteresis: float = rare_option(
        0.1, "Lead in probability by which another label takes over in segments; 0: off.", least=0, most=1
    )
    tower_dtype: str = rare_option(
        "auto",
        "Type in which the vision tower computes; auto is bfloat16 where the hardware multiplies in it.",
        choices=list(TOWER_DTYPES),
    )
    batch_size: int = rare_option(32, "Crops that the vision tower sees at a time.", least=1)

    def __post_init__(self):
        super().__post_init__()
        if self.smoothing % 2 == 0:
            raise InputError(f"`smoothing` must be odd, got {self.smoothing}")
