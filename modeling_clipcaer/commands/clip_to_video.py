"""Write clips of a dataset as a video, with boxes, to see a prediction on a video file.

    clipcaer clip-to-video --dataset DIR --split test --clip 0 --output clip.mp4

writes clip.mp4 (H.264), clip.face.json and clip.body.json. Several clips follow one another, each cut to its body box
and fitted into a square: a recording has one body box at most, which is then the whole frame. The video shows a
person: keep it where the data may be.
"""

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.names import printable


@dataclass
class VideoArguments:
    """Which clips are written, and where."""

    dataset: str = option(MISSING, "Dataset, as `clipcaer build` writes it.")
    output: str = option(MISSING, "Video to write.", metavar="FILE.mp4")
    split: str = option("test", "Split of the clips.")
    clip: list[int] = option(lambda: [0], "Numbers of clips in the split, from 0.")
    fps: int = option(8, "Frames a second.", least=1)


def main() -> None:
    (args,) = parse_arguments((VideoArguments,), sys.argv[1:], __doc__)
    tell(printable(f"reading the split `{args.split}` of {args.dataset}"))
    from modeling_clipcaer.data.views.clip_video import read_clip, view_clips, write_clip_video

    clips = [read_clip(args.dataset, args.split, number) for number in args.clip]
    output = Path(args.output)
    views = view_clips(clips)
    write_clip_video(clips, views, output, args.fps)
    tell(f"{output}: {len(views)} frames of {', '.join(clip['clip_id'] for clip in clips)}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
