"""Clips as RAER's lists have them, without files."""

import random

from modeling_clipcaer.data.layouts.raer import person_of
from modeling_clipcaer.data.source_clips import SourceClip


RAER_COUNTS = (1383, 129, 30, 157, 422)


def make_clip(person, number, label):
    return make_listed(f"images/SelfStudy/Library/P{person:03d}/{number:03d}", label, f"train.txt:{number}")


def make_listed(clip_id, label, place, split="train"):
    return SourceClip(clip_id, clip_id, label, place, split, is_folder=True, person_id=person_of(clip_id))


def raer_like_clips(num_persons=140, seed=0):
    """Clips in RAER's proportions; persons have habits, so that labels cluster in them."""
    rng = random.Random(seed)
    clips = []
    for label, count in enumerate(RAER_COUNTS):
        some = rng.sample(range(num_persons), num_persons // (1 if label == 0 else 3))
        clips += [make_clip(rng.choice(some), len(clips) + number, label) for number in range(count)]
    return clips
