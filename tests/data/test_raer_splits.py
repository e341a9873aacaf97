from collections import Counter

import pytest

from helpers.listed_clips import RAER_COUNTS, make_clip, make_listed, raer_like_clips
from modeling_clipcaer.data.layouts.raer import Settings
from modeling_clipcaer.data.protocols import cut_by_protocol
from modeling_clipcaer.data.splits import cut_part
from modeling_clipcaer.errors import InputError


@pytest.mark.parametrize("by", ["clip", "person"])
def test_validation_has_its_share_of_every_label(by):
    train, validation = cut_part(raer_like_clips(), 0.1, by, seed=42)
    counts = Counter(clip.label for clip in validation)
    slack = 0 if by == "clip" else 0.2
    for label, total in enumerate(RAER_COUNTS):
        target = round(total * 0.1)
        assert abs(counts[label] - target) <= max(slack * target, 1 if slack else 0), (label, counts)
    assert len(train) + len(validation) == sum(RAER_COUNTS)
    assert not {clip.clip_id for clip in train} & {clip.clip_id for clip in validation}


def test_by_person_nobody_is_in_both_parts_and_by_clip_somebody_is():
    for by, disjoint in (("person", True), ("clip", False)):
        train, validation = cut_part(raer_like_clips(), 0.1, by, seed=42)
        shared = {clip.person_id for clip in train} & {clip.person_id for clip in validation}
        assert (not shared) == disjoint


@pytest.mark.parametrize("by", ["clip", "person"])
def test_the_cut_depends_on_the_seed_and_not_on_the_order_of_the_list(by):
    clips = raer_like_clips()
    chosen = {clip.clip_id for clip in cut_part(clips, 0.1, by, seed=42)[1]}
    assert chosen == {clip.clip_id for clip in cut_part(clips[::-1], 0.1, by, seed=42)[1]}
    assert chosen != {clip.clip_id for clip in cut_part(clips, 0.1, by, seed=43)[1]}


@pytest.mark.parametrize("by", ["clip", "person"])
def test_both_parts_keep_the_order_of_the_list(by):
    clips = raer_like_clips()
    place = {clip.clip_id: index for index, clip in enumerate(clips)}
    for part in cut_part(clips, 0.1, by, seed=1):
        positions = [place[clip.clip_id] for clip in part]
        assert positions == sorted(positions)


def test_a_label_of_two_clips_is_in_both_parts_and_a_label_of_one_stays_in_training():
    clips = [make_clip(number, number, 0) for number in range(30)]
    clips += [make_clip(40, 1, 1), make_clip(41, 2, 1), make_clip(42, 3, 2)]
    for by in ("clip", "person"):
        train, validation = cut_part(clips, 0.1, by, seed=42)
        assert {clip.label for clip in train} == {0, 1, 2}
        assert {clip.label for clip in validation} == {0, 1}


def test_a_person_with_a_label_alone_stays_in_training():
    clips = [make_clip(person, number, 0) for person in range(10) for number in range(5)]
    clips += [make_clip(3, 90 + number, 1) for number in range(8)]
    for seed in range(5):
        train, validation = cut_part(clips, 0.3, "person", seed)
        assert {clip.label for clip in train} == {0, 1} and {clip.label for clip in validation} == {0}


def test_one_person_cannot_be_cut_by_person():
    clips = [make_clip(1, number, number % 5) for number in range(20)]
    with pytest.raises(InputError, match=r"no validation split by person .* 20 clips of 1 persons"):
        cut_part(clips, 0.1, "person", seed=42)


def test_by_person_needs_person_folders():
    clips = [make_listed("images/SelfStudy/Library/anna/001", 0, "train.txt:7")]
    with pytest.raises(InputError, match=r"train.txt:7: .*expected a person folder like P012"):
        cut_by_protocol(clips, Settings(root=".", val_split="person"))
