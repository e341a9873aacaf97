"""Labelled clips as their source lists them: each once, by one name, with one label and one person.

Standard library only.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import describe_merged, find_label_fault, identity_key, merge_names


SPLITS = ("train", "validation", "test")
# Beside data that are no recordings of people: their `origin` in the build's record, which says what they are.
ORIGIN_NAME = "origin.json"


@dataclass(frozen=True, slots=True)
class SourceClip:
    """One labelled clip, as its source lists it.

    Args:
        path: the video, or the folder of frames, absolute.
        name: the path as the source spells it, relative to its root; of a clip that lies elsewhere the end of it.
        label: the label's name, or its number from 0 where the source numbers its labels.
        place: where the source says so (`file:line`), for messages.
        split: "train", "validation" or "test"; where a source has no such list, "train".
        person: who is seen, where the source says so.
        is_folder: whether the clip is a folder of frames.
        start, end: the stretch of the video, in seconds from its first frame; `None` is its end.
        face, body: its boxes, one for all frames or one for each, as `boxes.Entry`.
        votes: how many raters said each label, by its name; once the labels are settled a list in their order.
        listed_frames: the source's own count of the frames; the files win where they differ.
        num_lines: how often the source lists the clip.
        is_outside: whether the clip lies elsewhere than below the source's root.
        person_id: who is seen in the end, in one spelling; see `settle_persons`.
    """

    path: str
    name: str
    label: str | int
    place: str
    split: str = "train"
    person: str | None = None
    is_folder: bool = False
    start: float = 0.0
    end: float | None = None
    face: Any = None
    body: Any = None
    votes: Any = None
    listed_frames: int | None = None
    num_lines: int = 1
    is_outside: bool = False
    person_id: str = ""

    @property
    def clip_id(self) -> str:
        """The clip's name in the dataset."""
        whole = self.start == 0 and self.end is None
        stretch = "" if whole else f"#{self.start}-{'end' if self.end is None else self.end}"
        return self.name + stretch + (f"#{self.person}" if self.person else "")


@dataclass
class Source:
    """What a layout found.

    Args:
        clips: all of one form, videos or folders of frames.
        labels: names of the labels in their order; by default those of the clips, in alphabetical order.
        files: lists and tables that were read.
        lists: whose splits they are.
        arguments: settings as they turned out, for the build's record.
        findings: what the layout itself has to say there.
        notes: and in what is printed.
    """

    clips: list[SourceClip]
    labels: Sequence[str] | None = None
    files: Sequence[Path] = ()
    lists: str = "official"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def find_split(name: str) -> str | None:
    """The split that `name` means, however it is spelled."""
    return next((split for split in SPLITS if split == identity_key(name)), None)


def check_labels(clips: Sequence[SourceClip], labels: Sequence[str] | None) -> list[str]:
    """The names of the labels: those given, which must be all that the clips have, or those of the clips."""
    if not clips:
        raise InputError("expected clips, found none")
    if labels is not None and isinstance(clips[0].label, int):
        return list(labels)  # numbers are checked where they are read
    first = {str(clip.label): clip.place for clip in reversed(clips)}
    names = sorted(first) if labels is None else list(labels)
    found = [str(clip.label) for clip in clips]
    unknown = next((label for label in found if label not in names), None)
    if unknown is not None:
        meant = next((name for name in names if identity_key(name) == identity_key(unknown)), None)
        hint = "" if meant is None else f" ({unknown!a} is {meant!a} in another spelling)"
        raise InputError(f"{first[unknown]}: unknown label '{unknown}', expected one of: {', '.join(names)}{hint}")
    if len(names) < 2 or len(set(map(identity_key, names))) < len(names):
        merged = describe_merged(found, merge_names(found), "label")
        raise InputError(
            f"the labels are {', '.join(names)}: expected at least two, different beyond their capitals, accents and "
            f"spaces{f' ({merged})' if merged else ''}"
        )
    if fault := find_label_fault(names):
        raise InputError(fault)
    return names


def settle_persons(
    clips: Sequence[SourceClip], find_person: Callable[[SourceClip], str]
) -> tuple[list[SourceClip], str | None]:
    """Every clip once, with its person in one spelling, and which persons were spelled in several ways, in a line."""
    persons = [find_person(clip) for clip in clips]
    spelling = merge_names(persons)
    # Keep: before clips are compared. A clip's id holds the person that a table names.
    settled = [
        replace(clip, person=clip.person and spelling[clip.person], person_id=spelling[person])
        for clip, person in zip(clips, persons, strict=True)
    ]
    return drop_repeats(settled), describe_merged(persons, spelling, "person")


def drop_repeats(clips: Sequence[SourceClip]) -> list[SourceClip]:
    """Every clip once, with the number of its lines; listed as two different things, a clip is an error."""
    kept: dict[str, SourceClip] = {}
    for clip in clips:
        earlier = kept.setdefault(clip.clip_id, clip)
        if earlier is clip:
            continue
        for name in ("label", "split", "face", "body", "votes"):
            if getattr(earlier, name) != getattr(clip, name):
                raise InputError(
                    f"{clip.place}: clip '{clip.clip_id}' has {name} '{getattr(clip, name)}', at {earlier.place} it "
                    f"has '{getattr(earlier, name)}'; expected one"
                )
        kept[clip.clip_id] = replace(earlier, num_lines=earlier.num_lines + clip.num_lines)
    return list(kept.values())


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
