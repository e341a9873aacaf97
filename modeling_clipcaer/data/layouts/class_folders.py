"""Build CAER, or any videos in folders of their label, into a dataset on disk.

    python data_scripts/build_caer.py --root CAER --output OUT

reads CAER/{train,validation,test}/LABEL/*.avi, or videos of any other kind. Nothing in CAER says who is seen: each
video counts as a person of its own, unless --person-pattern finds the person in the paths.
"""

from pathlib import Path

from modeling_clipcaer.data.build import build_dataset, make_parser, parse_flags
from modeling_clipcaer.data.clip_search import VIDEO_SUFFIXES, is_video
from modeling_clipcaer.data.source_rows import SourceClip
from modeling_clipcaer.data.source_splits import SPLITS, find_split
from modeling_clipcaer.errors import InputError, check_readable, run_command
from modeling_clipcaer.frame_files import natural_key


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--root", required=True, metavar="DIR", help="the folder with train, validation and test in it"
    )
    parser.add_argument("--labels", nargs="+", metavar="NAME", help="the labels' folders, in order (default: A to Z)")
    args = parse_flags(parser)
    clips, other_files = list_clips(Path(args.root).absolute())
    build_dataset(clips, args.labels, args, files_that_are_no_video=other_files)


def list_clips(root: Path) -> tuple[list[SourceClip], int]:
    """The videos below `root` in natural order, and how many other files lie among them.

    Raises:
        InputError: a folder is no split, or a label's folder holds no video.
    """
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
    return clips, other_files


def list_folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
