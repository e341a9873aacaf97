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

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from modeling_clipcaer.common.flags import given_flags, option, parse_arguments, rare_option
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


@dataclass
class ViewArguments:
    """Which clips are drawn, and how."""

    dataset: str = option(MISSING, "Dataset, as `clipcaer build` writes it.", positional=True)
    output: str = option(MISSING, "Sheet to write; with several pages FILE-1.png and so on.", metavar="FILE.png")
    split: str = option("test", "Split of the clips.")
    clips: list[str] | None = option(None, "Clips by their number in the split, or by name; --num of them by default.")
    num: int = option(8, "Clips drawn at random.", least=1)
    seed: int = option(0, "Seed of this draw.", least=0)
    processor: str | None = option(
        None, "Checkpoint whose processor is taken: a folder, or an id on the Hub; a new one by default."
    )
    num_frames: int | None = rare_option(None, "Frames sampled of a clip, without --processor; 16 by default.")
    image_size: int | None = rare_option(None, "Side of the squares, without --processor; 224 by default.")
    mode: Literal["eval", "train"] = option("eval", "Train shows one draw of the training's frames and augmentation.")
    max_clips: int = rare_option(64, "Refuse to draw more clips.", least=1)
    show_faces: bool = option(False, "Leave faces as they are.")

    def __post_init__(self):
        if not self.output.lower().endswith(".png"):
            raise InputError(f"--output {self.output}: expected a name that ends in .png")


def main() -> None:
    argv = sys.argv[1:]
    (args,) = parse_arguments((ViewArguments,), argv, __doc__)
    check_flags(given_flags((ViewArguments,), argv))
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


def check_flags(given: dict[str, Any]) -> None:
    """Refuse flags that would be ignored."""
    if "clips" in given and (idle := sorted({"num", "seed"} & set(given))):
        raise InputError(f"--{idle[0]} has no effect with --clips; expected one of the two")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
