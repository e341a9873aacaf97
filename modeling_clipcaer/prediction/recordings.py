"""Recordings to folders of files, one after the other: what is done is kept, what fails does not stop the others."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import gather_object
from rich.text import Text

from modeling_clipcaer.common.files import complete_folder
from modeling_clipcaer.common.progress import ProgressBar
from modeling_clipcaer.common.terminal import add_path
from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.explanations.page import FOLDER
from modeling_clipcaer.exports.tables import json_line, window_row
from modeling_clipcaer.exports.timeline_json import RECORDING, load_timeline
from modeling_clipcaer.names import printable
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.explanations import RecordingExplainer
from modeling_clipcaer.prediction.failures import Outcome, one_line, take_away_log, tell_failure
from modeling_clipcaer.prediction.files import write_joined, write_recording
from modeling_clipcaer.prediction.manifest import MANIFEST, Job, read_manifest
from modeling_clipcaer.prediction.told_timelines import draw_timeline
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_with_boxes
from modeling_clipcaer.recordings.stretches import Recording
from modeling_clipcaer.recordings.timeline import Timeline, TimelineWindow, join_notes


MOST_DRAWN = 5  # recordings of which a few lines are shown; of the others the page and the tables tell
PAGE = "report.html"


def predict_recordings(
    jobs: list[Job], analyzer: RecordingAnalyzer, boxes: ClipBoxes, args: PredictionArguments, state: PartialState
) -> Outcome | None:
    """Do this process's share of `jobs`; the main process then joins the tables.

    Returns:
        What came out of all of them; `None` in the other processes.
    """
    if state.is_main_process:
        take_away_log(Path(args.output_dir))
    state.wait_for_everyone()
    share = jobs[state.process_index :: state.num_processes]
    errors = {}
    explainer = RecordingExplainer(analyzer, args) if args.explain else None
    with ProgressBar("", sum(job.weight for job in share), hidden=not state.is_local_main_process) as bar:
        for number, job in enumerate(share, 1):
            name = f"recording {number} of {len(share)}: {job.folder.name}"
            advance = partial(_advance, bar, bar.done, job.weight, name)
            advance(0.0)
            try:
                if job.error is None:
                    do_job(job, analyzer, boxes, args, advance, explainer)
            except Exception as error:  # Keep: of any kind. No single recording ends a run.
                errors[job.source] = tell_failure(job.source, error, Path(args.output_dir))
                if job.load_done() is None:  # of the file or the settings as they once were
                    shutil.rmtree(job.folder, ignore_errors=True)
            advance(1.0)
    errors = dict(gather_object(list(errors.items())))
    if not state.is_main_process:
        return None
    for job in jobs:
        job.error = job.error or errors.get(job.source)
    write_joined(jobs, args)
    return _describe_outcome(jobs, args)


def _advance(bar: ProgressBar, start: float, weight: float, name: str, share: float) -> None:
    bar.move(start + weight * share, name)


def do_job(
    job: Job,
    analyzer: RecordingAnalyzer,
    boxes: ClipBoxes,
    args: PredictionArguments,
    advance: Callable[[float], None],
    explainer: RecordingExplainer | None = None,
) -> None:
    """Analyse a recording and write its folder, as far as that is not done.

    Raises:
        Exception: whatever happens in it; an `InputError` where it cannot be read.
    """
    timeline = job.load_done()
    if timeline is not None and job.is_written():
        return
    with complete_folder(job.folder) as folder:
        if timeline is None:
            recording = open_with_boxes(job.source, boxes, analyzer.settings)
            timeline = analyse(recording, analyzer, folder / "windows.jsonl", advance)
            timeline.settings["measured"] = job.made_from["measured"]
        if explainer is not None:
            again = open_with_boxes(job.source, boxes, analyzer.settings)
            explainer.explain(timeline, again, folder / FOLDER)
        write_recording(timeline, job, args, analyzer.settings, folder)


def analyse(
    recording: Recording, analyzer: RecordingAnalyzer, partial_file: Path, advance: Callable[[float], None]
) -> Timeline:
    """The recording's timeline. While it is made its windows are appended to `partial_file`.

    Raises:
        InputError: nothing of it can be read.
    """
    calibrated = analyzer.model.config.calibration_temperature is not None
    labels = list(analyzer.model.config.id2label.values())
    marks = {"zero_shot": analyzer.zero_shot, "calibrated": calibrated}
    with partial_file.open("w", encoding="utf-8") as file:

        def add(window: TimelineWindow) -> None:
            file.write(json_line(window_row(window, labels, marks)))
            file.flush()
            if recording.duration:
                advance(min(window.end / recording.duration, 1.0))

        # Keep: one at a time. Batches that recordings share depend on which of them are already done, and figures
        # depend on their batch in the last bits: a run that was killed would not end with the same files. No more than
        # the last batch of each is not full.
        (timeline,) = analyzer.analyze([recording], add)
    partial_file.unlink()
    if not timeline.windows:
        raise InputError(f"{recording.name}: {join_notes(timeline.notes) or 'no frame can be read'}")
    return timeline


def _describe_outcome(jobs: list[Job], args: PredictionArguments) -> Outcome:
    output_dir = Path(args.output_dir)
    done = [entry for entry in read_manifest(output_dir) if entry["status"] == "done"]
    lines: list[str | Text] = []
    for number, entry in enumerate(done):
        folder = output_dir / entry["folder"]
        lines.append(add_path(one_line(entry["source"]), f"{folder}/"))
        # Keep: the notes. Of a recording that is cut short nothing else would tell it here.
        lines += [f"  note: {printable(note)}" for note in entry["notes"]]
        lines += draw_timeline(load_timeline(folder / RECORDING)) if number < MOST_DRAWN else []
    result = Text(f"{len(done)} of {len(jobs)} recordings are done", "result")
    lines.append(add_path(result, output_dir / MANIFEST))
    if done and args.report:
        lines.append(add_path("page", output_dir / PAGE))
    return Outcome(lines, [printable(job.error) for job in jobs if job.error])
