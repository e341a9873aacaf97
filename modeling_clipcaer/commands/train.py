"""Train ClipCaer, select by the validation split, test once.

    clipcaer train --config demo --dataset DATASET --output OUT

On several GPUs, or as a recipe says it:

    accelerate launch --config_file accelerate_config.yaml recipes/train.py \\
        --config recipes/NAME.yaml --output OUT
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.common.flags import given_flags, parse_arguments, show_help, split_configs
from modeling_clipcaer.common.terminal import complain, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable
from modeling_clipcaer.training.settings import HELP_GROUPS


if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
    from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
    from modeling_clipcaer.reports.predictions import Predictions
    from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
    from modeling_clipcaer.training.trainer import ClipCaerTrainer


EPOCH_FIELDS = (
    *("uar", "war", "macro_f1", "ece", "uar_ci95", "war_ci95", "uar_ci95_by_person", "war_ci95_by_person"),
)
BUILD = "dataset"  # folder, in that of the run, of a dataset that is built for it


def main() -> None:
    show_help(HELP_GROUPS, sys.argv[1:], __doc__)  # Keep: before anything heavy is imported
    from modeling_clipcaer.common.flag_effects import describe_unused
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.models.checkpoints import check_output_dir
    from modeling_clipcaer.reports.hub import check_hub_arguments
    from modeling_clipcaer.research_code.flags import read_research_flags
    from modeling_clipcaer.training.arguments import ARGUMENT_TYPES, check_selection
    from modeling_clipcaer.training.clip_cache import check_cache_arguments
    from modeling_clipcaer.training.flag_effects import check_flags
    from modeling_clipcaer.training.resuming import removed_if_not_begun
    from modeling_clipcaer.training.trackers import prepare_trackers

    words, notes = read_research_flags(sys.argv[1:])
    arguments = parse_arguments(ARGUMENT_TYPES, words, __doc__)
    given = given_flags(ARGUMENT_TYPES, words)
    hide_progress_bars()
    cache_args, trainable_args, training_args = arguments[3:]
    unused = check_flags(given, arguments)
    kept_here = prepare_trackers(training_args)
    if training_args.process_index == 0:
        for note in filter(None, (*notes, describe_unused(unused) if unused else None, kept_here)):
            complain("note", note)
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
        presets = [Path(path).stem for path in split_configs(words)[0]]
        train_and_test(arguments, given, presets, unused)


def train_and_test(arguments: list, given: dict, presets: list[str], unused: dict[str, str]) -> None:
    """A run from its clips to its results.

    Args:
        arguments: the flags of each kind.
        given: those that were told, by name.
        presets: names of the `--config` files among them.
        unused: those of them that have no effect in this run, each with the reason.
    """
    from transformers import set_seed

    from modeling_clipcaer.data.loading import get_labels, load_clips, prepare_clips, read_origin
    from modeling_clipcaer.losses.table import CLASSIFICATION_LOSSES
    from modeling_clipcaer.metrics import compute_uar_war
    from modeling_clipcaer.models.building import build_model, build_processor
    from modeling_clipcaer.models.trainable import limit_training, prepare_lora
    from modeling_clipcaer.reports.hub import create_repository
    from modeling_clipcaer.training.clip_cache import read_from_cache
    from modeling_clipcaer.training.resuming import (
        RestoringTrainer,
        check_rebuilt_clips,
        collect_facts,
        find_resume_checkpoint,
    )
    from modeling_clipcaer.training.told_progress import telling_progress
    from modeling_clipcaer.training.trackers import report_result, take_trackers

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
    CLASSIFICATION_LOSSES[training_args.classification_loss].check_columns(clips["train"].column_names)
    if is_main_process:
        tell_counts(clips)
    model = build_model(model_args, get_labels(clips))
    facts = collect_facts(model, clips, cache_args, trainable_args)
    prepare_lora(model, trainable_args, training_args.lr_image_encoder)
    repository = create_repository(training_args, read_origin(dataset))
    processor = build_processor(model, processor_args)
    test_rows = clips["test"]
    clips = read_from_cache(clips, model, processor, cache_args, dataset, training_args)
    # Both epochs are tested, the last one first.
    selects, training_args.load_best_model_at_end = training_args.load_best_model_at_end, False
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
    with telling_progress(trainer):
        trainer.train(resume_from_checkpoint=checkpoint)
        trackers = take_trackers(trainer)
        report, answers = test_once(trainer, clips, test_rows, str(dataset), selects)
    report_result(trackers, trainer, report)
    report |= {"unused_flags": unused}
    if trainer.is_world_process_zero():
        # As if it had never been stopped.
        if not (training_args.resume_without_optimizer or training_args.resume_without_record):
            given.pop("resume_from_checkpoint", None)
        if training_args.baselines:
            report = beside_baselines(
                report, build_model(model_args, get_labels(clips)), processor, clips, training_args
            )
        write_results(trainer, report, answers, model_args.resolve_clip(), given, presets, repository)


def tell_counts(clips: DatasetDict) -> None:
    """Say how many clips of each label there are to learn, to choose and to test by, and of which there are few."""
    from modeling_clipcaer.data.label_counts import tell_gaps
    from modeling_clipcaer.data.loading import count_labels, tell_shared_clips

    for split, counts in count_labels(clips).items():
        listed = ", ".join(f"{printable(label)} {count}" for label, count in counts.items())
        tell(f"{split}: {sum(counts.values())} clips ({listed})", hang=2)
        for sentence in tell_gaps(split, counts):
            complain("warning", sentence)
    for sentence in tell_shared_clips(clips):
        complain("warning", sentence)


def check_processes(args: ClipCaerTrainingArguments) -> None:
    """Keep: without it a launcher's processes that found no common backend would train apart into one folder."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != args.world_size:
        raise InputError(
            f"{launched} processes were launched, but {args.world_size} work together: check the launcher"
        )


def test_once(
    trainer: ClipCaerTrainer, clips: DatasetDict, test_rows: Dataset, dataset: str, selects: bool
) -> tuple[dict, dict[str, Predictions]]:
    """Report on the test split of the last epoch, or of the one that validation selects (`selects`),
    with the figures of both, and the answers of both by file name. The model ends as what the report is of.
    `test_rows` are the test clips before any cache."""
    from modeling_clipcaer.data.loading import (
        count_labels,
        get_labels,
        read_origin,
        read_split_protocol,
        tell_shared_clips,
    )
    from modeling_clipcaer.metrics import calibrate_temperature
    from modeling_clipcaer.models.trainable import restore_weights
    from modeling_clipcaer.reports.evaluation import build_report, describe_computation, describe_fit, doubt_training
    from modeling_clipcaer.reports.predictions import (
        FILE_NAME,
        LAST_FILE_NAME,
        SELECTED_FILE_NAME,
        collect_predictions,
    )
    from modeling_clipcaer.training.checkpoints import check_whole
    from modeling_clipcaer.training.run_comparison import fingerprint_clips

    state, labels = trainer.state, get_labels(clips)

    def measure() -> tuple[dict, Predictions]:
        prediction = trainer.predict(clips["test"], metric_key_prefix="test")
        answers = collect_predictions(test_rows, prediction.predictions, labels)
        report = build_report(
            prediction.predictions,
            prediction.label_ids,
            labels,
            checkpoint=trainer.args.output_dir,
            dataset=dataset,
            split="test",
            split_protocol=read_split_protocol(dataset),
            origin=read_origin(dataset),
            seed=trainer.args.seed,
            answers=answers,
            **describe_computation(trainer),
        )
        return report, answers

    def calibrate() -> dict:
        validation = trainer.predict(clips["validation"], metric_key_prefix="calibration")
        fit = describe_fit(calibrate_temperature(validation.predictions, validation.label_ids))
        trainer.model.config.calibration_temperature = fit["temperature"]
        return fit

    def describe_epoch(step: int, found: dict) -> dict:
        logged = {entry["step"]: entry for entry in state.log_history if "eval_uar" in entry}.get(step, {})
        epochs = {entry["step"]: entry["epoch"] for entry in state.log_history if "epoch" in entry}
        return {
            "epoch": round(epochs.get(step, state.epoch), 4),
            "validation_uar": logged.get("eval_uar"),
            "validation_war": logged.get("eval_war"),
            **{name: found[name] for name in EPOCH_FIELDS if name in found},
        }

    fit = calibrate()
    last, last_answers = measure()
    report, answers = last, {FILE_NAME: last_answers}
    selected, best_step = last, state.best_global_step or state.global_step
    if best_step != state.global_step:
        checkpoint = Path(trainer.args.output_dir, f"checkpoint-{best_step}")
        check_whole(checkpoint, optimizer=False, recorded=not trainer.args.resume_without_record)
        model = trainer.accelerator.unwrap_model(trainer.model)
        weights = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
        restore_weights(model, checkpoint)
        selected_fit = calibrate()
        selected, selected_answers = measure()
        if selects:
            fit, report = selected_fit, selected
            answers = {FILE_NAME: selected_answers, LAST_FILE_NAME: last_answers}
        else:
            answers[SELECTED_FILE_NAME] = selected_answers
            model.load_state_dict(weights, strict=False)
            model.config.calibration_temperature = fit["temperature"]
    counts = count_labels(clips)
    figures = {"selected": describe_epoch(best_step, selected), "last_epoch": describe_epoch(state.global_step, last)}
    is_selected = selects and figures["selected"]["validation_uar"] is not None
    report = {
        **report,
        "clips": fingerprint_clips(test_rows),
        "split_clips": counts,
        "training_caveats": doubt_training(counts, is_selected) + tell_shared_clips(clips),
        "calibration_fit": fit,
        "result": "selected" if is_selected else "last_epoch",
        **figures,
        "training_clips": dict(zip(labels, trainer.class_counts, strict=True)),
        "class_priors": dict(zip(labels, trainer.class_priors.tolist(), strict=True)),
    }
    return report, answers


def beside_baselines(
    report: dict,
    plain_model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    clips: DatasetDict,
    args: ClipCaerTrainingArguments,
) -> dict:
    """The report with what is reached on the same clips without the method, and whether the model beats it."""
    from modeling_clipcaer.experiments.baselines import add_baselines, measure_baselines

    baselines = measure_baselines(
        plain_model.to(args.device).eval(),
        processor,
        clips,
        batch_size=args.per_device_eval_batch_size,
        num_workers=args.dataloader_num_workers,
        tower_dtype=args.tower_dtype,
        seed=args.seed,
    )
    return add_baselines(report, baselines)


def write_results(
    trainer: ClipCaerTrainer,
    report: dict,
    answers: dict[str, Predictions],
    base_model: str,
    flags: dict,
    presets: list[str],
    repository: str | None,
) -> None:
    """Checkpoint, report, answers, curves, card and the flags of this run, moved into place when all are complete."""
    import yaml

    from modeling_clipcaer.common.files import staged_folder
    from modeling_clipcaer.experiments.baselines import tell_rivals
    from modeling_clipcaer.models.checkpoints import save_checkpoint, weights_revision
    from modeling_clipcaer.models.trainable import complete_model
    from modeling_clipcaer.reports.evaluation import plot_training_curves, tell_calibration, write_report
    from modeling_clipcaer.reports.hub import send
    from modeling_clipcaer.reports.model_card import public_settings, render_licence, render_model_card
    from modeling_clipcaer.reports.parcel import pack
    from modeling_clipcaer.reports.predictions import write_predictions
    from modeling_clipcaer.reports.told_result import list_result, tell_epoch
    from modeling_clipcaer.synthetic.example import draw_example

    output_dir = trainer.args.output_dir
    card = render_model_card(report, base_model, presets, flags)
    with staged_folder(output_dir) as folder:
        model = trainer.accelerator.unwrap_model(trainer.model)
        complete_model(model)
        save_checkpoint(model, trainer.processing_class, folder)
        settings, _ = public_settings(flags)  # run.yaml alone says where things are
        write_report(report | {"model_revision": weights_revision(folder), "config": settings}, folder)
        for name, predictions in answers.items():
            write_predictions(predictions, folder / name)
        plot_training_curves(
            trainer.state.log_history, folder / "training_curves.png", report[report["result"]]["epoch"]
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "LICENSE").write_text(render_licence(report, base_model), encoding="utf-8")
        (folder / "run.yaml").write_text(yaml.safe_dump(flags, allow_unicode=True), encoding="utf-8")
    for line in list_result(report, output_dir, [tell_epoch(report), *tell_rivals(report), tell_calibration(report)]):
        tell(line)
    if repository is not None:
        parcel = pack(output_dir, repository, draw_example())
        parcel.tell(repository, "private" if trainer.args.hub_private_repo else "public")
        tell(f"pushed: {send(parcel, repository, trainer.args.hub_revision)}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
