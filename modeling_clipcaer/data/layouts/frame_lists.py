"""Build lists of frame folders in the style of DFEW, FERV39k and MAFW into a dataset on disk.

    clipcaer build frame-lists --train-annotation train.txt \\
        --test-annotation test.txt --frames-root DFEW/clip_224x224_16f \\
        --output OUT --labels Happy Sad Neutral Angry Surprise Disgust Fear

reads lists of `<path> <num_frames> <label>`, the label a number from --first-label on. Lists carry the paths of the
machine they were made on: what stands in front of the folders below --frames-root must be the same in all lines.
Nothing in these lists says what the numbers mean, nor who is seen: --labels and --person-pattern do. Folders that are
named after labels, as FERV39k's Action/Happy/0267, must say the same as the numbers.
"""

import os
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path, PurePosixPath

from modeling_clipcaer.data.annotations import read_lines
from modeling_clipcaer.data.clip_keys import find_spelled
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, Source, SourceClip
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.settings_clipcaer import option


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """The lists, the folder that their paths lie in, and what their numbers mean."""

    frames_root: str = option(MISSING, "The folder that the frame folders lie in", metavar="DIR")
    train_annotation: str = option(MISSING, "List of training clips", metavar="FILE")
    val_annotation: str | None = option(
        None, "List of validation clips; by default they are cut from training", metavar="FILE"
    )
    test_annotation: str | None = option(None, "List of test clips", metavar="FILE")
    labels: list[str] = option(MISSING, "What the numbers mean, in order", metavar="NAME")
    first_label: int = option(1, "The number of the first label", metavar="N")

    @property
    def clips_folder(self) -> Path:
        return Path(self.frames_root)


def find_clips(settings: Settings) -> Source:
    """The clips of the lists."""
    root = find_spelled(Path(settings.frames_root).absolute())
    given = (settings.train_annotation, settings.val_annotation, settings.test_annotation)
    lists = {split: Path(file) for split, file in zip(SPLITS, given, strict=True) if file is not None}
    clips = []
    for split, file in lists.items():
        clips += read_list(file, split, root, settings.labels, settings.first_label)
    return Source(clips, settings.labels, list(lists.values()))


def read_list(file: Path, split: str, root: Path, labels: Sequence[str], first_label: int) -> list[SourceClip]:
    """The clips of a list, in its order."""
    fields = [
        (line.place, PurePosixPath(line.path.replace("\\", "/")), line.listed_frames, labels[line.label])
        for line in read_lines(file, labels, first_label)
    ]
    front = find_front([path for _, path, _, _ in fields], root, file)
    clips, keys = [], set(map(identity_key, labels))
    for place, path, listed_frames, label in fields:
        if path.parts[: len(front)] != front:
            raise InputError(f"{place}: path '{path}'; expected it to begin with {Path(*front)} as the others do")
        below = PurePosixPath(*path.parts[len(front) :])
        named = [part for part in below.parts[:-1] if identity_key(part) in keys]
        if named and identity_key(label) not in map(identity_key, named):
            raise InputError(
                f"{place}: the label's number means {label}, the folder says {named[-1]}; expected --labels in the "
                "order of the list's numbers"
            )
        folder = find_spelled(root / below)
        name = folder.relative_to(root).as_posix()
        clips.append(SourceClip(str(folder), name, label, place, split, is_folder=True, listed_frames=listed_frames))
    return clips


def find_front(paths: Sequence[PurePosixPath], root: Path, file: Path) -> tuple[str, ...]:
    """What the paths of a list have in front of the folders below `root`, by the first folder that is there.

    Keep: one front for all. A folder that is missing would else be taken for one with the end of its path elsewhere.
    """
    check_readable(root, depth=0)
    for path in paths:
        for length in range(len(path.parts)):
            if os.path.isdir(find_spelled(root.joinpath(*path.parts[length:]))):
                return path.parts[:length]
    raise InputError(f"{file}: none of its {len(paths)} folders lies below {root}; the first is '{paths[0]}'")
