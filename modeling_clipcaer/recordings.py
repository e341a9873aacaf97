"""Recordings: frames in time, from video files, addresses, folders, arrays, or a camera while it runs."""

import itertools
import math
import signal
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

import av
import torch
from av.video.reformatter import VideoReformatter

from .errors import InputError
from .frames import FrameSource, open_clip
from .processing_clipcaer import boxes_per_frame
from .timeline import ROOM
from .video_frames import VideoFrames, to_tensor


# Of frames that carry no time: folders, lists, arrays.
DEFAULT_FPS = 25.0
# Containers round times to milliseconds: a frame that is due at 0.04 may be stamped 0.0404.
ROUNDING = 1e-3
# A file may state a length beyond its last frame by the sound's last packet; more is missing pictures.
STATED_EXCESS = 1.0

Boxes = Sequence[float] | Sequence[Sequence[float] | None]


class Shown(NamedTuple):
    """What a recording shows at `time`: frame `number`, uint8 (3, height, width), RGB, upright."""

    time: float
    number: int
    frame: torch.Tensor


class Recording(Protocol):
    """Frames in time.

    Attributes:
        name: how the recording was named.
        duration: seconds, `None` while it is being recorded.
        notes: what a reader must know, one sentence each; complete once the frames have been read.
        face_boxes: boxes known beforehand, by person: one for all frames, or one or `None` (unseen) for each.
        body_boxes: boxes of the context, by person; of "room" for everybody else.
    """

    name: str
    notes: list[str]
    face_boxes: dict[str, Sequence[Sequence[float] | None]]
    body_boxes: dict[str, Sequence[float]]

    @property
    def duration(self) -> float | None:
        """Seconds until the end of the last frame; `None` while it is being recorded."""

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """The frame shown at each of `times` (increasing): the last one not after it, or the first. Each frame is
        decoded once and stays the same tensor while it is shown. Ends where frames cannot be read, with a note."""


class StoredRecording:
    """A recording that can be read from its beginning; times count from where a player begins.

    Args:
        source: its frames.
        name: how it was named.
        seconds: the time of each frame.
        duration: seconds until the end of the last frame.
        notes, face_boxes, body_boxes: as in [`Recording`].
    """

    def __init__(
        self,
        source: FrameSource,
        name: str,
        seconds: Sequence[float],
        duration: float,
        notes: Iterable[str] = (),
        face_boxes: dict[str, Sequence[Sequence[float] | None]] | None = None,
        body_boxes: dict[str, Sequence[float]] | None = None,
    ):
        self.source = source
        self.name = name
        self.seconds = seconds
        self.duration = duration
        self.notes = list(notes)
        self.face_boxes = face_boxes or {}
        self.body_boxes = body_boxes or {}

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """See [`Recording`]."""
        times = list(times)
        indices = [max(bisect_right(self.seconds, time + ROUNDING) - 1, 0) for time in times]
        frames = self.source.read(list(dict.fromkeys(indices)))
        shown, frame = -1, torch.empty(0)
        for time, index in zip(times, indices, strict=True):
            if index != shown:
                try:
                    frame = next(frames)
                except InputError as error:
                    self.notes.append(f"only what comes before {time:.2f} s could be read: {error}")
                    return
                shown = index
            yield Shown(time, index, frame)


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
        try:
            self._container = av.open(device, format=format, options=options or {})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{device}: cannot be opened as a camera ({error})") from error
        if not self._container.streams.video:
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
        reformatter = VideoReformatter()
        pending = iter(times)
        time = next(pending)
        held: av.VideoFrame | None = None
        pixels: torch.Tensor | None = None
        with self._container, self._interruptible():
            for number, (stamp, frame) in enumerate(self._stamped()):
                while held is not None and time + ROUNDING < min(stamp, self._limit):
                    pixels = to_tensor(held, reformatter) if pixels is None else pixels
                    yield Shown(time, number - 1, pixels)
                    time = next(pending)
                if stamp >= self._limit or self._stopped.is_set():
                    return
                held, pixels = frame, None

    def _stamped(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames with their seconds since the first one."""
        first = None
        try:
            for frame in self._container.decode(video=0):
                if frame.time is not None:
                    first = frame.time if first is None else first
                    yield frame.time - first, frame
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


def open_recording(
    source,
    fps: float | None = None,
    duration: float | None = None,
    face_boxes: Boxes | Mapping[str, Boxes] | None = None,
    body_box: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
) -> Recording:
    """The frames of `source` in time.

    Args:
        source: the path or http(s) address of a video, a folder of frames, a list of files or of frames in memory, an
            array of frames, a camera ("/dev/video0"), or a [`Recording`].
        fps (`float`, *optional*): frames a second of frames that carry no times; 25 by default. Videos have their own.
        duration (`float`, *optional*): stop after so many seconds.
        face_boxes (*optional*): boxes of a person's face: one for all frames, or for each frame one or `None` where
            the person is not seen. For several persons a mapping from their names.
        body_box (*optional*): box of the context, or a mapping from the names of persons in `face_boxes`.

    Raises:
        InputError: it cannot be read, or boxes and frames do not fit.
    """
    check_limits(fps, duration)
    if isinstance(source, str) and source.startswith("/dev/video"):
        source = LiveRecording(source, duration)
    if isinstance(source, LiveRecording | StoredRecording):
        if face_boxes is not None or body_box is not None:
            raise InputError(f"{source.name}: expected no boxes beside a camera or an open recording")
        return source
    is_video = isinstance(source, str | Path) and not Path(source).is_dir()
    recording = _open_video(source) if is_video else _open_frames(source, fps)
    recording.duration = min(recording.duration, duration or math.inf)
    return _add_boxes(recording, face_boxes, body_box)


def _open_video(source: str | Path) -> StoredRecording:
    video = VideoFrames(source)
    seconds = [second - video.start for second in video.seconds]
    gaps = [after - before for before, after in itertools.pairwise(seconds)]
    stated = None if video.stated_end is None else video.stated_end - video.start
    last = median(gaps) if gaps else max((stated or 0) - seconds[-1], 1 / DEFAULT_FPS)
    duration = seconds[-1] + last
    notes = []
    if stated is not None and stated > duration + STATED_EXCESS:
        notes.append(f"the file states a length of {stated:.2f} s, but its frames end at {duration:.2f} s")
    return StoredRecording(video, str(source), seconds, duration, notes)


def _open_frames(source, fps: float | None) -> StoredRecording:
    frames = open_clip(source)
    rate = fps or DEFAULT_FPS
    name = str(source) if isinstance(source, str | Path) else f"{len(frames)} frames"
    notes = [] if fps else [f"its frames carry no times and are taken as {rate:g} a second"]
    return StoredRecording(frames, name, [place / rate for place in range(len(frames))], len(frames) / rate, notes)


def _add_boxes(recording: StoredRecording, face_boxes, body_box) -> StoredRecording:
    faces = face_boxes if isinstance(face_boxes, Mapping) else {} if face_boxes is None else {"person-1": face_boxes}
    bodies = body_box if isinstance(body_box, Mapping) else {} if body_box is None else {ROOM: body_box}
    strangers = sorted(set(bodies) - set(faces) - {ROOM})
    if strangers or ROOM in faces:
        name = strangers[0] if strangers else ROOM
        raise InputError(f"{recording.name}: `{name}` has a box, but is no person with face boxes")
    try:
        recording.face_boxes = {name: boxes_per_frame(boxes, len(recording.seconds)) for name, boxes in faces.items()}
    except InputError as error:
        raise InputError(f"{recording.name}: {error}") from error
    recording.body_boxes = dict(bodies)
    return recording


def check_limits(fps: float | None, duration: float | None) -> None:
    """Refuse what no recording can have.

    Raises:
        InputError: a number is given and is not above 0.
    """
    for name, value in (("fps", fps), ("duration", duration)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"`{name}` must be a number of seconds above 0, got {value!r}")
