"""Recordings as frames in time: video files, addresses, folders and arrays, or a camera while it runs."""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import list_frame_names
from modeling_clipcaer.frame_fitting import describe_sizes
from modeling_clipcaer.frames import FrameSource, open_clip
from modeling_clipcaer.processing_clipcaer import boxes_per_frame
from modeling_clipcaer.recordings.camera import LiveRecording
from modeling_clipcaer.recordings.fitted_frames import FittedFrames, find_sizes, make_thumbnail
from modeling_clipcaer.recordings.settings import DEFAULT_FPS, TimelineSettings
from modeling_clipcaer.recordings.stretches import LONGEST, ROUNDING, Recording, Shown, Stretch, find_stretches
from modeling_clipcaer.recordings.timeline import ROOM
from modeling_clipcaer.recordings.windows import Grid
from modeling_clipcaer.scene_cuts import find_cuts
from modeling_clipcaer.video_frames import VideoFrames


# A file may state a length beyond its last frame by the sound's last packet; more is missing pictures.
STATED_EXCESS = 1.0

Boxes = Sequence[float] | Sequence[Sequence[float] | None]


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


def open_with_boxes(source: str, boxes: ClipBoxes, settings: TimelineSettings) -> Recording:
    """The recording, with its boxes where there are files of boxes."""
    recording = open_recording(source, settings.fps, settings.duration)
    if not boxes.face and not boxes.body:
        return recording
    if not isinstance(recording, StoredRecording):
        raise InputError(f"{source}: expected no boxes for a camera")
    is_folder = Path(source).is_dir()
    names = list_frame_names(source) if is_folder else [str(place) for place in range(len(recording.seconds))]
    face_boxes, body_box = boxes.find_given(source, names)
    return open_recording(source, settings.fps, settings.duration, face_boxes if boxes.face else None, body_box)


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
