"""What a prediction has done and has still to do: the folder of each recording, and the manifest of all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError, check_utf8
from modeling_clipcaer.exports.formats import JOINED_FILES
from modeling_clipcaer.exports.timeline_json import RECORDING, load_timeline
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.names import identity_key, printable
from modeling_clipcaer.prediction.failures import ERRORS
from modeling_clipcaer.prediction.inputs import describe_file, name_folders
from modeling_clipcaer.recordings.addresses import full_path
from modeling_clipcaer.recordings.timeline import NO_PICTURE, SCHEMA_VERSION, Timeline


MANIFEST = "manifest.json"
# What is about all recordings of a command. No recording's folder may have such a name.
JOINED = (*JOINED_FILES, MANIFEST)


@dataclass
class Job:
    """One recording to analyse.

    Attributes:
        source: the recording, as it was named.
        folder: where its files go.
        made_from: what its figures depend on: the file, the model and the settings. `None` as the file: it cannot be
            told whether it is the same, so that it is never taken as done.
        outputs: which files are written.
        error: why it could not be analysed.
    """

    source: str
    folder: Path
    made_from: dict[str, Any]
    outputs: list[str]
    error: str | None = field(default=None)

    @property
    def weight(self) -> int:
        """Its share in the work: the bytes of its file, as far as they are known."""
        return max((self.made_from["file"] or {}).get("size", 1), 1)

    def load_done(self) -> Timeline | None:
        """The timeline of an earlier run, if that was made from the same."""
        found = _read_json(self.folder / RECORDING)
        wanted = {"made_from": self.made_from, "source": self.source, "schema_version": SCHEMA_VERSION}
        is_same = self.made_from["file"] is not None and found.items() >= wanted.items()
        try:
            return load_timeline(self.folder / RECORDING) if is_same else None
        except InputError:  # it was changed by hand: done again
            return None

    def is_written(self) -> bool:
        """Whether the folder of an earlier run holds the files that are asked for."""
        return _read_json(self.folder / RECORDING).get("outputs") == self.outputs


def plan_jobs(sources: list[str], output_dir: Path, made_from: dict[str, Any], outputs: list[str]) -> list[Job]:
    """A job for each of `sources`. Folders that are another recording's, or nobody's, are not written to."""

    def is_own(name: str, source: str) -> bool:
        found = _read_json(output_dir / name / RECORDING).get("made_from")
        return isinstance(found, dict) and found.get("path") == full_path(source)

    def is_free(name: str, source: str) -> bool:
        is_taken = identity_key(name) in (*JOINED, ERRORS)
        return not is_taken and (not (output_dir / name).exists() or is_own(name, source))

    names = name_folders(sources, is_free, is_own)
    jobs = []
    for source in sources:
        # Keep: as it can be printed. A failed one's name is written, too.
        job = Job(printable(source), output_dir / names[source], {"path": full_path(source), "file": {}}, outputs)
        job.made_from |= made_from
        try:
            check_utf8(source)
            job.source = source
            job.made_from["file"] = describe_file(source)
        except InputError as error:
            job.error = str(error)
        except OSError as error:  # it went away, or may not be looked at: this one's failure
            job.error = f"{source}: expected a recording that can be read: {error.strerror}"
        jobs.append(job)
    return jobs


def describe_checkpoint(name: str, config: ClipCaerConfig) -> dict[str, Any]:
    """Which checkpoint it is: the state of a folder's files, or the revision on the Hub."""
    if not Path(name).is_dir():
        return {"name": name, "revision": getattr(config, "_commit_hash", None)}
    files = sorted(path for suffix in ("json", "safetensors") for path in Path(name).glob(f"*.{suffix}"))
    return {"name": name, "files": {path.name: describe_file(str(path)) for path in files}}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except InputError:  # none, or not ours
        return {}


def write_manifest(jobs: list[Job], folder: Path) -> None:
    """manifest.json: of every recording, whether it is done, and what there is to know of it or why it failed."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "notice": RESPONSIBLE_USE,
        "recordings": [_describe_failed(job) if job.error else _describe_done(job) for job in jobs],
    }
    write_json(content, folder / MANIFEST)


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """The recordings of a manifest, in the order of the command."""
    return _read_json(folder / MANIFEST)["recordings"]


def _describe_failed(job: Job) -> dict[str, Any]:
    return {"source": job.source, "status": "failed", "error": job.error}


def _describe_done(job: Job) -> dict[str, Any]:
    timeline = load_timeline(job.folder / RECORDING)
    missing = [window for window in timeline.windows if window.face_status == NO_PICTURE]
    return {
        "source": job.source,
        "status": "done",
        "folder": job.folder.name,
        "duration": timeline.duration,
        "windows": len({window.window for window in timeline.windows}) - len(missing),
        "without_picture": round(sum(window.end - window.start for window in missing), 3),
        "persons": len(timeline.persons),
        "detector": timeline.settings["face_detector"],
        "notes": timeline.notes,
        "file": job.made_from["file"],
        "settings": timeline.settings,
    }
