"""Build CAER, or any videos in folders of their label, into a dataset on disk.

    clipcaer build folders --root CAER --output OUT

reads CAER/{train,validation,test}/LABEL/*.avi, or videos of any other kind. Nothing in CAER says who is seen: each
video counts as a person of its own, unless --person-pattern finds the person in the paths.
"""

from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.data.clip_search import VIDEO_SUFFIXES, is_video
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip, find_split
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.frame_files import natural_key
from modeling_clipcaer.settings_clipcaer import option


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder of folders."""

    root: str = option(MISSING, "the folder with train, validation and test in it", metavar="DIR")
    labels: list[str] | None = option(None, "the labels' folders, in order (default A to Z)", metavar="NAME")


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
    for split in list_folders(root):
        name_of_split = find_split(split.name)
        if name_of_split is None:
            # Keep: a folder `val` that nobody reads would be replaced by a cut from training in silence.
            raise InputError(f"{root}: expected the folders {', '.join(SPLITS)} alone, found '{split.name}'")
        for label in list_folders(split):
            files = [entry for entry in label.iterdir() if entry.is_file() and not entry.name.startswith(".")]
            videos = [file for file in files if is_video(file)]
            if not videos:
                raise InputError(f"{label}: expected videos ({', '.join(VIDEO_SUFFIXES)}), found none")
            other_files += len(files) - len(videos)
            for video in sorted(videos, key=lambda video: natural_key(video.name)):
                name = video.relative_to(root).as_posix()
                clips.append(SourceClip(str(video), name, label.name, place=str(label), split=name_of_split))
    if not clips:
        raise InputError(f"{root}: expected videos in {'|'.join(SPLITS)}/LABEL/, found none")
    return Source(clips, settings.labels, findings={"files_that_are_no_video": other_files})


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
