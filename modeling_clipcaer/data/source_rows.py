"""From a labelled clip of another data set to its row: its frames, its boxes, and what had to be repaired."""

import posixpath
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Features, List, Value

from modeling_clipcaer.data.boxes import Box, Entry, PackedBoxes, Size, fill_boxes, fill_face_boxes
from modeling_clipcaer.data.clip_keys import normalise
from modeling_clipcaer.data.clip_rows import VideoStretch
from modeling_clipcaer.data.frame_names import match_frames
from modeling_clipcaer.data.image_damage import check_whole
from modeling_clipcaer.data.rows import AUDIT_FEATURES, FEATURES, count_findings, fit_entry, read_frame_sizes
from modeling_clipcaer.errors import InputError, check_utf8
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, list_frame_names
from modeling_clipcaer.frames import FrameSource, ImageFrames
from modeling_clipcaer.video_frames import VideoFrames


# Times in a list are decimal, those of a video are fractions of its clock.
ROUNDING = 1e-6
VIDEO_COLUMNS = {"video": Value("string"), "first_frame": Value("int32"), "num_frames": Value("int32")}
FOLDER_COLUMNS = {"frame_dir": Value("string"), "frame_names": List(Value("string"))}
# Counts of what was repaired, beside those that RAER's rows have: columns while the build reads, then left out.
REPAIRS = {name: Value("int32") for name in ("frames_cut", "beyond_video", "ends_early")}
# A file may state a length beyond its last frame by the sound's last packets; more than this is missing pictures.
STATED_EXCESS, STATED_EXCESS_SHARE = 1.0, 0.1


@dataclass(frozen=True)
class SourceClip:
    """One labelled clip, as its source lists it.

    Args:
        path: the video, or the folder of frames, absolute.
        name: the path as the source spells it, relative to its root; of a clip that lies elsewhere the end of it.
        label: the label's name.
        place: where the source says so (`file:line`), for messages.
        split: "train", "validation" or "test"; where a source has no such list, "train".
        person: who is seen; where the source does not say, to be found in `name`.
        is_folder: whether the clip is a folder of frames.
        start, end: the stretch of the video, in seconds from its first frame; `None` is its end.
        face, body: a box for all frames.
        listed_frames: the source's own count of the frames; the files win where they differ.
        num_lines: how often the source lists the clip.
        is_outside: whether the clip lies elsewhere than below the source's root.
    """

    path: str
    name: str
    label: str
    place: str
    split: str = "train"
    person: str | None = None
    is_folder: bool = False
    start: float = 0.0
    end: float | None = None
    face: Box | None = None
    body: Box | None = None
    listed_frames: int | None = None
    num_lines: int = 1
    is_outside: bool = False

    @property
    def clip_id(self) -> str:
        whole = self.start == 0 and self.end is None
        stretch = "" if whole else f"#{self.start}-{'end' if self.end is None else self.end}"
        return self.name + stretch + (f"#{self.person}" if self.person else "")


@dataclass(frozen=True)
class ReadTask:
    """A clip with the number of its label, its person, what the box files say, and how to read it."""

    clip: SourceClip
    label: int
    person: str
    face: Entry | None
    body: Entry | None
    outside_boxes: str
    check_frames: bool


@dataclass(frozen=True)
class Reading:
    """The row of a clip with the counts of its repairs and what a reader must know of its video, or why it cannot be
    read."""

    row: dict[str, Any] | None
    problem: str = ""
    notes: Sequence[str] = ()


def match_boxes(file: Path, entries: Mapping[str, Entry], paths: Iterable[str]) -> tuple[dict[str, Entry], int]:
    """The entry of every path that has one, and how many keys belong to none.

    A key is a path, or so many of its last parts that it means one clip alone.

    Raises:
        InputError: a key means several clips, two keys mean one clip, or no key means any.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        parts = Path(path).parts
        for start in range(len(parts)):
            owners[normalise(Path(*parts[start:]).as_posix())].append(path)
    found: dict[str, tuple[str, Entry]] = {}
    for key, entry in entries.items():
        meant = owners.get(posixpath.normpath(key), [])
        if len(meant) > 1:
            raise InputError(
                f"{file}: '{key}' means {len(meant)} clips, {meant[0]} and others; expected more of the path"
            )
        if meant and found.setdefault(meant[0], (key, entry))[0] != key:
            raise InputError(f"{file}: '{found[meant[0]][0]}' and '{key}' are one clip; expected one entry")
    if not found:
        raise InputError(f"{file}: no key is a clip of the source; the first is '{next(iter(entries), '')}'")
    return {path: entry for path, (_, entry) in found.items()}, len(entries) - len(found)


def make_features(labels: Sequence[str], is_folder: bool) -> Features:
    """Columns of a dataset of videos, or of folders of frames."""
    shared = {name: kind for name, kind in FEATURES.items() if name not in FOLDER_COLUMNS}
    columns = FOLDER_COLUMNS if is_folder else VIDEO_COLUMNS
    return Features({**shared, **columns, "label": ClassLabel(names=list(labels))})


def add_counts(features: Features) -> Features:
    """The columns of a dataset while it is built."""
    return Features({**features, **AUDIT_FEATURES, **REPAIRS})


def read_clip(task: ReadTask) -> Reading:
    """Find the frames of a clip, decode all of them where the task asks for it, and place its boxes on them.

    Raises:
        InputError: a box is wholly outside its frame, and that is to be an error.
    """
    clip, sizes = task.clip, []
    try:
        check_utf8(clip.path)
        columns, names, source = locate_frames(clip)
        found = len(names)
        if task.check_frames:
            names = names[: count_readable(source)]
            columns |= {"frame_names": names} if clip.is_folder else {"num_frames": len(names)}
        if task.face or task.body:
            sizes = read_sizes(source)[: len(names)]
    except InputError as error:
        return Reading(None, str(error))
    repairs = {
        "listed_frames": found if clip.listed_frames is None else clip.listed_frames,
        "list_lines": clip.num_lines,
        "found_frames": len(names),
        "frames_cut": found - len(names),
    }
    known = {"clip_id": clip.clip_id, "person_id": task.person, "label": task.label}
    notes = source.video.notes if isinstance(source, VideoStretch) else ()
    return Reading({**known, **repairs, **columns, **place_boxes(task, names, sizes)}, notes=notes)


def locate_frames(clip: SourceClip) -> tuple[dict[str, Any], list[str], FrameSource]:
    """The columns that name the frames of a clip, what box files call each of them, and the frames."""
    if clip.is_folder:
        names = list_frame_names(clip.path)
        if not names:
            raise InputError(f"{clip.path}: expected frames ({', '.join(IMAGE_SUFFIXES)}), found none")
        for name in names:
            check_utf8(f"{clip.path}/{name}")
        columns = {"frame_dir": clip.path, "frame_names": names, "beyond_video": 0, "ends_early": 0}
        return columns, names, ImageFrames([Path(clip.path, name) for name in names])
    video = open_video(clip.path)
    times = [time - video.seconds[0] for time in video.seconds]
    first, stop = find_stretch(clip, times)
    shown = times[-1] / max(len(times) - 1, 1)  # how long a frame is shown, at the mean
    columns = {"video": clip.path, "first_frame": first, "num_frames": stop - first}
    columns["beyond_video"] = int(clip.end is not None and clip.end > times[-1] + 2 * shown)
    end = max(times[-1], (video.sound_end or 0.0) - video.seconds[0])
    columns["ends_early"] = int(stop == len(times) and ends_early(video, end + 2 * shown))
    return columns, [str(number) for number in range(first, stop)], VideoStretch(video, first, stop - first)


def ends_early(video: VideoFrames, end: float) -> bool:
    """Whether a file states more than it holds until `end`, in seconds from its first frame: a copy that broke off."""
    stated = 0.0 if video.stated_end is None else video.stated_end - video.seconds[0]
    return video.missing_frames > 0 or stated > end + min(STATED_EXCESS, STATED_EXCESS_SHARE * stated)


@lru_cache(maxsize=4)
def open_video(path: str) -> VideoFrames:
    # Keep: the clips of a lesson are stretches of one long file, whose packets take seconds to go through.
    return VideoFrames(path)


def find_stretch(clip: SourceClip, times: Sequence[float]) -> tuple[int, int]:
    """Places of the first frame at or after `start`, and of the first at or after `end`."""
    first = bisect_left(times, clip.start - ROUNDING)
    stop = len(times) if clip.end is None else bisect_left(times, clip.end - ROUNDING)
    if first >= stop:
        end = "the end" if clip.end is None else f"{clip.end} s"
        raise InputError(
            f"fields `start` and `end` are {clip.start} s and {end}, between which {clip.path} has no frame; expected "
            f"times from 0 to {times[-1]:.3f} s"
        )
    return first, stop


def count_readable(source: FrameSource) -> int:
    """How many frames can be read before the first that cannot.

    Raises:
        InputError: the first one cannot be read.
    """
    readable = 0
    try:
        for index, _ in enumerate(source.read(range(len(source)))):
            if isinstance(source, ImageFrames):
                check_whole(source.images[index], str(source.images[index]))
            readable += 1
    except InputError:
        if not readable:
            raise
    return readable


def read_sizes(source: FrameSource) -> list[Size]:
    """(width, height) of every frame, upright, as boxes mean it: image files each have their own, a video has one."""
    if isinstance(source, ImageFrames):
        return read_frame_sizes(source.images)
    height, width = next(iter(source.read([0]))).shape[1:]
    return [(width, height)] * len(source)


def place_boxes(task: ReadTask, names: Sequence[str], sizes: Sequence[Size]) -> dict[str, Any]:
    """The box columns of a row: clamped to the frames, filled in for frames without one; and their counts."""
    fitted = {}
    for kind, entry in (("face", task.face), ("body", task.body)):
        if isinstance(entry, PackedBoxes):
            sides = iter(entry.numbers)
            entry = dict(zip(entry.names, zip(sides, sides, sides, sides, strict=True), strict=True))
        if isinstance(entry, dict) and (task.clip.start or task.clip.end):
            entry = match_frames(entry, names)  # a video's other boxes are those of its other clips
        place = f"{task.clip.place}: {kind} boxes of '{task.clip.clip_id}'"
        fitted[kind] = fit_entry(entry, names, sizes or [(1, 1)] * len(names), place, task.outside_boxes)
    bodies, body_sources = fill_boxes(fitted["body"].boxes, sizes)
    faces, face_sources = fill_face_boxes(fitted["face"].boxes, bodies, sizes)
    return {
        "face_boxes": [box or [] for box in faces],
        "face_box_sources": face_sources,
        "body_boxes": [] if bodies[0] is None else bodies[:1] if fitted["body"].for_all else bodies,
        **count_findings("face", fitted["face"], face_sources),
        **count_findings("body", fitted["body"], body_sources),
    }
