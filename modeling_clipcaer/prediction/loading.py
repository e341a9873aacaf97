"""What the flags of `predict` name: the processes, the device, the model, and the analyser of recordings."""

import os
from datetime import timedelta

import torch
from accelerate import PartialState

from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.faces.face_detection import build_face_detector
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.frozen_parts import describe_tower_dtype
from modeling_clipcaer.models.zero_shot import ZeroShotModel
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.settings_clipcaer import PixelSettings


# How long processes wait for the one with the longest recordings.
PATIENCE = timedelta(weeks=4)


def join_processes(device: str | None) -> PartialState:
    """What this process knows of those that `accelerate launch` started with it."""
    # Keep: asked of torch. Without an accelerator, unless told, each process would take itself for the only one.
    state = PartialState(cpu=device == "cpu" or not torch.accelerator.is_available(), timeout=PATIENCE)
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != state.num_processes:
        raise InputError(f"{started} processes were launched, which cannot share {state.device}: add --device cpu")
    return state


def check_device(name: str | None) -> None:
    """Refuse a device that torch does not know or does not have."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: expected a device of this machine: {first_line(error)}") from error


def find_device() -> torch.device:
    """The accelerator where there is one."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_model(
    args: PredictionArguments, device: torch.device
) -> tuple[ClipCaerForVideoClassification, ClipCaerVideoProcessor]:
    """The checkpoint, or the plain CLIP model with the labels of `--labels`, where it is to run."""
    if args.labels:
        labels = list(read_label_entries(args.labels))
        model_args = ModelArguments(clip_model=args.model, labels_file=args.labels)
        model = build_model(model_args, labels, ZeroShotModel).eval()
        model.config._name_or_path = args.model
        processor = build_processor(model, PixelSettings())
    else:
        model, processor = load_checkpoint(args.model)
    # Keep: `--device cuda` of several processes is each one's own.
    model.to(device if args.device in (None, device.type) else args.device)
    return model, processor


def build_analyzer(
    args: PredictionArguments, settings: TimelineSettings, boxes: ClipBoxes, device: torch.device
) -> RecordingAnalyzer:
    """What turns recordings into timelines, as the flags have it."""
    model, processor = load_model(args, device)
    if args.overlay and not (args.show_faces or model.config.face_stream):
        raise InputError(f"{args.model} looks at no faces, so that --overlay can blur none: expected --show-faces")
    detector = None
    if model.config.face_stream and not boxes.face:
        # Keep: here, though the analyzer would build it. A detector that cannot be had is no recording's failure.
        detector = build_face_detector(settings.face_detector, settings.face_detector_weights)
    return RecordingAnalyzer(model, processor, settings, detector, zero_shot=args.labels is not None)


def describe_choices(analyzer: RecordingAnalyzer) -> dict[str, str]:
    """What `auto` came to. The windows of one table are not to be half one detector's and half another's."""
    detector, settings = analyzer.detector, analyzer.settings
    return {
        "face_detector": settings.face_detector if detector is None else detector.name,
        "tower_dtype": describe_tower_dtype(settings.tower_dtype, analyzer.model),
    }
