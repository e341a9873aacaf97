"""Who is seen in a recording: persons followed from frame to frame, and the clips that windows are made of.

Frames are held for the length of a window, until it is known where the faces of persons who are not seen on them are
likely to be; then only squares of pixels remain, and those only as long as a window may need them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from .crops import Box, Crop, CropCutter
from .errors import InputError
from .face_detection import FaceDetector, grow_context_box
from .frames import sample_frame_indices
from .recordings import Recording, Shown
from .stage_clock import StageClock
from .timeline import FACE_STATUSES, ROOM, FaceSighting
from .timeline_windows import covered_duration, window_start, window_starts
from .tracking import FaceTracker


# A person has rows once the detector found the face on so many sampled frames; fewer are taken for a false alarm.
MIN_SIGHTINGS = 3
SEEN = ("detected", "supplied")


@dataclass
class Clip:
    """What one answer is drawn from: a crop for each sampled frame and stream, none of the face where nobody saw it
    and none of a stream that the model has not."""

    person: str
    face_status: str
    face_frames: int
    context: list[Crop]
    face: list[Crop]


@dataclass
class WindowClips:
    """A window, in seconds: of each person a clip, and the room's own, which answers where there is nobody. The room's
    `face_frames` are those on which there is any face."""

    number: int
    start: float
    end: float
    people: list[Clip]
    room: Clip


@dataclass
class _Face:
    status: str
    face: Crop | None
    context: Crop | None


@dataclass
class _Moment:
    """What is kept of a distinct frame."""

    scene: Crop | None
    boxes: dict[int | str, Box]
    faces: dict["_Track", _Face] = field(default_factory=dict)


@dataclass(eq=False)
class _Track:
    """A person: places on the grid of the first and last sighting, and the box of the last one."""

    first: int
    last: int
    box: Box
    sightings: int = 0
    name: str = ""  # while the sightings are too few
    path: dict[int, tuple[Box, str]] = field(default_factory=dict)


class PeopleFollower:
    """Turns the sampled frames of one recording into windows of clips.

    Args:
        recording: of which the supplied boxes are taken.
        cutter: cuts the crops.
        detector: finds faces where no boxes are supplied; `None` finds nobody.
        num_frames, stride, step: of windows and grid, see [`~timeline_windows.window_starts`].
        max_gap (`float`): seconds after which a person who is not seen counts as gone. Windows in which a person may
            still come back are ready no earlier.
        clock: counts the seconds of "detect" and "crop".
    """

    def __init__(
        self,
        recording: Recording,
        cutter: CropCutter,
        detector: FaceDetector | None,
        num_frames: int,
        stride: float,
        step: float,
        max_gap: float,
        clock: StageClock,
    ):
        self.recording, self.cutter, self.detector, self.clock = recording, cutter, detector, clock
        self.num_frames, self.stride, self.step = num_frames, stride, step
        # Keep: for given names no less than a window, which would else hold one person twice.
        self.max_gap = max(max_gap, num_frames * step) if recording.face_boxes else max_gap
        self.tracker = FaceTracker(max_gap)
        self.total = 0  # sampled times so far
        self._ended = False
        self._number = 0  # of the next window
        self._shown = -1
        # By place on the grid. One frame may be shown at several.
        self._frames: dict[int, torch.Tensor] = {}
        self._moments: dict[int, _Moment] = {}
        self._present: dict[int | str, _Track] = {}
        self._gone: list[_Track] = []
        self._people: list[_Track] = []  # in order of appearance
        self._passing: list[_Track] = []  # seen too rarely

    def add(self, shown: Shown) -> None:
        """Take the frame of the next time."""
        place = self.total
        self._frames[place] = shown.frame
        if shown.number != self._shown:
            self._moments[place] = self._look(shown)
        else:
            self._moments[place] = self._moments[place - 1]
        with self.clock("crop"):
            for key, box in self._moments[place].boxes.items():
                self._sight(key, place, box)
            self._release(place - self.num_frames + 1)
        for key in [key for key, track in self._present.items() if (place - track.last) * self.step > self.max_gap]:
            self._dismiss(key)
        self._shown, self.total = shown.number, place + 1

    def end(self) -> None:
        """There are no more frames."""
        with self.clock("crop"):
            for place in range(max(self.total - self.num_frames + 1, 0), self.total):
                self._release(place)
        for key in list(self._present):
            self._dismiss(key)
        self._ended = True

    def windows(self) -> Iterator[WindowClips]:
        """The next windows, as far as later frames cannot change them."""
        while (first := self._next_start()) is not None:
            stop = min(first + self.num_frames, self.total)
            places = (first + sample_frame_indices(stop - first, self.num_frames, "eval")).tolist()
            tracks = [track for track in (*self._gone, *self._present.values()) if track.first < stop]
            if any(self._is_open(track, first, places) for track in tracks):
                return
            yield self._cut_window(first, stop, places, tracks)
            self._number += 1
            self._forget()

    @property
    def num_passing(self) -> int:
        """Faces that were seen too rarely to be followed."""
        return len(self._passing)

    @property
    def sightings(self) -> list[FaceSighting]:
        """Where every face was from the first to the last sighting, in order of time. Also of those who were seen too
        rarely, as "passing-1", ...: whoever shows the recording may have to hide them."""
        found = [
            FaceSighting(track.name, (place + 0.5) * self.step, *seen)
            for track in (*self._people, *self._passing)
            for place, seen in track.path.items()
            if track.first <= place <= track.last
        ]
        return sorted(found, key=lambda sighting: sighting.time)

    def _look(self, shown: Shown) -> _Moment:
        """Find the faces of a frame, and whose they are."""
        with self.clock("crop"):
            scene = self.cutter.cut_context(shown.frame, self.recording.body_boxes.get(ROOM))
        if self.recording.face_boxes:
            given = {name: boxes[shown.number] for name, boxes in self.recording.face_boxes.items()}
            return _Moment(scene, {name: _to_box(box) for name, box in given.items() if box is not None and len(box)})
        if self.detector is None:
            return _Moment(scene, {})
        with self.clock("detect"):
            found = [detection.box for detection in self.detector.detect(shown.frame)]
            numbers = self.tracker.update(shown.time, found)
            return _Moment(scene, dict(zip(numbers, found, strict=True)))

    def _sight(self, key: int | str, place: int, box: Box) -> None:
        """A person is seen; the frames before on which the person was not are given a likely box."""
        track = self._present.get(key)
        held = range(max(place - self.num_frames + 1, 0), place)
        if track is None:
            track = self._present[key] = _Track(place, place, box)
            if isinstance(key, str):
                self._name(track, key)
            for before in held:
                self._place_face(track, before, box, "bridged")
        for gap in range(max(track.last + 1, held.start), place):
            share = (gap - track.last) / (place - track.last)
            between = [old + share * (new - old) for old, new in zip(track.box, box, strict=True)]
            self._place_face(track, gap, _to_box(between), "bridged")
        self._place_face(track, place, box, "supplied" if self.recording.face_boxes else "detected")
        track.last, track.box, track.sightings = place, box, track.sightings + 1
        if not track.name and track.sightings >= min(MIN_SIGHTINGS, self.num_frames):
            self._name(track, f"person-{len(self._people) + 1}")

    def _name(self, track: _Track, name: str) -> None:
        track.name = name
        self._people.append(track)

    def _place_face(self, track: _Track, place: int, box: Box, status: str) -> None:
        moment = self._moments[place]
        if track not in moment.faces:
            frame = self._frames[place]
            face, context = self.cutter.cut_face(frame, box), moment.scene
            if self.cutter.context == "body" and ROOM not in self.recording.body_boxes:
                known = self.recording.body_boxes.get(track.name)
                height, width = frame.shape[-2:]
                context = self.cutter.cut_context(frame, known or grow_context_box(box, height, width))
            moment.faces[track] = _Face(status, face, context)
        track.path[place] = (box, status)

    def _release(self, place: int) -> None:
        """Let go of a frame, after everybody who may be on it has a box there: that of the last sighting."""
        if place < 0:
            return
        for track in (*self._gone, *self._present.values()):
            if track.last < place and (place - track.last < self.num_frames or track in self._present.values()):
                self._place_face(track, place, track.box, "bridged")
        del self._frames[place]

    def _dismiss(self, key: int | str) -> None:
        track = self._present.pop(key)
        if track.name:
            self._gone.append(track)
        else:
            self._passing.append(track)
            track.name = f"passing-{len(self._passing)}"

    def _next_start(self) -> int | None:
        start = window_start(self._number, self.stride, self.step)
        if start + self.num_frames <= self.total:
            return start
        starts = window_starts(self.total, self.num_frames, self.stride, self.step) if self._ended else []
        return starts[self._number] if self._number < len(starts) else None

    def _is_open(self, track: _Track, first: int, places: list[int]) -> bool:
        """Whether later frames may change what a window shows of a person."""
        if track.last >= first and any(track not in self._moments[place].faces for place in places):
            return True
        return track not in self._gone and (not track.name or track.last < first)

    def _cut_window(self, first: int, stop: int, places: list[int], tracks: list[_Track]) -> WindowClips:
        moments = [self._moments[place] for place in places]
        shown = [track for track in self._people if track in tracks and track.last >= first]
        people = [self._cut_clip(track, moments) for track in shown]
        if not self.cutter.context_stream:  # nothing can be said of who shows no face
            people = [clip for clip in people if clip.face]
        face_frames = sum(any(moment.faces[track].status in SEEN for track in shown) for moment in moments)
        status = min((clip.face_status for clip in people), key=FACE_STATUSES.index, default="none")
        scenes = [moment.scene for moment in moments if moment.scene is not None]
        end = covered_duration(stop, self.step, self.recording.duration)
        return WindowClips(self._number, first * self.step, end, people, Clip(ROOM, status, face_frames, scenes, []))

    def _cut_clip(self, track: _Track, moments: list[_Moment]) -> Clip:
        faces = [moment.faces[track] for moment in moments]
        statuses = [face.status for face in faces]
        seen = sum(status in SEEN for status in statuses)
        return Clip(
            track.name,
            Counter(statuses).most_common(1)[0][0] if seen and self.cutter.face_stream else "none",
            seen,
            [face.context for face in faces if face.context is not None],
            [face.face for face in faces if face.face is not None and seen],
        )

    def _forget(self) -> None:
        """Drop what no later window shows."""
        # Keep: the smaller one. The last window may begin before the next stride.
        oldest = min(window_start(self._number, self.stride, self.step), self.total - self.num_frames)
        for place in [place for place in self._moments if place < oldest]:
            del self._moments[place]
        self._gone = [track for track in self._gone if track.last >= oldest]


def _to_box(sides: Sequence[float]) -> Box:
    if len(sides) != 4:
        raise InputError(f"box {list(sides)}: expected four numbers (left, top, right, bottom)")
    # Keep: in order. A crop takes corners in any, but a box that is grown or hidden would be turned inside out.
    left, right = sorted((float(sides[0]), float(sides[2])))
    top, bottom = sorted((float(sides[1]), float(sides[3])))
    return left, top, right, bottom
