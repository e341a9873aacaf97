"""Which persons and clips are cut off, beside what can be said of every cut, and splits that a source lists."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.listed_clips import make_clip
from modeling_clipcaer.data.protocols import count_places, cut_listed, describe_persons
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.splits import choose_rows, count_targets, cut_folds, cut_part, draw_clips, draw_persons
from modeling_clipcaer.errors import InputError


def test_targets_are_the_share_at_least_one_and_never_all():
    assert count_targets([100, 10, 4, 2, 1, 0, 3], 0.1) == [10, 1, 1, 1, 0, 0, 1]
    assert count_targets([10, 4, 3, 2, 1], 0.9) == [9, 3, 2, 1, 0]
    assert count_targets([7], 0.5) == [4]  # 3.5, to the even one


def distance(counts, inside, targets):
    """How far the clips of the rows `inside` are from the targets, each by its own."""
    have = counts[inside].sum(axis=0)
    return sum(abs(want - got) / max(want, 1) for want, got in zip(targets, have, strict=True))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_of_every_cut_by_person_one_can_say(share):
    generator = np.random.default_rng(0)
    for _ in range(100):
        counts = generator.integers(0, 6, generator.integers((2, 2), (9, 5))) * generator.integers(0, 2, (1, 1))
        counts = counts + generator.integers(0, 3, counts.shape) * (generator.random(counts.shape) < 0.4)
        inside, totals = choose_rows(counts, share), counts.sum(axis=0)
        targets = [min(n - 1, max(1, round(n * share))) if n > 1 else 0 for n in totals.tolist()]
        rest, part = counts[~inside].sum(axis=0), counts[inside].sum(axis=0)
        # Training keeps every label that there is.
        assert (rest[totals > 0] > 0).all()
        for row in range(len(counts)):
            moved = inside.copy()
            moved[row] ^= True
            left, gained = totals - counts[moved].sum(axis=0), counts[moved].sum(axis=0)
            is_allowed = (left[totals > 0] > 0).all() and (gained[part > 0] > 0).all()
            # No one's move to the other side brings the counts nearer to the targets ...
            assert not is_allowed or distance(counts, moved, targets) >= distance(counts, inside, targets) - 1e-12
            # ... and nobody who could bring a label that is missing there was left behind.
            if is_allowed and not inside[row]:
                assert not ((counts[row] > 0) & (part == 0)).any()


def test_persons_enter_the_rarest_label_first_and_leave_where_that_is_nearer():
    # Labels of 20, 6 and 2 clips, of which 10, 3 and 1 are wanted. The first of the two with the rarest label enters,
    # then the first who brings the counts nearer.
    counts = np.array([[4, 2, 1], [6, 1, 1], [6, 1, 0], [4, 2, 0]])
    assert choose_rows(counts, 0.5).tolist() == [True, False, True, False]


def test_where_everybody_adds_too_much_the_one_who_adds_least_enters():
    # One of two clips is wanted; each person with the label brings ten of another, of which two are.
    counts = np.array([[11, 1], [10, 1], [0, 0]])
    assert choose_rows(counts, 0.1).tolist() == [False, True, False]


def make_clips(*rows):
    """Clips of persons 0, 1, ... with so many clips of each label."""
    return [
        make_clip(person, 100 * label + number, label)
        for person, counts in enumerate(rows)
        for label, count in enumerate(counts)
        for number in range(count)
    ]


def test_clips_of_whole_persons_are_drawn_and_of_persons_with_one_clip_each_the_clips():
    clips = make_clips((3, 1), (3, 1), (3, 1))
    drawn = draw_persons(clips, 0.3, seed=1)
    (person,) = {clip.person_id for clip in clips if clip.clip_id in drawn}
    assert drawn == {clip.clip_id for clip in clips if clip.person_id == person}
    alone = [make_clip(person, person, person % 2) for person in range(20)]
    assert draw_persons(alone, 0.2, seed=1) == draw_clips(alone, 0.2, seed=1)
    assert len(draw_clips(alone, 0.2, seed=1)) == 4 and draw_clips(alone, 0.2, 1) != draw_clips(alone, 0.2, 2)


def test_the_seed_decides_whom_of_equals():
    clips = make_clips(*[(2, 2)] * 10)
    drawn = {frozenset(draw_persons(clips, 0.1, seed)) for seed in range(10)}
    assert len(drawn) > 3 and {len(names) for names in drawn} == {4}


def test_labels_of_one_number_of_clips_take_their_turns_in_the_order_given():
    clips = make_clips((2, 0), (0, 2), (1, 1), (1, 1))
    forth, back = ([draw_persons(clips, 0.5, seed, labels) for seed in range(20)] for labels in ([0, 1], [1, 0]))
    assert forth != back and forth == [draw_persons(clips, 0.5, seed) for seed in range(20)]


def test_folds_are_parts_of_one_size_with_nobody_in_two_and_no_clip_lost():
    clips = make_clips(*[(4, 2)] * 12)
    folds = cut_folds(clips, 4, seed=3)
    assert [len(fold) for fold in folds] == [18] * 4
    persons = [{clip.person_id for clip in fold} for fold in folds]
    assert sum(map(len, persons)) == len(set.union(*persons)) == 12
    assert {clip.clip_id for fold in folds for clip in fold} == {clip.clip_id for clip in clips}


def test_what_cannot_be_cut_is_told_with_what_it_was_to_be():
    with pytest.raises(InputError, match=r"^train\.txt:0: no 3-fold split by person that leaves training every label"):
        cut_folds(make_clips((3, 3)), 3, seed=1)
    with pytest.raises(InputError, match=r"^no validation split by clip .* 0 clips of 0 persons; expected more"):
        cut_part([], 0.5, "clip", seed=1)
    with pytest.raises(InputError, match=r"no test split by clip .* from 1 clips of 1 persons"):
        cut_part(make_clips((1,)), 0.5, "clip", seed=1, part="test split")


# --- splits that a source lists, or not


def listed(train=12, validation=0, test=0, **fields):
    counts = {"train": train, "validation": validation, "test": test}
    number, clips = 0, []
    for split, count in counts.items():
        for _ in range(count):
            clips.append(replace(make_clip(number // 2, number, number % 2), split=split, **fields))
            number += 1
    return clips


def cut(clips, **settings):
    return cut_listed(clips, [0, 1], BuildSettings(**settings), "official")


def test_listed_splits_stay_as_they_are():
    splits, record = cut(listed(6, 4, 2))
    assert {name: len(clips) for name, clips in splits.items()} == {"train": 6, "validation": 4, "test": 2}
    assert all(clip.split == name for name, clips in splits.items() for clip in clips)
    assert record == {
        "protocol": "official",
        "name": "official, validation list",
        "person_pattern": None,
        "persons_from": "each folder counts as one",
        "persons_known": False,
    }


def test_what_is_not_listed_is_cut_from_training_by_person():
    splits, record = cut(listed(40, 0, 4))
    assert {name: len(clips) for name, clips in splits.items()} == {"train": 36, "validation": 4, "test": 4}
    assert record["protocol"] == "official" and record["name"] == "official, validation by person, seed 42"
    assert (record["val_share"], record["seed"]) == (0.1, 42) and "test_share" not in record
    splits, record = cut(listed(40), test_share=0.5, val_share=0.3, seed=3)
    assert {name: len(clips) for name, clips in splits.items()} == {"train": 14, "validation": 6, "test": 20}
    assert record["name"] == "person, test share 0.5, seed 3" and record["protocol"] == "person"
    assert (record["test_share"], record["val_share"], record["seed"]) == (0.5, 0.3, 3)
    persons = [{clip.person_id for clip in clips} for clips in splits.values()]
    assert sum(map(len, persons)) == len(set.union(*persons))
    assert cut(listed(40), test_share=0.5, seed=0)[0]["test"] != splits["test"]


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ((6, 4, 2), {"val_share": 0.2}, "--val-share has no effect, the source lists its validation clips; expected"),
        ((6, 4, 2), {"test_share": 0.2}, "--test-share has no effect, the source lists its test clips; expected one"),
        ((6, 4, 2), {"seed": 0}, "--seed has no effect, the source lists the clips of every split"),
        ((6, 4, 0), {}, "the source lists no test clips; --test-share 0.2 cuts a fifth of training, by person"),
        ((0, 4, 2), {}, "the source lists no training clips"),
        ((1, 0, 4), {}, "no split by person"),
    ],
)
def test_what_a_source_lists_and_what_is_asked_for_must_fit(counts, settings, message):
    with pytest.raises(InputError, match=message):
        cut(listed(*counts), **settings)


def test_where_persons_are_from_is_told_in_words():
    assert describe_persons(listed(2, person="ann"), "x") == "the table's"
    mixed = [*listed(1, person="ann"), *listed(1)]
    assert describe_persons(mixed, r"/(P\d+)/") == r"by the pattern /(P\d+)/"
    assert describe_persons(listed(1, is_folder=False), None) == "each video counts as one"


def test_clips_are_counted_by_place_and_without_one_as_unknown():
    class Settings:
        find_place = staticmethod(lambda clip: {"a": "Lab", "b": "Hall"}.get(clip.name))

    clips = [replace(make_clip(0, 0, 0), name=name) for name in "abaxa"]
    assert list(count_places(clips, Settings()).items()) == [("Hall", 1), ("Lab", 3), ("unknown", 1)]
