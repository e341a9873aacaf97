"""The flags of `predict` about files: what is predicted from what, and how it is written."""

from dataclasses import MISSING, asdict, dataclass
from typing import Any

from modeling_clipcaer.common.flags import option, rare_option
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.explanations.arguments import check_explain_flags, explain_frames_option, explain_option
from modeling_clipcaer.exports.formats import DEFAULT_NAMES, NAMES
from modeling_clipcaer.prediction.inputs import describe_file
from modeling_clipcaer.recordings.settings import TimelineSettings


FILE_FLAGS = ("face_detector_weights", "bounding_box_face", "bounding_box_body", "labels")
CLIP_FLAGS = frozenset(
    ("inputs", "model", "output_dir", "clips", "device", "tower_dtype", "bounding_box_face", "bounding_box_body")
)


@dataclass
class PredictionArguments:
    """What is predicted from what, and how it is written."""

    inputs: list[str] = option(
        MISSING,
        "Videos, folders of them, folders of frames, http(s) addresses, a camera (/dev/video0), with or without the "
        "word --inputs before them.",
        positional=True,
    )
    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub. With --labels a plain CLIP checkpoint.")
    output_dir: str = option("outputs/predict", "Folder for the results. What is done in it is not done again.")
    formats: list[str] | None = option(
        None, f"Files to write; {', '.join(DEFAULT_NAMES)} by default.", choices=list(NAMES)
    )
    overlay: bool = option(False, "Write each recording with its labels drawn on it, found faces blurred.")
    show_faces: bool = option(False, "Leave faces as they are in what --overlay and --explain-frames show.")
    explain: int = explain_option(
        "Windows of each recording of which it is told what their answers rest on, in the folder explanation and on "
        "the page of --report: the surest of each label, then the least certain. Reads a recording again."
    )
    explain_frames: bool = explain_frames_option()
    report: bool = option(False, "Write report.html, one page on all recordings.")
    clips: bool = option(False, "Answer once for each input as a whole: predictions.json and .csv, no timeline.")

    bounding_box_face: str | None = rare_option(None, "JSON file of face boxes, in place of a detector.")
    bounding_box_body: str | None = rare_option(None, "JSON file of body boxes.")
    labels: str | None = rare_option(
        None, "YAML file of labels and sentences for zero-shot answers of a plain CLIP model."
    )
    label_studio_root: str | None = rare_option(
        None,
        "Label Studio's document root, for --formats label_studio: a folder above that of the recordings; by default "
        "the parent of the folder in which all of them lie.",
    )
    device: str | None = option(None, "Device: cpu, cuda, cuda:1, ...; the accelerator where there is one by default.")

    def __post_init__(self):
        if self.label_studio_root and "label_studio" not in self.wanted_formats:
            raise InputError("--label-studio-root has a meaning with --formats label_studio alone")
        check_explain_flags(self, others=("overlay",))
        if self.explain and self.labels:
            raise InputError("--explain has no meaning with --labels: what is explained is a trained checkpoint")

    @property
    def wanted_formats(self) -> list[str]:
        """The formats, in the order of `NAMES`."""
        return [name for name in NAMES if name in (self.formats or DEFAULT_NAMES)]


def check_clip_flags(given: dict[str, Any]) -> None:
    """With --clips refuse the flags of timelines, which would be ignored."""
    others = sorted(set(given) - CLIP_FLAGS) if given.get("clips") else []
    if others:
        raise InputError(f"--{others[0]} has no meaning with --clips, which makes no timeline")


def figure_flags(args: PredictionArguments, settings: TimelineSettings) -> dict[str, Any]:
    """The flags on which figures depend, by name, and the state of the files that they name."""
    flags = asdict(settings) | {name: getattr(args, name) for name in FILE_FLAGS if hasattr(args, name)}
    del flags["batch_size"]  # of the last bits alone
    if settings.max_gap is None:  # Keep: as before it was a flag. What was done then is not to be done again.
        del flags["max_gap"]
    return flags | {"files": {name: describe_file(flags[name]) for name in FILE_FLAGS if flags[name]}}
