"""Recordings: frames in time, from video files, addresses, folders, arrays, or a camera while it runs."""

import itertools
import math
import signal
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

import av
import numpy as np
import torch

from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_fitting import FrameFitter, describe_sizes
from modeling_clipcaer.frames import FrameSource, open_clip
from modeling_clipcaer.processing_clipcaer import boxes_per_frame
from modeling_clipcaer.recordings.fitted_frames import FittedFrames, find_sizes, make_thumbnail
from modeling_clipcaer.recordings.settings import DEFAULT_FPS, TimelineSettings
from modeling_clipcaer.recordings.timeline import ROOM
from modeling_clipcaer.recordings.windows import Grid
from modeling_clipcaer.scene_cuts import find_cuts, join_cuts
from modeling_clipcaer.video_frames import OPEN_OPTIONS, VideoFrames


# Seconds by which the times of a camera go back where they begin anew; less is jitter.
BACK = 0.25
# Containers round times to milliseconds: a frame that is due at 0.04 may be stamped 0.0404.
ROUNDING = 1e-3
# How many times as long as usual a frame stands where the rate is so low that it stands for long anyway, and the
# seconds after which it does not stand any more at the lowest rate.
SLOW = 3
LONGEST = 10.0
# A file may state a length beyond its last frame by the sound's last packet; more is missing pictures.
STATED_EXCESS = 1.0

Boxes = Sequence[float] | Sequence[Sequence[float] | None]


class Shown(NamedTuple):
    """What a recording shows at `time`: frame `number`, uint8 (3, height, width), RGB, upright, and the cells that
    were cut since the time before, a map as of [`~scene_cuts.find_cuts`]."""

    time: float
    number: int
    frame: torch.Tensor
    cuts: np.ndarray | None = None


class Stretch(NamedTuple):
    """A part of a recording with a picture at every moment, from `start` to `end` seconds (`None` while it is being
    recorded): its grid, and what it shows at the grid's times, to be gone through before the next stretch. `is_last`
    says that nothing with a picture follows, as far as that is known."""

    start: float
    end: float | None
    grid: Grid
    shown: Iterator[Shown]
    is_last: bool = False


class Recording(Protocol):
    """Frames in time.

    Attributes:
        name: how the recording was named.
        duration: seconds, `None` while it is being recorded.
        notes: what a reader must know, one sentence each; complete once the frames have been read.
        watches_cuts: whether what is shown tells cuts, which takes a look at every frame of a video.
        face_boxes: boxes known beforehand, by person: one for all frames, or one or `None` (unseen) for each.
        body_boxes: boxes of the context, by person; of "room" for everybody else.
    """

    name: str
    notes: list[str]
    watches_cuts: bool
    face_boxes: dict[str, Sequence[Sequence[float] | None]]
    body_boxes: dict[str, Sequence[float]]

    @property
    def duration(self) -> float | None:
        """Seconds until the end of the last frame; `None` while it is being recorded."""

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """The frame shown at each of `times` (increasing): the last one not after it, or the first. Each frame is
        decoded once and stays the same tensor while it is shown. Ends where frames cannot be read, with a note."""

    def stretches(self, plan: Callable[[float | None], Grid], hold: float) -> Iterator[Stretch]:
        """The parts of the recording that have a picture. What lies between them, before the first or after the last
        one has none.

        Args:
            plan: the grid of a stretch of so many seconds.
            hold: seconds for which a frame may stand still and still be what is seen.
        """


def find_stretches(seconds: Sequence[float], duration: float, hold: float) -> list[tuple[float, float]]:
    """From when to when there is a picture.

    Args:
        seconds: the time of each frame, not decreasing.
        duration: seconds until the end of the recording.
        hold: no picture stands for longer, unless the recording has hardly a frame in that time.
    """
    seconds = [second for second in seconds if second < duration]
    if not seconds:
        return []
    steps = [after - before for before, after in itertools.pairwise(seconds) if after > before]
    # Keep: two frames far apart have no rate.
    usual = median(steps) if len(steps) > 1 else min([*steps, hold / SLOW])
    longest = max(hold, min(SLOW * usual, LONGEST))
    step = min(usual, longest)
    starts = [0.0 if seconds[0] <= longest else seconds[0]]
    ends = []
    for before, after in itertools.pairwise(seconds):
        if after - before > longest:
            ends.append(before + step)
            starts.append(after)
    last = seconds[-1] + step
    ends.append(last if duration - last > longest else duration)
    return list(zip(starts, ends, strict=True))


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
        self.watches_cuts = False
        self._is_broken = False

    def frames_at(self, times: Iterable[float]) -> Iterator[Shown]:
        """See [`Recording`]."""
        times = list(times)
        indices = [max(bisect_right(self.seconds, time + ROUNDING) - 1, 0) for time in times]
        frames = self._read(list(dict.fromkeys(indices)))
        shown, frame, cuts = -1, torch.empty(0), None
        for time, index in zip(times, indices, strict=True):
            if index != shown:
                try:
                    frame, cuts = next(frames)
                except InputError as error:
                    self.notes.append(f"only what comes before {time:.2f} s could be read: {error}")
                    self._is_broken = True
                    return
                shown = index
            yield Shown(time, index, frame, cuts)

    def stretches(self, plan: Callable[[float | None], Grid], hold: float) -> Iterator[Stretch]:
        """See [`Recording`]."""
        parts = find_stretches(self.seconds, self.duration, hold)
        grids = [plan(end - start) for start, end in parts]
        times = [
            [start + time for time in grid.times(end - start)] for (start, end), grid in zip(parts, grids, strict=True)
        ]
        # Keep: gone through once. Whoever watches for cuts decodes every frame.
        shown = self.frames_at(itertools.chain(*times))
        for number, ((start, end), grid, part) in enumerate(zip(parts, grids, times, strict=True), start=1):
            is_last = number == len(parts)
            yield Stretch(start, end, grid, shown if is_last else itertools.islice(shown, len(part)), is_last)
            if self._is_broken:
                return

    def _read(self, indices: list[int]) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        if not self.watches_cuts:
            return ((frame, None) for frame in self.source.read(indices))
        if isinstance(self.source, VideoFrames):
            return self.source.watch(indices)
        # Keep: of pictures that lie there one by one those alone that are wanted. All would take 15 times as long.
        return find_cuts(self.source.read(indices), make_thumbnail, after=0)


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
            raise InputError(f"{device}: cannot be opened as a camera ({error})") from error
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
    TimelineSettings(fps=fps, duration=duration)  # refuses what no recording can have
    if isinstance(source, str | Path):
        check_readable(source, depth=0)
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
    last = min(median(gaps) if gaps else max((stated or 0) - seconds[-1], 1 / DEFAULT_FPS), LONGEST)
    duration, sound = seconds[-1] + last, (video.sound_end or video.start) - video.start
    if sound > duration + STATED_EXCESS:  # a camera that was left before the call was over
        duration = sound
    notes = list(video.notes)
    if stated is not None and stated > duration + STATED_EXCESS:
        notes.append(f"the file states a length of {stated:.2f} s, but its frames end at {seconds[-1] + last:.2f} s")
    return StoredRecording(video, str(source), seconds, duration, notes)


def _open_frames(source, fps: float | None) -> StoredRecording:
    frames = open_clip(source)
    rate = fps or DEFAULT_FPS
    name = str(source) if isinstance(source, str | Path) else f"{len(frames)} frames"
    notes = [] if fps else [f"its frames carry no times and are taken as {rate:g} a second"]
    sizes = find_sizes(frames)
    if len(set(sizes)) > 1:
        frames = FittedFrames(frames, sizes)
        notes += describe_sizes(sizes)
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
    if isinstance(recording.source, FittedFrames):
        for name, boxes in faces.items():
            if boxes is not None and len(boxes) == len(recording.seconds):  # of each frame, and not of all
                recording.face_boxes[name] = recording.source.fit_boxes(recording.face_boxes[name])
    recording.body_boxes = dict(bodies)
    return recording
