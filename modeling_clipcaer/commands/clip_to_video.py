"""Write clips of a dataset as a video, with boxes, to see a prediction on a video file.

    clipcaer clip-to-video --dataset DIR --split test --clip 0 --output clip.mp4

writes clip.mp4 (H.264), clip.face.json and clip.body.json. Several clips follow one another, each cut to its body box
and fitted into a square: a recording has one body box at most, which is then the whole frame. The video shows a
person: keep it where the data may be.
"""

import argparse
import sys
from pathlib import Path

from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.names import printable


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    tell(printable(f"reading the split `{args.split}` of {args.dataset}"))
    from modeling_clipcaer.data.views.clip_video import read_clip, view_clips, write_clip_video

    clips = [read_clip(args.dataset, args.split, number) for number in args.clip]
    output = Path(args.output)
    views = view_clips(clips)
    write_clip_video(clips, views, output, args.fps)
    tell(f"{output}: {len(views)} frames of {', '.join(clip['clip_id'] for clip in clips)}")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="dataset, as `clipcaer build` writes it")
    parser.add_argument("--split", default="test", help="split of the clip")
    parser.add_argument("--clip", type=int, nargs="+", default=[0], help="numbers of clips in the split, from 0")
    parser.add_argument("--output", required=True, metavar="FILE", help="video to write")
    parser.add_argument("--fps", type=int, default=8, help="frames a second")
    return parser.parse_args([spell_flag(argument) for argument in arguments])


if __name__ == "__main__":
    raise SystemExit(run_command(main))
