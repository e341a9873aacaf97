"""A camera as a recording, while it runs."""

import itertools
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import av
import numpy as np
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_fitting import FrameFitter
from modeling_clipcaer.recordings.settings import DEFAULT_FPS
from modeling_clipcaer.recordings.stretches import ROUNDING, Shown, Stretch
from modeling_clipcaer.recordings.windows import Grid
from modeling_clipcaer.scene_cuts import find_cuts, join_cuts
from modeling_clipcaer.video_frames import OPEN_OPTIONS


# Seconds by which the times of a camera go back where they begin anew; less is jitter.
BACK = 0.25


class _LiveFrame(NamedTuple):
    time: float
    number: int
    frame: av.VideoFrame
    cuts: np.ndarray | None = None


class LiveRecording:
    """What a camera shows from now on, read once. It ends after `duration` seconds, with the device, by `stop`, or,
    where it runs in the main thread, by Ctrl-C.

    Args:
        device (`str`): as FFmpeg names it: "/dev/video0".
        duration (`float`, *optional*): seconds.
        format (`str`, *optional*): FFmpeg's input device: "v4l2" on Linux, "avfoundation" or "dshow" elsewhere. `None`
            plays a file as if it were a camera.
        options (`dict[str, str]`, *optional*): of that device, such as `{"video_size": "1280x720"}`.

    Raises:
        InputError: the device cannot be opened, or shows no picture.
    """

    def __init__(
        self,
        device: str,
        duration: float | None = None,
        format: str | None = "v4l2",
        options: dict[str, str] | None = None,
    ):
        self.name = device
        self.notes: list[str] = []
        self.face_boxes: dict[str, Sequence[Sequence[float] | None]] = {}
        self.body_boxes: dict[str, Sequence[float]] = {}
        self._limit = math.inf if duration is None else duration
        self._stopped = threading.Event()
        self.watches_cuts = False
        self._hold, self._is_over = math.inf, False
        self._frames: Iterator[_LiveFrame] | None = None
        self._fitter = FrameFitter()
        try:
            self._container = av.open(device, format=format, options={**OPEN_OPTIONS, **(options or {})})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{device}: cannot be opened as a camera ({error}); expected one that no other program holds"
            ) from error
        if not self._container.streams.video or self._container.streams.video[0].codec_context is None:
            raise InputError(f"{device}: expected a camera, found no picture")

    @property
    def duration(self) -> None:
        """Not known before it ends."""

    def stop(self, *_) -> None:
        """End the recording with the frame that is shown now."""
        self._stopped.set()

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """See [`Recording`]. What is shown at a time is known when the next frame comes. If the camera is faster than
        the analysis its driver leaves frames out; the stamps of the others stay true."""
        with self._interruptible():
            pending = iter(times)
            time = next(pending)
            frames = self._start()
            held, cuts = next(frames, None), None
            while held is not None and (following := next(frames, None)) is not None:
                stamp = following.time
                is_gap = stamp - held.time > self._hold
                until = min(held.time + 1 / DEFAULT_FPS if is_gap else stamp, self._limit)
                pixels: torch.Tensor | None = None
                while time + ROUNDING < until:
                    pixels = self._fitter(held.frame) if pixels is None else pixels
                    yield Shown(time, held.number, pixels, cuts)
                    time, cuts = next(pending), None
                if stamp >= self._limit or self._stopped.is_set():
                    self._is_over = True
                    return
                if is_gap:
                    self._frames = itertools.chain([following], frames)
                    return
                held, cuts = following, join_cuts(cuts, following.cuts)

    def stretches(self, plan: Callable[[float | None], Grid], hold: float) -> Iterator[Stretch]:
        """See [`Recording`]."""
        self._hold = hold
        frames = self._start()
        while (first := next(frames, None)) is not None:
            self._frames = itertools.chain([first], frames)
            grid = plan(None)
            yield Stretch(first.time, None, grid, self.frames_at(map(first.time.__add__, grid.times())))
            if self._is_over:
                return
            frames = self._start()

    def _start(self) -> Iterator["_LiveFrame"]:
        """The frames that are still to come."""
        if self._frames is None:
            stamped = self._stamped()
            if self.watches_cuts:
                watched = find_cuts(stamped, lambda item: self._fitter.make_thumbnail(item.frame))
                self._frames = (item._replace(cuts=cuts) for item, cuts in watched)
            else:
                self._frames = stamped
        return self._frames

    def _stamped(self) -> Iterator["_LiveFrame"]:
        """Frames with their seconds since the first one; times that begin anew go on."""
        first, last, size = None, 0.0, None
        with self._container:
            try:
                for number, frame in enumerate(self._container.decode(video=0)):
                    if frame.time is None:
                        continue
                    first = frame.time if first is None else first
                    if last - (frame.time - first) > BACK:
                        first = frame.time - last - 1 / DEFAULT_FPS
                        self.notes.append(f"its timestamps begin anew at {last:.2f} s, and are continued in time")
                    if size not in (None, size := self._fitter.upright_size(frame)):
                        self.notes.append(
                            f"its picture is of {size[0]}x{size[1]} pixels from {last:.2f} s on: it is shown, and "
                            "boxes are, in the first size"
                        )
                    last = max(frame.time - first, last)
                    yield _LiveFrame(last, number, frame)
            except av.FFmpegError as error:
                self.notes.append(f"the camera ended with an error: {error}")

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C stops the recording instead of throwing away what was seen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self.stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
