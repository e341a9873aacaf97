"""RAER's annotation lists: clips in every spelling of their path and labels. Standard library only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modeling_clipcaer.data.clip_keys import Layout, clip_key
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_text
from modeling_clipcaer.names import describe_merged, merge_names
from modeling_clipcaer.raer_labels import RAER_LABELS


RAER_LAYOUT = Layout()
LINE = "'<clip dir> <num_frames> <label>'"


@dataclass(frozen=True)
class AnnotatedClip:
    """One clip of an annotation list.

    Args:
        clip_id: the clip's folder relative to the RAER folder, e.g. `images/SelfStudy/Library/P012/003`.
        label: 0-based number of the label, whatever the list's first number is.
        listed_frames: the list's own frame count; the folder wins where they differ.
        place: `file:line` of the clip, for messages.
        num_lines: how often the list repeats the clip with this label.
        layout: how the path names person and place.
        person: who is seen, where that is spelled otherwise than in the path, see `merge_persons`.
    """

    clip_id: str
    label: int
    listed_frames: int
    place: str
    num_lines: int = 1
    layout: Layout = RAER_LAYOUT
    person: str | None = None

    @property
    def person_id(self) -> str:
        return self.person or self.layout.find_person(self.clip_id) or ""

    @property
    def place_name(self) -> str | None:
        """Where the clip was taken, e.g. `Library`; `None` where the path does not tell."""
        return self.layout.find_place(self.clip_id)


def read_annotation(
    path: Path, labels: Sequence[str] = RAER_LABELS, first_label: int = 1, layout: Layout = RAER_LAYOUT
) -> list[AnnotatedClip]:
    """Clips of a list of `<clip dir> <num_frames> <label>` lines, in the list's order.

    A clip listed twice with one label counts once, since the repetition would only weight the clip; the
    dropped lines stay countable as `num_lines`. With two labels nobody can say which is true: an error.

    Args:
        labels: names of the labels `first_label`, `first_label + 1`, ... of the list.
    """
    clips: dict[str, AnnotatedClip] = {}
    # Keep: str.splitlines would also break lines at form feeds and other characters a file name may hold.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        clip = parse_line(line, f"{path}:{number}", labels, first_label, layout)
        earlier = clips.setdefault(clip.clip_id, clip)
        if earlier.label != clip.label:
            raise InputError(
                f"{clip.place}: label {clip.label + first_label} for clip '{clip.clip_id}', which has label "
                f"{earlier.label + first_label} at {earlier.place}; expected one label per clip"
            )
        if earlier is not clip:
            clips[clip.clip_id] = replace(earlier, num_lines=earlier.num_lines + 1)
    if not clips:
        raise InputError(f"{path}: expected lines {LINE}, found none")
    return list(clips.values())


def parse_line(
    line: str,
    place: str,
    labels: Sequence[str] = RAER_LABELS,
    first_label: int = 1,
    layout: Layout = RAER_LAYOUT,
) -> AnnotatedClip:
    """One line, read from the right, so that paths may hold spaces."""
    fields = line.split()
    if len(fields) < 3 or not (fields[-1].isdecimal() and fields[-2].isdecimal()):
        raise InputError(f"{place}: expected {LINE}, found '{line.strip()}'")
    spelling, listed_frames, number = line.strip().rsplit(maxsplit=2)
    label = int(number) - first_label
    if not 0 <= label < len(labels):
        raise InputError(
            f"{place}: unknown label {number}, expected one of: {explain_labels(label, labels, first_label)}"
        )
    key = clip_key(spelling)
    if key is None or key.count("/") < 2:
        raise InputError(f"{place}: clip dir '{spelling}', expected a path with images/<place>/<person>/<clip> in it")
    layout.check(key, place)
    return AnnotatedClip(key, label, int(listed_frames), place, layout=layout)


def explain_labels(label: int, labels: Sequence[str], first_label: int) -> str:
    """The numbers that labels may have, and the flag that makes `label`, just outside them, one of them."""
    names = ", ".join(f"{number} {name}" for number, name in enumerate(labels, start=first_label))
    if (first_label, label) not in ((1, -1), (0, len(labels))):
        return names
    return f"{names}; a list whose labels begin with {1 - first_label} needs --first-label {1 - first_label}"


def merge_persons(
    lists: Mapping[str, Sequence[AnnotatedClip]],
) -> tuple[dict[str, list[AnnotatedClip]], str | None]:
    """The lists with each person in one spelling, and which persons had several, in a line."""
    persons = [clip.person_id for clips in lists.values() for clip in clips]
    spelling = merge_names(persons)
    merged = {
        split: [replace(clip, person=spelling[clip.person_id]) for clip in clips] for split, clips in lists.items()
    }
    return merged, describe_merged(persons, spelling, "person")


def check_disjoint(lists: Mapping[str, Sequence[AnnotatedClip]]) -> None:
    """Refuse a clip that is in two of the named lists: the official split is by clip, so that is leakage."""
    seen: dict[str, tuple[str, AnnotatedClip]] = {}
    shared = []
    for split, clips in lists.items():
        for clip in clips:
            earlier_split, earlier = seen.setdefault(clip.clip_id, (split, clip))
            if earlier_split != split:
                shared.append(
                    f"clip '{clip.clip_id}' is in {earlier_split} ({earlier.place}) and in {split} ({clip.place})"
                )
    if shared:
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(f"{shared[0]}{more}; expected every clip in one split, remove it from one of the lists")
