"""Turn recordings into labelled time.

    clipcaer predict lecture.mp4 --model DIR

writes outputs/predict/lecture/: windows with probabilities, segments, subtitles. They are described in
docs/reference/timeline_files.md. The same command again does what is left to do. `accelerate launch recipes/predict.py
...` shares recordings out.

Boxes are JSON files in RAER's form, keyed by the recording as it is named on the command line, by its last part, or by
RAER's path; frames of a video go by their number from 0, files by their name. Without them a detector looks for faces.

    {"lesson.mp4": {"0": [left, top, right, bottom]}}   face boxes
    {"lesson.mp4": [left, top, right, bottom]}          body boxes
    {"lesson.mp4": {"person-1": either, "person-2": ...}}   of several persons
"""

import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import complain, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.prediction.arguments import PredictionArguments, check_clip_flags, figure_flags
from modeling_clipcaer.prediction.failures import Outcome, one_line
from modeling_clipcaer.prediction.flag_effects import describe_idle_flags
from modeling_clipcaer.prediction.inputs import find_recordings
from modeling_clipcaer.recordings.addresses import is_camera
from modeling_clipcaer.recordings.settings import TimelineSettings


if TYPE_CHECKING:
    from accelerate import PartialState

    from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig


def main() -> None:
    """Predict what the command line names."""
    types, argv = (PredictionArguments, TimelineSettings), sys.argv[1:]
    args, settings = parse_arguments(types, argv, __doc__)
    given = given_flags(types, argv)
    check_clip_flags(given)
    hide_progress_bars()
    from modeling_clipcaer.models.checkpoints import check_output_dir
    from modeling_clipcaer.prediction.loading import check_device, join_processes

    check_output_dir(args.output_dir)
    check_device(args.device)
    state = join_processes(args.device)
    say(RESPONSIBLE_USE, state)
    with locked_folder(args.output_dir) if state.is_main_process else nullcontext():
        state.wait_for_everyone()  # so that no process of a second launch writes before its main process is refused
        outcome = predict(args, settings, given, state)
    if outcome is not None:
        for line in outcome.lines:
            tell(line)
        for line in outcome.errors:
            complain("error", line)
        if outcome.errors:
            raise SystemExit(1)


def predict(
    args: PredictionArguments, settings: TimelineSettings, given: dict[str, Any], state: "PartialState"
) -> Outcome | None:
    """This process's part of what the flags ask for, of which `given` were told; the main process has the outcome."""
    from modeling_clipcaer.data.clip_boxes import read_boxes
    from modeling_clipcaer.data.clip_search import say_passed_over
    from modeling_clipcaer.exports.label_studio import find_label_studio_root
    from modeling_clipcaer.prediction.clips import predict_clips
    from modeling_clipcaer.prediction.files import name_outputs
    from modeling_clipcaer.prediction.loading import build_analyzer, describe_choices, load_model
    from modeling_clipcaer.prediction.manifest import describe_checkpoint, plan_jobs
    from modeling_clipcaer.prediction.recordings import predict_recordings

    boxes = read_boxes(args.bounding_box_face, args.bounding_box_body)
    passed_over: Counter[str] = Counter()
    sources = find_recordings(args.inputs, Path(args.output_dir), passed_over)
    boxes.check(sources)
    if passed_over:
        say(say_passed_over(passed_over), state)
    if args.clips:
        if state.num_processes > 1:
            raise InputError("--clips: expected one process; clips are not shared out")
        model, processor = load_model(args, state.device)
        note_idle(args, settings, given, sources, model, processor)
        measured = say_measurement(args, model.config, state)
        return predict_clips(sources, model, processor, boxes, args, settings.tower_dtype, measured)
    if args.label_studio_root:  # Keep: here. A wrong one is not to be found out after hours.
        find_label_studio_root(sources, args.label_studio_root)
    cameras = [source for source in sources if is_camera(source)]
    again = next((flag for flag in ("overlay", "explain") if getattr(args, flag)), None)
    if again and cameras:
        raise InputError(f"{cameras[0]}: expected no camera with --{again}, which reads a recording again")
    analyzer = build_analyzer(args, settings, boxes, state.device)
    config = analyzer.model.config
    if state.is_main_process:
        note_idle(args, settings, given, sources, analyzer.model, analyzer.processor)
    made_from = {
        "model": describe_checkpoint(args.model, config),
        "measured": say_measurement(args, config, state),
        "settings": figure_flags(args, settings) | describe_choices(analyzer),
    }
    jobs = plan_jobs(sources, Path(args.output_dir), made_from, name_outputs(args))
    return predict_recordings(jobs, analyzer, boxes, args, state)


def say(line: str, state: "PartialState") -> None:
    """Print a line once, whoever works with us."""
    if state.is_main_process:
        tell(line)


def say_measurement(args: PredictionArguments, config: "ClipCaerConfig", state: "PartialState") -> dict | None:
    """How well the model was measured to answer. Of the plain CLIP model with new labels nobody knows."""
    from modeling_clipcaer.models.measurement import find_measurement, tell_measurement

    measured = None if args.labels else find_measurement(args.model, config)
    say(f"{one_line(args.model)}: {tell_measurement(measured)}", state)
    return measured


def note_idle(args: PredictionArguments, settings: TimelineSettings, *rest) -> None:
    """Name the flags that were given and have no effect, see [`describe_idle_flags`]."""
    if note := describe_idle_flags(args, settings, *rest):
        complain("note", note)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
