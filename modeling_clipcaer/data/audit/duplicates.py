"""Clips that are in a dataset twice: by their number, their files, their stretch of a video, or their pictures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


# Rows of either side that are compared at once: their distances stay within a processor's cache.
BLOCK = (64, 4096)


@dataclass(frozen=True)
class Repeats:
    """Clips that are repeats, and for each the place of a clip that it repeats."""

    places: np.ndarray
    of: np.ndarray


def find_repeats_within(keys: np.ndarray) -> Repeats:
    """Clips whose key (num_clips,) an earlier clip of the same split has. A key of 0 is none."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    repeated = np.flatnonzero((first[group] != np.arange(len(keys))) & (keys != 0))
    return Repeats(repeated, first[group[repeated]])


def find_repeats_across(first: np.ndarray, second: np.ndarray) -> Repeats:
    """Clips of the second split whose key a clip of the first has, and the place of that one in the first."""
    places = np.flatnonzero(np.isin(second, first) & (second != 0))
    order = np.argsort(first, kind="stable")
    return Repeats(places, order[np.searchsorted(first, second[places], sorter=order)])


def find_overlaps(first: np.ndarray, second: np.ndarray) -> Repeats:
    """Clips of the second split that share frames of a video with a clip of the first.

    Args:
        first, second: stretches (num_clips, 3): key of the video (0: no video), first frame, end.
    """
    by_video = defaultdict(list)
    for place in np.flatnonzero(first[:, 0]).tolist():
        video, start, stop = first[place].tolist()
        by_video[video].append((start, stop, place))
    found = []
    for place in np.flatnonzero(np.isin(second[:, 0], list(by_video))).tolist():
        video, start, stop = second[place].tolist()
        other = next((other for begin, end, other in by_video[video] if begin < stop and start < end), None)
        if other is not None:
            found.append((place, other))
    return Repeats(*np.array(found, dtype=np.int64).reshape(-1, 2).T)


def find_near_duplicates(first: np.ndarray, second: np.ndarray, max_distance: int) -> Repeats:
    """Clips of the second split that look like one of the first, and the place of the one most like it.

    Every pair is compared, block by block: the time grows with the product of the splits and depends on nothing else,
    the memory does not grow.

    Args:
        first, second: picture hashes (num_clips, num_frames) of uint64; a clip whose hashes are all 0 is left out.
        max_distance: bits in which the hashes of a pair may differ, all frames together.
    """
    known, asked = (np.flatnonzero(hashes.any(axis=1)) for hashes in (first, second))
    places, of = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for block in _cut(asked, BLOCK[0]):
        best, nearest = np.full(len(block), max_distance + 1), np.zeros(len(block), np.int64)
        for others in _cut(known, BLOCK[1]):
            distances = _count_differing_bits(second[block], first[others])
            closest = distances.argmin(axis=1)
            distance = distances[np.arange(len(block)), closest]
            nearest = np.where(distance < best, others[closest], nearest)
            best = np.minimum(best, distance)
        places.append(block[best <= max_distance])
        of.append(nearest[best <= max_distance])
    return Repeats(np.concatenate(places), np.concatenate(of))


def _cut(values: np.ndarray, size: int) -> Sequence[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _count_differing_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits (num_first, num_second) in which rows of hashes differ; of uint8, which holds those of three frames."""
    return sum(np.bitwise_count(first[:, None, frame] ^ second[None, :, frame]) for frame in range(first.shape[1]))
