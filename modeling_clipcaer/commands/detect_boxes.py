"""Find the boxes of faces and bodies in data without them, and write them as RAER's box files.

    clipcaer detect-boxes FOLDER --output BOXES

writes BOXES/face.json ({clip: {frame: box}}), BOXES/body.json ({clip: box}), which build_raer.py takes as
--bounding-box-face and --bounding-box-body, and BOXES/detection.json, which tells what found the faces and in how many
clips and frames. A clip is a folder of images or a video file, called by its path within FOLDER (in RAER's layout from
images/ on); frames of a video are called by their numbers, from 0. A clip shows one student: of several faces the one
is kept that is followed through the clip over the largest area. The body box is grown from the face. No image is
written. A run that was killed goes on where it stopped.
"""

import argparse
import sys
from functools import partial

from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.data.boxes import NEAREST_REACH
from modeling_clipcaer.names import printable


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    tell(printable(f"looking for faces in {', '.join(args.inputs)}"))
    from modeling_clipcaer.data.detection.detect import detect_boxes
    from modeling_clipcaer.data.detection.files import format_coverage
    from modeling_clipcaer.faces.face_detection import build_face_detector

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
    tell(format_coverage(record))
    for clip, problem in list(record["broken"].items())[:3]:
        tell(printable(f"{clip}: {problem['error']}"))
    if record["broken"]:
        tell(f"{len(record['broken'])} clips have frames that cannot be read: `broken` in detection.json names them")
    tell(f"faces found by {record['detector']}: face.json, body.json and detection.json in {args.output}")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="FOLDER_OR_VIDEO", help="folders with clips in any layout, and video files")
    add("--output", required=True, metavar="DIR", help="folder to write; boxes of an earlier run there are replaced")
    detector_help = "auto (the default) is YuNet where its file can be had, else OpenCV's Haar cascade"
    add("--face-detector", choices=("auto", "yunet", "haar", "mtcnn"), default="auto", help=detector_help)
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


if __name__ == "__main__":
    raise SystemExit(run_command(main))
