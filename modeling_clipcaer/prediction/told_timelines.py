"""What a recording was turned into, in a few lines of text: a strip of letters for each person, and its shares."""

from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

from modeling_clipcaer.common.progress import show_clock
from modeling_clipcaer.exports.look import label_colours, text_colour
from modeling_clipcaer.names import printable
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline, TimelineSegment


CELLS = 32  # of a strip
MOST_PERSONS = 6
MOST_SHARES = 4
SPARE = "0123456789+-*/=%&$#@"
NOBODY = "·"


def draw_timeline(timeline: Timeline) -> list[Text]:
    """Of each person, or of the room where nobody is followed, the label of most of each stretch of time by its
    letter, and the largest shares of the person's time."""
    persons = timeline.persons or [ROOM]
    shown = persons[:MOST_PERSONS]
    segments = {person: [part for part in timeline.segments if part.person == person] for person in shown}
    found = {part.label for parts in segments.values() for part in parts}
    labels = [label for label in (*timeline.labels, UNCERTAIN) if label in found]
    if not labels:
        return []
    letters, width = choose_letters(labels), max(map(len, shown))
    colours = label_colours(timeline.labels, timeline.settings.get("label_colours"))
    styles = {label: f"{text_colour(colour)} on {colour}" for label, colour in colours.items()}
    end = show_clock(timeline.duration)
    lines = [Text(f"  {'':{width}}  0:00{end:>{CELLS - 4}}")]
    strips = {person: cut_strip(parts, timeline.duration) for person, parts in segments.items()}
    for person, parts in segments.items():
        line = Text(f"  {person:{width}}  ")
        for label in strips[person]:
            line.append(letters[label] if label else NOBODY, styles.get(label or "", ""))
        shares = [
            f"{letters[label]} {100 * share:2.0f} %"
            for label, share in share_time(parts, timeline.duration)[:MOST_SHARES]
        ]
        lines.append(line.append("  " + "  ".join(shares)))
    if len(persons) > len(shown):
        lines.append(Text(f"  and {len(persons) - len(shown)} more persons"))
    legend = Text("  ")
    for label in labels:
        legend.append(letters[label], styles.get(label, "")).append(f" {printable(label)}  ")
    if any(None in strip for strip in strips.values()):
        legend.append(f"{NOBODY} not followed")
    legend.rstrip()
    return [*lines, legend]


def choose_letters(labels: Sequence[str]) -> dict[str, str]:
    """A letter for each label: the first of its own that no other has, else a digit; "?" for uncertain."""
    letters = {UNCERTAIN: "?"}
    for label in labels:
        own = [letter.upper() for letter in label if letter.isascii() and letter.isalpha()]
        free = (letter for letter in (*own, *SPARE) if letter not in letters.values())
        letters.setdefault(label, next(free, NOBODY))
    return letters


def cut_strip(segments: Sequence[TimelineSegment], duration: float) -> list[str | None]:
    """The label of most of each of `CELLS` equal stretches of a recording; `None` where the person is not followed."""
    ends = [duration * cell / CELLS for cell in range(CELLS + 1)]
    found = [sum_seconds(segments, start, end) for start, end in pairwise(ends)]
    return [max(seconds, key=seconds.__getitem__) if seconds else None for seconds in found]


def share_time(segments: Sequence[TimelineSegment], duration: float) -> list[tuple[str, float]]:
    """Each label's share of the time that a person is followed, of the largest ones, in their order."""
    seconds = sum_seconds(segments, 0.0, duration)
    shares = {label: time / sum(seconds.values()) for label, time in seconds.items()}
    return sorted(shares.items(), key=lambda entry: -entry[1])[:MOST_SHARES]


def sum_seconds(segments: Sequence[TimelineSegment], start: float, end: float) -> dict[str, float]:
    """Seconds of each label between `start` and `end`, if there are any."""
    seconds: dict[str, float] = {}
    for part in segments:
        shared = min(part.end, end) - max(part.start, start)
        if shared > 0:
            seconds[part.label] = seconds.get(part.label, 0.0) + shared
    return seconds
