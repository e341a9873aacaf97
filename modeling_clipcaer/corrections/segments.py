"""What of corrected segments can be learnt from: those of people in a recording that was predicted, checked.

Nothing is guessed. A label that the dataset does not have, somebody whom nobody followed, times outside of the
recording or of two segments at once are refused, each in a line that names the file and the place in it.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.csv_text import safe_cell
from modeling_clipcaer.corrections.readers import Corrected
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.label_studio import LABEL_STUDIO_FRAME_RATE
from modeling_clipcaer.exports.look import xml_text
from modeling_clipcaer.exports.timeline_json import RECORDING, load_timeline
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline


# Label Studio counts frames: its times are right to one of them.
SLACK = 1 / LABEL_STUDIO_FRAME_RATE
# What became of a segment: nothing, another label, other ends; one that was added is of the last kind, too.
AS_PREDICTED, RELABELLED, REDRAWN = "as predicted", "relabelled", "redrawn"


@dataclass(frozen=True)
class Predicted:
    """A recording that was predicted.

    Attributes:
        name: of its folder, which is its own among the recordings of a prediction.
        video: the file, absolute.
        timeline: what was predicted.
        made_from: the state of the file, the model and the settings then.
    """

    name: str
    video: str
    timeline: Timeline
    made_from: Mapping[str, Any]

    @property
    def had_boxes(self) -> bool:
        """Whether the prediction was given boxes of bodies, which it does not keep."""
        settings = self.timeline.settings
        return settings.get("body_boxes") == "supplied" and settings.get("context") != "frame"

    def check_same(self) -> None:
        """Refuse a file that is another one than was predicted.

        Raises:
            InputError: it is, or is no file that clips can be cut from.
        """
        if not os.path.isfile(self.video):
            found = "a folder of frames" if os.path.isdir(self.video) else "nothing"
            raise InputError(f"{self.video}: expected the video that was predicted ({self.name}), found {found}")
        size, then = os.path.getsize(self.video), (self.made_from.get("file") or {}).get("size")
        if size != then:
            raise InputError(
                f"{self.video}: has {size} bytes, the recording that was predicted had {then}; it is another one: "
                "predict it, and correct that"
            )


@dataclass(frozen=True)
class Checked:
    """A segment that can be learnt from.

    Attributes:
        recording, person: of whom it is; the person as the prediction names it.
        start, end: seconds.
        label: as the dataset spells it.
        change: one of `AS_PREDICTED`, `RELABELLED` and `REDRAWN`.
        predicted: the label that was predicted for the same stretch, `None` where there was no such stretch.
        place: where its file says so.
    """

    recording: Predicted
    person: str
    start: float
    end: float
    label: str
    change: str
    predicted: str | None
    place: str


def find_recordings(files: Iterable[str], folders: Sequence[str] | None) -> list[Predicted]:
    """The recordings in the folders of a prediction; by default those that the corrected files lie in, or beside.

    Raises:
        InputError: there is none.
    """
    beside = [folder for file in files for folder in list(Path(os.path.abspath(file)).parents)[:2]]
    places = beside if folders is None else list(map(Path, folders))
    paths = dict.fromkeys(
        path for place in places for path in (place / RECORDING, *sorted(place.glob(f"*/{RECORDING}")))
    )
    found = [load_predicted(path) for path in paths if path.is_file()]
    if not found:
        looked = ", ".join(map(str, dict.fromkeys(places)))
        raise InputError(f"{looked}: no {RECORDING}; --recordings names the folder that `clipcaer predict` wrote")
    return found


def load_predicted(path: Path) -> Predicted:
    """The recording of a recording.json."""
    timeline, made_from = load_timeline(path), read_object(path).get("made_from")
    if not isinstance(made_from, dict) or not isinstance(made_from.get("path"), str):
        raise InputError(f"{path}: says nothing of what it was made from; predict the recording once more")
    folder = path.absolute().parent
    # One that came from another machine, as from `clipcaer app`, names its video alone.
    places = (place / made_from["path"] for place in (Path.cwd(), folder, folder.parent))
    video = next((place for place in places if place.is_file()), Path.cwd() / made_from["path"])
    return Predicted(folder.name, str(video), timeline, made_from)


def check_segments(
    corrected: Sequence[Corrected], recordings: Sequence[Predicted], labels: Sequence[str]
) -> list[Checked]:
    """The segments beside what was predicted. Labels are those of the dataset, or `uncertain`.

    Args:
        corrected: those of all files.
        recordings: that they may be of.
        labels: of the dataset.

    Raises:
        InputError: a segment is not as the prediction and the dataset allow.
    """
    spelled = {identity_key(label): label for label in (UNCERTAIN, *labels)}
    checked = []
    for segment in corrected:
        recording = find_recording(segment, recordings)
        person = find_person(segment, recording.timeline)
        check_times(segment, recording)
        label = spelled.get(identity_key(segment.label))
        if label is None:
            raise InputError(
                f"{segment.place}: unknown label '{segment.label}'; expected one of the dataset's: {', '.join(labels)}"
            )
        checked.append(compare(replace(segment, person=person, label=label), recording))
    refuse_overlaps(checked)
    for recording in {segment.recording.video: segment.recording for segment in checked}.values():
        recording.check_same()
    return checked


def find_recording(segment: Corrected, recordings: Sequence[Predicted]) -> Predicted:
    """The recording of a segment, as files of XML and of spreadsheets spell it, or by a name that is one's alone."""

    def spell(source: str) -> set[str]:
        return {source, xml_text(source), safe_cell(source), safe_cell(source).strip()}

    own = [found for found in recordings if segment.source in spell(found.timeline.source) | {found.video}]
    named = [found for found in recordings if Path(found.video).name == Path(segment.source).name]
    meant = {found.video: found for found in own or named}
    if len(meant) != 1:
        known = ", ".join(found.timeline.source for found in own or recordings)
        raise InputError(
            f"{segment.place}: recording '{segment.source}'; expected one of those that were predicted: {known}"
        )
    return next(iter(meant.values()))


def find_person(segment: Corrected, timeline: Timeline) -> str:
    """The person of a segment, as the prediction names it."""
    persons = [ROOM, *timeline.persons]
    found = next((name for name in persons if segment.person in (name, xml_text(name), safe_cell(name))), None)
    if found is None:
        raise InputError(
            f"{segment.place}: unknown person '{segment.person}'; expected one whom the prediction followed, "
            f"{', '.join(persons)}"
        )
    return found


def check_times(segment: Corrected, recording: Predicted) -> None:
    """Refuse a segment that is none, or outside of its recording."""
    duration = recording.timeline.duration
    if not (0 <= segment.start < segment.end and segment.start < duration and segment.end <= duration + SLACK):
        raise InputError(
            f"{segment.place}: {segment.start:g} s to {segment.end:g} s; expected a stretch within the recording, "
            f"0 to {duration:g} s"
        )


def compare(segment: Corrected, recording: Predicted) -> Checked:
    """A segment beside the predicted one with the same ends, whose exact times it then has."""
    same = next(
        (
            found
            for found in recording.timeline.segments
            if found.person == segment.person
            and abs(found.start - segment.start) <= SLACK
            and abs(found.end - segment.end) <= SLACK
        ),
        None,
    )
    start, end = (segment.start, segment.end) if same is None else (same.start, same.end)
    change = REDRAWN if same is None else AS_PREDICTED if same.label == segment.label else RELABELLED
    end = min(end, recording.timeline.duration)
    predicted = None if same is None else same.label
    return Checked(recording, segment.person, start, end, segment.label, change, predicted, segment.place)


def refuse_overlaps(segments: Iterable[Checked]) -> None:
    """Refuse two segments of one person at one time."""
    by_person: dict[tuple[str, str], list[Checked]] = defaultdict(list)
    for segment in segments:
        by_person[segment.recording.video, segment.person].append(segment)
    for found in by_person.values():
        for first, second in pairwise(sorted(found, key=lambda segment: segment.start)):
            if second.start < first.end - SLACK:
                raise InputError(
                    f"{second.place}: {second.start:g} s to {second.end:g} s overlaps {first.start:g} s to "
                    f"{first.end:g} s of the same person ({first.place}); expected one label at a time"
                )
