"""The one student's face in every frame of a clip."""

import math
import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import numpy as np

from modeling_clipcaer.data.boxes import Box, Size, scale_box
from modeling_clipcaer.data.clip_search import FoundClip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import grow_context_box
from modeling_clipcaer.faces.face_detection import FaceDetector
from modeling_clipcaer.faces.tracking import FaceTracker
from modeling_clipcaer.frames import FrameSource, ImageFrames, open_clip
from modeling_clipcaer.video_frames import VideoFrames


# Seconds from one frame that is looked at to the next where files tell no time: what the tracker was made for.
FRAME_STEP = 0.6
# Seconds after which a student who looks up again is another one: a clip shows one student from beginning to end.
NEVER = 1e9
DECIMALS = 2  # of a box, in pixels

_worker_detector: FaceDetector  # of a process that was started to look for faces


@dataclass
class ClipFaces:
    """What was found in a clip.

    Args:
        clip: its key.
        num_frames: all frames of the clip.
        num_searched: those that were decoded and looked at.
        num_unreadable: those that were to be looked at and could not be decoded.
        size: height and width of the first of them.
        sizes: those of frames that have another one, by frame name.
        boxes: the student's face by frame name; a video's frames are called by their numbers, from 0.
        num_others: faces that were left out, of whoever else was seen, over all frames.
        error: what is wrong with the clip.
    """

    clip: str
    num_frames: int = 0
    num_searched: int = 0
    num_unreadable: int = 0
    size: list[int] | None = None
    sizes: dict[str, list[int]] = field(default_factory=dict)
    boxes: dict[str, list[float]] = field(default_factory=dict)
    num_others: int = 0
    error: str | None = None

    def frame_bodies(self) -> dict[str, list[float]]:
        """A body box for every frame with a face, in pixels of that frame."""
        return {name: self._grow(box, self.sizes.get(name)) for name, box in self.boxes.items()}

    def clip_body(self) -> list[float] | dict[str, list[float]] | None:
        """One body box for the clip, grown from the median of its face boxes; one for every frame with a face where
        frames differ in size, since one in pixels cannot serve all."""
        if not self.boxes:
            return None
        return self.frame_bodies() if self.sizes else self._grow(np.median(list(self.boxes.values()), axis=0).tolist())

    def _grow(self, box: Sequence[float], size: list[int] | None = None) -> list[float]:
        size = size or self.size
        assert size is not None  # a frame with a face has been seen
        return _round_box(grow_context_box((box[0], box[1], box[2], box[3]), *size))


def detect_clip(clip: FoundClip, detector: FaceDetector, every: int = 1) -> ClipFaces:
    """Look for the student's face in each `every`-th frame of a clip; a broken clip is an `error` in the answer."""
    found = ClipFaces(clip.key)
    try:
        source = open_clip(clip.path)
    except InputError as error:
        found.error = str(error)
        return found
    indices = range(0, len(source), every)
    names = source.names if isinstance(source, ImageFrames) else None
    seconds = source.seconds if isinstance(source, VideoFrames) else None
    problems: list[str] = []
    track = _StudentTrack()
    for index, frame in _read_frames(source, indices, problems):
        time = found.num_searched * FRAME_STEP if seconds is None else seconds[index]
        name, size = str(index) if names is None else names[index], list(frame.shape[-2:])
        found.size = found.size or size
        if size != found.size:
            found.sizes[name] = size
        track.add(name, time, [face.box for face in detector.detect(frame)], (size[1], size[0]))
        found.num_searched += 1
    found.num_frames, found.num_unreadable = len(source), len(indices) - found.num_searched
    found.boxes, found.num_others = track.choose()
    found.error = problems[0] if problems else None
    return found


def _read_frames(source: FrameSource, indices: Sequence[int], problems: list[str]) -> Iterator[tuple]:
    """Frames with their indices, as far as they can be decoded; the others go into `problems`.

    A broken file costs one frame of a folder. A video is read in one go, and ends where it breaks.
    """
    for part in [[index] for index in indices] if isinstance(source, ImageFrames) else [indices]:
        try:
            yield from zip(part, source.read(part), strict=False)
        except InputError as error:
            problems.append(str(error))


class _StudentTrack:
    """Follows all faces of a clip, to keep those of the one whose boxes sum to the largest area.

    Frames may differ in size: faces are followed at their places of the first one, and kept as they are.
    """

    def __init__(self) -> None:
        self._tracker = FaceTracker(NEVER)
        self._tracks: dict[int, dict[str, Box]] = defaultdict(dict)
        self._areas: dict[int, list[float]] = defaultdict(list)
        self._size: Size | None = None

    def add(self, name: str, time: float, boxes: Sequence[Box], size: Size) -> None:
        self._size = self._size or size
        followed = [scale_box(box, size, self._size) for box in boxes]
        for number, box, place in zip(self._tracker.update(time, followed), boxes, followed, strict=True):
            self._tracks[number][name] = box
            self._areas[number].append(_area(place))

    def choose(self) -> tuple[dict[str, list[float]], int]:
        """The student's boxes by frame, and how many boxes are of others."""
        if not self._tracks:
            return {}, 0
        areas = {number: math.fsum(parts) for number, parts in self._areas.items()}
        chosen = self._tracks[max(areas, key=areas.__getitem__)]
        total = sum(map(len, self._tracks.values()))
        return {name: _round_box(box) for name, box in chosen.items()}, total - len(chosen)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _round_box(box: Box) -> list[float]:
    return [round(side, DECIMALS) for side in box]


def detect_clips(
    clips: Sequence[FoundClip], build_detector: Callable[[], FaceDetector], every: int, num_proc: int
) -> Iterator[ClipFaces]:
    """Look for faces in `clips` on `num_proc` processes; yields what was found as it comes, in any order.

    Raises:
        InputError: a process was ended from outside.
    """
    if num_proc == 1:
        detector = build_detector()
        for clip in clips:
            yield detect_clip(clip, detector, every)
        return
    # Keep: new processes, not copies of this one, whose OpenCV may have threads that a copy waits for without end.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_proc, context, _start_worker, (build_detector,)) as pool:
        try:
            # Keep: no name for the tasks; each goes, with its boxes, once it has been handed on.
            for done in as_completed([pool.submit(_detect_in_worker, clip, every) for clip in clips]):
                yield done.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process was ended from outside, perhaps for want of memory; the same command goes on from here"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(build_detector: Callable[[], FaceDetector]) -> None:
    global _worker_detector
    # Keep: before OpenCV's first work. Every process would take all cores for itself.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _worker_detector = build_detector()


def _leave_with_parent() -> None:
    # Keep: the processes of a killed command would wait for more work for ever.
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _detect_in_worker(clip: FoundClip, every: int) -> ClipFaces:
    return detect_clip(clip, _worker_detector, every)
