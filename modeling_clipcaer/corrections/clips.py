"""From corrected segments to clips: cut to the length that the model answers for, with people and their boxes."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_clipcaer.common.files import complete_folder
from modeling_clipcaer.common.progress import track
from modeling_clipcaer.corrections.persons import People
from modeling_clipcaer.corrections.segments import Checked
from modeling_clipcaer.data.boxes import Entry
from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.data.clip_rows import open_video
from modeling_clipcaer.data.rows import ROUNDING, locate_frames
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.faces.boxes import grow_context_box
from modeling_clipcaer.recordings.timeline import ROOM


# Frames of a clip that are written where a dataset has no videos: four for each that a model with 16 takes.
FRAMES_WRITTEN = 64


@dataclass(frozen=True)
class Origin:
    """Where a clip is from, for the record: its file, and what became of the segment that it is a part of."""

    place: str
    change: str
    predicted: str | None


def make_clips(
    segments: Sequence[Checked], people: People, boxes: ClipBoxes, longest: float | None, frames: Path | None
) -> list[tuple[SourceClip, Origin]]:
    """The clips of segments, each with where it is from.

    Args:
        segments: in any order.
        people: who is who.
        boxes: that the prediction was given, of all recordings; may be empty.
        longest: seconds of a clip at most, by default those of the windows that answers were given for.
        frames: the folder for image files of the clips, which become folders of them; `None` leaves them in the video.
    """
    cut = [
        (clip, Origin(segment.place, segment.change, segment.predicted))
        for segment in segments
        for clip in cut_segment(segment, people.find(segment), boxes, longest)
    ]
    if frames is None:
        return cut
    with complete_folder(frames) as partial:
        written = [
            (write_frames(clip, partial, frames), origin) for clip, origin in track(cut, "writing frames", len(cut))
        ]
    return written


def cut_segment(segment: Checked, person_id: str, boxes: ClipBoxes, longest: float | None) -> Iterator[SourceClip]:
    """The equal parts of a segment, none longer than `longest`."""
    video = open_video(segment.recording.video)
    # A recording's times are from its beginning on, a clip's from the first frame on.
    late = video.seconds[0] - video.start
    face, body = find_boxes(segment, boxes)
    length = segment.end - segment.start
    count = max(1, math.ceil(length / (longest or segment.recording.timeline.settings["window"]) - ROUNDING))
    for part in range(count):
        start, end = (segment.start + length * edge / count - late for edge in (part, part + 1))
        yield SourceClip(
            path=segment.recording.video,
            name=segment.recording.name,
            label=segment.label,
            place=segment.place,
            person=segment.person,
            start=round(max(start, 0.0), 3),
            end=round(end, 3),
            face=face,
            body=body,
            person_id=person_id,
        )


def find_boxes(segment: Checked, boxes: ClipBoxes) -> tuple[Entry | None, Entry | None]:
    """Boxes of a person by the frame's number, and of the body: those that the prediction was given, or else where it
    saw the face, and what it grew around that. The room has none."""
    timeline, video = segment.recording.timeline, open_video(segment.recording.video)
    if segment.person == ROOM:
        return None, None
    if boxes.face:
        names = [str(number) for number in range(len(video))]
        faces, bodies = boxes.find_given(timeline.source, names)
        own = faces.get(segment.person) if isinstance(faces, dict) else faces
        body = bodies.get(segment.person) if isinstance(bodies, dict) else bodies
        given = {name: box for name, box in zip(names, own or [], strict=False) if box is not None}
        return given or None, body
    seen = [sighting for sighting in timeline.sightings if sighting.person == segment.person]
    numbers = [max(bisect_right(video.seconds, sight.time + video.start + 1e-6) - 1, 0) for sight in seen]
    found = {str(number): sight.box for number, sight in zip(numbers, seen, strict=True)}
    grown = {name: grow_context_box(box, timeline.height, timeline.width) for name, box in found.items()}
    return found or None, grown or None


def write_frames(clip: SourceClip, working: Path, folder: Path) -> SourceClip:
    """The clip as a folder of image files, of frames evenly from its first to its last, which are written to `working`
    and will lie in `folder`."""
    _, names, source = locate_frames(clip)
    places = np.linspace(0, len(names) - 1, min(len(names), FRAMES_WRITTEN)).round().astype(int).tolist()
    own = re.sub(r"[^\w.-]", "_", clip.clip_id)
    (working / own).mkdir()
    for place, frame in zip(places, source.read(places), strict=True):
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
        picture.save(working / own / f"{int(names[place]):07d}.jpg", quality=95)
    return replace(
        clip, path=str(folder.absolute() / own), name=clip.clip_id, is_folder=True, person=None, start=0.0, end=None
    )
