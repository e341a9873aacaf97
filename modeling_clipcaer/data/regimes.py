"""Training splits that are harder than they are listed: few clips of a label, wrong labels, a label without a clip.

They ask what a method, or its texts, are worth where labels teach little. The test split stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from modeling_clipcaer.data.settings import SEED, BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


Clips = list[SourceClip]


def harden(splits: Mapping[str, Clips], labels: Sequence[str], settings: BuildSettings) -> dict[str, Clips]:
    """The splits with the training split that `settings` ask for.

    Args:
        splits: clips with the numbers of their labels.
        labels: names of the labels, in the order of their numbers.
        settings: `unseen_label` has no clip in training and validation; of each other label `clips_per_label` are
            drawn for training; the share `label_noise` of these, in whole clips, is given another of their labels.

    Raises:
        InputError: there is no such label, or it has too few clips.
    """
    rng = np.random.default_rng(SEED if settings.seed is None else settings.seed)
    hardened = dict(splits)
    if settings.unseen_label is not None:
        if settings.unseen_label not in labels:
            raise InputError(f"--unseen-label '{settings.unseen_label}': expected one of {', '.join(labels)}")
        unseen = list(labels).index(settings.unseen_label)
        for split in ("train", "validation"):
            hardened[split] = [clip for clip in splits[split] if clip.label != unseen]
    if settings.clips_per_label is not None:
        hardened["train"] = _draw_few(hardened["train"], labels, settings.clips_per_label, rng)
    if settings.label_noise:
        hardened["train"] = _mislabel(hardened["train"], settings.label_noise, rng)
    return hardened


def describe_regime(settings: BuildSettings) -> str:
    """What was made harder, for the name of the split protocol; empty where nothing was."""
    words = {
        f"no {settings.unseen_label} in training": settings.unseen_label is not None,
        f"{settings.clips_per_label} training clips a label": settings.clips_per_label is not None,
        f"{100 * settings.label_noise:g} % of training labels wrong": settings.label_noise > 0,
    }
    return "".join(f", {text}" for text, holds in words.items() if holds)


def _draw_few(clips: Clips, labels: Sequence[str], count: int, rng: np.random.Generator) -> Clips:
    chosen: set[int] = set()
    for number in sorted({clip.label for clip in clips}):
        places = [place for place, clip in enumerate(clips) if clip.label == number]
        if len(places) < count:
            raise InputError(f"--clips-per-label {count}: training has {len(places)} clips of {labels[int(number)]}")
        chosen |= set(rng.choice(places, count, replace=False).tolist())
    return [clips[place] for place in sorted(chosen)]


def _mislabel(clips: Clips, share: float, rng: np.random.Generator) -> Clips:
    numbers = sorted({clip.label for clip in clips})
    wrong = set(rng.choice(len(clips), round(share * len(clips)), replace=False).tolist())
    return [
        replace(clip, label=int(rng.choice([number for number in numbers if number != clip.label])))
        if place in wrong
        else clip
        for place, clip in enumerate(clips)
    ]
