"""Settings that every build has, whatever the layout of its files; each is a flag of `clipcaer build`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from modeling_clipcaer.data.boxes import Entry, match_boxes
from modeling_clipcaer.data.clip_keys import PathPatterns
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import check_ranges, option


VAL_SHARE = 0.1
SEED = 42
VAL_HELP = f"Share of training that becomes validation, by person, where none is listed (default: {VAL_SHARE})"
TEST_HELP = "Share of training that becomes the test split, by person; no default"
BOX_HELP = "File of %s boxes in RAER's form; its keys are clips' paths or names"
CHECK_HELP = "Decode all frames; a clip ends at the last that can be read"
FEW_HELP = "Training clips kept of each label, drawn at random; fewer show what little data give"
NOISE_HELP = "Share of training clips given a wrong label, at random"
NAME_HELP = "What reports and cards call the data"
UNSEEN_HELP = "Label that training and validation lose all clips of"
OUTSIDE_HELP = "Take clips that absolute paths, '..' or links name outside the source's folder"
PERSON_HELP = "Pattern whose group finds the person in a clip's path"


@dataclass(kw_only=True)
class BuildSettings:
    """How clips are cut into splits and read. A layout's settings are a subclass, with the files to look at.

    Raises:
        InputError: a value is not what it may be.
    """

    # Whether a frame that is there twice, and a first frame that cannot be read, is a clip's failure also where no box
    # needs it.
    is_strict: ClassVar[bool] = False
    # Where others find the data.
    data_link: ClassVar[str | None] = None

    person_pattern: str | None = option(None, f"{PERSON_HELP}; without it each file is a person", metavar="REGEX")
    val_share: float | None = option(None, VAL_HELP, metavar="SHARE")
    test_share: float | None = option(None, TEST_HELP, metavar="SHARE")
    seed: int | None = option(None, f"Seed of what is drawn (default: {SEED})", metavar="N")
    bounding_box_face: str | None = option(None, BOX_HELP % "face", metavar="FILE")
    bounding_box_body: str | None = option(None, BOX_HELP % "body", metavar="FILE")
    outside_boxes: str = option(
        "error", "What a box wholly outside its frame is taken for", choices=("error", "missing")
    )
    check_frames: bool = option(False, CHECK_HELP)
    skip_unreadable: bool = option(False, "Leave out clips that cannot be read, and list them")
    clips_per_label: int | None = option(None, FEW_HELP, least=1, rare=True, metavar="N")
    label_noise: float = option(0.0, NOISE_HELP, least=0, below=1, rare=True, metavar="SHARE")
    unseen_label: str | None = option(None, UNSEEN_HELP, rare=True, metavar="NAME")
    data_name: str | None = option(None, NAME_HELP, rare=True, metavar="NAME")
    allow_outside_root: bool = option(False, OUTSIDE_HELP, rare=True)

    def __post_init__(self) -> None:
        check_ranges(self)
        for setting in fields(self):
            value, choices = getattr(self, setting.name), setting.metadata.get("choices")
            if choices is not None and value not in choices:
                expected = ", ".join(map(str, choices))
                raise InputError(f"`{setting.name}` is '{value}', expected one of {expected}")
        for name in ("val_share", "test_share"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise InputError(f"`{name}` is {share}, expected a number between 0 and 1, both excluded")
        PathPatterns(self.person_pattern)  # refuses a pattern that is none before anything is read

    @classmethod
    def check_given(cls, given: Mapping[str, Any]) -> None:
        """Refuse flags that have no effect beside others; `given` are those of the command line."""

    @property
    def clips_folder(self) -> Path | None:
        """The folder that clips lie in: `root`, where a layout has it; `None` where there is none."""
        root = vars(self).get("root")
        return None if root is None else Path(root)

    def check_inside(self, path: str) -> None:
        """Refuse a file or a folder that lies elsewhere than in the clips' folder, unless that is allowed: a list that
        somebody hands on may name any file of this machine.

        Raises:
            InputError: it does, by an absolute path, by `..` or by a link.
        """
        folder = self.clips_folder
        if folder is None or self.allow_outside_root:
            return
        root, real = follow_links(str(folder)), find_real(path)
        if os.path.commonpath([root, real]) != root:
            raise InputError(
                f"{path}: leads to {real}, outside {folder}; expected a path within it (--allow-outside-root of "
                "`clipcaer build` takes any)"
            )

    def find_person(self, clip: SourceClip) -> str:
        """Who is seen in a clip: as the source says, by the pattern, or one person for each file or folder."""
        if clip.person is not None or self.person_pattern is None:
            return clip.person or clip.name
        patterns, searched = PathPatterns(self.person_pattern), clip.path if clip.is_outside else clip.name
        patterns.check(searched, clip.place)
        return patterns.find_person(searched) or clip.name

    def cut_splits(
        self, clips: Sequence[SourceClip], labels: Sequence[str], lists: str
    ) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
        """The clips of every split, and what the build's record says of that; `lists` is whose splits are listed."""
        from modeling_clipcaer.data.protocols import cut_listed

        return cut_listed(clips, labels, self, lists)

    def find_box_file(self, kind: str) -> Path | None:
        """The box file of a kind that was given."""
        given = getattr(self, f"bounding_box_{kind}")
        return None if given is None else Path(given)

    def match_boxes(
        self, kind: str, file: Path, entries: Mapping[str, Entry], clips: Sequence[SourceClip]
    ) -> tuple[dict[str, Entry], int]:
        """The entry of every clip's path that has one in a box file, and how many keys belong to none."""
        return match_boxes(file, entries, {clip.path for clip in clips})

    def name_boxes(self, clip: SourceClip, kind: str) -> str:
        """What messages call the boxes of a clip."""
        return f"{clip.place}: {kind} boxes of '{clip.clip_id}'"


@lru_cache(maxsize=1024)
def follow_links(folder: str) -> str:
    """Where a folder is, absolute and without links."""
    return os.path.realpath(folder)


def find_real(path: str) -> str:
    """Where a file is, absolute and without links; its folder is looked up once for all files in it."""
    folder, name = os.path.split(path)
    found = os.path.join(follow_links(folder), name)
    return os.path.realpath(found) if name in ("", ".", "..") or os.path.islink(found) else found
