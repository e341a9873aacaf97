"""How few clips of a label a split has, in words: for builds, for training and for reports."""

from collections.abc import Mapping


# Below it a label's recall has a standard error of ten points and more.
FEW_CLIPS = 20


def find_absent(counts: Mapping[str, int]) -> list[str]:
    """Labels without a clip."""
    return [label for label, count in counts.items() if count == 0]


def find_few(counts: Mapping[str, int]) -> dict[str, int]:
    """Clips of each label that has some, but few."""
    return {label: count for label, count in counts.items() if 0 < count < FEW_CLIPS}


def tell_gaps(split: str, counts: Mapping[str, int]) -> list[str]:
    """What the numbers of clips by label make doubtful: a sentence on the labels that a split has no clip of, and one
    on those of which it has few."""
    return tell_absent(split, counts) + tell_few(split, counts)


def tell_absent(split: str, counts: Mapping[str, int]) -> list[str]:
    """A sentence on the labels that a split has no clip of, if there are any."""
    absent = find_absent(counts)
    return [f"{split} has no clip of: {', '.join(absent)}"] if absent else []


def tell_few(split: str, counts: Mapping[str, int]) -> list[str]:
    """A sentence on the labels of which a split has few clips, if there are any. Of a split that is measured it says
    how far a single clip moves UAR."""
    few = find_few(counts)
    if not few:
        return []
    listed = ", ".join(f"{label} {count}" for label, count in few.items())
    moved = "" if split == "train" else f"; one clip moves UAR by up to {weigh_clip(counts):.1f} points"
    return [f"{split} has few clips of: {listed}{moved}"]


def weigh_clip(counts: Mapping[str, int]) -> float:
    """By how many points a clip of the rarest label moves UAR, the mean recall over the labels that occur."""
    present = [count for count in counts.values() if count]
    return 100 / (min(present) * len(present))
