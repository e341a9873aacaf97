"""What formats share: colours of labels, times, shares, texts, what a reader must know of the scores."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modeling_clipcaer.common.colour_sight import channels
from modeling_clipcaer.common.palette import colour_labels
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline, TimelineSegment


UNCERTAIN_COLOUR = "#8A8A8A"
# Characters that no XML 1.0 document can hold, or gives back as others, and marks that turn the direction of a text.
NOT_XML = re.compile("[^\t\n\u0020-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label_colours(labels: Sequence[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """A colour (`#RRGGBB`) for each label, see [`colour_labels`], and grey for "uncertain"."""
    return colour_labels(labels, chosen) | {UNCERTAIN: UNCERTAIN_COLOUR}


def luminance(colour: str) -> float:
    """Relative luminance as the WCAG defines it, 0 of black to 1 of white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_colour(background: str) -> str:
    """Black or white, whichever has the higher contrast on `background`: at least 4.58 on any colour."""
    light = luminance(background) + 0.05
    return "#000000" if light / 0.05 > 1.05 / light else "#FFFFFF"


def show_person(person: str) -> str:
    """`Person 1`, or `Everybody` of the room."""
    return "Everybody" if person == ROOM else person.replace("person-", "Person ")


def show_time(seconds: float) -> str:
    """`0:04:05.0`: hours, minutes, seconds and tenths, rounded."""
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def show_length(seconds: float) -> str:
    """How long something lasts, as people say it: `8 s`, `6 min 55 s`, `40 min`, `2 h 5 min`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def show_percent(fraction: float) -> str:
    """`82 %`."""
    return f"{100 * fraction:.0f} %"


def name_caveats(settings: dict[str, Any]) -> list[str]:
    """What a reader must know of every score: "zero-shot", "uncalibrated"."""
    return ["zero-shot"] * bool(settings.get("zero_shot")) + ["uncalibrated"] * (not settings.get("calibrated"))


def describe_marks(settings: dict[str, Any]) -> str:
    """What a reader must know of the scores, in words."""
    kind = "zero-shot: a plain CLIP model that was not trained for this" if settings["zero_shot"] else "trained model"
    return f"{kind}; {'calibrated' if settings['calibrated'] else 'uncalibrated'} scores"


def by_person(timeline: Timeline) -> dict[str, list[TimelineSegment]]:
    """The room's segments, then everybody's, by name in order of appearance."""
    return {
        person: [segment for segment in timeline.segments if segment.person == person]
        for person in (ROOM, *timeline.persons)
    }


def milliseconds(seconds: float) -> int:
    """Nearest whole millisecond: how exact the times of every file are."""
    return round(1000 * seconds)


def xml_text(text: str) -> str:
    """`text` as XML can hold it."""
    return NOT_XML.sub("\ufffd", text)
