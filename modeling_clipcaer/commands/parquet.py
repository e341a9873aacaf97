"""Write a dataset on disk as parquet shards, for the Hub, object storage and streaming.

    clipcaer parquet DATASET --output DIR --embed none

writes DIR/train-00000-of-00003.parquet and so on, a dataset card, and the record of the build without this machine's
paths. `datasets.load_dataset("parquet", data_files=...)`, `load_dataset(DIR)` and --dataset DIR of the recipes read
them. --embed says what a row holds: `none` the paths of its frames, `frames` their files' bytes, which give the same
pixels to the last bit, `crops` face and context as the model sees them, cut once by the settings of --processor.
"""

import argparse
import sys
from pathlib import Path

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.data.parquet.card import EMBEDDED, LICENCE, NOTICES, choose_licence, render_dataset_card
from modeling_clipcaer.errors import InputError


SHARE_FLAG = "--i-may-share-these-images"


def main() -> None:
    args = parse_arguments(sys.argv[1:])
    tell(f"Licence: {LICENCE}")
    if args.embed != "none" and not args.i_may_share_these_images:
        raise InputError(f"--embed {args.embed} writes images of people: {SHARE_FLAG} says that you may share them")
    from modeling_clipcaer.data.loading import count_labels, load_clips
    from modeling_clipcaer.data.parquet.dataset import choose_rows, write_split
    from modeling_clipcaer.data.parquet.shards import (
        CARD_NAME,
        LICENCE_NAME,
        PROCESSOR_NAME,
        publish_record,
        replaced_folder,
    )
    from modeling_clipcaer.data.views.samples import make_processor

    hide_progress_bars(of_models=False)
    clips = load_clips(args.dataset)
    processor = make_processor(args.processor) if args.embed == "crops" else None
    if args.shuffle_seed is not None:
        clips["train"] = clips["train"].shuffle(args.shuffle_seed, keep_in_memory=True)
    makers = {
        split: choose_rows(rows, split, args.dataset, args.embed, args.max_frames, processor)
        for split, rows in clips.items()
    }
    tell(NOTICES[args.embed])
    output = Path(args.output).absolute()
    with replaced_folder(output) as folder:
        for split, rows in clips.items():
            write_split(rows, makers[split], folder, split, args.shard_size, args.num_proc)
        record = publish_record(Path(args.dataset), folder)
        if processor is not None:
            # Keep: without the code that a checkpoint's processor names, which is not beside it here.
            settings = {name: value for name, value in processor.to_dict().items() if name != "auto_map"}
            write_json(settings, folder / PROCESSOR_NAME)
        features = next(iter(makers.values())).features
        card = render_dataset_card(count_labels(clips), features, record, output.name, args.embed)
        (folder / LICENCE_NAME).write_text(f"{choose_licence(record)}\n", encoding="utf-8")
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
    tell(add_path("parquet shards", args.output))


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="dataset on disk, as data_scripts write it")
    add("--output", required=True, metavar="DIR", help="the folder to write; earlier shards there are replaced")
    add("--embed", required=True, choices=tuple(EMBEDDED), help="what a row holds of the frames")
    add(SHARE_FLAG, action="store_true", help="the images' licence and the people on them allow it")
    size_help = "greatest size of a file (default 500MB)"
    add("--shard-size", type=read_size, metavar="SIZE", default=500_000_000, help=size_help)
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
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        return convert_file_size_to_int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}', expected a size like 500MB") from None


if __name__ == "__main__":
    raise SystemExit(run_command(main))
