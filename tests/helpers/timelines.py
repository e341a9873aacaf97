"""A timeline whose names and times no format is spared, as the writers of files take it."""

import numpy as np

from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.timeline import (
    NO_PICTURE,
    ROOM,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)
from modeling_clipcaer.recordings.windows import build_segments


# A name that is not ASCII, with what CSV, XML and WebVTT have other plans for.
SOURCE = 'Übung "3", Säle <a&b> --> 教室.mp4'
LABELS = ["Neutrality", 'bored, "tense"', "Überraschung"]
PERSONS = [ROOM, "person-1", "person-2"]


def make_timeline(source=SOURCE, persons=2, num_windows=3):
    """Persons and a room over windows of 10 s every 5 s, at times that are no round numbers."""
    names = [ROOM, *(f"person-{number}" for number in range(1, persons + 1))]
    windows, segments = [], []
    for number in range(num_windows):
        for place, person in enumerate(names):
            start = 5 * number + 0.3125 / 3
            score = 1 / 3 + place / 10
            shares = {LABELS[0]: (1 - score) / 3, LABELS[1]: score, LABELS[2]: 2 * (1 - score) / 3}
            status, faces = ("detected", 12) if place else ("none", 0)
            windows.append(
                TimelineWindow(
                    *(source, person, number, start, start + 10, status, faces, 16), LABELS[1], score, shares
                )
            )
    for person in names:
        segments.append(TimelineSegment(source, person, 0.0, 3661.0005, LABELS[1], 2 / 3, num_windows - 1))
        segments.append(TimelineSegment(source, person, 3661.0005, 3670.1239, "uncertain", 0.25, 1))
    return Timeline(
        *(source, 3670.1239, 640, 360, LABELS, windows, segments),
        sightings=[FaceSighting("person-1", 0.3125, (1.5, 2.0, 30.25, 40.0), "detected")],
        settings={"model": "a/model", "zero_shot": True, "calibrated": False},
        notes=["One frame could not be decoded."],
    )


def blank_window(number, start, end, source=SOURCE):
    """A stretch in which the recording shows nothing."""
    return TimelineWindow(source, ROOM, number, start, end, NO_PICTURE, 0, 0, None, None, {})


def as_milliseconds(segment):
    """Begin and end of a segment as formats of whole milliseconds have them."""
    return round(1000 * segment.start), round(1000 * segment.end)


def window(person, number, probabilities, status="detected", labels=RAER_LABELS, source="lesson.mp4", stride=5.0):
    """The answer with these probabilities for one window of 10 s."""
    labels = labels[: len(probabilities)]
    best = int(np.argmax(probabilities))
    return TimelineWindow(
        *(source, person, number, stride * number, stride * number + 10, status, 16, 16, labels[best]),
        score=float(probabilities[best]),
        probabilities=dict(zip(labels, map(float, probabilities), strict=True)),
    )


def build_timeline(
    persons=2, count=24, labels=RAER_LABELS, source="lesson.mp4", seed=0, stay=0.9, smoothing=3, hysteresis=0.1
):
    """A timeline of persons whose moods change at random; the first is away for a while."""
    rng = np.random.default_rng(seed)
    moods = rng.integers(len(labels), size=persons)
    windows = []
    for number in range(count):
        moods = np.where(rng.random(persons) < stay, moods, rng.integers(len(labels), size=persons))
        rows = rng.dirichlet(np.ones(len(labels)), size=persons) / 2 + np.eye(len(labels))[moods] / 2
        status = ("detected", "bridged", "none")[number // 5 % 3]
        here = [place for place in range(persons) if place or not 10 <= number < 14]
        windows += [window(f"person-{place + 1}", number, rows[place], status, labels, source) for place in here]
        windows.append(window(ROOM, number, rows.mean(axis=0), status, labels, source))
    settings = {
        **{"model": "out/best", "window": 10.0, "face_detector": "haar", "zero_shot": False, "calibrated": True},
        "versions": {"torch": "2.13.0", "clipcaer": "0.1.0"},
    }
    segments = build_segments(windows, smoothing, hysteresis)
    sightings = [
        FaceSighting("person-2", 5.0 * number, (10.0, 10.0, 90.0, 100.0), "detected") for number in range(count)
    ]
    return Timeline(
        *(source, 5.0 * count + 5, 1280, 720, list(labels), windows, segments, sightings), settings=settings
    )
