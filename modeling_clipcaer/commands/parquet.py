"""Write a dataset on disk as parquet shards, for the Hub, object storage and streaming.

    python recipes/write_parquet.py DATASET --output DIR --embed frames --i-may-share-these-images

writes DIR/train-00000-of-00003.parquet and so on, a dataset card, and the record of the build without this machine's
paths. `datasets.load_dataset("parquet", data_files=...)`, `load_dataset(DIR)` and --dataset DIR of the recipes read
them. --embed says what a row holds: `none` the paths of its frames, `frames` their files' bytes, which give the same
pixels to the last bit, `crops` face and context as the model sees them, cut once by the settings of --processor.
"""

import argparse
import json
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict
from datasets.utils.py_utils import convert_file_size_to_int, size_str
from torch.utils.data import DataLoader
from tqdm import tqdm

from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.markdown_text import markdown_text
from modeling_clipcaer.data.clip_rows import find_form
from modeling_clipcaer.data.loading import count_frames, get_labels, load_clips
from modeling_clipcaer.data.parquet_rows import CropRows, FrameRows, PathRows
from modeling_clipcaer.data.parquet_shards import (
    CARD_NAME,
    PROCESSOR_NAME,
    ShardWriter,
    publish_record,
    replaced_folder,
)
from modeling_clipcaer.errors import InputError, run_command


SHARE_FLAG = "--i-may-share-these-images"
LICENCE = (
    "The frames of a restricted data set must not be passed on, nor crops made of them. RAER, for one, is lent for "
    "non-commercial research and must not be redistributed: no upload from which others can read it."
)
PEOPLE = "Frames and crops are images of people: keep them only where the data may be."
FILES = (
    "Image files are kept byte for byte, with all that they hold beside the picture: a phone's photo perhaps "
    "the place where it was taken."
)
PATHS = "The rows hold paths: the files of the frames must be at the same place wherever the shards are read."
EMBEDDED = {
    "none": "paths of the frames' files, which are not part of it",
    "frames": "the bytes of the frames' image files (`frames`), with boxes of face and body",
    "crops": "crops of face and context as the model sees them, uint8 (num_views, num_frames, 3, size, size)",
}
# What whoever passes the shards on must know, by --embed.
NOTICES = {"none": PATHS, "frames": f"{PEOPLE} {FILES}", "crops": PEOPLE}
CARD = """\
---
license: other
task_categories:
- video-classification
configs:
- config_name: default
  data_files:
{files}
---

# {name}

{clips}. Labels: {labels}.

A row holds {embedded}.

{note}

## Licence

{licence}
{people}"""


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    print(f"Licence: {LICENCE}", flush=True)
    if args.embed != "none" and not args.i_may_share_these_images:
        raise InputError(f"--embed {args.embed} writes images of people: {SHARE_FLAG} says that you may share them")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    clips = load_clips(args.dataset)
    processor = load_processor(args.processor) if args.embed == "crops" else None
    if args.shuffle_seed is not None:
        clips["train"] = clips["train"].shuffle(args.shuffle_seed, keep_in_memory=True)
    makers = {split: choose_rows(rows, split, args, processor) for split, rows in clips.items()}
    print(NOTICES[args.embed], flush=True)
    output = Path(args.output).absolute()
    with replaced_folder(output) as folder:
        for split, rows in clips.items():
            write_split(rows, makers[split], folder, split, args)
        publish_record(Path(args.dataset), folder)
        if processor is not None:
            # Keep: without the code that a checkpoint's processor names, which is not beside it here.
            settings = {name: value for name, value in processor.to_dict().items() if name != "auto_map"}
            (folder / PROCESSOR_NAME).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (folder / CARD_NAME).write_text(render_card(clips, output.name, args.embed), encoding="utf-8")
    print(f"parquet shards: {args.output}")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="dataset on disk, as data_scripts write it")
    add("--output", required=True, metavar="DIR", help="the folder to write; earlier shards there are replaced")
    add("--embed", required=True, choices=tuple(EMBEDDED), help="what a row holds of the frames")
    add(SHARE_FLAG, action="store_true", help="the images' licence and the people on them allow it")
    add(
        "--shard-size", type=read_size, metavar="SIZE", default="500MB", help="greatest size of a file (default 500MB)"
    )
    add("--num-proc", type=count, metavar="N", default=1, help="processes that read frames (default 1)")
    frames_help = "frames kept of a training clip, evenly spaced, with --embed frames or crops (default: all)"
    add("--max-frames", type=count, default=0, metavar="N", help=frames_help)
    processor_help = "with --embed crops: checkpoint, folder or id on the Hub, whose settings cut (default: ours)"
    add("--processor", metavar="CHECKPOINT", help=processor_help)
    shuffle_help = "shuffle the training clips: readers that stream do so within a buffer only (default: no)"
    add("--shuffle-seed", type=int, metavar="N", help=shuffle_help)
    parser.epilog = "Dashes and underscores in flags are the same."
    args = parser.parse_args([spell_flag(argument) for argument in arguments])
    if args.embed == "none" and args.max_frames:
        parser.error("--max-frames has no effect with --embed none; expected frames or crops")
    if args.embed != "crops" and args.processor is not None:
        parser.error(f"--processor has no effect with --embed {args.embed}; expected crops")
    return args


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}', expected a number of at least 1")
    return int(text)


def read_size(text: str) -> int:
    try:
        return convert_file_size_to_int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}', expected a size like 500MB") from None


def load_processor(checkpoint: str | None) -> ClipCaerVideoProcessor:
    """The processor of a checkpoint, or the default one.

    Raises:
        InputError: there is no such checkpoint.
    """
    return ClipCaerVideoProcessor() if checkpoint is None else ClipCaerVideoProcessor.from_pretrained(checkpoint)


def choose_rows(rows: Dataset, split: str, args: argparse.Namespace, processor: ClipCaerVideoProcessor | None):
    """What makes the rows of a split."""
    # Keep: the limit for training alone; what evaluation measures must not depend on how a dataset is kept.
    mode, max_frames = ("train", args.max_frames) if split == "train" else ("eval", 0)
    form = find_form(rows.column_names)
    if form is None:
        raise InputError(f"{args.dataset}: split `{split}` holds crops, expected frames")
    if processor is not None:
        return CropRows(rows, processor, mode, max_frames)
    if args.embed == "none":
        if "frames" in form:
            raise InputError(f"{args.dataset}: split `{split}` holds its frames, expected --embed frames or crops")
        return PathRows(rows)
    if "video" in form:
        frames = sum(min(number, max_frames or number) for number in count_frames(rows))
        print(f"{split}: {frames} frames of videos become PNG files, lossless and large", flush=True)
    return FrameRows(rows, max_frames)


def write_split(rows: Dataset, maker: Callable, folder: Path, split: str, args: argparse.Namespace) -> None:
    """Write the shards of a split, and say how large they come out."""
    writer = ShardWriter(folder, split, maker.features.arrow_schema, args.shard_size)
    # One process makes rows as it goes; several make them ahead, two each, in the order of the split all the same.
    workers = args.num_proc if args.num_proc > 1 else 0
    loader = DataLoader(rows, collate_fn=maker, num_workers=workers)
    quiet = None if sys.stderr.isatty() else True
    for number, row in enumerate(tqdm(loader, desc=split, unit="clip", disable=quiet)):
        num_bytes = writer.write(row)
        if number == 0:
            print(f"{split}: {len(rows)} clips, about {size_str(num_bytes * len(rows))} uncompressed", flush=True)
    writer.close()
    print(f"{split}: {size_str(writer.num_bytes)} in {len(writer.shards)} files", flush=True)


def render_card(clips: DatasetDict, name: str, embed: str) -> str:
    """The dataset card, which says which files are which split and what must not be done with them."""
    return CARD.format(
        name=markdown_text(name),
        files="\n".join(f"  - split: {split}\n    path: {split}-*.parquet" for split in clips),
        clips=", ".join(f"{len(rows)} clips for {split}" for split, rows in clips.items()),
        labels=", ".join(map(markdown_text, get_labels(clips))),
        embedded=EMBEDDED[embed],
        note=PATHS if embed == "none" else "Read by ClipCaer's recipes with `--dataset`, or by `load_dataset`.",
        licence=LICENCE,
        people="" if embed == "none" else f"{NOTICES[embed]}\n",
    )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
