"""How few clips of a label there are, in words."""

from modeling_clipcaer.data.label_counts import find_absent, find_few, tell_gaps, weigh_clip


COUNTS = {"calm": 345, "glad": 20, "lost": 7, "tired": 0}


def test_labels_that_are_absent_or_rare_are_named_with_what_a_clip_weighs():
    assert find_absent(COUNTS) == ["tired"] and find_few(COUNTS) == {"lost": 7}
    # One of 7 clips moves a recall by 100/7 points, and the mean of three recalls by a third of that.
    assert round(weigh_clip(COUNTS), 6) == round(100 / 7 / 3, 6)
    assert tell_gaps("test", COUNTS) == [
        "test has no clip of: tired",
        "test has few clips of: lost 7; one clip moves UAR by up to 4.8 points",
    ]
    assert tell_gaps("train", COUNTS)[1] == "train has few clips of: lost 7"


def test_a_split_with_clips_enough_is_passed_over():
    assert tell_gaps("test", {"calm": 20, "glad": 2000}) == []
