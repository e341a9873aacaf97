"""Build RAVDESS, acted speech and song, into a dataset on disk.

    clipcaer build ravdess --root RAVDESS --output OUT

reads the videos Actor_01/02-01-06-01-02-01-01.mp4 and so on, wherever they lie below RAVDESS: two digits each for
modality, channel, emotion, intensity, statement, repetition and actor. Of a take that is there with sound (modality
01) and without (02) one video is read, the latter. A person is an actor; the source has no splits, so that they are
cut by person. The label is the emotion that the actor was asked for.
"""

import re
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.data.clip_search import is_video
from modeling_clipcaer.data.settings import NAME_HELP, PERSON_HELP, TEST_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import Source, SourceClip
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.settings_clipcaer import option


LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
NAME = re.compile(r"0(?P<modality>[12])-(?P<take>0(?P<channel>[12])-0(?P<emotion>[1-8])(?:-\d\d){4})")
PERSON_PATTERN = r"-(\d\d)\.[^./]+$"
CHANNELS = {"speech": "1", "song": "2", "both": "12"}
NUM_TAKES = {"speech": 1440, "song": 1012, "both": 2452}


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder, and what was voiced."""

    data_link = "https://zenodo.org/records/1188976"

    root: str = option(MISSING, "The folder with Actor_01 and so on in it, or in folders of it", metavar="DIR")
    data_name: str | None = option("RAVDESS", NAME_HELP, rare=True, metavar="NAME")
    channel: str = option("speech", "The takes that are spoken, sung, or both", choices=tuple(CHANNELS))
    person_pattern: str | None = option(PERSON_PATTERN, PERSON_HELP, metavar="REGEX")
    test_share: float | None = option(0.2, TEST_HELP.replace("no default", "default 0.2"), metavar="SHARE")


def find_clips(settings: Settings) -> Source:
    """A video of each take.

    Raises:
        InputError: a video's name is none of RAVDESS's, or two videos have one name.
    """
    root = Path(settings.root).absolute()
    check_readable(root, depth=0)
    takes: dict[str, dict[str, SourceClip]] = {}  # by what two videos of a take have in common, and modality
    for video in sorted(filter(is_video, root.rglob("[!.]*"))):
        name = NAME.fullmatch(video.stem)
        if name is None:
            raise InputError(f"{video}: expected a name like 02-01-06-01-02-01-12, of modality 01 or 02")
        if name["channel"] not in CHANNELS[settings.channel]:
            continue
        videos, modality = takes.setdefault(name["take"], {}), name["modality"]
        if modality in videos:
            raise InputError(f"{video}: is there twice, also as {videos[modality].path}; expected one of the two")
        label = LABELS[int(name["emotion"]) - 1]
        videos[modality] = SourceClip(str(video), video.relative_to(root).as_posix(), label, place=str(video))
    if not takes:
        raise InputError(f"{root}: expected videos of {settings.channel} below it, found none")
    clips = [videos[max(videos)] for videos in takes.values()]
    # Keep: a label without a clip, as surprise among songs, could not be learnt.
    labels = [label for label in LABELS if any(clip.label == label for clip in clips)]
    expected = NUM_TAKES[settings.channel]
    notes = [f"{len(takes)} of RAVDESS's {expected} takes are there"] if len(takes) < expected else []
    findings = {"takes": len(takes), "videos_of_the_same_take": sum(map(len, takes.values())) - len(takes)}
    return Source(clips, labels, findings=findings, notes=notes)
