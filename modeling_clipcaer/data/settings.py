"""Settings that every build has, whatever the layout of its files; each is a flag of `clipcaer build`.

Standard library only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modeling_clipcaer.common.command_flags import flag
from modeling_clipcaer.data.clip_keys import PathPatterns
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


VAL_SHARE = 0.1
SEED = 42


def person_flag(default: str | None) -> Any:
    """The flag `--person-pattern` of a layout whose paths name persons by `default`, or not at all."""
    none = "; without it each clip's file is a person" if default is None else ""
    return flag(default, metavar="REGEX", help=f"whose group finds the person in a clip's path{none}")


def labels_flag(default: str) -> Any:
    return flag(None, nargs="+", metavar="NAME", help=f"the labels, in order (default: {default}, A to Z)")


@dataclass(kw_only=True)
class BuildSettings:
    """How clips are cut into splits and read. A layout's settings are a subclass, with the files to look at.

    Raises:
        InputError: a value is not what it may be.
    """

    person_pattern: str | None = person_flag(None)
    val_share: float | None = flag(
        None,
        type=float,
        metavar="SHARE",
        help=f"of training that becomes validation, by person, where none is listed (default {VAL_SHARE})",
    )
    test_share: float | None = flag(
        None, type=float, metavar="SHARE", help="of training that becomes the test split, by person; no default"
    )
    seed: int | None = flag(None, type=int, metavar="N", help=f"of these cuts (default {SEED})")
    bounding_box_face: str | None = flag(
        None, metavar="FILE", help="face boxes in RAER's form, keys: a clip's path or name"
    )
    bounding_box_body: str | None = flag(
        None, metavar="FILE", help="body boxes in RAER's form, keys: a clip's path or name"
    )
    outside_boxes: str = flag("error", choices=("error", "missing"), help="a box wholly outside its frame is this")
    check_frames: bool = flag(
        False, action="store_true", help="decode all frames; a clip ends at the last that can be read"
    )
    skip_unreadable: bool = flag(False, action="store_true", help="leave clips out that cannot be read, and list them")

    def __post_init__(self) -> None:
        for name in ("val_share", "test_share"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise InputError(f"`{name}` is {share}, expected a number between 0 and 1, both excluded")
        self.check_choice("outside_boxes", ("error", "missing"))
        PathPatterns(self.person_pattern)  # refuses a pattern that is none before anything is read

    def check_choice(self, name: str, allowed: Sequence[Any]) -> None:
        if getattr(self, name) not in allowed:
            expected = ", ".join(map(str, allowed))
            raise InputError(f"`{name}` is '{getattr(self, name)}', expected one of {expected}")

    @classmethod
    def check_given(cls, given: Mapping[str, Any]) -> None:
        """Refuse flags that have no effect beside others; `given` are those of the command line."""

    def find_person(self, clip: SourceClip) -> str:
        """Who is seen in a clip: as the source says, by the pattern, or one person for each file or folder."""
        if clip.person is not None or self.person_pattern is None:
            return clip.person or clip.name
        patterns, searched = PathPatterns(self.person_pattern), clip.path if clip.is_outside else clip.name
        patterns.check(searched, clip.place)
        return patterns.find_person(searched)

    def cut_splits(
        self, clips: Sequence[SourceClip], labels: Sequence[str], lists: str
    ) -> tuple[dict[str, list[SourceClip]], dict[str, Any]]:
        """The clips of every split, and what the build's record says of that; `lists` is whose splits are listed."""
        from modeling_clipcaer.data.protocols import cut_listed  # imports numpy, which `--help` does not wait for

        return cut_listed(clips, labels, self, lists)
