"""Find the boxes of faces and bodies in data without them, and write them as RAER's box files.

    clipcaer detect-boxes FOLDER --output BOXES

writes BOXES/face.json ({clip: {frame: box}}), BOXES/body.json ({clip: box}), which `clipcaer build raer` takes as
--bounding-box-face and --bounding-box-body, and BOXES/detection.json, which tells what found the faces and in how many
clips and frames. A clip is a folder of images or a video file, called by its path within FOLDER (in RAER's layout from
images/ on); frames of a video are called by their numbers, from 0. A clip shows one student: of several faces the one
is kept that is followed through the clip over the largest area. The body box is grown from the face. No image is
written. A run that was killed goes on where it stopped.
"""

import sys
from dataclasses import MISSING, dataclass
from functools import partial
from typing import Literal

from modeling_clipcaer.common.flags import option, parse_arguments, rare_option
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.data.boxes import NEAREST_REACH
from modeling_clipcaer.names import printable


@dataclass
class DetectionArguments:
    """Where boxes are looked for, and how."""

    inputs: list[str] = option(MISSING, "Folders with clips in any layout, and video files.", positional=True)
    output: str = option(MISSING, "Folder to write; boxes of an earlier run there are replaced.")
    face_detector: Literal["auto", "yunet", "haar", "mtcnn"] = option(
        "auto", "What finds faces; auto is YuNet where its file can be had, else OpenCV's Haar cascade."
    )
    face_detector_weights: str | None = rare_option(
        None, "YuNet's file; by default it comes from the Hub or its cache.", metavar="FILE"
    )
    every: int = option(
        1,
        "Look at each N-th frame alone; building the dataset then gives a frame the box of the nearest frame within "
        f"{NEAREST_REACH}, else the clip's median box.",
        least=1,
    )
    body_per_frame: bool = option(False, "One body box a frame, not one a clip; {clip: {frame: box}}.")
    num_proc: int = option(1, "Processes to work with.", least=1)


def main() -> None:
    (args,) = parse_arguments((DetectionArguments,), sys.argv[1:], __doc__)
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


if __name__ == "__main__":
    raise SystemExit(run_command(main))
