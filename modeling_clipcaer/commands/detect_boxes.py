"""Find the boxes of faces and bodies in data without them, and write them as RAER's box files.

    python data_scripts/detect_boxes.py FOLDER --output BOXES

writes BOXES/face.json ({clip: {frame: box}}), BOXES/body.json ({clip: box}), which build_raer.py takes as
--bounding-box-face and --bounding-box-body, and BOXES/detection.json, which tells what found the faces and in how many
clips and frames. A clip is a folder of images or a video file, called by its path within FOLDER (in RAER's layout from
images/ on); frames of a video are called by their numbers, from 0. A clip shows one student: of several faces the one
is kept that is followed through the clip over the largest area. The body box is grown from the face. No image is
written. A run that was killed goes on where it stopped.
"""

import argparse
import platform
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from modeling_clipcaer.common.disk import tell_disk_errors
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.data.box_detection import detect_clips
from modeling_clipcaer.data.boxes import NEAREST_REACH
from modeling_clipcaer.data.clip_search import find_clips, say_passed_over
from modeling_clipcaer.data.detection_files import BODY_PER_FRAME, PartialResults, format_coverage, write_results
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.faces.face_detection import DETECTORS, FaceDetector, build_face_detector
from modeling_clipcaer.names import printable


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

    Raises:
        InputError: there are no clips, or `output` holds something else.
    """
    for name, number in (("every", every), ("num_proc", num_proc)):
        if number < 1:
            raise InputError(f"`{name}` is {number}, expected at least 1")
    passed_over: Counter[str] = Counter()
    clips, output = find_clips(inputs, passed_over), Path(output)
    if passed_over:
        print(say_passed_over(passed_over))
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
            print(f"{output}: {len(clips) - len(todo)} of {len(clips)} clips are done, going on")
        with tqdm(total=len(clips), initial=len(clips) - len(todo), unit="clip", disable=None) as bar:
            for faces in detect_clips(todo, build_detector, every, num_proc):
                results.add(faces)
                bar.update()
        return write_results(output, [clip.key for clip in clips], results, about)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="FOLDER_OR_VIDEO", help="folders with clips in any layout, and video files")
    add("--output", required=True, metavar="DIR", help="folder to write; boxes of an earlier run there are replaced")
    detector_help = "auto (the default) is YuNet where its file can be had, else OpenCV's Haar cascade"
    add("--face-detector", choices=DETECTORS, default="auto", help=detector_help)
    add("--face-detector-weights", metavar="FILE", help="YuNet's file; by default it comes from the Hub or its cache")
    every_help = (
        "look at each N-th frame alone (default 1); building the dataset then gives a frame the box of the nearest "
        f"frame within {NEAREST_REACH}, else the clip's median box"
    )
    add("--every", type=int, default=1, metavar="N", help=every_help)
    add("--body-per-frame", action="store_true", help="one body box a frame ({clip: {frame: box}}), not one a clip")
    add("--num-proc", type=int, default=1, metavar="N", help="processes to work with (default 1)")
    parser.epilog = "Dashes and underscores in flags are the same."
    return parser.parse_args([spell_flag(argument) for argument in arguments])


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    weights = args.face_detector_weights
    # Which detector "auto" is, is settled once for all processes.
    name = build_face_detector(args.face_detector, weights).name
    record = detect_boxes(
        args.inputs,
        args.output,
        partial(build_face_detector, name, weights),
        every=args.every,
        body_per_frame=args.body_per_frame,
        num_proc=args.num_proc,
        weights=weights,
    )
    print(format_coverage(record))
    for clip, problem in list(record["broken"].items())[:3]:
        print(printable(f"{clip}: {problem['error']}"))
    if record["broken"]:
        print(f"{len(record['broken'])} clips have frames that cannot be read: `broken` in detection.json names them")
    print(f"faces found by {record['detector']}: face.json, body.json and detection.json in {args.output}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
