"""The boxes of faces and bodies in all clips of a folder, as RAER's box files."""

import platform
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.disk import tell_disk_errors
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.common.progress import track
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.data.clip_search import find_clips, say_passed_over
from modeling_clipcaer.data.detection.clip_faces import detect_clips
from modeling_clipcaer.data.detection.files import BODY_PER_FRAME, PartialResults, write_results
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.face_detection import FaceDetector


# What decides how frames are decoded and faces found.
VERSIONED = ("opencv-python-headless", "av", "pillow", "numpy", "torch")


def detect_boxes(
    inputs: Sequence[str | Path],
    output: str | Path,
    build_detector: Callable[[], FaceDetector],
    every: int = 1,
    body_per_frame: bool = False,
    num_proc: int = 1,
    weights: str | Path | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Write the boxes of all clips in `inputs` into the folder `output`, and return what detection.json says.

    Args:
        inputs: videos, and folders of videos or of frames.
        output: the folder; files of an earlier run there are replaced, an unfinished one is gone on from.
        build_detector: makes the detector, in every process its own.
        every: look at each so many-th frame.
        body_per_frame: one body box a frame, not one a clip.
        num_proc: processes to work with.
        weights: the detector's file, for the record.
        only: absolute paths of the clips to look at, by default all.

    Raises:
        InputError: there are no clips, or `output` holds something else.
    """
    for name, number in (("every", every), ("num_proc", num_proc)):
        if number < 1:
            raise InputError(f"`{name}` is {number}, expected at least 1")
    passed_over: Counter[str] = Counter()
    clips, output = find_clips(inputs, passed_over), Path(output)
    if only is not None:
        clips = [clip for clip in clips if clip.path in only]
    elif passed_over:
        tell(say_passed_over(passed_over))
    about = {
        "detector": build_detector().name,
        "detector_weights_sha256": None if weights is None else file_sha256(Path(weights)),
        "settings": {
            "inputs": [str(Path(given).absolute()) for given in inputs],
            "every": every,
            BODY_PER_FRAME: body_per_frame,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONED}},
    }
    with ExitStack() as stack:
        stack.enter_context(tell_disk_errors(output))
        stack.enter_context(locked_name(output))
        results = stack.enter_context(PartialResults(output, about))
        todo = [clip for clip in clips if clip.key not in results]
        if len(todo) < len(clips):
            tell(f"{output}: {len(clips) - len(todo)} of {len(clips)} clips are done, going on")
        for faces in track(detect_clips(todo, build_detector, every, num_proc), "looking for faces", len(todo)):
            results.add(faces)
        return write_results(output, [clip.key for clip in clips], results, about)
