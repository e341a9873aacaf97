"""Build DAiSEE into a dataset on disk, for one of its four affects.

    python data_scripts/build_daisee.py --root DAiSEE --affect Engagement --output OUT

reads DAiSEE/Labels/{Train,Validation,Test}Labels.csv (ClipID and a level from 0 to 3 for each affect) and the videos
in DAiSEE/DataSet/{Train,Validation,Test}/SUBJECT/CLIP/. A person is a subject folder; a label names affect and level,
so that prompts of one affect cannot be taken for another's.
"""

from pathlib import Path

from modeling_clipcaer.data.build import build_dataset, make_parser, parse_flags
from modeling_clipcaer.data.clip_search import is_video
from modeling_clipcaer.data.source_rows import SourceClip
from modeling_clipcaer.data.source_tables import read_csv, read_table
from modeling_clipcaer.errors import InputError, run_command


AFFECTS = ("Boredom", "Engagement", "Confusion", "Frustration")
LEVELS = ("very low", "low", "high", "very high")
PERSON_PATTERN = r"^DataSet/\w+/([^/]+)/"
SUBJECT_DIGITS = 6  # of a clip's name, by which a video that is not there is looked for


def main() -> None:
    parser = make_parser(__doc__, PERSON_PATTERN)
    parser.add_argument("--root", required=True, metavar="DIR", help="the folder with DataSet and Labels in it")
    parser.add_argument("--affect", choices=AFFECTS, default="Engagement", help="whose level is the label")
    args = parse_flags(parser)
    root = Path(args.root).absolute()
    tables = {split: root / "Labels" / f"{split}Labels.csv" for split in ("Train", "Validation", "Test")}
    clips, without_label = [], 0
    for split, table in tables.items():
        videos = find_videos(root / "DataSet" / split)
        listed = list_clips(root, split, table, args.affect, videos)
        clips += listed
        without_label += len(videos.keys() - {Path(clip.path).stem for clip in listed})
    labels = [f"{level} {args.affect.lower()}" for level in LEVELS]
    build_dataset(clips, labels, args, tables.values(), videos_without_label=without_label)


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos SUBJECT/CLIP/CLIP.avi in `folder`, by the name without its ending: some are .mp4."""
    videos = (file for file in folder.glob("*/*/*") if is_video(file))
    return {file.stem: file for file in videos if not file.name.startswith(".")}


def list_clips(root: Path, split: str, table: Path, affect: str, videos: dict[str, Path]) -> list[SourceClip]:
    """The clips of a table, with the level of `affect`."""
    clips = []
    for place, line in read_table(read_csv(table), table, ("ClipID", affect)):
        level = line[affect]
        if level not in map(str, range(len(LEVELS))):
            raise InputError(f"{place}: field `{affect}` is '{level}'; expected a level from 0 to {len(LEVELS) - 1}")
        stem = Path(line["ClipID"]).stem
        expected = root / "DataSet" / split / stem[:SUBJECT_DIGITS] / stem / line["ClipID"]
        path = videos.get(stem, expected)
        label = f"{LEVELS[int(level)]} {affect.lower()}"
        clips.append(SourceClip(str(path), path.relative_to(root).as_posix(), label, place, split.lower()))
    return clips


if __name__ == "__main__":
    raise SystemExit(run_command(main))
