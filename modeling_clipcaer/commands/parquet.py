"""Write a dataset on disk as parquet shards, for the Hub, object storage and streaming.

    clipcaer parquet DATASET --output DIR --embed none

writes DIR/train-00000-of-00003.parquet and so on, a dataset card, and the record of the build without this machine's
paths. `datasets.load_dataset("parquet", data_files=...)`, `load_dataset(DIR)` and --dataset DIR of the recipes read
them. --embed says what a row holds: `none` the paths of its frames, `frames` their files' bytes, which give the same
pixels to the last bit, `crops` face and context as the model sees them, cut once by the settings of --processor.
"""

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.flags import option, parse_arguments, rare_option
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.data.parquet.card import EMBEDDED, LICENCE, NOTICES, choose_licence, render_dataset_card
from modeling_clipcaer.errors import InputError


SHARE_FLAG = "--i-may-share-these-images"


@dataclass
class ParquetArguments:
    """What is written, and how."""

    dataset: str = option(MISSING, "Dataset on disk, as `clipcaer build` writes it.", positional=True)
    output: str = option(MISSING, "Folder to write; earlier shards there are replaced.")
    embed: str = option(MISSING, "What a row holds of the frames.", choices=tuple(EMBEDDED))
    i_may_share_these_images: bool = option(False, "The images' licence and the people on them allow it.")
    shard_size: str = option("500MB", "Greatest size of a file.", metavar="SIZE")
    num_proc: int = option(1, "Processes that read frames.", least=1)
    max_frames: int = option(
        0, "Frames kept of a training clip with --embed frames or crops, 0 for all; they are evenly spaced.", least=0
    )
    processor: str | None = option(
        None, "With --embed crops, the checkpoint whose settings cut: a folder, or an id on the Hub; ours by default."
    )
    shuffle_seed: int | None = rare_option(
        None, "Shuffle the training clips by this seed: readers that stream do so within a buffer only."
    )

    def __post_init__(self):
        if self.embed == "none" and self.max_frames:
            raise InputError("--max-frames has no effect with --embed none; expected frames or crops")
        if self.embed != "crops" and self.processor is not None:
            raise InputError(f"--processor has no effect with --embed {self.embed}; expected crops")


def main() -> None:
    (args,) = parse_arguments((ParquetArguments,), sys.argv[1:], __doc__)
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
    shard_size = read_size(args.shard_size)
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
            write_split(rows, makers[split], folder, split, shard_size, args.num_proc)
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


def read_size(text: str) -> int:
    """Bytes, of `500MB`."""
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        return convert_file_size_to_int(text)
    except ValueError:
        raise InputError(f"--shard-size: '{text}', expected a size like 500MB") from None


if __name__ == "__main__":
    raise SystemExit(run_command(main))
