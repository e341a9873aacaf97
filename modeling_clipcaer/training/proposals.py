"""A recipe for somebody's own data: every value with the reason for it, in words.

What is said of effects is of drawings, from docs/ablation.md; nothing is said of times but what was measured.
"""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import yaml
from datasets import Dataset

from modeling_clipcaer.data.boxes import BOX_SOURCES


TIMES = ("short", "usual", "long")
EVEN = 1.5  # most to fewest clips of a label, up to which labels count as equally frequent
WIDTH = 98  # of a comment
DRAWN = "On drawings (docs/ablation.md)"
MARGIN, MARGIN_SHARE = 20, 8  # pixels, and how many of them make a face; the demo has 4 for faces of 35
USUAL_CLIP = "ViT-B/32"


class Choice(NamedTuple):
    """A value of a recipe, and why it is this one."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Circumstances:
    """What a proposal goes by.

    Attributes:
        dataset: the folder.
        counts: clips of each label, by split.
        face_share: of the training clips, those with a face box of their own.
        face_width: pixels, the median over these.
        labels_file: of the labels' texts; `None` for RAER's labels, whose texts come with the code.
        device: "cpu" or "gpu", that the run is for.
        time: one of `TIMES`.
        clip_model: the CLIP checkpoint.
        clip_at_hand: whether that needs no download here.
        output: the run's folder.
    """

    dataset: str
    counts: Mapping[str, Mapping[str, int]]
    face_share: float
    face_width: float
    labels_file: str | None
    device: str
    time: str
    clip_model: str
    clip_at_hand: bool
    output: str

    @property
    def trains_tower(self) -> bool:
        """Whether the vision tower is trained, too."""
        return self.device == "gpu" and self.time == "long"


def measure_faces(rows: Dataset) -> tuple[float, float]:
    """The share of clips with a face box of their own, and the median width of these in pixels. Of rows that hold
    crops, which were cut by boxes, all have one, and no margin is left to choose."""
    if "face_box_sources" not in rows.column_names:
        return 1.0, math.inf
    own = BOX_SOURCES.index("annotated")
    widths = [
        next(right - left for (left, _, right, _), source in zip(boxes, sources, strict=True) if source == own)
        for boxes, sources in zip(rows["face_boxes"][:], rows["face_box_sources"][:], strict=True)
        if own in sources
    ]
    return len(widths) / len(rows), median(widths) if widths else 0.0


def propose(case: Circumstances) -> dict[str, list[Choice]]:
    """The choices of a recipe, by title."""
    return {
        "data": list(choose_data(case)),
        "model": list(choose_model(case)),
        "losses": list(choose_losses(case)),
        "learning": list(choose_learning(case)),
    }


def choose_data(case: Circumstances) -> Iterator[Choice]:
    """Where the clips and the labels' texts are, and where the run goes."""
    sizes = ", ".join(f"{split} {sum(counts.values())}" for split, counts in case.counts.items())
    yield Choice("dataset", case.dataset, f"Clips: {sizes}.")
    if case.labels_file is None:
        return
    yield Choice("labels_file", case.labels_file, "The labels' texts. Say there what a camera can see of each label.")


def choose_model(case: Circumstances) -> Iterator[Choice]:
    """What the model is made of."""
    here = "It needs no download." if case.clip_at_hand else "It is not in the Hub's cache: the first run fetches it."
    which = "The presets' CLIP." if case.clip_model == USUAL_CLIP else "Not the presets' ViT-B/32."
    yield Choice("clip_model", case.clip_model, f"{which} {here} Which one is best is not yet measured.")
    frames = 8 if case.time == "short" else 16
    why = "Fewer frames are faster." if frames == 8 else "The paper's number."
    yield Choice(
        "num_frames",
        frames,
        f"{why} {DRAWN} 4 cost 3.0 ± 0.9 points of UAR against 8, and 12 changed nothing visible.",
    )
    if case.face_share == 0:
        yield Choice(
            "streams",
            "context",
            "No clip has a face box, so that the face stream would see the whole frame once more. Find faces first "
            "(clipcaer build … --detect-boxes), then take both.",
        )
        return
    yield Choice(
        "streams",
        "both",
        f"{case.face_share:.0%} of the training clips have a face box. {DRAWN} either stream alone cost 28 points or "
        "more.",
    )
    if math.isfinite(case.face_width):
        margin = min(MARGIN, max(1, round(case.face_width / MARGIN_SHARE)))
        yield Choice(
            "face_margin",
            margin,
            f"Pixels around a face: the presets' {MARGIN}, but at most an eighth of a face. They are "
            f"{case.face_width:.0f} wide here, at the median.",
        )
    yield Choice("adapter_residual_ratio", 1.0, f"{DRAWN} it gained 2.3 ± 0.6 against the method's 0.2.")
    yield Choice("fusion", "gated", f"{DRAWN} it gained 1.1 ± 0.5 beside that ratio.")
    yield Choice("prototype_source", "mean", f"As in the presets. {DRAWN} each text view alone was as good.")


def choose_losses(case: Circumstances) -> Iterator[Choice]:
    """What answers to rare labels."""
    present = [count for count in case.counts["train"].values() if count]
    skew = max(present) / min(present)
    told = f"The commonest label has {skew:.1f} times the clips of the rarest."
    if skew > EVEN:
        yield Choice("logit_adj", True, f"{told} {DRAWN} it gained 7.4 ± 2.5 at RAER's proportions.")
    else:
        yield Choice("logit_adj", False, f"{told} That is nearly even, and leaves nothing to adjust.")
    yield Choice(
        "mi_loss_weight", 0.5, f"The method's. {DRAWN} neither this loss nor the next changed anything visible."
    )
    yield Choice("dc_loss_weight", 0.1, "The method's.")


def choose_learning(case: Circumstances) -> Iterator[Choice]:
    """How weights are found."""
    if case.trains_tower:
        yield Choice(
            "lr_image_encoder", 1e-6, "CLIP's vision tower is trained, too, as in the paper: there is time and a GPU."
        )
    else:
        why = "CLIP's vision tower stays as it is: to train it takes a GPU and a long time."
        yield Choice("lr_image_encoder", 0.0, why)
        yield Choice("cache_frame_embeds", True, "Each clip is then encoded once, for all epochs and later runs.")
        views = 4 if case.time == "long" else 1
        yield Choice("cache_views", views, f"Views of a training clip. {DRAWN} 4 gained nothing visible over 1.")
    epochs = 10 if case.time == "short" else 50
    why = "A first look." if case.time == "short" else "As in the presets."
    yield Choice("num_train_epochs", epochs, f"{why} {DRAWN} 24 gained 1.1 ± 0.6 over 12, and 6 cost 3.5 ± 0.9.")
    yield Choice("per_device_train_batch_size", 8, "Clips a step, as in the presets.")
    yield Choice("learning_rate", 3e-4, "Of the temporal encoders and the fusion, as in the presets.")
    if case.face_share:
        yield Choice("lr_adapter", 1e-4, "Of the face adapter, as in the presets.")
    yield Choice("lr_prompt_learner", 1e-3, "Of the learned prompts, as in the presets.")
    yield Choice("lr_scheduler_type", "cosine", "As in the presets.")
    yield Choice(
        "load_best_model_at_end",
        False,
        f"The last epoch is the result. {DRAWN} the one that a small validation split selects was 1.3 ± 0.2 worse.",
    )
    yield Choice("seed", 42, "Run two more (--seed 43, 44) before you believe a difference.")
    yield Choice("output_dir", case.output, "Checkpoint, report and figures go here.")


def render(choices: Mapping[str, Iterable[Choice]], head: Iterable[str]) -> str:
    """The recipe as a file for `--config`, each value below its reason."""
    lines = [f"# {line}".rstrip() for line in head]
    for title, entries in choices.items():
        lines += ["", f"# --- {title}"]
        for choice in entries:
            lines += [f"# {line}" for line in textwrap.wrap(choice.reason, WIDTH)]
            lines.append(yaml.safe_dump({choice.key: choice.value}, allow_unicode=True).strip())
    return "\n".join(lines) + "\n"
