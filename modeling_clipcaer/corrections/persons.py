"""Who is seen in corrected segments: a prediction numbers people, a dataset has names to keep its splits apart."""

import re
from collections.abc import Mapping, Sequence

from datasets import DatasetDict

from modeling_clipcaer.corrections.segments import Checked, Predicted
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.recordings.timeline import ROOM


NUMBERED = re.compile(r"person-\d+")  # what a prediction calls somebody, which means nothing beyond its recording
Names = Mapping[tuple[str, str], str]  # by recording and person of the prediction


def name_persons(words: Sequence[str], recordings: Sequence[Predicted]) -> Names:
    """Who is who, from words like `lesson/person-1=anna`; the recording may be left out where there is one alone.

    Boxes may have named somebody already: that name stays where no word says another.

    Raises:
        InputError: a word is none of these, or its person is nobody's.
    """
    known = [(found.name, person) for found in recordings for person in found.timeline.persons]
    names = {key: key[1] for key in known if not NUMBERED.fullmatch(key[1])}
    for word in words:
        who, _, name = word.partition("=")
        recording, _, person = who.rpartition("/")
        meant = [key for key in known if key[1] == person and recording in (key[0], "")]
        if not name.strip() or len(meant) != 1:
            expected = ", ".join(f"{key[0]}/{key[1]}=NAME" for key in known) or "none, nobody was followed"
            raise InputError(f"--persons {word}: expected some of {expected}")
        names[meant[0]] = name.strip()
    return names


class People:
    """The people of a dataset, and those of recordings among them.

    Args:
        clips: of the dataset.
        names: who is who.
    """

    def __init__(self, clips: DatasetDict, names: Names):
        self.names = names
        by_split = {
            split: {identity_key(name): name for name in rows["person_id"][:]} for split, rows in clips.items()
        }
        self.spelled = {key: name for found in by_split.values() for key, name in found.items()}
        self.measured = {key for split in ("validation", "test") for key in by_split[split]}

    def find(self, segment: Checked) -> str:
        """The person of a segment, as the dataset spells the name; without one a person of the recording alone."""
        name = self.names.get((segment.recording.name, segment.person))
        if name is None:
            return f"{segment.recording.name}/{segment.person}"
        return self.spelled.get(identity_key(name), name)

    def is_measured(self, segment: Checked) -> bool:
        """Whether the person is in a split that is measured."""
        return identity_key(self.find(segment)) in self.measured

    def list_unnamed(self, segments: Sequence[Checked]) -> list[str]:
        """Those whom nothing names."""
        found = dict.fromkeys((segment.recording.name, segment.person) for segment in segments)
        return [f"{name}/{person}" for name, person in found if person != ROOM and (name, person) not in self.names]
