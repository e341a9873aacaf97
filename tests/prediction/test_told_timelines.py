"""What `predict` shows of a recording at its end."""

import re

from modeling_clipcaer.prediction.told_timelines import choose_letters, draw_timeline
from modeling_clipcaer.recordings.timeline import Timeline, TimelineSegment, TimelineWindow


LABELS = ["Enjoyment", "Fatigue", "Focus"]


def make_timeline(*segments, duration=32.0):
    """A timeline of segments that are told as person, start, end, label."""
    persons = dict.fromkeys(person for person, *_ in segments)
    windows = [TimelineWindow("a.mp4", person, 0, 0.0, 1.0, "detected", 1, 1, "Focus", 1.0, {}) for person in persons]
    parts = [TimelineSegment("a.mp4", person, start, end, label, 0.5, 1) for person, start, end, label in segments]
    return Timeline("a.mp4", duration, 64, 48, LABELS, windows, parts)


def test_each_person_has_a_strip_of_letters_and_shares_of_the_time_that_it_is_followed():
    timeline = make_timeline(
        *(("person-1", 0, 16, "Fatigue"), ("person-1", 16, 24, "uncertain"), ("person-1", 24, 32, "Focus")),
        *(("person-2", 8.4, 24, "Focus"), ("room", 0, 32, "Enjoyment")),
    )
    assert [line.plain for line in draw_timeline(timeline)] == [
        "            0:00                        0:32",
        f"  person-1  {'F' * 16}{'?' * 8}{'O' * 8}  F 50 %  ? 25 %  O 25 %",
        f"  person-2  {'·' * 8}{'O' * 16}{'·' * 8}  O 100 %",
        "  F Fatigue  O Focus  ? uncertain  · not followed",
    ]


def test_the_room_stands_where_nobody_is_followed_and_of_many_persons_there_are_six():
    (_, strip, legend) = draw_timeline(make_timeline(("room", 0, 32, "Focus")))
    assert strip.plain == f"  room  {'F' * 32}  F 100 %" and legend.plain.startswith("  F Focus")
    many = draw_timeline(make_timeline(*((f"person-{number}", 0, 32, "Focus") for number in range(1, 13))))
    assert len(many) == 9 and many[-2].plain == "  and 6 more persons"
    assert draw_timeline(make_timeline()) == []


def test_a_letter_has_the_colour_of_its_label_and_is_its_own():
    line = draw_timeline(make_timeline(("person-1", 0, 32, "Fatigue")))[1]
    assert len({span.style for span in line.spans}) == 1 and re.fullmatch(
        "#(000000|FFFFFF) on #[0-9A-F]{6}", line.spans[0].style
    )
    assert choose_letters(["Boredom", "Boredom low", "愛", "b"]) == {
        **{"uncertain": "?", "Boredom": "B", "Boredom low": "O"},
        **{"愛": "0", "b": "1"},
    }
