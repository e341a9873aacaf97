"""The files of a prediction: those of one recording, and those that join all of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.exports.label_studio import (
    find_label_studio_root,
    render_label_studio_config,
    write_elan,
    write_fiftyone,
    write_label_studio,
    write_vtt,
)
from modeling_clipcaer.exports.tables import (
    TABLE_FORMATS,
    join_tables,
    load_timeline,
    save_timeline,
    segment_columns,
    segment_rows,
    window_columns,
    window_rows,
    write_table,
)
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.manifest import JOINED, RECORDING, Job, write_manifest
from modeling_clipcaer.recordings.timeline import UNCERTAIN, Timeline


def name_outputs(args: PredictionArguments) -> list[str]:
    """What is written for each recording."""
    files = [name for name in args.wanted_formats if name not in ("label_studio", "fiftyone")]
    return files + ["overlay with faces" if args.show_faces else "overlay"] * args.overlay


def write_recording(timeline: Timeline, job: Job, args: PredictionArguments, folder: Path) -> None:
    """Write the files of one recording into `folder`."""
    for suffix in TABLE_FORMATS:
        if suffix in args.wanted_formats:
            write_table(window_rows(timeline), window_columns(timeline.labels), folder / f"timeline.{suffix}")
            write_table(segment_rows(timeline), segment_columns(), folder / f"segments.{suffix}")
    if "vtt" in args.wanted_formats:
        write_vtt(timeline, folder / "timeline.vtt")
    if "elan" in args.wanted_formats:
        write_elan(timeline, folder / "timeline.eaf")
    if args.overlay:
        from modeling_clipcaer.exports.overlay import write_overlay

        write_overlay(timeline, job.source, folder / "overlay.mp4", args.show_faces, args.fps)
    save_timeline(timeline, folder / RECORDING, made_from=job.made_from, outputs=job.outputs)


def write_joined(jobs: list[Job], args: PredictionArguments) -> None:
    """Write what is about all recordings, and take away what an earlier command wrote about others."""
    output_dir = Path(args.output_dir)
    done = [job for job in jobs if not job.error]
    with staged_folder(output_dir) as folder:
        if done:
            _write_tables(done, args, folder)
            _write_projects(done, args, folder)
        if done and args.report:
            from modeling_clipcaer.exports.page import write_report_page

            write_report_page(list(_load(done)), folder / "report.html")
        write_manifest(jobs, folder)
        for name in JOINED:  # Keep: of folders too, over which nothing can be moved
            path = output_dir / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write_tables(jobs: list[Job], args: PredictionArguments, folder: Path) -> None:
    for suffix in TABLE_FORMATS:
        for table in ("timeline", "segments"):
            if suffix in args.wanted_formats:
                name = f"{table}.{suffix}"
                join_tables([job.folder / name for job in jobs], folder / name)


def _write_projects(jobs: list[Job], args: PredictionArguments, folder: Path) -> None:
    first = next(_load(jobs))
    # A model of faces alone knows nothing of windows without any.
    can_be_uncertain = args.threshold > 0 or first.settings["streams"] == "face"
    labels = [*first.labels, *([UNCERTAIN] if can_be_uncertain else [])]
    if "label_studio" in args.wanted_formats:
        root = find_label_studio_root([job.source for job in jobs], args.label_studio_root)
        persons = write_label_studio(_load(jobs), folder / "label_studio.json", root)
        config = render_label_studio_config(persons, labels)
        (folder / "label_studio.xml").write_text(config, encoding="utf-8")
    if "fiftyone" in args.wanted_formats:
        write_fiftyone(_load(jobs), folder / "fiftyone", labels)


def _load(jobs: list[Job]) -> Iterator[Timeline]:
    return (load_timeline(job.folder / RECORDING) for job in jobs)
