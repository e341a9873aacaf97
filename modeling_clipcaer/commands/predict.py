"""Turn recordings into labelled time.

python recipes/predict.py lecture.mp4 --model DIR

writes outputs/predict/lecture/: windows with probabilities, segments, subtitles. docs/timeline.md describes the files.
The same command again does what is left to do. `accelerate launch recipes/predict.py ...` shares recordings out.

Boxes are JSON files in RAER's form, keyed by the recording as it is named on the command line, by its last part, or by
RAER's path; without them a detector looks for faces:
    {"lesson.mp4": {"0": [left, top, right, bottom]}}   face boxes; frames of a video by number from 0, files by name
    {"lesson.mp4": [left, top, right, bottom]}          body boxes
"""

import os
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import PartialState

from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.common.flag_effects import describe_unused, find_unused
from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.data.clip_boxes import ClipBoxes, read_boxes
from modeling_clipcaer.data.clip_search import say_passed_over
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.errors import InputError, first_line, run_command
from modeling_clipcaer.exports.label_studio import find_label_studio_root
from modeling_clipcaer.faces.face_detection import FaceDetector, build_face_detector
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.checkpoints import check_output_dir, load_checkpoint
from modeling_clipcaer.models.frame_encoder import describe_tower_dtype
from modeling_clipcaer.models.measurement import find_measurement, tell_measurement
from modeling_clipcaer.models.zero_shot import ZeroShotModel
from modeling_clipcaer.prediction.arguments import PredictionArguments, check_clip_flags, figure_flags, name_inputs
from modeling_clipcaer.prediction.clips import predict_clips
from modeling_clipcaer.prediction.failures import one_line
from modeling_clipcaer.prediction.files import name_outputs
from modeling_clipcaer.prediction.flag_effects import PREDICTION_RULES
from modeling_clipcaer.prediction.inputs import find_recordings, is_camera
from modeling_clipcaer.prediction.manifest import describe_model, plan_jobs
from modeling_clipcaer.prediction.recordings import predict_recordings
from modeling_clipcaer.recordings.analysis import AnalysisSettings, RecordingAnalyzer
from modeling_clipcaer.recordings.recording import check_limits
from modeling_clipcaer.settings_clipcaer import PixelSettings


# How long processes wait for the one with the longest recordings.
PATIENCE = timedelta(weeks=4)


def main() -> None:
    argv = name_inputs(sys.argv[1:])
    (args,) = parse_arguments((PredictionArguments,), argv, __doc__)
    given = given_flags((PredictionArguments,), argv)
    hide_progress_bars()
    check_clip_flags(given)
    check_output_dir(args.output_dir)
    check_device(args.device)
    check_limits(args.fps, args.duration)
    state = join_processes(args.device)
    if state.is_main_process:
        print(RESPONSIBLE_USE, flush=True)
    with locked_folder(args.output_dir) if state.is_main_process else nullcontext():
        state.wait_for_everyone()  # so that no process of a second launch writes before its main process is refused
        predict(args, given, state)


def predict(args: PredictionArguments, given: dict, state: PartialState) -> None:
    """This process's part of what is asked for by `args`, of which `given` were told."""
    boxes = read_boxes(args.bounding_box_face, args.bounding_box_body)
    passed_over: Counter[str] = Counter()
    sources = find_recordings(args.inputs, Path(args.output_dir), passed_over)
    boxes.check(sources)
    if passed_over and state.is_main_process:
        print(say_passed_over(passed_over), flush=True)
    if args.clips:
        if state.num_processes > 1:
            raise InputError("--clips: expected one process; clips are not shared out")
        model, processor = load_model(args, state.device)
        note_unused(args, given, sources, model, processor)
        predict_clips(sources, model, processor, boxes, args, say_measurement(args, model, state))
        return
    if args.label_studio_root:  # Keep: here. A wrong one is not to be found out after hours.
        find_label_studio_root(sources, args.label_studio_root)
    cameras = [source for source in sources if is_camera(source)]
    if args.overlay and cameras:
        raise InputError(f"{cameras[0]}: expected no camera with --overlay, which reads a recording again")
    analyzer = build_analyzer(args, boxes, state.device)
    if state.is_main_process:
        note_unused(args, given, sources, analyzer.model, analyzer.processor)
    settings = figure_flags(args) | describe_choices(analyzer)
    measured = say_measurement(args, analyzer.model, state)
    model = describe_model(args.model, analyzer.model.config)
    made_from = {"model": model, "measured": measured, "settings": settings}
    jobs = plan_jobs(sources, Path(args.output_dir), made_from, name_outputs(args))
    predict_recordings(jobs, analyzer, boxes, args, state)


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


def say_measurement(
    args: PredictionArguments, model: ClipCaerForVideoClassification, state: PartialState
) -> dict[str, Any] | None:
    """How well the model was measured to answer, which is printed. Of the plain CLIP model with new labels nobody
    knows."""
    measured = None if args.labels else find_measurement(args.model, model.config)
    if state.is_main_process:
        print(f"{one_line(args.model)}: {tell_measurement(measured)}", flush=True)
    return measured


def build_analyzer(args: PredictionArguments, boxes: ClipBoxes, device: torch.device) -> RecordingAnalyzer:
    """What turns recordings into timelines, as the flags have it."""
    settings = AnalysisSettings(
        **{field.name: getattr(args, field.name) for field in fields(AnalysisSettings) if hasattr(args, field.name)}
    )
    model, processor = load_model(args, device)
    if args.overlay and not (args.show_faces or model.config.face_stream):
        raise InputError(f"{args.model} looks at no faces, so that --overlay can blur none: expected --show_faces")
    detector: str | FaceDetector = args.face_detector
    if model.config.face_stream and not boxes.face:
        # Keep: here, though the analyzer would build it. A detector that cannot be had is no recording's failure.
        detector = build_face_detector(args.face_detector, args.face_detector_weights)
    zero_shot, tower_dtype = args.labels is not None, args.tower_dtype
    return RecordingAnalyzer(model, processor, settings, detector, zero_shot=zero_shot, tower_dtype=tower_dtype)


def note_unused(
    args: PredictionArguments,
    given: dict,
    sources: list[str],
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
) -> None:
    """Name the flags that were given and have no effect on these recordings with this model."""
    run = SimpleNamespace(**vars(args), config=model.config, reads_frames=any(map(os.path.isdir, sources)))
    run.context = args.context or processor.context
    unused = find_unused(PREDICTION_RULES, given, run)
    if unused:
        print(f"note: {describe_unused(unused)}", file=sys.stderr)


def describe_choices(analyzer: RecordingAnalyzer) -> dict[str, str]:
    """What `auto` came to. The windows of one table are not to be half one detector's and half another's."""
    detector = analyzer.face_detector
    return {
        "face_detector": detector if isinstance(detector, str) else detector.name,
        "tower_dtype": describe_tower_dtype(analyzer.tower_dtype, analyzer.model),
    }


if __name__ == "__main__":
    raise SystemExit(run_command(main))
