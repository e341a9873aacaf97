"""Build videos in folders of their label, as CAER's, into a dataset on disk.

    clipcaer build folders VIDEOS --output OUT --person-pattern '([a-z]+)_'

reads VIDEOS/LABEL/*.mp4, or videos of any other kind, and cuts a fifth of them for testing. With --labels they may lie
deeper, as LABEL/anna/*.mp4. VIDEOS/{train,validation,test}/LABEL/*.mp4 are read as they are, and a split that is
missing is cut from training. The pattern's group is the person in the path of a video below VIDEOS, so that nobody is
in two splits. Without it each video counts as a person of its own.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Any

from modeling_clipcaer.data.clip_search import is_shown, is_video, walk_shown
from modeling_clipcaer.data.protocols import cut_listed
from modeling_clipcaer.data.settings import TEST_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip, find_split
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import IMAGE_SUFFIXES, natural_key
from modeling_clipcaer.settings_clipcaer import option


TEST_SHARE = 0.2
OFFICIAL, UNSPLIT = "official", "labels' folders"  # whose splits they are


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder of folders."""

    root: str = option(MISSING, "The folder with the labels' folders in it, or with splits of such", positional=True)
    labels: list[str] | None = option(None, "The labels' folders, in order (default: A to Z)", metavar="NAME")
    test_share: float | None = option(
        None, TEST_HELP.replace("no default", f"{TEST_SHARE} where no folder is the test split's"), metavar="SHARE"
    )

    def cut_splits(
        self, clips: Sequence[SourceClip], labels: Sequence[str], lists: str
    ) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
        """As the folders are, or a share of them for testing where none is the test split's."""
        lacks_test = self.test_share is None and all(clip.split != "test" for clip in clips)
        return cut_listed(clips, labels, replace(self, test_share=TEST_SHARE) if lacks_test else self, lists)


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
        if lost := sorted(file for file in folder.iterdir() if is_shown(file.name) and is_loose_video(file)):
            raise InputError(f"{lost[0]}: lies in no label's folder; expected {folder}/LABEL/{lost[0].name}")
        for label in list_folders(folder):
            files = [folder / name for folder, names in walk_shown(label) for name in names]
            videos = sorted(filter(is_video, files), key=lambda video: natural_key(str(video)))
            if not videos:
                raise InputError(f"{label}: expected videos of the label '{label.name}', {describe_files(files)}")
            check_depth(label, videos, settings.labels)
            other_files += len(files) - len(videos)
            for video in videos:
                name = video.relative_to(root).as_posix()
                clips.append(SourceClip(str(video), name, label.name, place=str(label), split=split))
    if not clips:
        raise InputError(f"{root}: expected videos in LABEL/ or {'|'.join(SPLITS)}/LABEL/, found none")
    lists = OFFICIAL if splits else UNSPLIT
    return Source(clips, settings.labels, lists=lists, findings={"files_that_are_no_video": other_files})


def is_loose_video(path: Path) -> bool:
    """Whether a path is a video, and no folder of its name."""
    return path.is_file() and is_video(path)


def check_depth(label: Path, videos: Sequence[Path], labels: Sequence[str] | None) -> None:
    """Refuse videos deeper in a label's folder, unless the labels are named: the folder may be something else."""
    deeper = next((video for video in videos if video.parent != label), None)
    if deeper is not None and labels is None:
        raise InputError(
            f"{deeper}: lies deeper than in LABEL/; if '{label.name}' is a label and no split and no person, say so: "
            f"--labels {label.name} and the others"
        )


def describe_files(files: Sequence[Path]) -> str:
    """What a label's folder without a video holds, and what to do with it."""
    if any(file.name.lower().endswith(IMAGE_SUFFIXES) for file in files):
        return "found pictures; folders of frames are built by `clipcaer build frame-lists`"
    return f"found {len(files)} files of other kinds; move the folder elsewhere if it is no label's"


def find_splits(root: Path) -> list[tuple[str, Path]]:
    """The folders that are called like splits, each with its split; none, or all that there are."""
    named = [(find_split(folder.name), folder) for folder in list_folders(root)]
    splits = [(split, folder) for split, folder in named if split is not None]
    others = [folder.name for split, folder in named if split is None]
    if splits and others:
        # Keep: a folder `val` that nobody reads would be replaced by a cut from training in silence.
        raise InputError(
            f"{root}: expected the folders {', '.join(SPLITS)} alone, found '{others[0]}'; rename it if it is a "
            "split's, or move it elsewhere"
        )
    return splits


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones and those of the system."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and is_shown(entry.name))
