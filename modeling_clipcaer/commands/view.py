"""Draw a contact sheet of what the model sees of chosen clips.

    python data_scripts/view_samples.py DATASET --split test --num 8 --output sheet.png

For each clip one frame with its face box (green) and body box (orange), and, as the processor cuts them for training
and evaluation, the sampled frames of the context stream (upper row) and of the face stream (lower row), with the
clip's name, label and where its boxes are from. Many clips go on several pages: sheet-1.png, sheet-2.png, ...

Faces are made unrecognisable, where the boxes say they are: the face stream is, wholly, and of other frames the place
of the face box; a frame without one is, wholly. People in the background have no box and stay as they are.
--show-faces leaves everything as it is.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from PIL import Image

from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, open_row
from modeling_clipcaer.data.contact_sheet import ClipView, HiddenFaces, draw_page, hide_whole
from modeling_clipcaer.errors import InputError, check_readable, first_line, run_command
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor, boxes_per_frame


CLIPS_PER_PAGE = 8
SOURCES = "face_box_sources"
COLUMNS = {"clip_id", "label", SOURCES, *BOX_COLUMNS}
OWN = "annotated"  # a face box that is the frame's own


def view_clip(
    rows: Dataset, place: int, processor: ClipCaerVideoProcessor, mode: str = "eval", show_faces: bool = False
) -> ClipView:
    """What the model sees of the clip at `place` of a split.

    Raises:
        InputError: the clip cannot be read; the message begins with its `clip_id`.
    """
    row = rows[place]
    try:
        source = processor.open_clip(open_row(row))
        faces, bodies = (boxes_per_frame(row[name], len(source)) for name in BOX_COLUMNS)
        indices = processor.frame_indices(source, mode=mode)
        shown = int(indices[len(indices) // 2])
        names = [rows.features[SOURCES].feature.int2str(number) for number in row[SOURCES]]
        title = _describe(rows, place, names, len(source))
        if not show_faces:
            # Sources go as boxes do: one for each frame, or one for all.
            source = HiddenFaces(source, faces, [name == OWN for name in boxes_per_frame(names, len(source))])
        streams = processor.process_clip(source, faces, bodies, indices, mode)
        (frame,) = source.read([shown])
    except InputError as error:
        raise InputError(f"clip {row['clip_id']}: {error}") from error
    context, face = (pixels.permute(0, 2, 3, 1).numpy() for pixels in streams)
    if not show_faces:
        for square in face:
            hide_whole(square)
    whole = Image.fromarray(np.ascontiguousarray(frame.permute(1, 2, 0)))
    return ClipView(title, whole, faces[shown] or None, bodies[shown] or None, context, face)


def _describe(rows: Dataset, place: int, source_names: Sequence[str], num_frames: int) -> tuple[str, str]:
    """The clip's two lines of text."""
    row, counts = rows[place], Counter(source_names)
    faces = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"
    bodies = {0: "none", 1: "one for all frames"}.get(len(row["body_boxes"]), "one a frame")
    label = rows.features["label"].int2str(row["label"])
    return f"{place}: {row['clip_id']}", f"{label}. {num_frames} frames; face boxes: {faces}; body boxes: {bodies}"


def load_split(folder: str, split: str) -> Dataset:
    """A split of a dataset on disk.

    Raises:
        InputError: there is none.
    """
    check_readable(folder, depth=2)
    try:
        dataset = load_from_disk(folder)
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(f"{folder}: expected a dataset written by data_scripts: {first_line(error)}") from error
    if not isinstance(dataset, DatasetDict) or split not in dataset:
        found = ", ".join(dataset) if isinstance(dataset, DatasetDict) else "one split without a name"
        raise InputError(f"{folder}: expected a split `{split}`, found {found}")
    rows = dataset[split]
    missing = sorted(COLUMNS - set(rows.column_names))
    if missing or not len(rows):
        found = f"no column `{missing[0]}`" if missing else "no clip"
        raise InputError(f"{folder}: split `{split}` has {found}")
    return rows


def choose_clips(rows: Dataset, wanted: Sequence[str] | None, num: int, seed: int) -> list[int]:
    """Places of the clips `wanted`, by name or number, else of `num` drawn at random, in their order."""
    if wanted is None:
        draws = np.random.default_rng(seed).permutation(len(rows))[:num]
        return sorted(draws.tolist())
    places = {name: place for place, name in enumerate(rows["clip_id"][:])}
    spelling = defaultdict(list)
    for name, place in places.items():
        spelling[identity_key(name)].append(place)
    chosen = []
    for name in wanted:
        alike = spelling[identity_key(name)]  # as a keyboard writes it
        place = places.get(name, alike[0] if len(alike) == 1 else int(name) if name.isdecimal() else -1)
        if not 0 <= place < len(rows):
            numbers = f"a number from 0 to {len(rows) - 1}"
            raise InputError(f"--clips: no clip `{name}`; expected {numbers}, or a name as `{rows[0]['clip_id']}`")
        chosen.append(place)
    return chosen


def load_processor(args: argparse.Namespace) -> ClipCaerVideoProcessor:
    given = {name: getattr(args, name) for name in ("num_frames", "image_size") if getattr(args, name) is not None}
    if args.processor is None:
        return ClipCaerVideoProcessor(**given)
    if given:
        raise InputError(f"--{next(iter(given)).replace('_', '-')} has no effect with --processor, which states it")
    return ClipCaerVideoProcessor.from_pretrained(args.processor)


def write_pages(
    rows: Dataset, places: Sequence[int], processor: ClipCaerVideoProcessor, args: argparse.Namespace
) -> list[Path]:
    """Write the sheet, or its pages once all are complete, and return their paths."""
    output = Path(args.output)
    pages = [places[start : start + CLIPS_PER_PAGE] for start in range(0, len(places), CLIPS_PER_PAGE)]
    names = [output.name] if len(pages) == 1 else [f"{output.stem}-{page + 1}.png" for page in range(len(pages))]
    heading = (
        f"{Path(args.dataset).name}, {args.split}, {args.mode}: {processor.num_frames} frames of "
        f"{processor.image_size} pixels, context above, face below; face box green, body box orange"
    )
    # Keep: a folder that goes, whatever happens. A page shows people.
    with locked_name(output), staged_folder(output.parent) as folder:
        for name, page in zip(names, pages, strict=True):
            views = [view_clip(rows, place, processor, args.mode, args.show_faces) for place in page]
            draw_page(views, heading).save(folder / name)
    return [output.parent / name for name in names]


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="dataset on disk, as the builders write it")
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


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    rows = load_split(args.dataset, args.split)
    places = choose_clips(rows, args.clips, args.num, args.seed)
    if len(places) > args.max_clips:
        raise InputError(f"{len(places)} clips: expected at most {args.max_clips} (--max-clips)")
    paths = write_pages(rows, places, load_processor(args), args)
    print(f"{len(places)} clips: {', '.join(map(str, paths))}")
    if args.show_faces:
        print("The sheet holds people's images with their faces: keep it where the data may be.")
    else:
        print("Faces are hidden where the boxes say they are; faces without a box, of people behind, are not.")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
