"""What box detection leaves on disk: a line a clip while it runs, in the end face.json, body.json, detection.json."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.data.detection.clip_faces import ClipFaces
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import parse_json
from modeling_clipcaer.names import printable


PARTIAL, FACES, BODIES, RECORD = ".partial.jsonl", "face.json", "body.json", "detection.json"
BODY_PER_FRAME = "body_per_frame"
MAX_ROWS = 20  # of the printed table
CLIP_COUNTS = ("clips", "clips_with_face", "clips_with_other_faces")
FRAME_COUNTS = ("frames", "frames_searched", "frames_with_face")


class PartialResults:
    """The clips that are done, a line each behind a line of settings; what a killed run leaves is gone on from.

    Args:
        folder: where the file is.
        settings: what decides the results. A file of other settings is refused.

    Raises:
        InputError: the settings differ, or the folder holds box files of another origin.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.path, self._places = folder / PARTIAL, {}
        _check_origin(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):  # the run was killed while it wrote
                break
            content = self._parse(line, number)
            if number == 1:
                self._compare(content, settings)
            else:
                self._places[content["clip"]] = whole
            whole += len(line)
        self._file.truncate(whole)
        if whole == 0:
            self._append(settings)

    def __contains__(self, clip: str) -> bool:
        return clip in self._places

    def __enter__(self) -> "PartialResults":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, faces: ClipFaces) -> None:
        """Keep the result of a clip, from now on whatever happens."""
        self._places[faces.clip] = self._append(asdict(faces))

    def read(self, clip: str) -> ClipFaces:
        """The result of a clip that is done."""
        self._file.seek(self._places[clip])
        return ClipFaces(**json.loads(self._file.readline()))

    def _append(self, content: Mapping[str, Any]) -> int:
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()
        return place

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            content = parse_json(line, self.path)
            # The settings stand first, then a line for each clip.
            return dict(content) if number == 1 else asdict(ClipFaces(**content))
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}:{number}: is damaged; remove the file to start anew") from error

    def _compare(self, begun: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        earlier = _flatten(begun)
        for name, value in _flatten(settings).items():
            if earlier.get(name) != value:
                raise InputError(
                    f"{self.path}: belongs to an unfinished run with `{name}` {json.dumps(earlier.get(name))}, now it "
                    f"is {json.dumps(value)}; give the same settings, or remove the file to start anew"
                )


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _check_origin(folder: Path) -> None:
    """Refuse to replace boxes that somebody drew, as RAER's own are."""
    for name in (FACES, BODIES):
        if (folder / name).exists() and not any((folder / own).exists() for own in (RECORD, PARTIAL)):
            raise InputError(f"{folder / name}: was not written by this command; expected another folder for --output")


def write_results(folder: Path, clips: Sequence[str], results: PartialResults, about: Mapping[str, Any]) -> dict:
    """Write the box files of `clips`, in their order, and the record, which is also returned; nothing half-written.

    Args:
        folder: where to; files of an earlier run are replaced.
        clips: keys of the clips, all of them done.
        results: where they are read from, one at a time.
        about: what the record begins with; its `settings` say whether bodies go by frame.
    """
    take_body = ClipFaces.frame_bodies if about["settings"][BODY_PER_FRAME] else ClipFaces.clip_body
    contents = {
        FACES: ((clip, results.read(clip).boxes) for clip in clips),
        # A body without a box is the whole frame.
        BODIES: ((clip, take_body(faces)) for clip in clips if (faces := results.read(clip)).boxes),
    }
    record = {**about, **_summarise(map(results.read, clips))}
    with staged_folder(folder, last=RECORD) as staged:
        for name, entries in contents.items():
            _write_object(staged / name, entries)
        write_json(record, staged / RECORD)
    results.path.unlink()
    return record


def _write_object(path: Path, entries: Iterable[tuple[str, Any]]) -> None:
    """Write a JSON object with a line for each entry; no more than one is ever held."""
    with path.open("w") as file:
        before = "{"
        for key, value in entries:
            file.write(f"{before}\n{json.dumps(key)}: {json.dumps(value)}")
            before = ","
        file.write("\n}\n" if before == "," else "{}\n")


def _summarise(results: Iterable[ClipFaces]) -> dict[str, Any]:
    """Coverage of all clips and by top folder, and the clips that could not be read to the end."""
    folders: dict[str, Counter] = {}
    broken = {}
    for faces in results:
        folders.setdefault(top_folder(faces.clip), Counter()).update(_count(faces))
        if faces.error:
            broken[faces.clip] = {"error": faces.error, "unreadable_frames": faces.num_unreadable}
    coverage = {name: _describe(counts) for name, counts in folders.items()}
    return {"coverage": _describe(sum(folders.values(), Counter())), "folders": coverage, "broken": broken}


def top_folder(clip: str) -> str:
    """What the coverage is counted by: the first folder of a clip's key, of RAER's the first within `images/`."""
    folder, slash, _ = clip.removeprefix("images/").partition("/")
    return folder if slash else "."


def _count(faces: ClipFaces) -> dict[str, int]:
    of_clip = zip(CLIP_COUNTS, (1, int(bool(faces.boxes)), int(faces.num_others > 0)), strict=True)
    of_frames = zip(FRAME_COUNTS, (faces.num_frames, faces.num_searched, len(faces.boxes)), strict=True)
    return dict([*of_clip, *of_frames])


def _describe(counts: Counter) -> dict[str, Any]:
    shares = {
        f"{part}_share": round(counts[f"{part}s_with_face"] / counts[whole], 4) if counts[whole] else None
        for part, whole in (("clip", "clips"), ("frame", "frames_searched"))
    }
    # Keep: by name; a Counter that was summed has lost its zeros.
    return {**{name: counts[name] for name in (*CLIP_COUNTS, *FRAME_COUNTS)}, **shares}


def format_coverage(record: Mapping[str, Any]) -> str:
    """The coverage as aligned text, a row for each top folder."""
    folders = list(record["folders"].items())
    rows: list[tuple[str, ...]] = [
        ("", "clips", "with face", "", "frames searched", "with face", "", "clips with other faces")
    ]
    for name, counts in [*folders[:MAX_ROWS], ("all", record["coverage"])]:
        clip_share, frame_share = (
            "-" if counts[key] is None else f"{counts[key]:.1%}" for key in ("clip_share", "frame_share")
        )
        of_clips = (counts["clips"], counts["clips_with_face"], clip_share)
        of_frames = (counts["frames_searched"], counts["frames_with_face"], frame_share)
        rows.append((printable(name), *map(str, (*of_clips, *of_frames, counts["clips_with_other_faces"]))))
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        row[0].ljust(first) + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for row in rows
    ]
    if len(folders) > MAX_ROWS:
        lines.insert(-1, f"and {len(folders) - MAX_ROWS} folders more, in {RECORD}")
    return "\n".join(lines)
