"""Train ClipCaer, select by the validation split, test once.

accelerate launch --config_file accelerate_config.yaml recipes/train.py --config recipes/NAME.yaml --output_dir OUT
"""

import logging
import math
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import yaml
from datasets import DatasetDict
from transformers import set_seed

from modeling_clipcaer import (
    ClipCaerForVideoClassification,
    ClipCaerTrainer,
    ClipCaerTrainingArguments,
    ClipCaerVideoProcessor,
)
from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.common.flags import given_flags, parse_arguments, split_configs
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.data.label_counts import tell_gaps
from modeling_clipcaer.data.loading import (
    count_labels,
    get_labels,
    load_clips,
    prepare_clips,
    read_split_protocol,
    tell_shared_clips,
)
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.metrics import calibrate_temperature, compute_uar_war
from modeling_clipcaer.models.arguments import ModelArguments, ProcessorArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.checkpoints import check_output_dir, save_checkpoint, weights_revision
from modeling_clipcaer.models.trainable import (
    TrainableArguments,
    complete_model,
    limit_training,
    prepare_lora,
    restore_weights,
)
from modeling_clipcaer.names import printable
from modeling_clipcaer.reports.evaluation import (
    build_report,
    describe_computation,
    describe_fit,
    doubt_training,
    plot_training_curves,
    tell_calibration,
    tell_result,
    write_report,
)
from modeling_clipcaer.reports.hub import check_hub_arguments, create_repository, push_files
from modeling_clipcaer.reports.model_card import render_licence, render_model_card
from modeling_clipcaer.research_code.flags import read_research_flags
from modeling_clipcaer.training.checkpoints import check_whole
from modeling_clipcaer.training.clip_cache import CacheArguments, cache_clips, check_cache_arguments
from modeling_clipcaer.training.flag_effects import check_flags, describe_unused
from modeling_clipcaer.training.resuming import (
    RestoringTrainer,
    check_rebuilt_clips,
    collect_facts,
    find_resume_checkpoint,
    removed_if_not_begun,
)


logger = logging.getLogger(__name__)

ARGUMENT_TYPES = (
    *(ModelArguments, ProcessorArguments, DataArguments, CacheArguments, TrainableArguments),
    ClipCaerTrainingArguments,
)
BUILD = "dataset"  # folder, in that of the run, of a dataset that is built for it


def main() -> None:
    words, notes = read_research_flags(sys.argv[1:])
    arguments = parse_arguments(ARGUMENT_TYPES, words, __doc__)
    cache_args, trainable_args, training_args = arguments[3:]
    unused = check_flags(given_flags(ARGUMENT_TYPES, words), arguments)
    if training_args.process_index == 0:
        for note in notes + ([describe_unused(unused)] if unused else []):
            print(f"note: {note}", file=sys.stderr)
    check_processes(training_args)
    check_output_dir(training_args.output_dir)
    check_selection(training_args)
    check_hub_arguments(training_args)
    check_cache_arguments(cache_args, training_args, trainable_args.use_lora)
    with ExitStack() as stack:
        # Keep: the folder is the main process's to hold; the others of a launch are its own.
        if training_args.process_index == 0:
            stack.enter_context(locked_folder(training_args.output_dir))
            stack.enter_context(removed_if_not_begun(Path(training_args.output_dir, BUILD)))
        train_and_test(arguments, words, unused)


def train_and_test(arguments: list, words: list[str], unused: dict[str, str]) -> None:
    """A run from its clips to its results.

    Args:
        arguments: the flags of each kind.
        words: the command line.
        unused: the given flags that have no effect in this run, each with the reason.
    """
    model_args, processor_args, data_args, cache_args, trainable_args, training_args = arguments
    checkpoint = find_resume_checkpoint(training_args)
    set_seed(training_args.seed)
    with training_args.main_process_first(desc="building the dataset"):
        build_dir, is_main_process = Path(training_args.output_dir, BUILD), training_args.process_index == 0
        build = partial(prepare_clips, data_args, model_args.labels_file, is_main_process=is_main_process)
        rebuilds = is_main_process and build_dir.exists() and data_args.dataset is None
        if checkpoint is not None and rebuilds and not training_args.resume_without_record:
            check_rebuilt_clips(checkpoint, build)
        dataset = build(build_dir)
    clips = load_clips(dataset, ("train", "validation", "test"))
    if is_main_process:
        tell_counts(clips)
    model = build_model(model_args, get_labels(clips))
    facts = collect_facts(model, clips, cache_args, trainable_args)
    prepare_lora(model, trainable_args, training_args.lr_image_encoder)
    repository = create_repository(training_args)
    processor = build_processor(model, processor_args)
    clips = read_from_cache(clips, model, processor, cache_args, dataset, training_args)
    trainer = RestoringTrainer(
        model,
        training_args,
        train_dataset=clips["train"],
        eval_dataset=clips["validation"],
        processing_class=processor,
        compute_metrics=compute_uar_war,
    )
    trainer.notes = limit_training(trainer.model, trainable_args, model_args.resolve_clip())
    trainer.facts = facts
    trainer.train(resume_from_checkpoint=checkpoint)
    report = test_once(trainer, clips, str(dataset)) | {"unused_flags": unused}
    if trainer.is_world_process_zero():
        flags, presets = given_flags(ARGUMENT_TYPES, words), [Path(path).stem for path in split_configs(words)[0]]
        # As if it had never been stopped.
        if not (training_args.resume_without_optimizer or training_args.resume_without_record):
            flags.pop("resume_from_checkpoint", None)
        write_results(trainer, report, model_args.resolve_clip(), flags, presets, repository)


def tell_counts(clips: DatasetDict) -> None:
    """Say how many clips of each label there are to learn, to choose and to test by, and of which there are few."""
    for split, counts in count_labels(clips).items():
        listed = ", ".join(f"{printable(label)} {count}" for label, count in counts.items())
        print(f"{split}: {sum(counts.values())} clips ({listed})", flush=True)
        for sentence in tell_gaps(split, counts):
            logger.warning("warning: %s", printable(sentence))
    for sentence in tell_shared_clips(clips):
        logger.warning("warning: %s", printable(sentence))


def read_from_cache(
    clips: DatasetDict,
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    cache_args: CacheArguments,
    dataset: Path,
    training_args: ClipCaerTrainingArguments,
) -> DatasetDict:
    """The clips as the flags want them read: from a cache, which is then filled first, or from their own files."""
    if not (cache_args.cache_frame_embeds or cache_args.cache_crops):
        return clips
    model.to(training_args.device).eval()
    folder, workers = cache_args.cache_dir or dataset / "cache", training_args.dataloader_num_workers
    cached = cache_clips(model, processor, clips, cache_args, folder, workers, training_args.tower_dtype)
    if cache_args.cache_frame_embeds:  # which are read faster than another process hands them over
        training_args.dataloader_num_workers, training_args.dataloader_persistent_workers = 0, False
        training_args.dataloader_prefetch_factor = None
    return cached


def check_processes(args: ClipCaerTrainingArguments) -> None:
    """Keep: without it a launcher's processes that found no common backend would train apart into one folder."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != args.world_size:
        raise InputError(
            f"{launched} processes were launched, but {args.world_size} work together: check the launcher"
        )


def check_selection(args: ClipCaerTrainingArguments) -> None:
    """Refuse, before any work, settings in which the selected checkpoint might not have been saved."""
    if args.eval_strategy == "no" or args.save_strategy == "no":
        return
    if (args.metric_for_best_model or "").removeprefix("eval_") not in ("uar", "war"):
        raise InputError(f"`metric_for_best_model` must be uar or war, got {args.metric_for_best_model}")
    if args.save_strategy != "best" and args.save_strategy != args.eval_strategy:
        raise InputError(
            f"`save_strategy` {args.save_strategy.value} and `eval_strategy` {args.eval_strategy.value} differ: the "
            "selected checkpoint might not have been saved; make them equal"
        )
    if args.save_strategy == "steps" and not math.isclose((args.eval_steps / args.save_steps + 0.5) % 1, 0.5):
        raise InputError(
            f"`eval_steps` {args.eval_steps:g} is no multiple of `save_steps` {args.save_steps:g}: the selected "
            "checkpoint might not have been saved"
        )


def test_once(trainer: ClipCaerTrainer, clips: DatasetDict, dataset: str) -> dict:
    """Report of the selected checkpoint on the test split, with the last epoch's figures. The model ends selected."""
    state, labels = trainer.state, get_labels(clips)

    def measure() -> dict:
        prediction = trainer.predict(clips["test"], metric_key_prefix="test")
        return build_report(
            prediction.predictions,
            prediction.label_ids,
            labels,
            checkpoint=trainer.args.output_dir,
            dataset=dataset,
            split="test",
            split_protocol=read_split_protocol(dataset),
            seed=trainer.args.seed,
            **describe_computation(trainer),
        )

    def calibrate() -> dict:
        validation = trainer.predict(clips["validation"], metric_key_prefix="calibration")
        fit = describe_fit(calibrate_temperature(validation.predictions, validation.label_ids))
        trainer.model.config.calibration_temperature = fit["temperature"]
        return fit

    fit = calibrate()
    last = measure()
    best_step = state.best_global_step or state.global_step
    report = last
    if best_step != state.global_step:
        selected = Path(trainer.args.output_dir, f"checkpoint-{best_step}")
        check_whole(selected, optimizer=False, recorded=not trainer.args.resume_without_record)
        restore_weights(trainer.accelerator.unwrap_model(trainer.model), selected)
        fit = calibrate()
        report = measure()
    validation = {entry["step"]: entry for entry in state.log_history if "eval_uar" in entry}.get(best_step, {})
    epochs = {entry["step"]: entry["epoch"] for entry in state.log_history if "epoch" in entry}
    counts = count_labels(clips)
    return {
        **report,
        "split_clips": counts,
        "training_caveats": doubt_training(counts, is_selected="eval_uar" in validation) + tell_shared_clips(clips),
        "calibration_fit": fit,
        "selected": {
            "epoch": round(epochs.get(best_step, state.epoch), 4),
            "validation_uar": validation.get("eval_uar"),
            "validation_war": validation.get("eval_war"),
        },
        "last_epoch": {name: last[name] for name in ("uar", "war", "macro_f1", "uar_ci95", "war_ci95", "ece")},
        "training_clips": dict(zip(labels, trainer.class_counts, strict=True)),
        "class_priors": dict(zip(labels, trainer.class_priors.tolist(), strict=True)),
    }


def write_results(
    trainer: ClipCaerTrainer,
    report: dict,
    base_model: str,
    flags: dict,
    presets: list[str],
    repository: str | None,
) -> None:
    """Checkpoint, report, curves, model card and the flags of this run, moved into place when all are complete."""
    output_dir = trainer.args.output_dir
    card = render_model_card(report, base_model, presets, flags, repository)
    with staged_folder(output_dir) as folder:
        model = trainer.accelerator.unwrap_model(trainer.model)
        complete_model(model)
        save_checkpoint(model, trainer.processing_class, folder)
        write_report(report | {"model_revision": weights_revision(folder)}, folder)
        plot_training_curves(trainer.state.log_history, folder / "training_curves.png")
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "LICENSE").write_text(render_licence(report, base_model), encoding="utf-8")
        names = [path.name for path in folder.iterdir()]
        (folder / "run.yaml").write_text(yaml.safe_dump(flags, allow_unicode=True), encoding="utf-8")
    print(f"{tell_result(report)}: {output_dir}/report.md")
    print(tell_calibration(report))
    if repository is not None:
        # Without run.yaml, which is full of this machine's paths.
        print(f"pushed: {push_files(output_dir, names, repository, trainer.args.hub_revision)}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
