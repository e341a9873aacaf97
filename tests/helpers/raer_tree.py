"""A small real RAER on disk for the tests of its readers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from modeling_clipcaer.data.layouts.raer_builder import Raer


WIDTH, HEIGHT = 64, 48
FACE_BOX = [10.0, 5.0, 30.0, 25.0]
BODY_BOX = [5.0, 4.0, 45.0, 44.0]


@dataclass
class Clip:
    clip_id: str
    label: int  # 1-based, as in the lists
    num_frames: int = 3


@dataclass
class RaerTree:
    """The folder RAER: change the attributes, then `write_files` again."""

    raer: Path
    train: list[Clip]
    test: list[Clip]
    faces: dict = field(default_factory=dict)
    bodies: dict = field(default_factory=dict)

    @property
    def train_list(self) -> Path:
        return self.raer / "annotation" / "train.txt"

    @property
    def test_list(self) -> Path:
        return self.raer / "annotation" / "test.txt"

    @property
    def face_file(self) -> Path:
        return self.raer / "bounding_box" / "face.json"

    @property
    def body_file(self) -> Path:
        return self.raer / "bounding_box" / "body.json"

    def write_files(self) -> None:
        for path, clips in ((self.train_list, self.train), (self.test_list, self.test)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"RAER/{clip.clip_id} {clip.num_frames} {clip.label}\n" for clip in clips))
        for path, boxes in ((self.face_file, self.faces), (self.body_file, self.bodies)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(boxes))


def make_tree(parent: Path) -> RaerTree:
    """Four persons of two places with one training clip of every label each, and one more person in the test list."""
    people = ["Class/Classroom/Class001/P001", "Class/Classroom/Class001/P002", "SelfStudy/Library/P001"]
    train = [
        Clip(f"images/{who}/{label:03d}", label) for who in [*people, "SelfStudy/Lab/P004"] for label in range(1, 6)
    ]
    test = [Clip(f"images/SelfStudy/Lab/P005/{label:03d}", label) for label in range(1, 6)]
    tree = RaerTree(parent / "RAER", train, test)
    for clip in [*train, *test]:
        write_frames(tree.raer / clip.clip_id, [f"{number}.jpg" for number in range(1, clip.num_frames + 1)])
        tree.faces[f"RAER/{clip.clip_id}"] = {f"{number}.jpg": FACE_BOX for number in range(1, clip.num_frames + 1)}
        tree.bodies[f"RAER/{clip.clip_id}"] = BODY_BOX
    tree.write_files()
    return tree


def write_frames(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 60)).save(folder / name)


def build(tree, num_proc=1, **options):
    """The rows of a tree, by split, as the builder of the `datasets` library makes them."""
    builder = Raer.create(cache_dir=tree.raer.parent / "cache", **{"root": tree.raer, **options})
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset()


def row_of(rows, clip_id):
    """A clip's row, in whichever split it is."""
    return next(row for split in rows.values() for row in split if row["clip_id"] == clip_id)
