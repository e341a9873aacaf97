"""Draw a contact sheet of what the model sees of chosen clips.

    clipcaer view DATASET --split test --num 8 --output sheet.png

For each clip one frame with its face box (green) and body box (orange), and, as the processor cuts them for training
and evaluation, the sampled frames of the context stream (upper row) and of the face stream (lower row), with the
clip's name, label and where its boxes are from. Many clips go on several pages: sheet-1.png, sheet-2.png, ...

Nobody is known by the face, where the boxes say it is: its eyes are covered and the rest of it is coarse, so that one
sees whether the box fits and which way the head is turned. Where a box is a guess more is hidden, and a frame without
one is hidden wholly. People in the background have no box and stay as they are. --show-faces leaves everything as it
is.
"""

import argparse
import sys
from pathlib import Path

from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    tell(printable(f"reading the split `{args.split}` of {args.dataset}"))
    from modeling_clipcaer.data.views.samples import choose_clips, load_split, make_processor, write_pages

    rows = load_split(args.dataset, args.split)
    places = choose_clips(rows, args.clips, args.num, args.seed)
    if len(places) > args.max_clips:
        raise InputError(f"{len(places)} clips: expected at most {args.max_clips} (--max-clips)")
    processor = make_processor(args.processor, args.num_frames, args.image_size)
    heading = f"{Path(args.dataset).name}, {args.split}, {args.mode}"
    paths = write_pages(rows, places, processor, Path(args.output), heading, args.mode, args.show_faces)
    tell(f"{len(places)} clips: {', '.join(map(str, paths))}")
    if args.show_faces:
        tell("The sheet holds people's images with their faces: keep it where the data may be.")
    else:
        tell("Faces are veiled where the boxes say they are; faces without a box, of people behind, are not.")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="dataset, as `clipcaer build` writes it")
    add("--output", required=True, metavar="FILE.png", help="sheet to write; with several pages FILE-1.png, ...")
    add("--split", default="test", help="split of the clips (default test)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--clips", nargs="+", metavar="CLIP", help="clips by their number in the split, or by name")
    chosen.add_argument("--num", type=int, default=8, metavar="N", help="so many clips, drawn at random (default 8)")
    add("--seed", type=int, help="of the draw of --num (default 0)")
    add("--processor", metavar="DIR", help="checkpoint whose processor is taken; by default a new one")
    add("--num-frames", type=int, metavar="N", help="frames sampled of a clip, without --processor (default 16)")
    add("--image-size", type=int, metavar="N", help="side of the squares, without --processor (default 224)")
    mode_help = "train shows one draw of the training's frames and augmentation (default eval)"
    add("--mode", choices=("eval", "train"), default="eval", help=mode_help)
    add("--max-clips", type=int, default=64, metavar="N", help="refuse to draw more clips (default 64)")
    add("--show-faces", action="store_true", help="leave faces as they are")
    parser.epilog = "Dashes and underscores in flags are the same."
    args = parser.parse_args([spell_flag(argument) for argument in arguments])
    if not args.output.lower().endswith(".png"):
        parser.error(f"--output {args.output}: expected a name that ends in .png")
    if args.clips is not None and args.seed is not None:
        parser.error("--seed has no effect with --clips; expected one of the two")
    args.seed = 0 if args.seed is None else args.seed
    for name, least in (("num", 1), ("max_clips", 1), ("seed", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} is {getattr(args, name)}, expected at least {least}")
    return args


if __name__ == "__main__":
    raise SystemExit(run_command(main))
