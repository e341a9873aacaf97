"""What happens in the drawn world: persons, and clips as stories over time.

A label is a fact about face and context together. Each label has several scenes (a face story in a context story), and
nearly every story occurs under more than one label, so that neither stream alone can tell them apart. Some stories
differ only in their order in time.
"""

from dataclasses import dataclass, replace

import numpy as np


PLACES = ("classroom", "library", "laboratory", "dormitory")
DESK_OBJECTS = ("book", "notebook", "laptop")

# label -> ((face story, context story), weight). Read down a story to see which labels share it.
SCENES = {
    "Neutrality": {
        ("reading", "studying"): 7,
        ("frowning", "studying"): 4,
        ("gaping", "studying"): 3,
        ("reading", "slouching"): 2,
        ("reading", "company"): 3,
        ("aside", "company"): 2,
    },
    "Enjoyment": {
        ("smiling", "studying"): 6,
        ("smiling", "slouching"): 4,
        ("smiling", "puzzling"): 3,
        ("smiling", "company"): 3,
        ("gaping", "company"): 4,
    },
    "Confusion": {
        ("reading", "puzzling"): 5,
        ("frowning", "puzzling"): 5,
        ("gaping", "puzzling"): 3,
        ("wandering", "puzzling"): 3,
        ("frowning", "slouching"): 3,
        ("frowning", "company"): 2,
    },
    "Fatigue": {
        ("dozing", "studying"): 5,
        ("dozing", "slouching"): 4,
        ("gaping", "slouching"): 6,
        ("aside", "slouching"): 3,
        ("dozing", "company"): 2,
    },
    "Distraction": {
        ("reading", "phone"): 5,
        ("smiling", "phone"): 4,
        ("frowning", "phone"): 3,
        ("gaping", "phone"): 1,
        ("wandering", "studying"): 5,
        ("wandering", "slouching"): 2,
        ("wandering", "company"): 2,
    },
}
FACE_STORIES = tuple(sorted({face for scenes in SCENES.values() for face, _ in scenes}))
CONTEXT_STORIES = tuple(sorted({context for scenes in SCENES.values() for _, context in scenes}))


@dataclass(frozen=True)
class Person:
    """Looks that never change, and habits that look like a label without being one."""

    place: str
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    shirt: tuple[int, int, int]
    hair_style: int
    head_width: float
    head_height: float
    eye_gap: float
    glasses: bool
    frown: float
    smile: float
    droop: float
    slouch: float


@dataclass(frozen=True)
class Setting:
    """What stays the same through a clip besides the person."""

    desk_object: str
    company: int  # -1: someone sits at the left of the picture, 1: at the right, 0: nobody
    side: int  # the arm that moves: -1 left, 1 right
    cover: tuple[int, int, int]  # of the book
    screen: tuple[int, int, int]  # of the phone
    zoom: float
    shift: tuple[float, float]
    light: tuple[float, ...]  # red, green, blue
    noise: float
    look: int  # seed of the room's colours and clutter


@dataclass(frozen=True)
class Moment:
    """One frame: everything here can be seen, nothing here is a label."""

    openness: float = 1.0  # of the eyes: 0 closed
    gaze: tuple[float, float] = (0.0, 0.0)  # right and down positive, in -1..1
    smile: float = 0.0
    gape: float = 0.0
    frown: float = 0.0
    slouch: float = 0.0
    prop: bool = False  # head on hand
    scratch: bool = False  # hand at the head
    phone: bool = False
    tilt: float = 0.0  # of the head, degrees
    sway: tuple[float, float] = (0.0, 0.0)


def make_person(rng: np.random.Generator, place: str | None = None) -> Person:
    """A person drawn at random."""
    skin = np.array([236, 196, 168]) * rng.uniform(0.45, 1.05) + rng.uniform(-8, 8, 3)
    hair = np.array([60, 44, 34]) * rng.uniform(0.3, 2.2) + rng.uniform(-10, 10, 3)
    habit = rng.permutation(4) if rng.random() < 0.7 else np.full(4, 9)  # most persons have one habit
    return Person(
        place=place or str(rng.choice(PLACES)),
        skin=to_colour(skin),
        hair=to_colour(hair),
        shirt=to_colour(rng.uniform(30, 230, 3)),
        hair_style=int(rng.integers(4)),
        head_width=float(rng.uniform(0.9, 1.1)),
        head_height=float(rng.uniform(0.92, 1.1)),
        eye_gap=float(rng.uniform(0.92, 1.1)),
        glasses=bool(rng.random() < 0.3),
        frown=0.45 if habit[0] == 0 else float(rng.uniform(0, 0.15)),
        smile=0.3 if habit[1] == 0 else float(rng.uniform(-0.2, 0.1)),
        droop=0.35 if habit[2] == 0 else float(rng.uniform(0, 0.12)),
        slouch=0.55 if habit[3] == 0 else float(rng.uniform(0, 0.2)),
    )


def to_colour(values: np.ndarray) -> tuple[int, int, int]:
    """A colour as PIL takes it."""
    red, green, blue = (int(value) for value in np.clip(values, 0, 255))
    return red, green, blue


def draw_scene(rng: np.random.Generator, label: str) -> tuple[str, str]:
    """A (face story, context story) of this label."""
    scenes = list(SCENES[label])
    weights = np.array([SCENES[label][scene] for scene in scenes], dtype=float)
    return scenes[rng.choice(len(scenes), p=weights / weights.sum())]


def plan_clip(
    rng: np.random.Generator, person: Person, scene: tuple[str, str], num_frames: int
) -> tuple[Setting, list[Moment]]:
    """What a clip of `scene` shows, frame by frame."""
    face_story, context_story = scene
    setting = Setting(
        desk_object=str(rng.choice(DESK_OBJECTS, p=(0.5, 0.3, 0.2))),
        company=int(rng.choice((-1, 1))) if context_story == "company" else 0,
        side=int(rng.choice((-1, 1))),
        cover=to_colour(rng.uniform(40, 220, 3)),
        screen=to_colour(rng.uniform(150, 255, 3)),
        zoom=float(rng.uniform(0.88, 1.14)),
        # Now and then the camera cuts off the hair, and boxes begin above the frame.
        shift=(float(rng.uniform(-22, 22)), float(rng.uniform(-8, 8) - 50 * (rng.random() < 0.04))),
        light=tuple(float(value) for value in rng.uniform(0.72, 1.12) * rng.uniform(0.93, 1.07, 3)),
        noise=float(rng.uniform(2, 7)),
        look=int(rng.integers(2**31)),
    )
    moments = tell_context_story(rng, context_story, [Moment() for _ in range(num_frames)])
    moments = tell_face_story(rng, face_story, moments)
    return setting, [add_habits(rng, person, moment) for moment in moments]


def rise(rng: np.random.Generator, num_frames: int, earliest: float = -0.3, latest: float = 0.5) -> np.ndarray:
    """A ramp 0..1 over the clip that starts somewhere between `earliest` and `latest` (shares of the clip)."""
    time = np.linspace(0, 1, num_frames)
    return np.clip((time - rng.uniform(earliest, latest)) / rng.uniform(0.1, 0.3), 0, 1)


def tell_context_story(rng: np.random.Generator, story: str, moments: list[Moment]) -> list[Moment]:
    """What goes on around a student over a clip."""
    ramp = rise(rng, len(moments), latest=0.4)
    prop = rng.random() < 0.5
    strength = rng.uniform(0.8, 1.1)

    def change(moment: Moment, level: float) -> Moment:
        if story == "slouching":
            return replace(moment, prop=bool(prop), slouch=strength * (0.5 if prop else 1.0))
        if story == "puzzling":
            return replace(moment, scratch=bool(level > 0.5))
        if story == "phone":
            return replace(moment, phone=bool(level > 0.5))
        return moment

    return [change(moment, level) for moment, level in zip(moments, ramp, strict=True)]


def tell_face_story(rng: np.random.Generator, story: str, moments: list[Moment]) -> list[Moment]:
    """What a face does over a clip."""
    tell = {
        "dozing": tell_dozing,
        "wandering": tell_wandering,
        "aside": tell_aside,
        "gaping": tell_gaping,
        "smiling": tell_smiling,
        "frowning": tell_frowning,
        "reading": tell_reading,
    }[story]
    return tell(rng, moments)


def tell_reading(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """Eyes on the desk; blinks, sometimes a long one at the start that opens again, sometimes a glance ahead."""
    count = len(moments)
    gaze_x, gaze_y = rng.uniform(-0.25, 0.25), rng.uniform(0.65, 1.0)
    closed = set(rng.choice(count, size=rng.integers(0, 3), replace=False).tolist())
    if rng.random() < 0.3:
        closed |= set(range(int(rng.uniform(0.3, 0.5) * count)))
    glance = int(rng.integers(count)) if rng.random() < 0.4 else -1
    told = []
    for index, moment in enumerate(moments):
        gaze = (0.0, 0.0) if index == glance else (gaze_x + rng.uniform(-0.15, 0.15), gaze_y)
        told.append(replace(moment, gaze=gaze, openness=0.0 if index in closed else 1.0))
    return told


def tell_smiling(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """A face that smiles over a clip."""
    ramp = rise(rng, len(moments), latest=0.35) * rng.uniform(0.8, 1.0)
    told = tell_reading(rng, moments)
    return [replace(moment, smile=float(level)) for moment, level in zip(told, ramp, strict=True)]


def tell_frowning(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """A face that frowns over a clip."""
    ramp = rise(rng, len(moments)) * rng.uniform(0.8, 1.0)
    told = tell_reading(rng, moments)
    return [replace(moment, frown=float(level)) for moment, level in zip(told, ramp, strict=True)]


def tell_gaping(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """The mouth opens wide for a while: a yawn, a laugh, reading aloud, a question. The context tells which."""
    time = np.linspace(0, 1, len(moments))
    gape = np.exp(-(((time - rng.uniform(0.3, 0.7)) / rng.uniform(0.18, 0.28)) ** 2))
    told = tell_reading(rng, moments)
    return [replace(moment, gape=float(level)) for moment, level in zip(told, gape, strict=True)]


def tell_dozing(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """The eyes close and stay closed; the frames alone are those of a long blink at the start of reading."""
    told = tell_reading(rng, moments)
    opening = 1 - rise(rng, len(moments), earliest=0.2, latest=0.5)
    return [
        replace(moment, openness=float(level if level < 0.95 else 1.0))
        for moment, level in zip(told, opening, strict=True)
    ]


def tell_wandering(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """The gaze goes from side to side and never rests."""
    told, side = [], int(rng.choice((-1, 1)))
    for moment in moments:
        if rng.random() < 0.45:
            side = -side
        told.append(replace(moment, gaze=(side * rng.uniform(0.6, 1.0), rng.uniform(-0.5, 0.3))))
    return told


def tell_aside(rng: np.random.Generator, moments: list[Moment]) -> list[Moment]:
    """The gaze rests on one point at the side."""
    x, y = rng.choice((-1, 1)) * rng.uniform(0.6, 1.0), rng.uniform(-0.5, 0.3)
    blink = int(rng.integers(len(moments)))
    return [replace(moment, gaze=(x, y), openness=float(index != blink)) for index, moment in enumerate(moments)]


def add_habits(rng: np.random.Generator, person: Person, moment: Moment) -> Moment:
    """The person's habits and the small movements that mean nothing."""
    return replace(
        moment,
        openness=float(np.clip(moment.openness - person.droop * (moment.openness > 0.3), 0, 1)),
        smile=float(max(moment.smile, person.smile)),
        frown=float(max(moment.frown, person.frown)),
        slouch=float(max(moment.slouch, person.slouch)),
        tilt=moment.tilt + float(rng.normal(0, 3)),
        sway=(float(rng.normal(0, 1.2)), float(rng.normal(0, 0.8))),
    )
