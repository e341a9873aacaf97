import numpy as np
import pytest
from PIL import Image

from modeling_clipcaer.data.audit import duplicates as audit_duplicates
from modeling_clipcaer.data.audit.duplicates import (
    find_near_duplicates,
    find_overlaps,
    find_repeats_across,
    find_repeats_within,
)
from modeling_clipcaer.data.audit.images import hash_picture, make_key


def flip_bits(hashes, count, generator):
    """`hashes` (num_frames,) with `count` different bits turned."""
    bits = np.unpackbits(hashes.view(np.uint8))
    bits[generator.choice(len(bits), count, replace=False)] ^= 1
    return np.packbits(bits).view(np.uint64)


def pairs(repeats):
    return list(zip(repeats.places.tolist(), repeats.of.tolist(), strict=True))


def test_a_later_clip_repeats_an_earlier_one():
    assert pairs(find_repeats_within(np.array([5, 7, 5, 0, 0, 5], np.uint64))) == [(2, 0), (5, 0)]


def test_a_key_of_nothing_repeats_nothing():
    assert pairs(find_repeats_across(np.array([0, 9, 4, 9], np.uint64), np.array([9, 0, 1, 4], np.uint64))) == [
        (0, 1),
        (3, 2),
    ]
    empty = np.empty(0, np.uint64)
    assert pairs(find_repeats_across(empty, empty)) == pairs(find_repeats_within(empty)) == []


@pytest.mark.parametrize(("start", "stop", "shares"), ((10, 20, False), (9, 20, True), (-5, 1, True), (-5, 0, False)))
def test_stretches_overlap_where_they_share_a_frame(start, stop, shares):
    shift = 100
    first = np.array([[0, 0, 0], [1, shift, 10 + shift]], np.uint64)
    second = np.array([[0, 0, 0], [2, shift, 10 + shift], [1, start + shift, stop + shift]], np.uint64)
    assert pairs(find_overlaps(first, second)) == ([(2, 1)] if shares else [])


def test_near_duplicates_are_those_within_the_distance_whatever_the_block(monkeypatch):
    generator = np.random.default_rng(0)
    first = generator.integers(1, 2**63, (50, 3), dtype=np.uint64)
    second = generator.integers(1, 2**63, (20, 3), dtype=np.uint64)
    for place, (of, bits) in {3: (49, 0), 7: (11, 8), 19: (0, 9)}.items():
        second[place] = flip_bits(first[of], bits, generator)
    first[30] = flip_bits(first[11], 5, generator)  # two candidates for clip 7, whose own is the nearest or this one
    nearest = min((11, 30), key=lambda of: int(np.bitwise_count(first[of] ^ second[7]).sum()))
    expected = [(3, 49), (7, nearest)]
    assert pairs(find_near_duplicates(first, second, 8)) == expected
    monkeypatch.setattr(audit_duplicates, "BLOCK", (3, 7))
    assert pairs(find_near_duplicates(first, second, 8)) == expected
    assert [place for place, _ in pairs(find_near_duplicates(first, second, 9))] == [3, 7, 19]


def test_clips_without_a_picture_are_no_near_duplicates():
    nothing = np.zeros((2, 3), np.uint64)
    assert pairs(find_near_duplicates(nothing, nothing, 192)) == []
    assert pairs(find_near_duplicates(np.empty((0, 3), np.uint64), np.ones((1, 3), np.uint64), 192)) == []


def test_a_hash_is_of_what_is_brighter_than_its_right_neighbour():
    slope = np.broadcast_to(np.linspace(0, 255, 90, dtype=np.float32), (3, 80, 90))
    assert hash_picture(slope) == 2**64 - 1
    assert hash_picture(slope[:, :, ::-1]) == 0
    rows = np.concatenate([slope[:, :40], slope[:, :40, ::-1]], axis=1)
    assert hash_picture(rows) == 2**32 - 1


def test_a_picture_of_one_colour_has_no_hash_and_brightness_does_not_count():
    noise = np.random.default_rng(0).integers(0, 4, (3, 80, 90), dtype=np.uint8)
    assert hash_picture(noise) == 0
    picture = np.asarray(
        Image.fromarray(np.random.default_rng(1).integers(0, 200, (8, 9), dtype=np.uint8)).resize((90, 80))
    )
    picture = np.broadcast_to(picture, (3, 80, 90))
    assert hash_picture(picture) == hash_picture(picture + np.uint8(50)) != 0


def test_keys_tell_parts_apart():
    assert make_key("ab", "c") != make_key("a", "bc") and make_key("a", 1) == make_key("a", 1) < 2**64
