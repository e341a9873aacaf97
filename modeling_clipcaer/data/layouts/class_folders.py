"""Build videos in folders of their label, as CAER's, into a dataset on disk.

    clipcaer build folders VIDEOS --output OUT --person-pattern '([a-z]+)_'

reads VIDEOS/LABEL/*.mp4, or videos of any other kind, and cuts a fifth of them for testing, or reads
VIDEOS/{train,validation,test}/LABEL/*.mp4 as they are. The pattern's group is the person in the path of a video below
VIDEOS, so that nobody is in two splits. Without it each video counts as a person of its own.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Any

from modeling_clipcaer.data.clip_search import VIDEO_SUFFIXES, is_video
from modeling_clipcaer.data.protocols import cut_listed
from modeling_clipcaer.data.settings import TEST_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip, find_split
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import natural_key
from modeling_clipcaer.settings_clipcaer import option


TEST_SHARE = 0.2
OFFICIAL, UNSPLIT = "official", "labels' folders"  # whose splits they are


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder of folders."""

    root: str = option(MISSING, "The folder with the labels' folders in it, or with splits of such", positional=True)
    labels: list[str] | None = option(None, "The labels' folders, in order (default: A to Z)", metavar="NAME")
    test_share: float | None = option(
        None, TEST_HELP.replace("no default", f"{TEST_SHARE} where no folder is a split's"), metavar="SHARE"
    )

    def cut_splits(
        self, clips: Sequence[SourceClip], labels: Sequence[str], lists: str
    ) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
        """As the folders are, or a share of them for testing where none is a split's."""
        cut_anew = lists == UNSPLIT and self.test_share is None
        return cut_listed(clips, labels, replace(self, test_share=TEST_SHARE) if cut_anew else self, lists)


def find_clips(settings: Settings) -> Source:
    """The videos below the folder in natural order, and how many other files lie among them.

    Raises:
        InputError: a folder is no split, or a label's folder holds no video.
    """
    root = Path(settings.root).absolute()
    check_readable(root, depth=0)
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder, found {'a file' if root.exists() else 'nothing'}")
    clips, other_files = [], 0
    splits = find_splits(root)
    for split, folder in splits or [("train", root)]:
        if lost := sorted(file for file in folder.iterdir() if file.is_file() and is_video(file)):
            raise InputError(f"{lost[0]}: lies in no label's folder; expected {folder}/LABEL/{lost[0].name}")
        for label in list_folders(folder):
            files = [entry for entry in label.iterdir() if entry.is_file() and not entry.name.startswith(".")]
            videos = [file for file in files if is_video(file)]
            if not videos:
                raise InputError(f"{label}: expected videos ({', '.join(VIDEO_SUFFIXES)}), found none")
            other_files += len(files) - len(videos)
            for video in sorted(videos, key=lambda video: natural_key(video.name)):
                name = video.relative_to(root).as_posix()
                clips.append(SourceClip(str(video), name, label.name, place=str(label), split=split))
    if not clips:
        raise InputError(f"{root}: expected videos in LABEL/ or {'|'.join(SPLITS)}/LABEL/, found none")
    lists = OFFICIAL if splits else UNSPLIT
    return Source(clips, settings.labels, lists=lists, findings={"files_that_are_no_video": other_files})


def find_splits(root: Path) -> list[tuple[str, Path]]:
    """The folders that are called like splits, each with its split; none, or all that there are."""
    named = [(find_split(folder.name), folder) for folder in list_folders(root)]
    splits = [(split, folder) for split, folder in named if split is not None]
    others = [folder.name for split, folder in named if split is None]
    if splits and others:
        # Keep: a folder `val` that nobody reads would be replaced by a cut from training in silence.
        raise InputError(f"{root}: expected the folders {', '.join(SPLITS)} alone, found '{others[0]}'")
    return splits


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
