"""Who is seen in a recording: persons followed from frame to frame, and the crops that windows are answered from.

Frames are held for the length of a window, until it is known where the faces of persons who are not seen on them are
likely to be; then only squares of pixels remain, and those only as long as a window may need them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.boxes import Box, grow_context_box
from modeling_clipcaer.faces.face_detection import FaceDetector
from modeling_clipcaer.faces.tracking import FaceTracker
from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.recordings.crops import Crop, CropCutter, PersonCrops, WindowCrops
from modeling_clipcaer.recordings.stage_clock import StageClock
from modeling_clipcaer.recordings.stretches import Recording, Shown, Stretch
from modeling_clipcaer.recordings.timeline import FACE_STATUSES, ROOM, FaceSighting
from modeling_clipcaer.scene_cuts import is_cut, is_other, see_face


# A person has rows once the detector found the face on so many sampled frames; fewer are taken for a false alarm.
MIN_SIGHTINGS = 3
SEEN = ("detected", "supplied")


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
    faces: dict["_Person", _Face] = field(default_factory=dict)


@dataclass(eq=False)
class _Person:
    """A person: places on the grid of the first and last sighting, and the box of the last one. Before `begin` and
    from `end` on, behind a cut, nothing is known of the person."""

    first: int
    last: int
    box: Box
    sightings: int = 0
    name: str = ""  # while the sightings are too few
    begin: int = 0
    end: float = math.inf
    look: np.ndarray | None = None  # of the last sighting
    path: dict[int, tuple[Box, str]] = field(default_factory=dict)


@dataclass
class People:
    """Who was seen in a recording so far, over all of its stretches.

    Attributes:
        num_followed, num_passing: people who are followed by number, and faces seen too rarely to be followed.
        sightings: where each face was.
        cuts: seconds at which somebody was cut off.
    """

    num_followed: int = 0
    num_passing: int = 0
    sightings: list[FaceSighting] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)


class PeopleFollower:
    """Turns the sampled frames of a stretch of a recording into windows of crops.

    Args:
        recording: of which the supplied boxes are taken.
        stretch: its beginning, end and grid; its frames are handed over by `add`.
        people: who was seen before; whoever is seen now is added.
        first_window (`int`): number of the first window.
        cutter: cuts the crops.
        detector: finds faces where no boxes are supplied; `None` finds nobody.
        num_frames (`int`): frames that a window is answered from.
        max_gap (`float`): seconds after which a person who is not seen counts as gone. Windows in which a person may
            still come back are ready no earlier.
        clock: counts the seconds of "detect" and "crop".
    """

    def __init__(
        self,
        recording: Recording,
        stretch: Stretch,
        people: People,
        first_window: int,
        cutter: CropCutter,
        detector: FaceDetector | None,
        num_frames: int,
        max_gap: float,
        clock: StageClock,
    ):
        self.recording, self.cutter, self.detector, self.clock = recording, cutter, detector, clock
        self.people, self.num_frames, self.first_window = people, num_frames, first_window
        self.start, self.end_of_stretch, self.grid = stretch.start, stretch.end, stretch.grid
        # Keep: for given names no less than a window, which would else hold one person twice.
        self.max_gap = max(max_gap, self.grid.places * self.grid.step) if recording.face_boxes else max_gap
        self.tracker = FaceTracker(max_gap)
        self.total = 0  # sampled times so far
        self._ended = False
        self._number = 0  # of the next window of the stretch
        self._shown = -1
        # By place on the grid. One frame may be shown at several.
        self._frames: dict[int, torch.Tensor] = {}
        self._moments: dict[int, _Moment] = {}
        self._cut = 0  # place of the last cut of the whole picture
        self._suspects: set[int | str] = set()  # whose places were cut since they were last seen
        self._begins: dict[int | str, int] = {}  # of those who begin with a cut
        self._looks: dict[int | str, np.ndarray] = {}  # of the faces of this moment
        self._present: dict[int | str, _Person] = {}
        self._gone: list[_Person] = []
        self._followed: list[_Person] = []  # in order of appearance
        self._passing: list[_Person] = []  # seen too rarely

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
            self._release(place - self.grid.places + 1)
        longest = self.max_gap / self.grid.step
        for key in [key for key, person in self._present.items() if place - person.last > longest]:
            self._dismiss(key)
        self._shown, self.total = shown.number, place + 1

    def end(self) -> None:
        """There are no more frames."""
        with self.clock("crop"):
            for place in range(max(self.total - self.grid.places + 1, 0), self.total):
                self._release(place)
        for key in list(self._present):
            self._dismiss(key)
        self._ended = True
        self.people.sightings += self._list_sightings()

    def windows(self) -> Iterator[WindowCrops]:
        """The next windows, as far as later frames cannot change them."""
        while (first := self._next_start()) is not None:
            stop = min(first + self.grid.places, self.total)
            places = (first + sample_frame_indices(stop - first, self.num_frames, "eval")).tolist()
            near = [person for person in (*self._gone, *self._present.values()) if person.first < stop]
            if any(self._is_open(person, first, places) for person in near):
                return
            yield self._cut_window(first, stop, places, near)
            self._number += 1
            self._forget()

    @property
    def next_window(self) -> int:
        """Number of the window that comes after those so far."""
        return self.first_window + self._number

    @property
    def covered(self) -> float:
        """Until when, in seconds, frames were handed over."""
        return self._covered(self.total)

    def _covered(self, total: int) -> float:
        """Until when, in seconds, the first `total` sampled times reach."""
        length = None if self.end_of_stretch is None else self.end_of_stretch - self.start
        covered = self.grid.covered(total, length)
        # Keep: not the sum. A rounded one would leave a gap before the end.
        if self.end_of_stretch is not None and covered == length:
            return self.end_of_stretch
        return self.start + covered

    def _time(self, place: int) -> float:
        """The sampled time at a place on the grid."""
        return self.start + (place + 0.5) * self.grid.step

    def _list_sightings(self) -> Iterator[FaceSighting]:
        """Where every face was from the first to the last sighting, in order of time. Also of those who were seen too
        rarely, as "passing-1", ...: whoever shows the recording may have to hide them."""
        found = [
            FaceSighting(person.name, self._time(place), *seen)
            for person in (*self._followed, *self._passing)
            for place, seen in person.path.items()
            if person.first <= place <= person.last
        ]
        yield from sorted(found, key=lambda sighting: sighting.time)

    def _look(self, shown: Shown) -> _Moment:
        """Find the faces of a frame, and whose they are."""
        with self.clock("crop"):
            scene = self.cutter.cut_context(shown.frame, self.recording.body_boxes.get(ROOM), shown.time)
        if self.recording.face_boxes:
            given = {name: boxes[shown.number] for name, boxes in self.recording.face_boxes.items()}
            return _Moment(scene, {name: _to_box(box) for name, box in given.items() if box is not None and len(box)})
        if self.detector is None:
            return _Moment(scene, {})
        if shown.cuts is not None:
            self._suspect(shown.cuts, shown)
        with self.clock("detect"):
            found = [detection.box for detection in self.detector.detect(shown.frame)]
            numbers = self.tracker.update(shown.time, found)
            numbers = [self._check(number, box, shown) for number, box in zip(numbers, found, strict=True)]
            if shown.cuts is not None:
                self._part(shown.cuts, shown, dict(zip(numbers, found, strict=True)))
            return _Moment(scene, dict(zip(numbers, found, strict=True)))

    def _suspect(self, cells: np.ndarray, shown: Shown) -> None:
        """Whose place is cut is followed no further where the whole picture is cut; where it is not, whoever is found
        there next must look like the one before."""
        height, width = shown.frame.shape[-2:]
        cut = {key for key, person in self._present.items() if is_cut(cells, person.box, height, width)}
        if not is_cut(cells, (0, 0, width, height), height, width):
            self._suspects |= cut
            return
        self._cut = self.total
        for key in cut:
            self.tracker.close(key)
            self._cut_off(key, shown.time)

    def _check(self, number: int, box: Box, shown: Shown) -> int:
        """The number of the face at `box`: that of its track, unless a cut has put somebody else there."""
        look = see_face(shown.frame, box)
        if number in self._suspects and number in self._present and is_other(self._present[number].look, look):
            self._cut_off(number, shown.time)
            number = self.tracker.restart(number)
            self._begins[number] = self.total
        self._suspects.discard(number)
        self._looks[number] = look
        return number

    def _part(self, cells: np.ndarray, shown: Shown, found: dict[int, Box]) -> None:
        """Whose place is cut while somebody new is there with the same cut has not walked from there to here."""
        height, width = shown.frame.shape[-2:]
        if any(key not in self._present and is_cut(cells, box, height, width) for key, box in found.items()):
            for key in self._suspects - set(found):
                self.tracker.close(key)
                self._cut_off(key, shown.time)

    def _cut_off(self, key: int | str, time: float) -> None:
        self._present[key].end = self.total
        self._dismiss(key)
        self.people.cuts.append(time)

    def _sight(self, key: int | str, place: int, box: Box) -> None:
        """A person is seen; the frames before on which the person was not are given a likely box."""
        person = self._present.get(key)
        if person is None:
            begin = self._begins.pop(key, self._cut)
            person = self._present[key] = _Person(place, place, box, begin=begin)
            if isinstance(key, str):
                self._name(person, key)
        held = range(max(place - self.grid.places + 1, person.begin), place)
        if not person.sightings:
            for before in held:
                self._place_face(person, before, box, "bridged")
        for gap in range(max(person.last + 1, held.start), place):
            share = (gap - person.last) / (place - person.last)
            between = [old + share * (new - old) for old, new in zip(person.box, box, strict=True)]
            self._place_face(person, gap, _to_box(between), "bridged")
        self._place_face(person, place, box, "supplied" if self.recording.face_boxes else "detected")
        person.last, person.box, person.sightings = place, box, person.sightings + 1
        person.look = self._looks.pop(key, person.look)
        if not person.name and person.sightings >= min(MIN_SIGHTINGS, self.num_frames):
            self.people.num_followed += 1
            self._name(person, f"person-{self.people.num_followed}")

    def _name(self, person: _Person, name: str) -> None:
        person.name = name
        self._followed.append(person)

    def _place_face(self, person: _Person, place: int, box: Box, status: str) -> None:
        moment = self._moments[place]
        if person not in moment.faces:
            frame, time = self._frames[place], self._time(place)
            face, context = self.cutter.cut_face(frame, box, time), moment.scene
            if self.cutter.context == "body" and ROOM not in self.recording.body_boxes:
                known = self.recording.body_boxes.get(person.name)
                height, width = frame.shape[-2:]
                context = self.cutter.cut_context(frame, known or grow_context_box(box, height, width), time)
            moment.faces[person] = _Face(status, face, context)
        person.path[place] = (box, status)

    def _release(self, place: int) -> None:
        """Let go of a frame, after everybody who may be on it has a box there: that of the last sighting."""
        if place < 0:
            return
        for person in (*self._gone, *self._present.values()):
            is_near = place - person.last < self.grid.places or person in self._present.values()
            if person.last < place < person.end and is_near:
                self._place_face(person, place, person.box, "bridged")
        del self._frames[place]

    def _dismiss(self, key: int | str) -> None:
        person = self._present.pop(key)
        self._suspects.discard(key)
        if person.name:
            self._gone.append(person)
        else:
            self.people.num_passing += 1
            self._passing.append(person)
            person.name = f"passing-{self.people.num_passing}"

    def _next_start(self) -> int | None:
        start = self._number * self.grid.stride
        if start + self.grid.places <= self.total:
            return start
        starts = self.grid.starts(self.total) if self._ended else []
        return starts[self._number] if self._number < len(starts) else None

    def _is_open(self, person: _Person, first: int, places: list[int]) -> bool:
        """Whether later frames may change what a window shows of a person."""
        known = (place for place in places if person.begin <= place < person.end)
        if person.last >= first and any(person not in self._moments[place].faces for place in known):
            return True
        return person not in self._gone and (not person.name or person.last < first)

    def _cut_window(self, first: int, stop: int, places: list[int], near: list[_Person]) -> WindowCrops:
        moments = [self._moments[place] for place in places]
        seen = [person for person in self._followed if person in near and person.last >= first]
        people = [crops for person in seen if (crops := self._cut_person(person, places)) is not None]
        if not self.cutter.context_stream:  # nothing can be said of who shows no face
            people = [crops for crops in people if crops.face]
        distinct = _distinct(moments)
        face_frames = sum(any(_is_seen(moment, person) for person in seen) for moment in distinct)
        status = min((crops.face_status for crops in people), key=FACE_STATUSES.index, default="none")
        scenes = [moment.scene for moment in moments if moment.scene is not None]
        start, end = self.start + first * self.grid.step, self._covered(stop)
        if end != self.end_of_stretch:
            end = min(end, start + self.grid.window)
        room = PersonCrops(ROOM, status, face_frames, len(distinct), scenes, [])
        return WindowCrops(self.next_window, start, end, people, room)

    def _cut_person(self, person: _Person, places: list[int]) -> PersonCrops | None:
        """The crops of a person; `None` where none of the sampled frames is on the person's side of a cut."""
        moments = [moment for place in places if person in (moment := self._moments[place]).faces]
        if not moments:
            return None
        distinct = _distinct(moments)
        statuses = [moment.faces[person].status for moment in distinct]
        seen = sum(status in SEEN for status in statuses)
        if len(moments) < self.num_frames:
            kept = sample_frame_indices(len(moments), self.num_frames, "eval").tolist()
            moments = [moments[index] for index in kept]
        faces = [moment.faces[person] for moment in moments]
        return PersonCrops(
            person.name,
            Counter(statuses).most_common(1)[0][0] if seen and self.cutter.face_stream else "none",
            seen,
            len(distinct),
            [face.context for face in faces if face.context is not None],
            [face.face for face in faces if face.face is not None and seen],
        )

    def _forget(self) -> None:
        """Drop what no later window shows."""
        # Keep: the smaller one. The last window may begin before the next stride.
        oldest = min(self._number * self.grid.stride, self.total - self.grid.places)
        for place in [place for place in self._moments if place < oldest]:
            del self._moments[place]
        self._gone = [person for person in self._gone if person.last >= oldest]


def _distinct(moments: Sequence[_Moment]) -> list[_Moment]:
    """Every frame once, however often it is sampled."""
    return list({id(moment): moment for moment in moments}.values())


def _is_seen(moment: _Moment, person: _Person) -> bool:
    return person in moment.faces and moment.faces[person].status in SEEN


def _to_box(sides: Sequence[float]) -> Box:
    if len(sides) != 4:
        raise InputError(f"box {list(sides)}: expected four numbers (left, top, right, bottom)")
    # Keep: in order. A crop takes corners in any, but a box that is grown or hidden would be turned inside out.
    left, right = sorted((float(sides[0]), float(sides[2])))
    top, bottom = sorted((float(sides[1]), float(sides[3])))
    return left, top, right, bottom
