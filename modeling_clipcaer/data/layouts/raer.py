"""Build RAER, or any data in its layout, into a dataset on disk.

    clipcaer build raer --root DIR --output OUT

writes OUT for `datasets.load_from_disk` (splits train, validation, test), OUT/build.json, which tells what was
counted, matched, filled in and left out, and OUT/audit, what is wrong with it. Frames stay where they are: the dataset
holds their paths.
"""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from modeling_clipcaer.data.annotations import read_lines
from modeling_clipcaer.data.boxes import Entry, check_coverage, explain_missing_box
from modeling_clipcaer.data.clip_keys import PathPatterns, clip_key, find_folder
from modeling_clipcaer.data.protocols import OPTIONS_OF, cut_by_protocol, record_protocol
from modeling_clipcaer.data.settings import NAME_HELP, BuildSettings
from modeling_clipcaer.data.source_clips import ORIGIN_NAME, Source, SourceClip
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import find_label_fault, identity_key
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.settings_clipcaer import option


NO_BOXES = "none"
PATTERN_HELP = "Regular expression whose group is the %s in a clip's path (default: RAER's folders)"
BOX_HELP = f"File of %s boxes; '{NO_BOXES}' does without (default: RAER's own in bounding_box)"
MINIMUM_HELP = "Share of every list's clips that must have a %s box"


@dataclass(kw_only=True)
class Settings(BuildSettings):
    """What to read, and the protocol of its splits: "official" keeps the lists; the others pool all of them and cut
    them anew, "person" into parts with nobody in two of them, "kfold" by person into folds of which one is the test
    split, "leave-one-place-out" takes the clips of a place for the test split.
    """

    is_strict = True

    data_link = "https://github.com/zgsfer/CLIP-CAER"

    root: str = option(MISSING, "The RAER folder or its parent", metavar="DIR")
    data_name: str | None = option("RAER", NAME_HELP, rare=True, metavar="NAME")
    split: str = option(
        "official", "How splits are made; official keeps the lists, the others cut anew", choices=tuple(OPTIONS_OF)
    )
    val_share: float = option(0.1, "Validation's share of what is not for testing", metavar="SHARE")
    val_split: str = option("clip", "What official validation is cut by", choices=("clip", "person"))
    test_share: float = option(0.2, "Test split's share of the clips, with --split person", metavar="SHARE")
    folds: int = option(5, "Folds by person, with --split kfold", metavar="N")
    fold: int | None = option(None, "Number of the fold for testing, from 1, with --split kfold", metavar="N")
    place: str | None = option(None, "Place for testing, as Library, with --split leave-one-place-out", metavar="NAME")
    seed: int = option(42, "Seed of the cuts", metavar="N")
    train_annotation: str | None = option(
        None, "List of training clips (default: RAER/annotation/train.txt)", metavar="FILE"
    )
    val_annotation: str | None = option(
        None, "List of validation clips; by default they are cut from the training list", metavar="FILE"
    )
    test_annotation: str | None = option(
        None, "List of test clips (default: RAER/annotation/test.txt)", metavar="FILE"
    )
    bounding_box_face: str | None = option(None, BOX_HELP % "face", metavar="FILE")
    bounding_box_body: str | None = option(None, BOX_HELP % "body", metavar="FILE")
    person_pattern: str | None = option(None, PATTERN_HELP % "person", metavar="REGEX")
    place_pattern: str | None = option(None, PATTERN_HELP % "place", metavar="REGEX")
    min_face_share: float = option(0.5, MINIMUM_HELP % "face", metavar="SHARE")
    min_body_share: float = option(0.5, MINIMUM_HELP % "body", metavar="SHARE")
    first_label: int = option(1, "Number of the first label in the lists", choices=(0, 1))
    labels: list[str] = option(
        lambda: list(RAER_LABELS), "Names of the lists' labels, in the order of their numbers", metavar="NAME"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("min_face_share", "min_body_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` is {getattr(self, name)}, expected a number from 0 to 1")
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise InputError(f"`labels` is {list(self.labels)}, expected at least two different names")
        if fault := find_label_fault(self.labels):
            raise InputError(f"`labels`: {fault}")
        if self.folds < 2:
            raise InputError(f"`folds` is {self.folds}, expected at least 2")
        if self.split == "kfold" and self.fold not in range(1, self.folds + 1):
            raise InputError(
                f"--split kfold: `fold` is {self.fold}, expected --fold with a number from 1 to {self.folds}"
            )
        if self.split == "leave-one-place-out" and not self.place:
            raise InputError("--split leave-one-place-out: expected --place with the name of the place for testing")
        PathPatterns(self.person_pattern, self.place_pattern)  # refuses a pattern that is none

    @classmethod
    def check_given(cls, given: Mapping[str, Any]) -> None:
        """Refuse flags of another protocol, of a cut where a list is given, and of boxes that are done without."""
        protocol = given.get("split", cls.split)
        for wanted, names in OPTIONS_OF.items():
            for name in names:
                if name in given and protocol != wanted:
                    spelled = f"--{name.replace('_', '-')}"
                    raise InputError(f"{spelled} has no effect with --split {protocol}; it belongs to {wanted}")
        for name in ("val_share", "val_split", "seed"):
            if protocol == "official" and "val_annotation" in given and name in given:
                spelled = f"--{name.replace('_', '-')}"
                raise InputError(f"{spelled} has no effect with --val-annotation; expected one of the two")
        for kind in ("face", "body"):
            if f"min_{kind}_share" in given and given.get(f"bounding_box_{kind}") == NO_BOXES:
                raise InputError(f"--min-{kind}-share has no effect with --bounding-box-{kind} {NO_BOXES}")

    @property
    def clips_folder(self) -> Path:
        return _find_once(self.root)

    @property
    def patterns(self) -> PathPatterns:
        """How a clip's path tells its person and its place."""
        return PathPatterns(self.person_pattern, self.place_pattern)

    def find_person(self, clip: SourceClip) -> str:
        """By the pattern, or the path above the clip's folder."""
        self.patterns.check(clip.clip_id, clip.place)
        return self.patterns.find_person(clip.clip_id) or person_of(clip.clip_id)

    def find_place(self, clip: SourceClip) -> str | None:
        """By the pattern, or the folder below the session; `None` where the path does not tell."""
        return self.patterns.find_place(clip.clip_id) or place_of(clip.clip_id)

    def check_persons(self, clips: Sequence[SourceClip]) -> None:
        """Refuse clips of which the path does not tell a person, and just has some folder above the clip."""
        for clip in clips:
            if self.person_pattern is None and not has_person_folder(clip.clip_id):
                raise InputError(
                    f"{clip.place}: clip '{clip.clip_id}', expected a person folder like P012 above the clip; "
                    "--person-pattern tells persons in other layouts"
                )

    def cut_splits(
        self, clips: Sequence[SourceClip], labels: Sequence[str], lists: str
    ) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
        splits = cut_by_protocol(clips, self)
        return splits, record_protocol(self, splits)

    def find_box_file(self, kind: str) -> Path | None:
        """The box file of a kind: the one given, or RAER's own."""
        return locate_sources(self)[1][kind]

    def match_boxes(
        self, kind: str, file: Path, entries: Mapping[str, Entry], clips: Sequence[SourceClip]
    ) -> tuple[dict[str, Entry], int]:
        """By the one key of a clip. A file that misses too many clips of a list is refused."""
        known = {clip.clip_id for clip in clips}
        unused = [key for key in entries if key not in known]
        gaps = defaultdict(list)  # by list, since spellings differ between files, and a validation list may be tiny
        for clip in clips:
            gaps[clip.place.rpartition(":")[0]].append(explain_missing_box(clip.clip_id, clip.path, entries))
        for annotation, missing in gaps.items():
            minimum = getattr(self, f"min_{kind}_share")
            check_coverage(file, annotation, missing, unused, minimum, f"min-{kind}-share")
        return {clip.path: entries[clip.clip_id] for clip in clips if clip.clip_id in entries}, len(unused)

    def name_boxes(self, clip: SourceClip, kind: str) -> str:
        return f"{self.find_box_file(kind)}: clip '{clip.clip_id}'"


def build_dataset(root: str | Path, output: str | Path, num_proc: int = 1, **options: Any) -> dict[str, Any]:
    """Build the dataset of `root` into `output` and return its record, which is also written there, as `build.json`.

    An earlier build in `output` is replaced once the new one is complete; any other content is refused.

    Args:
        root: the RAER folder or its parent.
        output: the folder to write.
        num_proc: processes to read with.
        options: the other fields of [`Settings`]; `None` stands for the default.

    Raises:
        InputError: the data or an option is not as expected; `output` is then as it was before.
    """
    from modeling_clipcaer.data.build import build  # imports `datasets`, which `--help` does not wait for

    options = {name: value for name, value in options.items() if value is not None}
    return build(find_clips, Settings(root=str(root), **options), output, num_proc)[0]


def find_clips(settings: Settings) -> Source:
    """The clips of the lists."""
    raer, files = locate_sources(settings)
    annotations = {split: file for split, file in files.items() if split not in ("face", "body") and file is not None}
    lists = {
        split: read_annotation(file, settings.labels, settings.first_label, split)
        for split, file in annotations.items()
    }
    check_disjoint(lists)
    clips = find_folders([clip for clips in lists.values() for clip in clips], raer)
    notes = [
        f"no {kind} boxes were given: see the lines above for what stands in"
        for kind in ("face", "body")
        if files[kind] is None
    ]
    findings = {"origin": read_origin(raer / ORIGIN_NAME)} if (raer / ORIGIN_NAME).exists() else {}
    arguments = {"root": str(raer)}
    return Source(clips, settings.labels, list(annotations.values()), "official", arguments, findings, notes)


def read_origin(path: Path) -> dict[str, Any]:
    """What data say of themselves that are in RAER's layout and are not RAER."""
    origin = read_object(path)
    name, is_drawn = origin.get("name"), origin.get("is_drawn")
    if not isinstance(name, str) or not isinstance(is_drawn, bool):
        raise InputError(f"{path}: expected a text as `name`, and true or false as `is_drawn`")
    return {"name": name, "link": None, "is_drawn": is_drawn}


def locate_sources(settings: Settings) -> tuple[Path, dict[str, Path | None]]:
    """The RAER folder, and the lists, by split, and the box files, by kind, that the settings mean."""
    raer = find_raer_folder(settings.root)

    def locate(given: str | None, default: str, option: str | None = None) -> Path | None:
        if option is not None and given == NO_BOXES:
            return None
        path = raer / default if given is None else Path(given)
        check_readable(path)
        if path.is_file():
            return path
        hint = f", or --{option} {NO_BOXES} to do without" if option is not None and given is None else ""
        raise InputError(f"{path}: expected a file, found {'a folder' if path.exists() else 'nothing'}{hint}")

    return raer, {
        "train": locate(settings.train_annotation, "annotation/train.txt"),
        "validation": locate(settings.val_annotation, "") if settings.val_annotation is not None else None,
        "test": locate(settings.test_annotation, "annotation/test.txt"),
        "face": locate(settings.bounding_box_face, "bounding_box/face.json", "bounding-box-face"),
        "body": locate(settings.bounding_box_body, "bounding_box/body.json", "bounding-box-body"),
    }


def find_raer_folder(root: str) -> Path:
    """The absolute folder that holds `images`: `root`, `root/RAER`, or `root/RAER/RAER` as archives may unpack it."""
    folder = Path(root).absolute()
    check_readable(folder)
    for candidate in (folder, folder / "RAER", folder / "RAER" / "RAER"):
        if (candidate / "images").is_dir():
            return candidate
    raise InputError(f"{root}: expected the RAER folder (with images/ in it) or its parent, found no images folder")


_find_once = lru_cache(maxsize=16)(find_raer_folder)  # Keep: asked for each frame


def read_annotation(
    path: Path, labels: Sequence[str] = RAER_LABELS, first_label: int = 1, split: str = "train"
) -> list[SourceClip]:
    """Clips of a list of `<clip dir> <num_frames> <label>` lines, in the list's order, whose folders are yet to find.

    A clip listed twice with one label counts once, since the repetition would only weight the clip; the
    dropped lines stay countable as `num_lines`. With two labels nobody can say which is true: an error.
    """
    clips: dict[str, SourceClip] = {}
    numbers: dict[str, int] = {}
    for place, spelling, listed_frames, label in read_lines(path, labels, first_label, "clip dir"):
        key = clip_key(spelling)
        if key is None or key.count("/") < 2:
            raise InputError(
                f"{place}: clip dir '{spelling}', expected a path with images/<place>/<person>/<clip> in it"
            )
        clip = SourceClip("", key, label, place, split, is_folder=True, listed_frames=listed_frames)
        earlier = clips.setdefault(key, clip)
        if numbers.setdefault(key, label) != label:
            raise InputError(
                f"{place}: label {label + first_label} for clip '{key}', which has label "
                f"{numbers[key] + first_label} at {earlier.place}; expected one label per clip"
            )
        if earlier is not clip:
            clips[key] = replace(earlier, num_lines=earlier.num_lines + 1)
    return list(clips.values())


def check_disjoint(lists: Mapping[str, Sequence[SourceClip]]) -> None:
    """Refuse a clip that is in two of the named lists: the official split is by clip, so that is leakage."""
    seen: dict[str, tuple[str, SourceClip]] = {}
    shared = []
    for split, clips in lists.items():
        for clip in clips:
            earlier_split, earlier = seen.setdefault(clip.clip_id, (split, clip))
            if earlier_split != split:
                shared.append(
                    f"clip '{clip.clip_id}' is in {earlier_split} ({earlier.place}) and in {split} ({clip.place})"
                )
    if shared:
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(f"{shared[0]}{more}; expected every clip in one split, remove it from one of the lists")


def find_folders(clips: Sequence[SourceClip], raer: Path) -> list[SourceClip]:
    """The clips with the paths of their folders, which must be there and each be one clip's alone."""
    seen: dict[str, SourceClip] = {}
    found = []
    for clip in clips:
        folder = find_folder(raer, clip.clip_id)
        if folder is None:
            raise InputError(f"{clip.place}: expected the clip folder {raer / clip.clip_id}, found none")
        clip = replace(clip, path=str(folder))
        found.append(clip)
        # Keep: asked of the disk, which may take no notice of capitals. One clip would be two, perhaps of two splits.
        earlier = seen.setdefault(identity_key(clip.clip_id), clip)
        if earlier is not clip and os.path.samefile(folder, earlier.path):
            raise InputError(
                f"{clip.place}: '{clip.clip_id}' is '{earlier.clip_id}' of {earlier.place}; expected it once"
            )
    return found


def person_of(clip_id: str) -> str:
    """The person of a clip: `(session, place, class folder, PNNN)` of its path, e.g. `Class/Classroom/Class003/P007`.

    PNNN alone is no person: numbering starts again in every class and place.
    """
    return posixpath.dirname(clip_id).removeprefix("images/")


def has_person_folder(clip_id: str) -> bool:
    """Whether the folder above the clip is named like RAER's persons (`P012`)."""
    return re.fullmatch(r"P\d+", posixpath.basename(posixpath.dirname(clip_id))) is not None


def place_of(clip_id: str) -> str | None:
    """The place of a clip, the folder below the session: `Library` of `images/SelfStudy/Library/P012/003`."""
    parts = clip_id.split("/")
    return parts[2] if len(parts) >= 5 else None
