"""Build DAiSEE into a dataset on disk, for one of its four affects.

    clipcaer build daisee --root DAiSEE --affect Engagement --output OUT

reads DAiSEE/Labels/{Train,Validation,Test}Labels.csv (ClipID and a level from 0 to 3 for each affect) and the videos
in DAiSEE/DataSet/{Train,Validation,Test}/SUBJECT/CLIP/. A person is a subject folder; a label names affect and level,
so that prompts of one affect cannot be taken for another's.
"""

from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.data.clip_search import is_video
from modeling_clipcaer.data.settings import NAME_HELP, PERSON_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import Source, SourceClip
from modeling_clipcaer.data.tables import read_csv, read_table
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import option


AFFECTS = ("Boredom", "Engagement", "Confusion", "Frustration")
LEVELS = ("very low", "low", "high", "very high")
PERSON_PATTERN = r"^DataSet/\w+/([^/]+)/"
SUBJECT_DIGITS = 6  # of a clip's name, by which a video that is not there is looked for


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The folder, and whose level is the label."""

    root: str = option(MISSING, "The folder with DataSet and Labels in it", metavar="DIR")
    data_name: str | None = option("DAiSEE", NAME_HELP, rare=True, metavar="NAME")
    affect: str = option("Engagement", "Whose level is the label", choices=AFFECTS)
    person_pattern: str | None = option(PERSON_PATTERN, PERSON_HELP, metavar="REGEX")


def find_clips(settings: Settings) -> Source:
    """The clips of the label tables, with their videos."""
    root = Path(settings.root).absolute()
    tables = {split: root / "Labels" / f"{split}Labels.csv" for split in ("Train", "Validation", "Test")}
    clips, without_label = [], 0
    for split, table in tables.items():
        videos = find_videos(root / "DataSet" / split)
        listed = list_clips(root, split, table, settings.affect, videos)
        clips += listed
        without_label += len(videos.keys() - {Path(clip.path).stem for clip in listed})
    labels = [f"{level} {settings.affect.lower()}" for level in LEVELS]
    return Source(clips, labels, list(tables.values()), findings={"videos_without_label": without_label})


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
        expected = root / "DataSet" / split / stem[:SUBJECT_DIGITS] / stem / Path(line["ClipID"]).name
        path = videos.get(stem, expected)
        label = f"{LEVELS[int(level)]} {affect.lower()}"
        clips.append(SourceClip(str(path), path.relative_to(root).as_posix(), label, place, split.lower()))
    return clips
