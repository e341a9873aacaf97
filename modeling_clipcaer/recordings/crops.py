"""What answers are drawn from: squares of pixels of a frame, cut as the processor cuts them, and those of a window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from modeling_clipcaer.faces.boxes import Box
from modeling_clipcaer.pixels import crop_box
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


class Crop:
    """A square of pixels, uint8 (3, image_size, image_size), until a window needs it; then its embedding.

    Attributes:
        content (`torch.Tensor`): the pixels, or the embedding (projection_dim,).
        is_asked, is_encoded (`bool`): whether it is to be encoded, and whether it is.
        box ([`~boxes.Box`] or `None`): what was cut, in pixels of the frame; `None` is all of it.
        time (`float`): of the frame.
    """

    __slots__ = ("box", "content", "is_asked", "is_encoded", "time")

    def __init__(self, pixels: torch.Tensor, box=None, time: float = 0.0):
        self.content, self.box, self.time = pixels, box, time
        self.is_asked = self.is_encoded = False


@dataclass
class PersonCrops:
    """What one answer is drawn from: a crop for each sampled frame and stream, none of the face where nobody saw it
    and none of a stream that the model has not. Counts are of different frames: one may be sampled repeatedly."""

    name: str
    face_status: str
    face_frames: int
    num_frames: int
    context: list[Crop]
    face: list[Crop]

    def stack_pixels(self) -> dict[str, torch.Tensor]:
        """By stream, uint8 (num_frames, 3, image_size, image_size), while nothing of it has been encoded."""
        streams = {"context": self.context, "face": self.face}
        return {name: torch.stack([crop.content for crop in crops]) for name, crops in streams.items() if crops}


@dataclass
class WindowCrops:
    """A window, in seconds: the crops of each person, and the room's own, which answers where there is nobody. The
    room's `face_frames` are those on which there is any face."""

    number: int
    start: float
    end: float
    people: list[PersonCrops]
    room: PersonCrops


def nearest_windows(windows: Iterable[WindowCrops], times: Sequence[float]) -> list[WindowCrops]:
    """Of `windows`, for each time in seconds the one with a picture whose middle is nearest, each once, in order of
    time. No more of them are held than these."""
    best: dict[float, WindowCrops] = {}
    for window in windows:
        for time in times if window.people or window.room.context else ():
            if time not in best or _distance(window, time) < _distance(best[time], time):
                best[time] = window
    return list({window.number: window for _, window in sorted(best.items())}.values())


def _distance(window: WindowCrops, time: float) -> float:
    return abs((window.start + window.end) / 2 - time)


class CropCutter:
    """Cuts the streams' squares as the processor does.

    Args:
        processor: its settings.
        face_stream, context_stream: which streams the model has.
        context: "body" for a box, that of the context or one grown around a face, "frame" for the whole frame.
    """

    def __init__(self, processor: ClipCaerVideoProcessor, face_stream: bool, context_stream: bool, context: str):
        self.processor = processor
        self.face_stream = face_stream
        self.context_stream = context_stream
        self.context = context

    def cut_face(self, frame: torch.Tensor, box: Box, time: float = 0.0) -> Crop | None:
        """The square of a face, grown by the processor's margin."""
        return Crop(self.processor.cut_face(frame, box)[0], box, time) if self.face_stream else None

    def cut_context(self, frame: torch.Tensor, box=None, time: float = 0.0) -> Crop | None:
        """The square of a box, or of the whole frame where there is none or it is not wanted."""
        return Crop(self.fit_context(frame, box), box, time) if self.context_stream else None

    def fit_context(self, frame: torch.Tensor, box=None) -> torch.Tensor:
        """The pixels of that square, uint8 (3, image_size, image_size)."""
        # Keep: cropped before. The processor goes by its own `context`, which is not always what is wanted here.
        return self.processor.cut_context(self.crop_context(frame, box), None)[0]

    def crop_context(self, frame: torch.Tensor, box=None) -> torch.Tensor:
        """What of a frame (..., height, width) that square shows."""
        return crop_box(frame, box if self.context == "body" else None)
