"""Build CREMA-D, acted sentences with raters' votes, into a dataset on disk.

    clipcaer build cremad --root CREMA-D --output OUT

reads the videos CREMA-D/VideoFlash/ACTOR_SENTENCE_EMOTION_LEVEL.flv, or --videos of these names with another ending,
and the votes in CREMA-D/processedResults/tabulatedVotes.csv. A person is an actor; the source has no splits, so that
they are cut by person. The label is the emotion that the actor was asked for, or with --label-from raters the one that
most raters said who saw the picture without sound; clips on which they tie are then left out and counted. Either way
a row keeps the votes.
"""

import re
from collections import Counter
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.data.clip_search import is_video
from modeling_clipcaer.data.settings import NAME_HELP, PERSON_HELP, TEST_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import Source, SourceClip
from modeling_clipcaer.data.tables import parse_count, read_csv, read_table
from modeling_clipcaer.data.votes import find_favourites
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import natural_key
from modeling_clipcaer.settings_clipcaer import option


LABELS = {"A": "Anger", "D": "Disgust", "F": "Fear", "H": "Happy", "N": "Neutral", "S": "Sad"}
EMOTIONS = {"ANG": "A", "DIS": "D", "FEA": "F", "HAP": "H", "NEU": "N", "SAD": "S"}
NAME = re.compile(r"\d{4}_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(?:LO|MD|HI|XX?)")
PERSON_PATTERN = r"(?:^|/)(\d{4})_[^/]*$"
# A line of the votes' table is called by its presentation, in hundred thousands, and the number of its clip.
PRESENTATIONS = {"voice": "1", "face": "2", "both": "3"}
CLIP_DIGITS = 5
NUM_CLIPS = 7442
LFS_POINTER = b"version https://git-lfs"


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder, and whose word is the label."""

    data_link = "https://github.com/CheyneyComputerScience/CREMA-D"

    root: str = option(
        MISSING, "The folder of the repository, with VideoFlash and processedResults in it", metavar="DIR"
    )
    data_name: str | None = option("CREMA-D", NAME_HELP, rare=True, metavar="NAME")
    videos: str = option("VideoFlash", "The folder of the videos, in --root or absolute", metavar="DIR")
    label_from: str = option(
        "acted", "The label is what was acted, or what most raters said", choices=("acted", "raters")
    )
    votes_of: str = option(
        "face", "Whose votes: of raters of the face, the voice or both", choices=tuple(PRESENTATIONS)
    )
    person_pattern: str | None = option(PERSON_PATTERN, PERSON_HELP, metavar="REGEX")
    test_share: float | None = option(0.2, TEST_HELP.replace("no default", "default 0.2"), metavar="SHARE")

    @property
    def clips_folder(self) -> Path:
        return Path(self.root, self.videos)


def find_clips(settings: Settings) -> Source:
    """The videos with a label, their actors and their votes.

    Raises:
        InputError: a video's name is none of CREMA-D's, is no video but stands for one, or the table is another.
    """
    root = Path(settings.root).absolute()
    table = root / "processedResults" / "tabulatedVotes.csv"
    votes = read_votes(table, PRESENTATIONS[settings.votes_of])
    clips, left_out = [], Counter[str]()
    for video in find_videos(settings.clips_folder.absolute()):
        name = NAME.fullmatch(video.stem)
        if name is None or name["emotion"] not in EMOTIONS:
            raise InputError(f"{video}: expected a name like 1001_DFA_ANG_XX: actor, sentence, emotion, level")
        said = votes.get(video.stem, {})
        acted, favourites = LABELS[EMOTIONS[name["emotion"]]], find_favourites(said)
        if settings.label_from == "raters" and len(favourites) != 1:
            left_out["tied" if favourites else "without votes"] += 1
            continue
        label = acted if settings.label_from == "acted" else favourites[0]
        path = video.relative_to(root).as_posix() if video.is_relative_to(root) else video.as_posix()
        clips.append(SourceClip(str(video), path, label, place=str(video), votes=said))
    notes = [f"{left_out.total()} clips without one label that most raters said are left out"] if left_out else []
    found = len(clips) + left_out.total()
    notes += [f"{found} of CREMA-D's {NUM_CLIPS} videos are there"] if found < NUM_CLIPS else []
    findings = {"videos": found, "raters_left_out": dict(left_out)}
    return Source(clips, list(LABELS.values()), [table], findings=findings, notes=notes)


def find_videos(folder: Path) -> list[Path]:
    """The videos of a folder, by actor."""
    check_readable(folder, depth=0)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of videos, found {'a file' if folder.exists() else 'nothing'}")
    videos = sorted(filter(is_video, folder.glob("[!.]*")), key=lambda video: natural_key(video.name))
    if not videos:
        raise InputError(f"{folder}: expected videos, found none")
    with videos[0].open("rb") as file:
        # Keep: a download as a zip, and a clone without Git LFS, have these in the videos' places.
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise InputError(
                f"{videos[0]}: is a pointer of Git LFS, no video; `git lfs pull` in the clone gets the videos"
            )
    return videos


def read_votes(table: Path, presentation: str) -> dict[str, dict[str, int]]:
    """The votes of one presentation: by a video's name without its ending, how many raters said each label."""
    votes = {}
    for place, line in read_table(read_csv(table), table, ("", *LABELS, "fileName")):
        if line[""][:-CLIP_DIGITS] == presentation:
            votes[line["fileName"]] = {
                label: parse_count(line[letter], f"{place}: field `{letter}`") for letter, label in LABELS.items()
            }
    if not votes:
        first = f"{presentation}{1:0{CLIP_DIGITS}}"
        raise InputError(f"{table}: expected lines that are called {first} and so on in the first column, found none")
    return votes
