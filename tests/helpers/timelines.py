"""A timeline whose names and times no format is spared, as the writers of files take it."""

from modeling_clipcaer.recordings.timeline import (
    NO_PICTURE,
    ROOM,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


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
