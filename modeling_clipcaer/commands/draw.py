"""Draw the world of the drawn data set, to look at: a recording of a classroom, or a sheet of scenes.

    clipcaer draw --output lesson.mp4
    clipcaer draw --output scenes.jpg

A video shows three students who move (H.264, 960x540); lesson.face.json and lesson.body.json beside it hold their
boxes, which `clipcaer predict` takes. A picture (.jpg, .png) shows scenes of every label. Both say that they are
drawings. The same seed draws the same students.
"""

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.flags import check_ranges, option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError


@dataclass
class DrawArguments:
    """What is drawn, and where."""

    output: str = option(MISSING, "What to write: a video (.mp4) or a picture (.jpg, .png).", metavar="FILE")
    seed: int = option(1, "Seed of the drawing.", least=0)
    fps: int = option(10, "Frames a second of a video.", least=1, most=60)

    def __post_init__(self):
        check_ranges(self)


def main() -> None:
    (args,) = parse_arguments((DrawArguments,), sys.argv[1:], __doc__)
    output = Path(args.output)
    kind = output.suffix.lower()
    if kind == ".mp4":
        from modeling_clipcaer.synthetic.classroom import write_lesson

        tell(f"{output}: {write_lesson(output, args.seed, args.fps)} drawn frames")
    elif kind in (".jpg", ".jpeg", ".png"):
        from modeling_clipcaer.synthetic.scenes import write_scenes

        write_scenes(output, args.seed)
        tell(add_path("", output))
    else:
        raise InputError(f"--output {output}: expected a name that ends in .mp4, .jpg or .png")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
