"""The files of a prediction: those of one recording, and those that join all of them."""

import shutil
from pathlib import Path

from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.exports.formats import FORMATS, Format
from modeling_clipcaer.exports.timeline_json import RECORDING, FinishedRecordings, save_timeline
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.manifest import JOINED, Job, write_manifest
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import Timeline


def list_wanted(args: PredictionArguments) -> list[Format]:
    """The formats that are asked for."""
    return [row for row in FORMATS if (getattr(args, row.name) if row.has_flag else row.name in args.wanted_formats)]


def name_outputs(args: PredictionArguments) -> list[str]:
    """What is written for each recording."""
    faces = " with faces" if args.show_faces else ""
    formats = [row.name + faces * ("show_faces" in row.options) for row in list_wanted(args) if row.write]
    frames = f" over frames{faces}" if args.explain_frames else ""
    return formats + ([f"explain {args.explain}{frames}"] if args.explain else [])


def write_recording(
    timeline: Timeline, job: Job, args: PredictionArguments, settings: TimelineSettings, folder: Path
) -> None:
    """Write the files of one recording into `folder`."""
    for row in list_wanted(args):
        if row.write:
            row.write_files(row.write, timeline, folder, vars(args) | vars(settings))
    save_timeline(timeline, folder / RECORDING, made_from=job.made_from, outputs=job.outputs)


def write_joined(jobs: list[Job], args: PredictionArguments) -> None:
    """Write what is about all recordings, and take away what an earlier command wrote about others."""
    output_dir = Path(args.output_dir)
    done = [job for job in jobs if not job.error]
    recordings = FinishedRecordings([job.source for job in done], [job.folder for job in done])
    with staged_folder(output_dir) as folder:
        for row in list_wanted(args) if done else ():
            if row.join:
                row.write_files(row.join, recordings, folder, vars(args))
        write_manifest(jobs, folder)
        for name in JOINED:  # Keep: of folders too, over which nothing can be moved
            path = output_dir / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
