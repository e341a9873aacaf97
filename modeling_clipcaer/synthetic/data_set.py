"""A drawn data set in RAER's own layout: who shows which label in which clip, and its files."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.progress import track
from modeling_clipcaer.data.source_clips import ORIGIN_NAME
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.synthetic.drawing import STYLES, Stage, draw_moment
from modeling_clipcaer.synthetic.words import describe_context, describe_face, join_context_caption, join_face_caption
from modeling_clipcaer.synthetic.world import PLACES, SCENES, Person, draw_scene, make_person, plan_clip


LABEL_SHARES = {
    "raer": (1383, 129, 30, 157, 422),
    "mild": (30, 18, 15, 16, 21),
    "none": (1, 1, 1, 1, 1),
}
CLIPS_PER_PERSON = 10
NUM_FRAMES = (10, 13)  # fewest and most frames of a clip
WRONG_LABEL_SHARE = 0.03  # of the training split: annotators err
MISSING_FACE_SHARE = 0.03
MISSING_FACES_SHARE = 0.01  # of the clips: no face found in any frame
MIN_TEST_CLIPS = 30  # of each label
ORIGIN = {"name": "drawn students", "is_drawn": True}


@dataclass(frozen=True)
class ClipPlan:
    """All that a process needs to draw one clip."""

    seed: int
    index: int
    split: str
    label: int
    person: Person
    clip_dir: str
    missing_faces: float  # share of the frames without a face box
    style: str | None  # other than that of all drawings


def plan_dataset(
    seed: int,
    imbalance: str,
    clips_train: int,
    clips_test: int,
    missing_faces: float = MISSING_FACE_SHARE,
    test_style: str | None = None,
) -> list[ClipPlan]:
    """Who shows which label in which clip, for both splits; in how many frames the face is missed, and how the test
    clips alone are drawn."""
    shares = np.array(LABEL_SHARES[imbalance], dtype=float)
    floor = min(MIN_TEST_CLIPS, clips_test // len(RAER_LABELS))
    test_counts = floor + share_out(clips_test - floor * len(RAER_LABELS), shares)
    rng = np.random.default_rng([seed, 0])
    plans: list[ClipPlan] = []
    for split, counts in (("train", share_out(clips_train, shares)), ("test", test_counts)):
        look = {"missing_faces": missing_faces, "style": test_style if split == "test" else None}
        plans += plan_split(rng, seed, split, counts, len(plans), look)
    return plans


def share_out(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to `shares` that sum to `total` (largest remainders)."""
    exact = total * shares / shares.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def plan_split(
    rng: np.random.Generator, seed: int, split: str, counts: np.ndarray, first: int, look: dict[str, Any]
) -> list[ClipPlan]:
    """Who shows which label in each clip of a split."""
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    folders: list[tuple[Person, str]] = []
    plans = []
    for position, label in enumerate(labels.tolist()):
        if position % CLIPS_PER_PERSON == 0:
            number = first // CLIPS_PER_PERSON + len(folders) + 1 + (split == "test")
            person = make_person(rng, PLACES[len(folders) % len(PLACES)])
            folders.append((person, f"{name_place(person.place, number)}/P{number:03d}"))
        person, folder = folders[-1]
        clip_dir = f"RAER/images/{folder}/{position % CLIPS_PER_PERSON + 1:03d}"
        plans.append(ClipPlan(seed, first + position, split, label, person, clip_dir, **look))
    return plans


def name_place(place: str, number: int) -> str:
    """The folder of a place, as RAER names it."""
    return (
        f"Class/Classroom/Class{number // 12 + 1:03d}" if place == "classroom" else f"SelfStudy/{place.capitalize()}"
    )


def draw_dataset(plans: list[ClipPlan], root: Path, num_workers: int) -> None:
    """Write every clip under `root`, which stands for the folder RAER, and then the files that list them."""
    with ProcessPoolExecutor(num_workers) as pool:
        drawn = pool.map(draw_clip, plans, [root] * len(plans), chunksize=4)
        clips = list(track(drawn, "drawing clips", len(plans)))
    for split in ("train", "test"):
        lines = (clip["annotation"] for clip, plan in zip(clips, plans, strict=True) if plan.split == split)
        write_lines(root / "annotation" / f"{split}.txt", lines)
    faces = {plan.clip_dir: clip["faces"] for clip, plan in zip(clips, plans, strict=True)}
    # RAER's own files do not spell their clip folders alike; readers have to bear it.
    bodies = {f"RAER/{plan.clip_dir}": clip["body"] for clip, plan in zip(clips, plans, strict=True)}
    write_lines(root / "bounding_box" / "face.json", [json.dumps(faces)])
    write_lines(root / "bounding_box" / "body.json", [json.dumps(bodies)])
    write_json(ORIGIN, root / ORIGIN_NAME)
    write_lines(root / "captions.jsonl", (json.dumps(caption) for clip in clips for caption in clip["captions"]))


def write_lines(path: Path, lines: Iterator[str] | list[str]) -> None:
    """Write a text file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def draw_clip(plan: ClipPlan, root: Path) -> dict:
    """Write the frames of one clip; returns its annotation line, boxes and captions."""
    rng = np.random.default_rng([plan.seed, 1, plan.index])
    num_frames = int(rng.integers(NUM_FRAMES[0], NUM_FRAMES[1] + 1))
    setting, moments = plan_clip(rng, plan.person, draw_scene(rng, RAER_LABELS[plan.label]), num_frames)
    stage = Stage(plan.person, setting)
    folder = root.joinpath(*Path(plan.clip_dir).parts[1:])
    folder.mkdir(parents=True)
    faces, bodies, captions = {}, [], []
    for number, moment in enumerate(moments, start=1):
        picture, face, body, cues = draw_moment(stage, moment, rng)
        if plan.style is not None:
            picture = STYLES[plan.style](picture)
        picture.save(folder / f"{number}.jpg", quality=85)
        bodies.append(body)
        if rng.random() >= plan.missing_faces:
            faces[f"{number}.jpg"] = [round(side + rng.normal(0, 0.7), 2) for side in face]
        captions.append(
            {
                "frame": f"{plan.clip_dir}/{number}.jpg",
                "face": join_face_caption(describe_face(moment)),
                "context": join_context_caption(describe_context(plan.person, setting, moment)),
                "cues": {name: [round(side, 2) for side in box] for name, box in cues.items()},
            }
        )
    wrong = plan.split == "train" and rng.random() < WRONG_LABEL_SHARE
    label = int(rng.integers(len(SCENES))) if wrong else plan.label
    lost = rng.random() < MISSING_FACES_SHARE
    return {
        "annotation": f"{plan.clip_dir} {num_frames} {label + 1}",
        "faces": {} if lost else faces,
        "body": [round(side, 2) for side in np.mean(bodies, axis=0).tolist()],
        "captions": captions,
    }
