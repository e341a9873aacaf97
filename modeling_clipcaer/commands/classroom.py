"""Draw a recording of a classroom: three students who move, as a video, with the boxes of their faces and bodies.

    clipcaer classroom --output lesson.mp4

writes lesson.mp4 (H.264, 960x540), lesson.face.json and lesson.body.json, which `clipcaer predict` takes. What is
written on the board says that it is a drawing. The same seed draws the same students.
"""

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.flags import check_ranges, option, parse_arguments
from modeling_clipcaer.common.progress import tell
from modeling_clipcaer.errors import run_command


@dataclass
class LessonArguments:
    """What is drawn, and where."""

    output: str = option(MISSING, "Video to write; its boxes are written beside it.", metavar="FILE.mp4")
    seed: int = option(1, "Seed of the drawing.", least=0)
    fps: int = option(10, "Frames a second.", least=1, most=60)

    def __post_init__(self):
        check_ranges(self)


def main() -> None:
    (args,) = parse_arguments((LessonArguments,), sys.argv[1:], __doc__)
    tell("drawing a classroom")
    from modeling_clipcaer.synthetic.classroom import write_lesson

    frames = write_lesson(Path(args.output), args.seed, args.fps)
    print(f"{args.output}: {frames} drawn frames")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
