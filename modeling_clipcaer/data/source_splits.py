"""What the clips of a source are labelled with, who is seen in them, and which of them train, validate and test."""

import argparse
import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np

from modeling_clipcaer.data.clip_keys import Layout
from modeling_clipcaer.data.source_rows import SourceClip
from modeling_clipcaer.data.splits import choose_rows, draw_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import describe_merged, find_label_fault, identity_key, merge_names


SPLITS = ("train", "validation", "test")
VAL_SHARE = 0.1
SEED = 42


def find_split(name: str) -> str | None:
    """The split that `name` means, however it is spelled."""
    return next((split for split in SPLITS if split == identity_key(name)), None)


def check_labels(clips: Sequence[SourceClip], labels: Sequence[str] | None) -> list[str]:
    """The names of the labels: those given, which must be all that the clips have, or those of the clips."""
    if not clips:
        raise InputError("expected clips, found none")
    first = {clip.label: clip.place for clip in reversed(clips)}
    names = sorted(first) if labels is None else list(labels)
    unknown = next((clip.label for clip in clips if clip.label not in names), None)
    if unknown is not None:
        meant = next((name for name in names if identity_key(name) == identity_key(unknown)), None)
        hint = "" if meant is None else f" ({unknown!a} is {meant!a} in another spelling)"
        raise InputError(f"{first[unknown]}: unknown label '{unknown}', expected one of: {', '.join(names)}{hint}")
    counts = Counter(clip.label for clip in clips)
    if len(names) < 2 or len(set(map(identity_key, names))) < len(names):
        merged = describe_merged(list(counts.elements()), merge_names(counts.elements()), "label")
        raise InputError(
            f"the labels are {', '.join(names)}: expected at least two, different beyond their capitals, accents and "
            f"spaces{f' ({merged})' if merged else ''}"
        )
    if fault := find_label_fault(names):
        raise InputError(fault)
    return names


def settle_persons(clips: Sequence[SourceClip], layout: Layout) -> tuple[list[SourceClip], dict[str, str], str | None]:
    """Every clip once, with its person in one spelling; the person of each clip by its id; and which persons were
    spelled in several ways, in a line."""
    persons = [find_person(clip, layout) for clip in clips]
    spelling = merge_names(persons)
    # Keep: before clips are compared. A clip's id holds the person that a table names.
    clips = [replace(clip, person=clip.person and spelling[clip.person]) for clip in clips]
    kept = drop_repeats(clips)
    by_clip = {clip.clip_id: spelling[person] for clip, person in zip(clips, persons, strict=True)}
    return kept, by_clip, describe_merged(persons, spelling, "person")


def drop_repeats(clips: Sequence[SourceClip]) -> list[SourceClip]:
    """Every clip once, with the number of its lines; listed as two different things, a clip is an error."""
    kept: dict[str, SourceClip] = {}
    for clip in clips:
        earlier = kept.setdefault(clip.clip_id, clip)
        for field in ("label", "split", "face", "body"):
            if getattr(earlier, field) != getattr(clip, field):
                raise InputError(
                    f"{clip.place}: clip '{clip.clip_id}' has {field} '{getattr(clip, field)}', at {earlier.place} it "
                    f"has '{getattr(earlier, field)}'; expected one"
                )
    lines = Counter(clip.clip_id for clip in clips)
    return [replace(clip, num_lines=lines[clip.clip_id]) for clip in kept.values()]


def shorten_names(clips: Sequence[SourceClip]) -> list[SourceClip]:
    """The clips, those with an absolute path for a name called by the end of it that no other clip has.

    Keep: names become ids, and a dataset that is handed on must not tell this machine's folders, user names included.
    """
    names = {clip.name for clip in clips}
    outside = {name for name in names if PurePath(name).is_absolute()}
    taken = names - outside
    ends = Counter(end for name in outside for end in _list_ends(name))
    short = {}
    for name in outside:
        free = (end for end in _list_ends(name) if ends[end] == 1 and end not in taken)
        short[name] = next(free, None) or hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return [replace(clip, name=short[clip.name], is_outside=True) if clip.name in short else clip for clip in clips]


def _list_ends(path: str) -> list[str]:
    """What a path ends with, from its last part on, without the root."""
    parts = PurePath(path).parts[1:]
    return ["/".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]


def find_person(clip: SourceClip, layout: Layout) -> str:
    """Who is seen in a clip: as the source says, by the pattern, or one person for each file or folder."""
    if clip.person is not None or layout.person_pattern is None:
        return clip.person or clip.name
    searched = clip.path if clip.is_outside else clip.name
    layout.check(searched, clip.place)
    return layout.find_person(searched)


def describe_persons(clips: Sequence[SourceClip], pattern: str | None) -> str:
    """Where the persons are from, in words."""
    if all(clip.person is not None for clip in clips):
        return "the table's"
    if pattern is not None:
        return f"by the pattern {pattern}"
    return f"not known, each {'folder' if clips[0].is_folder else 'video'} counts as one"


def cut_splits(
    clips: Sequence[SourceClip],
    persons: Mapping[str, str],
    labels: Sequence[str],
    args: argparse.Namespace,
    lists: str,
) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
    """Clips of every split, as listed or cut from training so that nobody is in two, and the record of that."""
    split_of = {clip.clip_id: clip.split for clip in clips}
    seed = SEED if args.seed is None else args.seed
    listed, shares = set(split_of.values()), {}
    for split, flag, given in (("test", "test-share", args.test_share), ("validation", "val-share", args.val_share)):
        if split in listed and given is not None:
            raise InputError(f"--{flag} has no effect, the source lists its {split} clips; expected one of the two")
        if split in listed:
            continue
        if split == "test" and given is None:
            raise InputError("the source lists no test clips; --test-share 0.2 cuts a fifth of training, by person")
        shares[flag.replace("-", "_")] = share = VAL_SHARE if given is None else given
        training = [clip for clip in clips if split_of[clip.clip_id] == "train"]
        chosen = choose_persons(training, persons, labels, share, seed)
        split_of |= {clip.clip_id: split for clip in training if persons[clip.clip_id] in chosen}
    splits = {split: [clip for clip in clips if split_of[clip.clip_id] == split] for split in SPLITS}
    if not splits["train"]:
        raise InputError("the source lists no training clips")
    if not shares and args.seed is not None:
        raise InputError("--seed has no effect, the source lists the clips of every split")
    if "test_share" in shares:
        protocol, name = "person", f"person, test share {shares['test_share']:g}, seed {seed}"
    else:
        protocol, name = lists, f"{lists}, validation {f'by person, seed {seed}' if shares else 'list'}"
    cut = {**shares, "seed": seed} if shares else {}
    return splits, {"protocol": protocol, "name": name, **cut, "person_pattern": args.person_pattern}


def choose_persons(
    clips: Sequence[SourceClip], persons: Mapping[str, str], labels: Sequence[str], share: float, seed: int
) -> set[str]:
    """Persons with about `share` of the clips of every label, by the rule of RAER's own cut."""
    names = sorted({persons[clip.clip_id] for clip in clips})
    if clips and len(names) == len(clips):
        # Keep: moving persons one by one takes minutes where each of 100,000 clips has one of its own.
        chosen = {persons[clip_id] for clip_id in draw_clips(clips, share, seed)}
    else:
        random.Random(str(seed)).shuffle(names)
        places = {name: place for place, name in enumerate(names)}
        counts = np.zeros((len(names), len(labels)), dtype=int)
        for clip in clips:
            counts[places[persons[clip.clip_id]], labels.index(clip.label)] += 1
        chosen = {names[place] for place in np.flatnonzero(choose_rows(counts, share))} if clips else set()
    if not chosen:
        raise InputError(
            f"no split by person that leaves training every label can be cut from {len(clips)} clips of {len(names)} "
            "persons; give lists of each split"
        )
    return chosen
