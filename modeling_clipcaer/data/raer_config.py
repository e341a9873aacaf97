"""What a RAER build reads, and how: options, files and folders."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets

from modeling_clipcaer import frame_files, names, raer_labels
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.data.clip_keys import Layout
from modeling_clipcaer.errors import InputError, check_readable
from modeling_clipcaer.names import find_label_fault
from modeling_clipcaer.raer_labels import RAER_LABELS


NO_BOXES = "none"
PROTOCOLS = ("official", "person", "kfold", "leave-one-place-out")
# Options that mean something with one protocol alone.
PROTOCOL_OF = {
    "val_split": "official",
    "test_share": "person",
    "folds": "kfold",
    "fold": "kfold",
    "place": "leave-one-place-out",
}


@dataclass
class RaerConfig(datasets.BuilderConfig):
    """What to read and how.

    Args:
        root: the RAER folder or its parent.
        train_annotation, test_annotation: lists of clips; by default `annotation/{train,test}.txt` of the RAER folder.
        val_annotation: a list of validation clips; by default validation is cut from the training list.
        bounding_box_face, bounding_box_body: box files, by default `bounding_box/{face,body}.json` of the RAER folder;
            "none" does without, and every face or context is then cut from the fall-backs, in the end the whole frame.
        split: the protocol. "official" keeps the lists; the others pool all lists and cut them anew: "person" into
            parts with nobody in two of them, "kfold" by person into `folds` parts of which number `fold` is the test
            split, "leave-one-place-out" takes the clips of `place` for the test split.
        val_share: validation's share of the clips that are not for testing.
        val_split: "clip" cuts official validation by clip, "person" by whole persons, as the other protocols do.
        test_share: the test split's share with `split="person"`.
        seed: of all cuts.
        person_pattern, place_pattern: how a clip's path names them, see `Layout`.
        first_label: the number of the first label in the lists, 0 or 1.
        outside_boxes: what a box wholly outside its frame is: an "error", or "missing" and replaced by the fall-backs.
        min_face_share, min_body_share: the share of every list's clips that must have a box.
        labels: names of the labels of the lists, from `first_label` on.
    """

    root: str = "."
    train_annotation: str | None = None
    val_annotation: str | None = None
    test_annotation: str | None = None
    bounding_box_face: str | None = None
    bounding_box_body: str | None = None
    split: str = "official"
    val_share: float = 0.1
    val_split: str = "clip"
    test_share: float = 0.2
    folds: int = 5
    fold: int | None = None
    place: str | None = None
    person_pattern: str | None = None
    place_pattern: str | None = None
    seed: int = 42
    outside_boxes: str = "error"
    min_face_share: float = 0.5
    min_body_share: float = 0.5
    first_label: int = 1
    labels: Sequence[str] = RAER_LABELS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choices()
        for field in ("val_share", "test_share"):
            if not 0 < getattr(self, field) < 1:
                raise InputError(
                    f"`{field}` is {getattr(self, field)}, expected a number between 0 and 1, both excluded"
                )
        for field in ("min_face_share", "min_body_share"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(f"`{field}` is {getattr(self, field)}, expected a number from 0 to 1")
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
        Layout(self.person_pattern, self.place_pattern)  # refuses a pattern that is none before anything is read

    def _check_choices(self) -> None:
        choices = {
            "split": PROTOCOLS,
            "val_split": ("clip", "person"),
            "outside_boxes": ("error", "missing"),
            "first_label": (0, 1),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"`{field}` is '{getattr(self, field)}', expected one of {', '.join(map(str, allowed))}"
                )

    @property
    def layout(self) -> Layout:
        """How a clip's path names person and place."""
        return Layout(self.person_pattern, self.place_pattern)


@dataclass(frozen=True)
class Sources:
    """The files and the folder that a configuration means."""

    raer: Path
    train: Path
    test: Path
    validation: Path | None
    face: Path | None
    body: Path | None

    def files(self) -> list[Path]:
        return [path for name, path in vars(self).items() if name != "raer" and path is not None]


def locate_sources(config: RaerConfig) -> Sources:
    raer = find_raer_folder(config.root)

    def locate(given: str | None, default: str, option: str | None = None) -> Path | None:
        if option is not None and given == NO_BOXES:
            return None
        path = raer / default if given is None else Path(given)
        check_readable(path)
        if path.is_file():
            return path
        hint = f", or --{option} {NO_BOXES} to do without" if option is not None and given is None else ""
        raise InputError(f"{path}: expected a file, found {'a folder' if path.exists() else 'nothing'}{hint}")

    return Sources(
        raer=raer,
        train=locate(config.train_annotation, "annotation/train.txt"),
        test=locate(config.test_annotation, "annotation/test.txt"),
        validation=locate(config.val_annotation, "") if config.val_annotation is not None else None,
        face=locate(config.bounding_box_face, "bounding_box/face.json", "bounding-box-face"),
        body=locate(config.bounding_box_body, "bounding_box/body.json", "bounding-box-body"),
    )


def find_raer_folder(root: str) -> Path:
    """The absolute folder that holds `images`: `root`, `root/RAER`, or `root/RAER/RAER` as archives may unpack it."""
    folder = Path(root).absolute()
    check_readable(folder)
    for candidate in (folder, folder / "RAER", folder / "RAER" / "RAER"):
        if (candidate / "images").is_dir():
            return candidate
    raise InputError(f"{root}: expected the RAER folder (with images/ in it) or its parent, found no images folder")


def list_code() -> list[Path]:
    """The source files that decide what a build's rows are."""
    modules = (frame_files, names, raer_labels)
    return [*sorted(Path(__file__).parent.glob("raer*.py")), *(Path(module.__file__) for module in modules)]


def hash_contents(paths: Iterable[Path]) -> str:
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()
