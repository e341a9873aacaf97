"""From a labelled clip to its row: its frames, its boxes, and what had to be repaired."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modeling_clipcaer.data.box_fitting import BOX_COUNTS, place_boxes
from modeling_clipcaer.data.boxes import PackedBoxes, Size
from modeling_clipcaer.data.clip_rows import VideoStretch, open_video
from modeling_clipcaer.data.frame_names import check_frame_names, match_frames
from modeling_clipcaer.data.image_damage import check_undamaged
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError, check_utf8
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, list_frame_names
from modeling_clipcaer.frames import FrameSource, ImageFrames
from modeling_clipcaer.image_files import read_image_size
from modeling_clipcaer.video_frames import VideoFrames


# Times in a list are decimal, those of a video are fractions of its clock.
ROUNDING = 1e-6
# A file may state a length beyond its last frame by the sound's last packets; more than this is missing pictures.
STATED_EXCESS, STATED_EXCESS_SHARE = 1.0, 0.1

# Counts of what was repaired in a row. They are columns because rows are made in several processes; the build sums
# them up and leaves them out of the dataset on disk.
REPAIRS = ("listed_frames", "list_lines", "found_frames", "frames_cut", "beyond_video", "ends_early")
COUNTS = (*REPAIRS, *BOX_COUNTS)


@dataclass(frozen=True)
class Reading:
    """The row of a clip with the counts of its repairs and what a reader must know of its video, or why it cannot be
    read."""

    row: dict[str, Any] | None
    problem: str = ""
    notes: Sequence[str] = ()


def read_clip(clip: SourceClip, settings: BuildSettings) -> Reading:
    """Find the frames of a clip, decode all of them where that is asked for, and place its boxes on them.

    Boxes are fitted to each frame's own size: of every frame the header is read.

    Raises:
        InputError: a box is wholly outside its frame, and that is to be an error.
    """
    sizes: list[Size] = []
    try:
        check_utf8(clip.path)
        columns, names, source = locate_frames(clip)
        for name in names if clip.is_folder else ():
            settings.check_inside(f"{clip.path}/{name}")
        if settings.is_strict:
            check_frame_names(Path(clip.path), names)
        found = len(names)
        if settings.check_frames:
            names = names[: count_readable(source)]
            columns |= {"frame_names": names} if clip.is_folder else {"num_frames": len(names)}
        if clip.face or clip.body or settings.is_strict:
            sizes = read_sizes(source)[: len(names)]
    except InputError as error:
        return Reading(None, str(error))
    entries = {kind: find_entry(clip, kind, names) for kind in ("face", "body")}
    sizes = sizes or [(1, 1)] * len(names)
    row = {
        "clip_id": clip.clip_id,
        "person_id": clip.person_id,
        "label": clip.label,
        **({} if clip.votes is None else {"votes": clip.votes}),
        "listed_frames": found if clip.listed_frames is None else clip.listed_frames,
        "list_lines": clip.num_lines,
        "found_frames": len(names),
        "frames_cut": found - len(names),
        **columns,
        **place_boxes(entries, names, sizes, partial(settings.name_boxes, clip), settings.outside_boxes),
    }
    return Reading(row, notes=source.video.notes if isinstance(source, VideoStretch) else ())


def find_entry(clip: SourceClip, kind: str, names: Sequence[str]) -> Any:
    """The boxes of a clip's frames, unpacked, without those of a video's other clips."""
    entry = getattr(clip, kind)
    if isinstance(entry, PackedBoxes):
        entry = entry.unpack()
    is_stretch = clip.start or clip.end
    return match_frames(entry, names) if isinstance(entry, dict) and is_stretch else entry


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
                check_undamaged(source.images[index], str(source.images[index]))
            readable += 1
    except InputError:
        if not readable:
            raise
    return readable


def read_frame_sizes(images: Sequence[str | Path | bytes]) -> list[Size]:
    """(width, height) of every frame, upright, from the files' headers; nothing is decoded.

    One that cannot be read is taken to be as large as the one before it: it has no pixels to lie wrong on, and the
    audit names it.

    Raises:
        InputError: the first one cannot be read.
    """
    sizes: list[Size] = []
    for image in images:
        try:
            sizes.append(read_image_size(image))
        except InputError:
            if not sizes:
                raise
            sizes.append(sizes[-1])
    return sizes


def read_sizes(source: FrameSource) -> list[Size]:
    """(width, height) of every frame, upright, as boxes mean it: image files each have their own, a video has one."""
    if isinstance(source, ImageFrames):
        return read_frame_sizes(source.images)
    height, width = next(iter(source.read([0]))).shape[1:]
    return [(width, height)] * len(source)
