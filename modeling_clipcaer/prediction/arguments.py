"""Flags of recipes/predict.py."""

import os
from collections import deque
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from typing import Any

from modeling_clipcaer.common.flags import option
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.formats import DEFAULT_NAMES, NAMES
from modeling_clipcaer.models.arguments import TOWER_DTYPES
from modeling_clipcaer.prediction.inputs import describe_file
from modeling_clipcaer.processing_clipcaer import CHOICES


# What a figure depends on, beside the recording, the model, the detector and the precision that are chosen.
FIGURE_FLAGS = (
    *("window", "stride", "smoothing", "hysteresis", "threshold", "context", "fps", "duration"),
    *("face_detector_weights", "bounding_box_face", "bounding_box_body", "labels"),
)
FILE_FLAGS = ("face_detector_weights", "bounding_box_face", "bounding_box_body", "labels")
CLIP_FLAGS = frozenset(
    ("inputs", "model", "output_dir", "clips", "device", "tower_dtype", "bounding_box_face", "bounding_box_body")
)


@dataclass
class PredictionArguments:
    """What is predicted from what, and how it is written."""

    inputs: list[str] = option(
        MISSING,
        "Videos, folders of them, folders of frames, http(s) addresses, a camera (/dev/video0), with or without this "
        "word before them.",
    )
    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub. With --labels a plain CLIP checkpoint.")
    output_dir: str = option("outputs/predict", "Folder for the results. What is done in it is not done again.")

    window: float = option(10.0, "Seconds of a window.")
    stride: float = option(5.0, "Seconds between the beginnings of windows.")
    smoothing: int = option(3, "Neighbouring windows whose mean makes segments, odd; 1: off.")
    hysteresis: float = option(0.1, "Lead in probability by which another label takes over in segments.")
    threshold: float = option(0.0, "Probability below which the label is `uncertain`; 0: off.")
    face_detector: str = option(
        "auto",
        "Who finds faces; auto: YuNet where its file can be had, else Haar.",
        choices=["auto", "yunet", "haar", "mtcnn"],
    )
    face_detector_weights: str | None = option(None, "Its file, where it is not to be downloaded.")
    context: str | None = option(
        None,
        "What the context stream shows: body: the supplied box, or else one grown around each face; frame: the "
        "whole frame; as in training by default.",
        choices=list(CHOICES["context"]),
    )
    fps: float | None = option(None, "Frames a second of folders of frames; 25 by default.")
    duration: float | None = option(None, "Stop after so many seconds of each recording.")
    bounding_box_face: str | None = option(None, "JSON file of face boxes, in place of a detector.")
    bounding_box_body: str | None = option(None, "JSON file of body boxes.")
    labels: str | None = option(None, "YAML file of labels and sentences for zero-shot answers of a plain CLIP model.")

    formats: list[str] | None = option(
        None, f"Which files, of {', '.join(NAMES)}; {', '.join(DEFAULT_NAMES)} by default.", choices=list(NAMES)
    )
    label_studio_root: str | None = option(
        None,
        "Label Studio's document root, for --formats label_studio: a folder above that of the recordings; by default "
        "the parent of the folder in which all of them lie.",
    )
    overlay: bool = option(False, "Write each recording with its labels drawn on it, found faces blurred.")
    show_faces: bool = option(False, "Do not blur them.")
    report: bool = option(False, "Write report.html, one page on all recordings.")
    clips: bool = option(False, "Answer once for each input as a whole: predictions.json and .csv, no timeline.")

    device: str | None = option(None, "cpu, cuda, cuda:1, ...; the accelerator where there is one by default.")
    tower_dtype: str = option(
        "auto",
        "Type in which the vision tower computes; auto is bfloat16 where the hardware multiplies in it.",
        choices=list(TOWER_DTYPES),
    )
    batch_size: int = option(32, "Crops that the vision tower sees at a time.")

    def __post_init__(self):
        if self.label_studio_root and "label_studio" not in self.wanted_formats:
            raise InputError("--label_studio_root has a meaning with --formats label_studio alone")
        if self.show_faces and not self.overlay:
            raise InputError("--show_faces has a meaning with --overlay alone")

    @property
    def wanted_formats(self) -> list[str]:
        """The words of `--formats` in their own order, or those that stand for it where it is not given."""
        return [name for name in NAMES if name in (self.formats or DEFAULT_NAMES)]


def check_clip_flags(given: dict[str, Any]) -> None:
    """With --clips refuse the flags of timelines, which would be ignored."""
    others = sorted(set(given) - CLIP_FLAGS) if given.get("clips") else []
    if others:
        raise InputError(f"--{others[0]} has no meaning with --clips, which makes no timeline")


def name_inputs(argv: list[str]) -> list[str]:
    """The inputs are what is neither a flag nor its value, before the flags or behind them."""
    inputs: list[str] = []
    flags: list[str] = []
    words = deque(argv)
    while words:
        word = words.popleft()
        name = word.lstrip("-").replace("-", "_")
        if not word.startswith("-"):
            inputs.append(word)
        elif os.path.lexists(word):  # a file named `-x.mp4`, as `*.mp4` spells it
            inputs.append(f"./{word}")
        elif name != "inputs":
            flags += [word, *_take_values(name, words)]
    return ["--inputs", *inputs, *flags] if inputs else flags


def _take_values(name: str, words: deque[str]) -> list[str]:
    """The values that follow the flag `name`, taken from `words`."""
    switches = {field.name for field in fields(PredictionArguments) if field.type is bool}
    if "=" in name or name in ("h", "help") or not words:
        return []
    if name == "formats":
        return _take_while(words, NAMES) or [words.popleft()]  # one that is none is told as such
    return _take_while(words, ("true", "false")) if name in switches else [words.popleft()]


def _take_while(words: deque[str], allowed: Collection[str]) -> list[str]:
    taken: list[str] = []
    while words and words[0].lower() in allowed:
        taken.append(words.popleft())
    return taken


def figure_flags(args: PredictionArguments) -> dict[str, Any]:
    """The flags on which figures depend, by name, and the state of the files that they name."""
    flags = {name: getattr(args, name) for name in FIGURE_FLAGS}
    return flags | {"files": {name: describe_file(flags[name]) for name in FILE_FLAGS if flags[name]}}
