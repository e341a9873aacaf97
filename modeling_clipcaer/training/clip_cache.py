"""Clips decoded, cut and encoded once: the cache that training reads from in place of the frames' files.

A cache is a folder of Arrow files, each with some clips, named by what they were made from: the clips' files and
boxes, the pixels' settings and, for embeddings, the weights of the vision tower. What is there is taken, what is
missing is made, so that a cache is shared by runs, extended after a change of data, and resumed after a kill.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets
from datasets.arrow_writer import ArrowWriter
from huggingface_hub import cached_assets_path
from torch.utils.data import DataLoader

from modeling_clipcaer.common.disk import as_size, check_room, tell_disk_errors
from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.common.locks import shared_folder
from modeling_clipcaer.common.progress import ProgressBar
from modeling_clipcaer.common.terminal import add_path, tell
from modeling_clipcaer.data.cached_clips import CROPS_COLUMNS, EMBEDS_COLUMNS, ClipCutter, augments
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, find_form, locate_video, require_form
from modeling_clipcaer.data.fetching import PLACE, tell_state
from modeling_clipcaer.data.loading import count_frames
from modeling_clipcaer.data.streamed import is_streamed
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.checkpoints import check_output_dir
from modeling_clipcaer.models.frozen_parts import FrozenParts, describe_tower_dtype
from modeling_clipcaer.models.trainable import fingerprint_weights
from modeling_clipcaer.names import public_name
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.settings import CacheArguments


# Of the files' layout and of how pixels and embeddings are computed; raise it when either changes.
CACHE_VERSION = 5
CLIPS_PER_FILE = 32
# Images that the tower sees at a time.
IMAGES_PER_PASS = 256
KEPT_COLUMNS = ("clip_id", "person_id", "label", "votes")
# What the tower computes by beside its weights, and these do not show.
TOWER_SETTINGS = ("hidden_act", "layer_norm_eps", "num_attention_heads")
NORMALIZATION_SETTINGS = ("do_normalize", "image_mean", "image_std")


def check_cache_arguments(args: CacheArguments, training_args: ClipCaerTrainingArguments, use_lora: bool) -> None:
    """Refuse, before any work, what embeddings of frames cannot serve."""
    if args.cache_frame_embeds and (training_args.lr_image_encoder > 0 or use_lora):
        found = "`use_lora` adapts it" if use_lora else f"`lr_image_encoder` is {training_args.lr_image_encoder:g}"
        raise InputError(
            f"`cache_frame_embeds` needs a frozen vision tower, {found}; take `cache_crops`, or freeze it"
        )
    if args.cache_frame_embeds and training_args.mixup_alpha > 0:
        raise InputError("`mixup_alpha` mixes pixels, which `cache_frame_embeds` does away with; take `cache_crops`")
    if args.cache_dir is not None:
        check_output_dir(args.cache_dir)


def read_from_cache(
    clips: DatasetDict,
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    cache_args: CacheArguments,
    dataset: str | Path,
    training_args: ClipCaerTrainingArguments,
) -> DatasetDict:
    """The clips as the flags want them read: from a cache, which is then filled first, or from their own files."""
    if not (cache_args.cache_frame_embeds or cache_args.cache_crops):
        return clips
    model.to(training_args.device).eval()
    folder, workers = cache_args.cache_dir or find_cache(dataset), training_args.dataloader_num_workers
    cached = cache_clips(model, processor, clips, cache_args, folder, workers, training_args.tower_dtype)
    if cache_args.cache_frame_embeds:
        read_in_process(training_args)
    return cached


def embed_measured(
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    clips: DatasetDict,
    folder: str | os.PathLike,
    num_workers: int,
    tower_dtype: str,
) -> DatasetDict:
    """The clips of all splits as evaluation looks at them, as frame embeddings from the cache in `folder`."""
    args = CacheArguments(cache_frame_embeds=True)
    return cache_clips(model.eval(), processor, clips, args, folder, num_workers, tower_dtype, trained=None)


def find_cache(dataset: str | Path) -> Path:
    """Where the cache of a dataset is by default: in its folder, or of one elsewhere in the Hub's own cache."""
    if not is_streamed(dataset):
        return Path(dataset, "cache")
    return cached_assets_path("clipcaer", namespace=public_name(dataset), subfolder="clips")


def read_in_process(args: ClipCaerTrainingArguments) -> None:
    """Let no other processes read embeddings: they are read faster than another one hands them over."""
    args.dataloader_num_workers, args.dataloader_persistent_workers = 0, False
    args.dataloader_prefetch_factor = None


def cache_clips(
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    clips: DatasetDict,
    args: CacheArguments,
    folder: str | os.PathLike,
    num_workers: int = 0,
    tower_dtype: str = "float32",
    trained: str | None = "train",
) -> DatasetDict:
    """The same clips in the same order, read from the cache in `folder`, of which what is missing is made first.

    Each process of a launch makes its share of the files. The model is on the device that it is to run on, where its
    tower computes in `tower_dtype`. Clips of the split `trained` are kept as training looks at them, with its views
    and the frames that it draws from, those of all others as evaluation does.

    Raises:
        InputError: a clip cannot be read, or the folder cannot be written to or has not enough room.
    """
    embeds = args.cache_frame_embeds
    keep = _EmbedsKeeper(model, processor, tower_dtype) if embeds else _CropsKeeper(model, processor)
    plans = {}
    for split, rows in clips.items():
        if find_form(rows.column_names) is None:
            raise InputError(f"split `{split}` holds crops, not frames: train on them as they are, without a cache")
        mode = "train" if split == trained else "eval"
        augmented = args.cache_frame_embeds and mode == "train" and augments(processor)
        views = args.cache_views if augmented else 1
        frames = args.cache_frames if mode == "train" else 0
        cutter = ClipCutter(processor, model.config.streams, mode, frames, views)
        plans[split] = _Plan(rows, cutter, keep, Path(folder))
    with tell_disk_errors(folder):
        _announce(list(plans.values()), keep, Path(folder))
        with _hold(Path(folder)):
            _make_files(list(plans.values()), keep, num_workers)
    return DatasetDict({split: plan.load() for split, plan in plans.items()})


class _EmbedsKeeper:
    """Keeps the frame embeddings of both streams."""

    name, columns = "frame embeddings", EMBEDS_COLUMNS

    def __init__(self, model: ClipCaerForVideoClassification, processor: ClipCaerVideoProcessor, tower_dtype: str):
        self.device, self.processor = model.device, processor
        self.parts = FrozenParts(model, tower_dtype)
        self.bytes_per_frame = 4 * model.config.projection_dim
        state = model.model.clip.state_dict()
        names = {name for name in state if name.startswith(("vision_model.", "visual_projection."))}
        config = model.config.vision_tower_config
        self.settings = {"tower": fingerprint_weights(state, names), "dtype": describe_tower_dtype(tower_dtype, model)}
        self.settings |= {name: getattr(config, name) for name in TOWER_SETTINGS}
        self.settings |= {name: getattr(processor, name) for name in NORMALIZATION_SETTINGS}

    def __call__(self, streams: list[torch.Tensor]) -> list[bytes]:
        """Crops of each stream, uint8 (num_views, num_frames, 3, size, size), to bytes of float32 embeddings."""
        images = torch.cat([pixels.flatten(0, 1) for pixels in streams])
        embeds = []
        for part in images.split(IMAGES_PER_PASS):
            pixels = self.processor.normalize(part.to(self.device))
            embeds.append(self.parts.encode_frames(pixels[None])[0].float().cpu())
        return [stream.numpy().tobytes() for stream in torch.cat(embeds).chunk(len(streams))]


class _CropsKeeper:
    """Keeps the crops of both streams."""

    name, columns = "crops", CROPS_COLUMNS

    def __init__(self, model: ClipCaerForVideoClassification, processor: ClipCaerVideoProcessor):
        self.bytes_per_frame = 3 * processor.image_size**2
        self.settings: dict[str, Any] = {}

    def __call__(self, streams: list[torch.Tensor]) -> list[bytes]:
        """Crops of each stream, uint8 (1, num_frames, 3, size, size), to their bytes."""
        return [pixels.numpy().tobytes() for pixels in streams]


class _Plan:
    """The files of one split: which clips each holds, and where it is."""

    def __init__(self, rows: Dataset, cutter: ClipCutter, keep, folder: Path):
        self.rows, self.cutter = rows, cutter
        settings = {
            "version": CACHE_VERSION,
            # Keep: no setting that these clips do not depend on; a change of it would make all of them again.
            "processor": cutter.settings,
            "streams": cutter.streams,
            "cut": [cutter.mode, cutter.max_frames, cutter.num_views],
            **keep.settings,
        }
        self.folder = folder / _digest(settings)[:16]
        self.columns = [
            name
            for name, stream in zip(keep.columns, ("context", "face"), strict=True)
            if cutter.streams in ("both", stream)
        ]
        self.num_frames = [cutter.count_frames(total) for total in count_frames(rows)]
        self.num_bytes = sum(self.num_frames) * cutter.num_views * keep.bytes_per_frame * len(self.columns)
        place = {PLACE} & {*rows.column_names}
        source = rows.select_columns(["clip_id", *require_form(rows.column_names), *BOX_COLUMNS, *place])
        # Keep: a digest of each clip; the boxes of all of them would take more memory than training does.
        described = [_digest(_describe_clip(row)) for row in source]
        starts = range(0, len(rows), CLIPS_PER_FILE)
        self.files = {
            self.folder / f"{_digest(described[start : start + CLIPS_PER_FILE])}.arrow": start for start in starts
        }

    @property
    def features(self) -> Features:
        """Columns of a file."""
        sizes = {"num_views": Value("int32"), "num_frames": Value("int32")}
        return Features({**{name: Value("large_binary") for name in self.columns}, **sizes})

    def missing(self) -> list[Path]:
        """Files that are still to be made."""
        return [path for path in self.files if not path.is_file()]

    def places(self, path: Path) -> range:
        """Rows of the split that a file holds."""
        start = self.files[path]
        return range(start, min(start + CLIPS_PER_FILE, len(self.rows)))

    def load(self) -> Dataset:
        """The clips with their cached columns, mapped into memory, in the order of the split."""
        if missing := self.missing():
            raise InputError(f"{missing[0]}: another process made it elsewhere; name a --cache-dir that all can see")
        cached = concatenate_datasets([Dataset.from_file(str(path)) for path in self.files])
        kept = self.rows.select_columns([name for name in KEPT_COLUMNS if name in self.rows.column_names])
        return concatenate_datasets([kept, cached], axis=1)


def _describe_clip(row: dict[str, Any]) -> list:
    """What the pixels of a clip depend on: the files by name, size and time of change, or the images' own bytes, and
    the boxes. Of a dataset elsewhere nothing is fetched for it."""
    described = {name: value for name, value in row.items() if name not in ("frames", "video")}
    if place := row.get(PLACE):
        return [described, tell_state(place["address"])]
    if "frames" in row:
        return [described, [hashlib.blake2b(image).hexdigest() for image in row["frames"]]]
    if "video" in row:
        path, content = locate_video(row["video"])
        if content is not None:
            return [described, hashlib.blake2b(content).hexdigest()]
        described, paths = {**described, "video": path}, [path]
    else:
        paths = [os.path.join(row["frame_dir"], name) for name in row["frame_names"]]
    try:
        stats = map(os.stat, paths)
        return [described, [(stat.st_size, stat.st_mtime_ns) for stat in stats]]
    except OSError as error:
        raise InputError(f"clip {row['clip_id']}: {error.filename}: cannot be read ({error.strerror})") from error


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _announce(plans: list[_Plan], keep, folder: Path) -> None:
    """Say how large the cache is and how much of it is there, and refuse a disk that is too small."""
    total = sum(plan.num_bytes for plan in plans)
    shares = [len(plan.missing()) / len(plan.files) * plan.num_bytes for plan in plans]
    if PartialState().is_main_process:
        num_clips = sum(len(plan.rows) for plan in plans)
        missing = f"{as_size(sum(shares))} of it to be made" if any(shares) else "all of it there"
        tell(add_path(f"{keep.name} of {num_clips} clips, {as_size(total)}, {missing}", folder))
    check_room(folder, sum(shares))
    folder.mkdir(parents=True, exist_ok=True)


def _hold(folder: Path) -> AbstractContextManager[None]:
    """Write to `folder` beside other processes."""
    return shared_folder(folder, leftovers="*/.partial-*.arrow")


def _make_files(plans: list[_Plan], keep, num_workers: int) -> None:
    """Make what is missing: each process its share of the files, and none goes on before all are made."""
    state = PartialState()
    # Keep: shares of all files, made or not. A process that looks later finds fewer missing.
    shares = [list(plan.files)[state.process_index :: state.num_processes] for plan in plans]
    todo = [[path for path in share if not path.is_file()] for share in shares]
    total = sum(len(plan.places(path)) for plan, paths in zip(plans, todo, strict=True) for path in paths)
    with ProgressBar(f"caching {keep.name}", total, hidden=not state.is_main_process) as progress:
        for plan, paths in zip(plans, todo, strict=True):
            places = [place for path in paths for place in plan.places(path)]
            loader = DataLoader(plan.rows.select(places), collate_fn=plan.cutter, num_workers=num_workers)
            clips = iter(loader) if places else iter(())
            for path in paths:
                _write_file(plan, path, islice(clips, len(plan.places(path))), keep, progress)
    state.wait_for_everyone()


def _write_file(plan: _Plan, path: Path, clips: Iterator[tuple], keep, progress: ProgressBar) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as partial, ArrowWriter(features=plan.features, path=str(partial)) as writer:
        for place, streams in zip(plan.places(path), clips, strict=True):
            kept = keep([pixels for pixels in streams if pixels is not None])
            sizes = {"num_views": plan.cutter.num_views, "num_frames": plan.num_frames[place]}
            writer.write(dict(zip(plan.columns, kept, strict=True)) | sizes)
            progress.advance()
        writer.finalize()
