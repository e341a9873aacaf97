"""Write a recipe for your own data: one commented YAML file that `clipcaer train --config FILE` takes.

    clipcaer new data/mine

On a terminal it asks for what no flag says: data, labels, device, time at hand. It looks at the clips and at this
machine, and gives the reason for every value. Elsewhere it asks nothing, and takes the defaults.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, ask, can_ask, run_command, tell
from modeling_clipcaer.errors import InputError


if TYPE_CHECKING:
    from datasets import DatasetDict

    from modeling_clipcaer.training.proposals import Circumstances


MEASURED_CLIPS = 8


@dataclass
class NewArguments:
    """What the recipe is for."""

    dataset: str | None = option(None, "Dataset that `clipcaer build` wrote.", positional=True)
    labels_file: str | None = option(None, "Labels' texts; by default those that a build wrote or a preset has.")
    device: str | None = option(
        None, "What the training will run on; by default this machine's.", choices=["cpu", "gpu"]
    )
    time: str | None = option(
        None, "Time at hand; short is a first look, and usual the default.", choices=["short", "usual", "long"]
    )
    clip_model: str | None = option(None, "CLIP checkpoint; by default ViT-B/32, or what the Hub's cache has.")
    output: str | None = option(None, "The file to write; by default NAME.yaml of the dataset.", metavar="FILE")
    measure: bool = option(False, f"Encode {MEASURED_CLIPS} clips on this machine, and say how long that took.")


def main() -> None:
    (args,) = parse_arguments((NewArguments,), sys.argv[1:], __doc__)
    if args.dataset is None and not can_ask():
        raise InputError(
            "no dataset, and no terminal to ask on; expected `clipcaer new DATASET`, flags answer the rest"
        )
    folder = args.dataset or ask("Dataset that `clipcaer build` wrote", "data/mine")
    path = Path(args.output or f"{Path(folder).absolute().name}.yaml")
    if path.exists():
        raise InputError(f"{path}: exists, and is perhaps edited; expected a new file (--output)")
    tell(f"looking at {folder}")  # Keep: before the imports, which take seconds

    from modeling_clipcaer.common.files import complete_file
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.data.label_counts import find_few
    from modeling_clipcaer.training.proposals import propose, render

    hide_progress_bars()
    clips = load_dataset(folder)
    case = find_circumstances(folder, clips, args)
    head = [
        f"A training on {folder}, as `clipcaer new` proposed it: each value below its reason, to be changed.",
        "Flags of the command line override it, and --help-all has all there are.",
        "",
        f"clipcaer train --config {path}",
    ]
    if any(find_few(counts) for counts in case.counts.values()):
        head += [
            "",
            "With so few clips of a label a single split says little. This tests every clip once, by person:",
            f"clipcaer folds --config {path} --dataset {folder} --output {case.output}_folds",
        ]
    with complete_file(path) as partial:
        partial.write_text(render(propose(case), head), encoding="utf-8")
        arguments = check_recipe(str(partial), clips)
        if args.measure:
            told = measure(arguments, clips, case)
            partial.write_text(render(propose(case), [*head, "", told]), encoding="utf-8")
            tell(told)
    tell(add_path("recipe", path))
    tell(f"next: clipcaer train --config {path}")


def load_dataset(folder: str) -> DatasetDict:
    """The clips; where there are none yet, the command that makes them."""
    from modeling_clipcaer.data.loading import load_clips

    try:
        return load_clips(folder, ("train", "validation", "test"))
    except InputError as error:
        hint = f"; videos in folders of their label become one by `clipcaer build folders {folder} --output data/mine`"
        is_built = Path(folder, "dataset_dict.json").exists() or list(Path(folder).glob("*.parquet"))
        raise InputError(f"{error}{hint if Path(folder).is_dir() and not is_built else ''}") from error


def find_circumstances(folder: str, clips: DatasetDict, args: NewArguments) -> Circumstances:
    """What a recipe goes by, asked for where no flag says it and somebody is there."""
    import torch

    from modeling_clipcaer.common.presets import find_preset
    from modeling_clipcaer.data.loading import count_labels, get_labels
    from modeling_clipcaer.models.arguments import OPENAI_CHECKPOINTS
    from modeling_clipcaer.models.cached_checkpoints import find_cached_clips
    from modeling_clipcaer.training.proposals import TIMES, USUAL_CLIP, Circumstances, measure_faces

    def settle(given: str | None, question: str, default: str, choices: tuple[str, ...] = ()) -> str:
        return given or (ask(question, default, choices) if can_ask() else default)

    cached = {name for name, repository in OPENAI_CHECKPOINTS.items() if repository in set(find_cached_clips())}
    clip = args.clip_model or (USUAL_CLIP if USUAL_CLIP in cached or not cached else min(cached))
    face_share, face_width = measure_faces(clips["train"])
    labels = args.labels_file or find_texts(folder, get_labels(clips))
    here = "gpu" if torch.cuda.is_available() else "cpu"
    return Circumstances(
        dataset=folder,
        counts=count_labels(clips),
        face_share=face_share,
        face_width=face_width,
        labels_file=settle(args.labels_file, "Texts of the labels", labels) if labels else None,
        device=settle(args.device, "What the training will run on", here, ("cpu", "gpu")),
        time=settle(args.time, "Time at hand, short for a first look", "usual", TIMES),
        clip_model=clip,
        clip_at_hand=clip in cached or Path(find_preset(clip, "")).exists(),
        output=f"outputs/{Path(folder).absolute().name}",
    )


def find_texts(folder: str, labels: list[str]) -> str:
    """The labels file of a dataset: what its build wrote beside it, or a preset's; written where there is neither."""
    from modeling_clipcaer.data.next_steps import find_labels_file, find_presets, write_labels_file

    beside = find_labels_file(folder)
    if beside.exists():
        return str(beside)
    if presets := find_presets(labels):
        return "" if presets == ["raer_best"] else f"{presets[0]}_labels"  # RAER's texts are the model's own
    write_labels_file(beside, labels)
    tell(f"labels and their texts: {beside} (edit its sentences)")
    return str(beside)


def check_recipe(path: str, clips: DatasetDict) -> list:
    """The arguments of a recipe, as the training reads and checks them.

    Raises:
        InputError: it would refuse them, or the labels' texts.
    """
    from modeling_clipcaer.common.flags import given_flags
    from modeling_clipcaer.data.labels_file import read_labels_file
    from modeling_clipcaer.data.loading import get_labels
    from modeling_clipcaer.training.arguments import ARGUMENT_TYPES, check_selection
    from modeling_clipcaer.training.clip_cache import check_cache_arguments
    from modeling_clipcaer.training.flag_effects import check_flags

    words = ["--config", path]
    arguments = parse_arguments(ARGUMENT_TYPES, words, "")
    model_args, cache_args, trainable_args, training_args = arguments[0], *arguments[3:]
    check_flags(given_flags(ARGUMENT_TYPES, words), arguments)
    check_selection(training_args)
    check_cache_arguments(cache_args, training_args, trainable_args.use_lora)
    if model_args.labels_file:
        read_labels_file(model_args.labels_file, get_labels(clips))
    return arguments


def measure(arguments: list, clips: DatasetDict, case: Circumstances) -> str:
    """How long this machine takes for some of the clips, in a sentence."""
    from datasets import DatasetDict

    from modeling_clipcaer.data.loading import get_labels
    from modeling_clipcaer.models.building import build_model, build_processor
    from modeling_clipcaer.training.clip_cache import read_from_cache

    model_args, processor_args, _, cache_args, _, training_args = arguments
    if not cache_args.cache_frame_embeds:
        return "Not measured: the vision tower is trained, too, and every epoch takes what a GPU makes of it."
    if not case.clip_at_hand:
        return f"Not measured: {case.clip_model} would have to be fetched first (hf download)."
    model = build_model(model_args, get_labels(clips))
    some = clips["train"].select(range(min(MEASURED_CLIPS, len(clips["train"]))))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        processor = build_processor(model, processor_args)
        read_from_cache(DatasetDict(train=some), model, processor, cache_args, Path(folder), training_args)
    took = time.perf_counter() - begun
    total = sum(map(len, clips.values()))
    return (
        f"Measured on this machine: {len(some)} clips were read and encoded in {took:.1f} s. At that pace the "
        f"{total} clips take {took / len(some) * total / 60:.1f} minutes, once; epochs come on top."
    )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
