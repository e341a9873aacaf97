"""Write one clip of a dataset as a video, with its boxes, to see a prediction on a video file.

    python data_scripts/clip_to_video.py --dataset DIR --split test --clip 0 --output clip.mp4

writes clip.mp4 (H.264), clip.face.json and clip.body.json. The video shows a person: keep it where the data may be.
"""

import argparse
import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from datasets import load_from_disk
from PIL import Image

from data_scripts.build_raer import CommandParser, spell_flag
from modeling_clipcaer.errors import InputError, run_command


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    clip = read_clip(args.dataset, args.split, args.clip)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_video(clip, output, args.fps)
    name = output.name
    faces = {str(number): box for number, box in enumerate(clip["face_boxes"]) if box}
    write_json({name: faces} if faces else {}, output.with_suffix(".face.json"))
    write_json({name: clip["body_box"]} if clip["body_box"] else {}, output.with_suffix(".body.json"))
    print(f"{output}: {len(clip['frame_names'])} frames of {clip['clip_id']}")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--dataset", required=True, metavar="DIR", help="dataset written by build_raer.py")
    parser.add_argument("--split", default="test", help="split of the clip")
    parser.add_argument("--clip", type=int, default=0, help="number of the clip in the split, from 0")
    parser.add_argument("--output", required=True, metavar="FILE", help="video to write")
    parser.add_argument("--fps", type=int, default=8, help="frames a second")
    return parser.parse_args([spell_flag(argument) for argument in arguments])


def read_clip(dataset: str, split: str, number: int) -> dict:
    """Row `number` of a split."""
    try:
        rows = load_from_disk(dataset)[split]
    except (FileNotFoundError, KeyError) as error:
        raise InputError(f"{dataset}: expected a dataset with a split `{split}`") from error
    if not 0 <= number < len(rows):
        raise InputError(f"{dataset}: split `{split}` has clips 0 to {len(rows) - 1}, asked for {number}")
    return rows[number]


def write_video(clip: dict, output: Path, fps: int) -> None:
    """Frames at a steady rate and high quality, in the first one's size, cut to even sides as H.264 wants them."""
    partial = output.with_name(f".partial-{output.name}")
    frames = [read_frame(Path(clip["frame_dir"], name)) for name in clip["frame_names"]]
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "12"})
        stream.width, stream.height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            pixels = np.ascontiguousarray(np.asarray(frame)[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    os.replace(partial, output)


def read_frame(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


def write_json(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
