"""RAER's annotation lists: clips in every spelling of their path, labels, persons. Standard library only."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.raer_labels import RAER_LABELS


@dataclass(frozen=True)
class AnnotatedClip:
    """One clip of an annotation list.

    Args:
        clip_id: the clip's folder relative to the RAER folder, e.g. `images/SelfStudy/Library/P012/003`.
        label: 0-based number of the label (the files are 1-based).
        listed_frames: the list's own frame count; the folder wins where they differ.
        place: `file:line` of the clip, for messages.
        num_lines: how often the list repeats the clip with this label.
    """

    clip_id: str
    label: int
    listed_frames: int
    place: str
    num_lines: int = 1

    @property
    def person_id(self) -> str:
        return person_of(self.clip_id)


def clip_key(spelling: str) -> str | None:
    """The one key of a clip folder however it is spelled: the path from its last `images` part on.

    Relative to RAER's parent, absolute, with `RAER/RAER` doubled, with another machine's mount in front and with
    back-slashes all give the same key; `None` when no `images/...` part is there.
    """
    parts = posixpath.normpath(spelling.strip().replace("\\", "/")).split("/")
    starts = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    return "/".join(parts[starts[-1] :]) if starts else None


def person_of(clip_id: str) -> str:
    """The person of a clip: `(session, place, class folder, PNNN)` of its path, e.g. `Class/Classroom/Class003/P007`.

    PNNN alone is no person: numbering starts again in every class and place.
    """
    return posixpath.dirname(clip_id).removeprefix("images/")


def has_person_folder(clip_id: str) -> bool:
    """Whether the folder above the clip is named like RAER's persons (`P012`)."""
    return re.fullmatch(r"P\d+", posixpath.basename(posixpath.dirname(clip_id))) is not None


def read_text(path: Path) -> str:
    """The text of a source file; a missing or non-UTF-8 file is an `InputError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x}") from None
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, found: {error.strerror}") from None


def read_annotation(path: Path, labels: Sequence[str] = RAER_LABELS) -> list[AnnotatedClip]:
    """Clips of a list of `<clip dir> <num_frames> <label>` lines, in the list's order; `labels` names 1, 2, ...

    A clip listed twice with one label counts once, since the repetition would only weight the clip; the
    dropped lines stay countable as `num_lines`. With two labels nobody can say which is true: an error.
    """
    clips: dict[str, AnnotatedClip] = {}
    # Keep: str.splitlines would also break lines at form feeds and other characters a file name may hold.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        clip = parse_line(line, f"{path}:{number}", labels)
        earlier = clips.setdefault(clip.clip_id, clip)
        if earlier.label != clip.label:
            raise InputError(
                f"{clip.place}: label {clip.label + 1} for clip '{clip.clip_id}', which has label {earlier.label + 1} "
                f"at {earlier.place}; expected one label per clip"
            )
        if earlier is not clip:
            clips[clip.clip_id] = replace(earlier, num_lines=earlier.num_lines + 1)
    if not clips:
        raise InputError(f"{path}: expected lines '<clip dir> <num_frames> <label>', found none")
    return list(clips.values())


def parse_line(line: str, place: str, labels: Sequence[str] = RAER_LABELS) -> AnnotatedClip:
    """One line, read from the right, so that paths may hold spaces."""
    fields = line.split()
    if len(fields) < 3 or not (fields[-1].isdecimal() and fields[-2].isdecimal()):
        raise InputError(f"{place}: expected '<clip dir> <num_frames> <label>', found '{line.strip()}'")
    spelling, listed_frames, label = line.strip().rsplit(maxsplit=2)
    if not 1 <= int(label) <= len(labels):
        names = ", ".join(f"{number} {name}" for number, name in enumerate(labels, start=1))
        raise InputError(f"{place}: unknown label {label}, expected one of: {names}")
    key = clip_key(spelling)
    if key is None or key.count("/") < 2:
        raise InputError(f"{place}: clip dir '{spelling}', expected a path with images/<place>/<person>/<clip> in it")
    return AnnotatedClip(key, int(label) - 1, int(listed_frames), place)


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
