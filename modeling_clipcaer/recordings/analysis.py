"""From recordings to timelines: frames are sampled, persons followed, windows answered and joined into segments."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from modeling_clipcaer.common.versions import list_versions
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import FaceDetector, build_face_detector
from modeling_clipcaer.frame_fitting import MOST_NAMED
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.checkpoints import weights_revision
from modeling_clipcaer.models.frozen_parts import FrozenParts, describe_tower_dtype
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.recordings.crops import CropCutter, PersonCrops, WindowCrops
from modeling_clipcaer.recordings.people import People, PeopleFollower
from modeling_clipcaer.recordings.scoring import WindowScorer
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.stage_clock import StageClock
from modeling_clipcaer.recordings.stretches import Recording, Stretch
from modeling_clipcaer.recordings.timeline import NO_PICTURE, ROOM, UNCERTAIN, Timeline, TimelineWindow, join_notes
from modeling_clipcaer.recordings.windows import Grid, build_segments, plan_grid


logger = logging.getLogger(__name__)

# Seconds for which a frame may stand still and still be what is seen; then there is no picture.
MAX_HOLD = 2.0
PACKAGES = ("clipcaer", "torch", "transformers", "av", "opencv-python-headless")
# What a timeline does not tell of its settings: how the recording was opened, and a path of this machine.
ELSEWHERE = ("fps", "duration", "face_detector_weights")
OnWindow = Callable[[TimelineWindow], None]


class RecordingAnalyzer:
    """Turns recordings into timelines with one model.

    Args:
        model, processor: of one checkpoint. The model is put into evaluation mode.
        settings: see [`TimelineSettings`]. `fps` and `duration` are for whoever opens the recordings.
        detector ([`~face_detection.FaceDetector`], *optional*): finds faces in place of the settings' detector, which
            is built when a recording without face boxes needs it.
        zero_shot (`bool`): mark the timelines as those of a model that nothing was learned for.

    Attributes:
        clock ([`StageClock`]): seconds of "decode", "detect", "crop", "encode" and "classify" so far.
    """

    def __init__(
        self,
        model: ClipCaerForVideoClassification,
        processor: ClipCaerVideoProcessor,
        settings: TimelineSettings | None = None,
        detector: FaceDetector | None = None,
        zero_shot: bool = False,
    ):
        self.model, self.processor = model.eval(), processor
        self.settings = settings or TimelineSettings()
        self.detector, self.zero_shot = detector, zero_shot
        self.clock = StageClock()
        step, stride = self.settings.window / processor.num_frames, self.settings.stride
        if stride < step:
            raise InputError(
                f"`stride` must be at least the {step:g} seconds between two sampled frames, got {stride!r}"
            )

    def analyze(self, recordings: Iterable[Recording], on_window: OnWindow | None = None) -> Iterator[Timeline]:
        """Yield the timeline of each of `recordings`, in their order.

        They are gone through one after the other, each once; batches fill across them, so that a timeline may come
        when the next recording has begun. A recording that cannot be read to its end has a timeline up to there with
        a note; one of which nothing can be read has no windows.

        Args:
            recordings: may be a generator that opens them one by one.
            on_window: called with every row as soon as nothing can change it any more: window by window, each
                person's row and then the room's.
        """
        parts = FrozenParts(self.model, self.settings.tower_dtype)
        scorer = WindowScorer(parts, self.processor, self.settings.batch_size, self.clock)
        runs: deque[_Run] = deque()
        for recording in recordings:
            run = _Run(self._start(recording), self.settings.threshold, on_window)
            runs.append(run)
            for window in self._cut_windows(recording, run.timeline):
                run.ask(window, scorer)
                if recording.duration is None:  # somebody is watching
                    scorer.flush()
                yield from self._finish_answered(runs)
            run.has_ended = True
            yield from self._finish_answered(runs)
        scorer.flush()
        yield from self._finish_answered(runs)

    def cut_windows(self, recording: Recording) -> tuple[Timeline, Iterator[WindowCrops]]:
        """A timeline without answers, and the windows of a recording with their crops, as they would be answered. When
        all windows have been gone through, the timeline says who was seen where."""
        timeline = self._start(recording)
        return timeline, self._cut_windows(recording, timeline)

    @cached_property
    def cutter(self) -> CropCutter:
        """Cuts what the model sees out of frames."""
        config, context = self.model.config, self.settings.context or self.processor.context
        return CropCutter(self.processor, config.face_stream, config.context_stream, context)

    @cached_property
    def model_revision(self) -> str | None:
        """Which weights: the commit of a checkpoint from the Hub; of a folder [`weights_revision`]."""
        config = self.model.config
        return weights_revision(config._name_or_path or "-") or getattr(config, "_commit_hash", None)

    def _start(self, recording: Recording) -> Timeline:
        """A timeline without windows yet."""
        config = self.model.config
        detector = "none"
        if config.face_stream:
            detector = "supplied" if recording.face_boxes else self._get_detector().name
        context = self.settings.context or self.processor.context
        settings = {
            "model": public_name(config._name_or_path),
            "model_revision": self.model_revision,
            "streams": config.streams,
            "num_frames": self.processor.num_frames,
            **{name: value for name, value in asdict(self.settings).items() if name not in ELSEWHERE},
            "max_gap": self.settings.longest_gap,
            "context": context if config.context_stream else "none",
            "body_boxes": "supplied" if recording.body_boxes else "grown",
            "face_detector": detector,
            "device": str(self.model.device),
            "tower_dtype": describe_tower_dtype(self.settings.tower_dtype, self.model),
            "zero_shot": self.zero_shot,
            "calibrated": config.calibration_temperature is not None,
            "calibration_temperature": config.calibration_temperature,
            **({"label_colours": config.label_colours} if config.label_colours else {}),
            "versions": list_versions(PACKAGES),
        }
        labels = [config.id2label[index] for index in range(config.num_labels)]
        return Timeline(recording.name, 0.0, 0, 0, labels, settings=settings)

    def _cut_windows(self, recording: Recording, timeline: Timeline) -> Iterator[WindowCrops]:
        """Follow the persons of a recording through its sampled frames, as far as it can be read."""
        people, number, at = People(), 0, 0.0
        gaps: list[tuple[float, float]] = []
        stretch: Stretch | None = None
        recording.watches_cuts = self._finds_faces(recording)
        for stretch in recording.stretches(self._plan_grid, self._get_hold()):
            if stretch.start > at:
                yield _without_picture(number, at, stretch.start)
                gaps.append((at, stretch.start))
                number += 1
            follower = self._follow(recording, stretch, people, number)
            yield from self._follow_stretch(follower, stretch, timeline)
            number, at = follower.next_window, follower.covered
            if timeline.notes:  # it could not be analysed to its end
                break
            duration = recording.duration or 0.0
            if stretch.is_last and stretch.end == at < duration:
                yield _without_picture(number, at, duration)
                gaps.append((at, duration))
                at = duration
        if stretch is None and recording.duration:  # it was to end before there is a picture
            gaps.append((0.0, recording.duration))
        timeline.duration, timeline.sightings = at, people.sightings
        timeline.notes = [*recording.notes, *_describe_gaps(gaps), *timeline.notes, *_describe_people(people)]

    def _follow_stretch(self, follower: PeopleFollower, stretch: Stretch, timeline: Timeline) -> Iterator[WindowCrops]:
        try:
            for shown in self.clock.over("decode", stretch.shown):
                timeline.height, timeline.width = shown.frame.shape[-2:]
                follower.add(shown)
                yield from follower.windows()
        except InputError as error:
            timeline.notes.append(f"only what comes before {follower.covered:.2f} s could be analysed: {error}")
        follower.end()
        yield from follower.windows()

    def _follow(self, recording: Recording, stretch: Stretch, people: People, first_window: int) -> PeopleFollower:
        return PeopleFollower(
            recording,
            stretch,
            people,
            first_window,
            self.cutter,
            self._get_detector() if self._finds_faces(recording) else None,
            self.processor.num_frames,
            self.settings.longest_gap,
            self.clock,
        )

    def _plan_grid(self, length: float | None) -> Grid:
        return plan_grid(self.settings.window, self.settings.stride, self.processor.num_frames, length)

    def _get_hold(self) -> float:
        return min(MAX_HOLD, self.settings.window)

    def _finds_faces(self, recording: Recording) -> bool:
        return self.model.config.face_stream and not recording.face_boxes

    def _finish_answered(self, runs: "deque[_Run]") -> Iterator[Timeline]:
        while runs and runs[0].is_answered:
            timeline = runs.popleft().timeline
            settings = self.settings
            timeline.segments = build_segments(
                timeline.windows, settings.smoothing, settings.hysteresis, settings.threshold
            )
            rooms = [row for row in timeline.windows if row.person == ROOM and row.face_status != NO_PICTURE]
            empty = sum(row.face_frames == 0 for row in rooms)
            if empty and self.model.config.face_stream:
                who = "the context decides alone" if self.model.config.context_stream else "nothing is known of them"
                timeline.notes.append(f"{empty} of {len(rooms)} windows show no face: {who}")
            if not timeline.windows:
                logger.warning(
                    "%s: no frame could be analysed: %s",
                    printable(timeline.source),
                    printable(join_notes(timeline.notes)),
                )
            yield timeline

    def _get_detector(self) -> FaceDetector:
        if self.detector is None:
            self.detector = build_face_detector(self.settings.face_detector, self.settings.face_detector_weights)
        return self.detector


class _Run:
    """A timeline in the making: which of its windows are asked for, and which are answered."""

    def __init__(self, timeline: Timeline, threshold: float, on_window: OnWindow | None):
        self.timeline, self.threshold, self.on_window = timeline, threshold, on_window
        self.has_ended = False
        self._open = 0  # windows that are asked for and not answered

    @property
    def is_answered(self) -> bool:
        return self.has_ended and self._open == 0

    def ask(self, window: WindowCrops, scorer: WindowScorer) -> None:
        """Ask for the persons of a window, or for the room where there is nobody."""
        self._open += 1
        # Keep: asked without crops too. Rows of the others must not overtake it.
        asked = window.people or ([window.room] if window.room.context else [])
        scorer.submit(asked, lambda probabilities: self._receive(window, probabilities))

    def _receive(self, window: WindowCrops, probabilities: np.ndarray) -> None:
        self._open -= 1
        if window.room.face_status == NO_PICTURE:
            self._keep(self._make_row(window, window.room, label=None, score=None, probabilities={}))
            return
        num_labels = len(self.timeline.labels)
        known = len(probabilities) > 0
        # A model of faces alone says nothing of a room without any: every label is as likely.
        room = probabilities.mean(axis=0) if known else np.full(num_labels, 1 / num_labels)
        for person, row in zip(window.people, probabilities, strict=False):
            self._add(window, person, row, known)
        self._add(window, window.room, room, known)

    def _add(self, window: WindowCrops, person: PersonCrops, probabilities: np.ndarray, known: bool) -> None:
        best = int(probabilities.argmax())
        score = float(probabilities[best])
        label = self.timeline.labels[best] if known and score >= self.threshold else UNCERTAIN
        by_label = dict(zip(self.timeline.labels, probabilities.tolist(), strict=True))
        self._keep(self._make_row(window, person, label=label, score=score, probabilities=by_label))

    def _make_row(self, window: WindowCrops, person: PersonCrops, **answer: Any) -> TimelineWindow:
        return TimelineWindow(
            source=self.timeline.source,
            person=person.name,
            window=window.number,
            start=window.start,
            end=window.end,
            face_status=person.face_status,
            face_frames=person.face_frames,
            num_frames=person.num_frames,
            **answer,
        )

    def _keep(self, row: TimelineWindow) -> None:
        self.timeline.windows.append(row)
        if self.on_window is not None:
            self.on_window(row)


def _without_picture(number: int, start: float, end: float) -> WindowCrops:
    return WindowCrops(number, start, end, [], PersonCrops(ROOM, NO_PICTURE, 0, 0, [], []))


def _describe_gaps(gaps: Sequence[tuple[float, float]]) -> list[str]:
    """What a reader must know of the time without a picture, in no or one sentence."""
    named = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in gaps[:MOST_NAMED])
    more = f" and {len(gaps) - MOST_NAMED} more times" if len(gaps) > MOST_NAMED else ""
    return [f"it shows no picture from {named}{more}"] if gaps else []


def _describe_people(people: People) -> list[str]:
    """What a reader must know of who was seen, a sentence each."""
    notes = []
    if cuts := list(dict.fromkeys(people.cuts)):
        times = ", ".join(f"{time:.1f}" for time in cuts[:MOST_NAMED]) + (", ..." if len(cuts) > MOST_NAMED else "")
        notes.append(f"the picture is cut before {times} s: whoever is seen there afterwards counts as somebody new")
    if passing := people.num_passing:
        seen, left = ("1 face was", "is") if passing == 1 else (f"{passing} faces were", "are")
        notes.append(f"{seen} found too rarely to be followed and {left} left out")
    return notes
