"""Every flag of training changes a run, changes how it computes, is refused, or is named where it is idle."""

import math
import random
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import load_from_disk
from transformers import TrainerControl, TrainerState, set_seed
from transformers.trainer_callback import DefaultFlowCallback

from helpers.places import ROOT
from helpers.small_material import run_main
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerTrainer, ClipCaerVideoProcessor
from modeling_clipcaer.commands import train
from modeling_clipcaer.common.flag_effects import describe_unused
from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.data.loading import get_labels
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.trainable import limit_training, prepare_lora
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.flag_effects import describe_idle_flags
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES, TRAINER_ARGUMENTS_REFUSED
from modeling_clipcaer.training.flag_effects import REFUSED, RULES, check_flags


FLAGS = {field.name for kind in ARGUMENT_TYPES for field in fields(kind) if field.init}
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.endswith(("labels", "ablation")))

# What is read and where it goes: another value is another run.
PLACES = {
    *("clip_model", "labels_file", "dataset", "root_dir", "train_annotation", "val_annotation", "test_annotation"),
    *("bounding_box_face", "bounding_box_body", "cache_dir", "output_dir", "exper_name", "resume_from_checkpoint"),
    *("resume_without_optimizer", "resume_without_record"),
    *("push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_strategy", "hub_revision"),
}
# How fast, on what and in how much memory the run computes, and what is told of it; figures differ by rounding alone.
HOW = {
    *("attn_implementation", "tower_dtype", "tf32", "use_cpu", "local_rank", "full_determinism", "scaled_decoding"),
    *("activation_checkpointing", "activation_checkpointing_kwargs", "gradient_checkpointing"),
    *("gradient_checkpointing_kwargs", "torch_compile", "torch_compile_backend", "torch_compile_mode"),
    *("torch_empty_cache_steps", "per_device_eval_batch_size", "eval_accumulation_steps", "accelerator_config"),
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_in_order"),
    *("dataloader_prefetch_factor", "dataloader_multiprocessing_context", "ddp_find_unused_parameters"),
    *("ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend", "ddp_timeout"),
    *("log_on_each_node", "log_level", "log_level_replica", "disable_tqdm", "report_to", "run_name", "project"),
    *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id", "debug", "skip_memory_metrics"),
    *("logging_nan_inf_filter", "ignore_data_skip"),
}
# Shown to change rows or files by a test of their own.
ELSEWHERE = {
    "cache_frame_embeds": "test_any_change_of_what_a_cache_is_made_from_makes_another",
    "cache_views": "test_any_change_of_what_a_cache_is_made_from_makes_another",
    "cache_frames": "test_a_grid_keeps_evenly_spaced_frames",
    "cache_crops": "test_cached_crops_give_the_batches_of_the_files_to_the_last_bit",
    "baselines": "test_the_baselines_are_beside_the_result_unless_they_are_switched_off",
    "save_trainable_only": "test_checkpoints_hold_what_trains_alone_and_name_their_clip",
}
NEVER = {name for rule in RULES for name in rule.names if getattr(rule.works, "__name__", "") == "_never"}
# For each other flag: words under which it has an effect, and another value.
STEPS = "--eval_strategy steps --save_strategy steps --logging_strategy steps --logging_steps 2 --eval_steps 2"
CHANGES = {
    "num_frames": ("", "2"),
    "streams": ("", "face"),
    "use_face_adapter": ("", "false"),
    "adapter_reduction": ("", "2"),
    "adapter_residual_ratio": ("", "0.5"),
    "temporal_layers": ("", "2"),
    "temporal_heads": ("", "1"),
    "temporal_head_dim": ("", "4"),
    "temporal_mlp_dim": ("", "8"),
    "temporal_dropout": ("", "0.5"),
    "temporal_pooling": ("", "attention"),
    "temporal_init_std": ("", "1"),
    "fusion": ("", "gated"),
    "num_context_tokens": ("", "3"),
    "class_specific_context": ("", "false"),
    "class_token_position": ("", "front"),
    "prototype_source": ("", "soft"),
    "slerp_weight": ("", "0.2"),
    "learned_slerp_weight": ("", "per_label"),
    "slerp_target": ("", "prototypes"),
    "temperature": ("", "0.2"),
    "initializer_range": ("", "1"),
    "face_margin": ("", "3"),
    "context": ("", "frame"),
    "do_normalize": ("", "false"),
    "resample": ("", "bilinear"),
    "letterbox": ("", "reference"),
    "frame_sampling": ("", "reference"),
    "frame_order": ("", "string"),
    "exif_orientation": ("", "ignore"),
    "flip_prob": ("", "1"),
    "rotation_degrees": ("", "30"),
    "color_jitter": ("", "0.5"),
    "augment_per_stream": ("", "true"),
    "use_lora": ("--lr_image_encoder 1e-3", "true"),
    "lora_rank": ("--lr_image_encoder 1e-3 --use_lora", "2"),
    "lora_alpha": ("--lr_image_encoder 1e-3 --use_lora", "2"),
    "lora_targets": ("--lr_image_encoder 1e-3 --use_lora", "fc1"),
    "per_device_train_batch_size": ("", "3"),
    "num_train_epochs": ("", "3"),
    "max_steps": ("", "2"),
    "learning_rate": ("", "1e-5"),
    "lr_image_encoder": ("", "1e-5"),
    "lr_prompt_learner": ("", "1e-5"),
    "lr_adapter": ("", "1e-5"),
    "lr_fusion": ("", "1e-5"),
    "lr_classifier": ("--prototype_source classifier", "1e-5"),
    "lr_milestones": ("", "1"),
    "lr_gamma": ("--lr_milestones 1", "0.5"),
    "lr_scheduler_type": ("", "cosine"),
    "lr_scheduler_kwargs": ("--lr_scheduler_type polynomial", '{"power": 3}'),
    "warmup_steps": ("", "2"),
    "optim": ("", "sgd"),
    "optim_args": ("--optim sgd", "momentum=0.5"),
    "weight_decay": ("", "0.1"),
    "adam_beta1": ("", "0.5"),
    "adam_beta2": ("", "0.5"),
    "adam_epsilon": ("", "1e-3"),
    "gradient_accumulation_steps": ("", "2"),
    "max_grad_norm": ("", "1e-3"),
    "label_smoothing_factor": ("", "0.2"),
    "label_smoothing_distribution": ("--label_smoothing_factor 0.2", "1 2 3 4 5"),
    "bf16": ("", "true"),
    "fp16": ("", "true"),
    "mi_loss_weight": ("", "0.1"),
    "mi_warmup_epochs": ("", "1"),
    "mi_ramp_epochs": ("", "2"),
    "dc_loss_weight": ("", "0.2"),
    "dc_warmup_epochs": ("", "1"),
    "dc_ramp_epochs": ("", "2"),
    "classification_loss": ("", "focal"),
    "focal_gamma": ("--classification_loss focal", "0"),
    "focal_alpha": ("--classification_loss focal", "0.25"),
    "ldam_max_margin": ("--classification_loss ldam", "0.2"),
    "ldam_scale": ("--classification_loss ldam", "3"),
    "near_beta": ("--classification_loss near", "2"),
    "class_balanced_loss": ("", "true"),
    "class_balanced_beta": ("--class_balanced_loss", "0.5"),
    "logit_adj": ("", "true"),
    "logit_adj_tau": ("--logit_adj", "0"),
    "weighted_sampler": ("", "true"),
    "face_dropout": ("", "0.5"),
    "mixup_alpha": ("", "1"),
    "train_sampling_strategy": ("", "sequential"),
    "dataloader_drop_last": ("--per_device_train_batch_size 7", "true"),
    "seed": ("", "7"),
    "data_seed": ("--weighted_sampler", "7"),
    "eval_strategy": ("--save_strategy no", "steps"),
    "eval_steps": (STEPS + " --save_steps 1", "1"),
    "eval_delay": (STEPS + " --save_steps 2", "3"),
    "eval_on_start": ("", "true"),
    "logging_strategy": ("", "steps"),
    "logging_steps": ("--logging_strategy steps", "1"),
    "logging_first_step": ("", "true"),
    "save_strategy": ("--eval_strategy no", "no"),
    "save_steps": (STEPS, "2"),
    "save_total_limit": ("", "1"),
    "save_only_model": ("", "true"),
    "load_best_model_at_end": ("", "true"),
    "metric_for_best_model": ("", "war"),
}
# Words under which a flag with a condition is idle, by its name.
FACE, CONTEXT, DESCRIPTIVE = "--streams face", "--streams context", "--prototype_source descriptive"
NO_TEXT_LOSS = f"{DESCRIPTIVE} --mi_loss_weight 0 --dc_loss_weight 0 --lr_prompt_learner 0"
PLAIN = "--flip_prob 0 --rotation_degrees 0"
IDLE = {
    "temporal_layers": ("--temporal_pooling mean", "2"),
    "temporal_heads": ("--temporal_pooling mean", "1"),
    "temporal_head_dim": ("--temporal_pooling mean", "4"),
    "temporal_mlp_dim": ("--temporal_pooling mean", "8"),
    "temporal_dropout": ("--temporal_pooling mean", "0.5"),
    "temporal_init_std": ("--temporal_pooling mean", "1"),
    "exper_name": ("", "mine"),
    "do_train": ("", "true"),
    "do_eval": ("", "true"),
    "do_predict": ("", "true"),
    "load_best_model_at_end": ("--eval_strategy no", "false"),
    "use_face_adapter": (CONTEXT, "true"),
    "adapter_reduction": ("--use_face_adapter false", "2"),
    "adapter_residual_ratio": ("--use_face_adapter false", "0.5"),
    "lr_adapter": ("--use_face_adapter false", "1e-5"),
    "num_context_tokens": (NO_TEXT_LOSS, "3"),
    "class_specific_context": (NO_TEXT_LOSS, "false"),
    "class_token_position": (NO_TEXT_LOSS, "front"),
    "initializer_range": (NO_TEXT_LOSS, "1"),
    "lr_prompt_learner": (NO_TEXT_LOSS, "0"),
    "face_dropout": (CONTEXT, "0.5"),
    "lr_classifier": ("", "1e-5"),
    "slerp_target": ("--slerp_weight 0", "prototypes"),
    "face_margin": (CONTEXT, "3"),
    "context": (FACE, "frame"),
    "letterbox": (FACE, "reference"),
    "flip_prob": ("--cache_frame_embeds", "0.3"),
    "rotation_degrees": ("--cache_frame_embeds", "9"),
    "color_jitter": ("--cache_frame_embeds", "0.5"),
    "augment_per_stream": (PLAIN, "true"),
    "scaled_decoding": ("--letterbox reference", "false"),
    "cache_views": (f"--cache_frame_embeds {PLAIN}", "4"),
    "cache_frames": ("", "4"),
    "cache_dir": ("", "somewhere"),
    "lora_rank": ("", "2"),
    "lora_alpha": ("", "2"),
    "lora_targets": ("", "fc1"),
    "save_trainable_only": ("--save_strategy no", "true"),
    "mi_loss_weight": ("--mi_warmup_epochs 30", "0.2"),
    "dc_loss_weight": ("--dc_warmup_epochs 30", "0.2"),
    "mi_warmup_epochs": ("--mi_loss_weight 0", "1"),
    "mi_ramp_epochs": ("--mi_loss_weight 0", "1"),
    "dc_warmup_epochs": ("--dc_loss_weight 0", "1"),
    "dc_ramp_epochs": ("--dc_loss_weight 0", "1"),
    "focal_gamma": ("", "1"),
    "focal_alpha": ("--classification_loss ldam", "0.25"),
    "ldam_max_margin": ("", "0.2"),
    "ldam_scale": ("--classification_loss focal", "3"),
    "near_beta": ("", "2"),
    "label_smoothing_distribution": ("", "1 2 3 4 5"),
    "class_balanced_beta": ("", "0.5"),
    "logit_adj_tau": ("", "0.5"),
    "lr_gamma": ("", "0.5"),
    "lr_milestones": ("--num_train_epochs 3", "3 5"),
    "lr_scheduler_type": ("--lr_milestones 1", "cosine"),
    "lr_scheduler_kwargs": ("--lr_scheduler_type constant", '{"power": 3}'),
    "warmup_steps": ("--lr_scheduler_type constant", "2"),
    "optim_args": ("", "momentum=0.5"),
    "adam_beta1": ("--optim sgd", "0.5"),
    "adam_beta2": ("--optim adafactor", "0.5"),
    "adam_epsilon": ("--optim sgd", "1e-3"),
    "num_train_epochs": ("--max_steps 2", "3"),
    "train_sampling_strategy": ("--weighted_sampler", "sequential"),
    "eval_steps": ("", "3"),
    "eval_delay": ("--eval_strategy no", "3"),
    "eval_on_start": ("--eval_strategy no", "true"),
    "eval_accumulation_steps": ("--eval_strategy no", "2"),
    "metric_for_best_model": ("--eval_strategy no", "war"),
    "greater_is_better": ("", "true"),
    "save_steps": ("", "3"),
    "save_total_limit": ("--save_strategy no", "1"),
    "save_only_model": ("--save_strategy no", "true"),
    "logging_steps": ("", "3"),
    "logging_first_step": ("--logging_strategy no", "true"),
    "logging_nan_inf_filter": ("--logging_strategy no", "false"),
    "run_name": ("", "mine"),
    "project": ("", "mine"),
    "trackio_space_id": ("", "mine"),
    "trackio_bucket_id": ("", "mine"),
    "trackio_static_space_id": ("", "mine"),
    "hub_model_id": ("", "mine"),
    "hub_private_repo": ("", "false"),
    "hub_revision": ("", "mine"),
    "hub_strategy": ("", "end"),
    "hub_always_push": ("", "true"),
    "activation_checkpointing_kwargs": ("", '{"use_reentrant": false}'),
    "gradient_checkpointing_kwargs": ("", '{"use_reentrant": false}'),
    "dataloader_persistent_workers": ("--cache_frame_embeds --dataloader_num_workers 1", "true"),
    "dataloader_prefetch_factor": ("--cache_frame_embeds --dataloader_num_workers 1", "2"),
    "dataloader_in_order": ("--dataloader_num_workers 0", "false"),
    "fp16": ("--use_cpu", "true"),
    "dataloader_pin_memory": ("--use_cpu", "true"),
    "torch_empty_cache_steps": ("--use_cpu", "1"),
    "tf32": ("--use_cpu", "false"),
    "ddp_find_unused_parameters": ("", "true"),
    "ddp_bucket_cap_mb": ("", "10"),
    "ddp_broadcast_buffers": ("", "true"),
    "ddp_static_graph": ("", "true"),
    "ddp_timeout": ("", "60"),
    "ignore_data_skip": ("", "true"),
    "restore_callback_states_from_checkpoint": ("", "true"),
    "optim_target_modules": ("", "all-linear"),
    "average_tokens_across_devices": ("", "false"),
    "use_cache": ("", "true"),
    "length_column_name": ("", "size"),
}
# A value of a flag that is refused, whatever the others.
REFUSALS = {
    **dict.fromkeys(("do_train", "do_eval", "do_predict", "eval_do_concat_batches", "greater_is_better"), "false"),
    **dict.fromkeys(("remove_unused_columns", "prediction_loss_only"), "true"),
    **dict.fromkeys(("bf16_full_eval", "fp16_full_eval", "batch_eval_metrics", "eval_use_gather_object"), "true"),
    **dict.fromkeys(
        ("auto_find_batch_size", "enable_jit_checkpoint", "use_liger_kernel", "save_on_each_node"), "true"
    ),
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config", "label_names"), "x"),
    "liger_kernel_config": "x",
    "include_for_metrics": "inputs",
    "include_num_input_tokens_seen": "true",
    "neftune_noise_alpha": "5",
}
# Values of flags that have others.
BAD_VALUES = [
    ("torch_compile_backend", "nope", "`torch_compile_backend` must be one of"),
    ("attn_implementation", "nope", "`attn_implementation` must be one of eager, flash"),
    ("attn_implementation", "paged|sdpa", "or owner/name of a kernel, got 'paged|sdpa'"),
    ("attn_implementation", "flex_attention", "flex_attention is not taken: on the CPU it has no gradient"),
    ("accelerator_config", '{"a": 1}', "unexpected keyword argument 'a'"),
    ("train_annotation", "train.txt", "`train_annotation` belongs to `root_dir`"),
    ("bounding_box_face", "face.json", "`bounding_box_face` belongs to `root_dir`"),
]


def read(material, words: str, **flags: str):
    given = [*material.flags, "--output_dir", "unused", "--dataloader_num_workers", "0", *words.split()]
    given += [word for name, value in flags.items() for word in (f"--{name}", *split(value))]
    arguments = parse_arguments(ARGUMENT_TYPES, given, "")
    return arguments, check_flags(given_flags(ARGUMENT_TYPES, given), arguments)


def split(value: str) -> list[str]:
    return [value] if value.startswith("{") else value.split()


@pytest.fixture(scope="module")
def clips(material):
    return load_from_disk(material.dataset)


@pytest.fixture(scope="module")
def known() -> dict[str, dict]:
    """The fingerprints of runs by their words."""
    return {}


def fingerprint(material, clips, words: str, **flags: str) -> dict:
    """What of a run another value could change: weights and files of the model, pixels, loss, order and schedule."""
    arguments, unused = read(material, words, **flags)
    assert not set(flags) & set(unused)
    model_args, processor_args, _, _, trainable_args, args = arguments
    set_seed(args.seed)
    model = build_model(model_args, get_labels(clips))
    prepare_lora(model, trainable_args, args.lr_image_encoder)
    processor = build_processor(model, processor_args)
    splits = {"train_dataset": clips["train"], "eval_dataset": clips["validation"]}
    trainer = ClipCaerTrainer(model, args, processing_class=processor, **splits)
    limit_training(trainer.model, trainable_args, "clip")
    return {
        "model": model.config.to_diff_dict(),
        "weights": {name: value.double().abs().sum().item() for name, value in model.named_parameters()},
        "pixels": trainer.processing_class.to_dict(),
        "trained": [name for name, value in model.named_parameters() if value.requires_grad],
        "adapters": [layer.scaling for layer in model.modules() if hasattr(layer, "scaling")],
        "loss": measure_loss(trainer),
        "steps": make_steps(trainer),
        "rows": draw_rows(trainer),
        "faces": trainer.train_collator.face_dropout,
        "flow": follow_flow(args),
        "files": (args.save_total_limit, args.save_only_model, args.eval_on_start),
        "result": (args.load_best_model_at_end, args.metric_for_best_model),
        "precision": trainer.accelerator.mixed_precision,
    }


def measure_loss(trainer) -> list:
    logits = torch.tensor([[0.5, -0.2, 0.1, 0.9, 0.0], [0.0, 0.7, -0.9, 0.3, 0.2], [0.1, 0.4, 0.2, -0.5, 0.6]])
    found = [trainer.classification_loss(logits, torch.tensor([0, 2, 4])).item(), trainer.args.mixup_alpha > 0]
    for epoch in range(4):
        trainer.state.epoch = epoch
        found.append(trainer._added_weights())
    return found


def make_steps(trainer) -> list:
    """The optimizer, and its groups' learning rates at each step of the run."""
    args = trainer.args
    batches = len(trainer.get_train_dataloader())
    total = args.max_steps if args.max_steps > 0 else math.ceil(batches * args.num_train_epochs)
    optimizer = trainer.create_optimizer()
    scheduler = trainer.create_scheduler(total)
    kept = {"params", "lr", "initial_lr"}
    groups = [{name: value for name, value in group.items() if name not in kept} for group in optimizer.param_groups]
    rates = []
    for _ in range(min(total, 10)):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr())
    return [type(optimizer), groups, rates, total, args.gradient_accumulation_steps, args.max_grad_norm]


def draw_rows(trainer) -> list:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    loader = trainer.get_train_dataloader()
    return [len(loader), list(trainer._get_train_sampler())]


def follow_flow(args) -> list:
    """At which steps and ends of epochs of 3 steps the run logs, measures and saves."""
    flow, found = DefaultFlowCallback(), []
    state = TrainerState(max_steps=12, logging_steps=args.logging_steps, eval_steps=args.eval_steps or 0)
    state.save_steps = args.save_steps
    for step in range(1, 13):
        state.global_step, state.epoch = step, step / 3
        control = flow.on_step_end(args, state, TrainerControl())
        control = control if step % 3 else flow.on_epoch_end(args, state, control)
        found.append((control.should_log, control.should_evaluate, control.should_save))
    return found


def test_every_flag_is_in_a_class():
    refused = set(TRAINER_ARGUMENTS_REFUSED) | set(REFUSED) | {"greater_is_better"}
    changes = set(CHANGES) | set(ELSEWHERE)
    classes = [changes, HOW, PLACES, refused, NEVER - refused]
    counts = {name: sum(name in group for group in classes) for name in FLAGS}
    assert {name: count for name, count in counts.items() if count != 1} == {}
    assert not set().union(*classes) - FLAGS
    assert set(REFUSALS) == refused
    assert {name for rule in RULES for name in rule.names} == set(IDLE)


@pytest.mark.parametrize("name", CHANGES)
def test_another_value_changes_the_run(material, clips, known, name):
    words, value = CHANGES[name]
    if name == "fp16" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    if words not in known:
        known[words] = fingerprint(material, clips, words)
    assert fingerprint(material, clips, words, **{name: value}) != known[words]


def test_the_same_values_change_nothing(material, clips):
    assert fingerprint(material, clips, STEPS, save_steps="2") == fingerprint(material, clips, STEPS, save_steps="2")


def test_a_test_of_its_own_shows_the_others():
    text = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert not {test for test in ELSEWHERE.values() if f"def {test}(" not in text}


@pytest.mark.parametrize("name", IDLE)
def test_a_flag_without_an_effect_is_named(material, name):
    words, value = IDLE[name]
    _, unused = read(material, words, **{name: value})
    assert name in unused
    assert re.search(rf"`{name}`[^;]*: \S", describe_unused(unused))
    assert "\n" not in describe_unused(unused)


@pytest.mark.parametrize("words", ["", "--cache_crops"])
def test_views_without_embeddings_are_named(material, words):
    assert list(read(material, words, cache_views="4")[1]) == ["cache_views"]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_flag_that_does_not_fit_is_refused_in_one_line(material, name):
    with pytest.raises(InputError, match=name.replace("_", "[-_]")) as error:
        read(material, "", **{name: REFUSALS[name]})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "value", "complaint"), BAD_VALUES)
def test_a_value_that_no_run_could_follow_is_refused(material, name, value, complaint):
    with pytest.raises(InputError, match=complaint):
        read(material, "", **{name: value})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_preset_has_a_flag_without_an_effect(path):
    words = ["--config", str(path), "--dataset", "data", "--output_dir", "out"]
    assert check_flags(given_flags(ARGUMENT_TYPES, words), parse_arguments(ARGUMENT_TYPES, words, "")) == {}
    # A preset stays usable with a few flags changed.
    given = yaml.safe_load(path.read_text())
    changed = [*words, "--optim", "sgd", "--use_face_adapter", "false", "--logit_adj", "false"]
    unused = check_flags(given_flags(ARGUMENT_TYPES, changed), parse_arguments(ARGUMENT_TYPES, changed, ""))
    assert {"logit_adj_tau", "adapter_reduction"} & set(given) <= set(unused)


def test_a_run_names_its_idle_flags_once_and_in_its_report(material, tmp_path, capsys):
    flags = ("--epochs", 1, "--dataloader_num_workers", 0, "--focal_gamma", 3, "--lora_rank", 2)
    assert run_main(train.main, *material.flags, *flags, "--output_dir", tmp_path / "out") == 0
    assert "note: not used in this run: `focal_gamma`: " in capsys.readouterr().err
    report = yaml.safe_load((tmp_path / "out" / "report.json").read_text())
    assert set(report["unused_flags"]) == {"focal_gamma", "lora_rank"}


@pytest.mark.parametrize(
    ("streams", "words", "sources", "named"),
    [
        ("both", "--face_detector haar --context frame --fps 10", ["folder"], ""),
        (
            "both",
            "--face_detector haar --face_detector_weights F --bounding_box_face f.json",
            ["a.mp4"],
            "face_detector",
        ),
        ("context", "--face_detector haar", ["a.mp4"], "face_detector"),
        ("face", "--context frame", ["a.mp4"], "context"),
        ("face", "--bounding_box_body b.json", ["a.mp4"], "bounding_box_body"),
        ("both", "--bounding_box_body b.json --context frame", ["a.mp4"], "bounding_box_body"),
        ("both", "--bounding_box_body b.json", ["a.mp4"], ""),
        ("both", "--fps 10", ["a.mp4"], "fps"),
    ],
)
def test_a_prediction_names_its_idle_flags(tmp_path, monkeypatch, streams, words, sources, named):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    argv = ["--inputs", *sources, "--model", "m", *words.split()]
    types = (PredictionArguments, TimelineSettings)
    args, settings = parse_arguments(types, argv, "")
    model, processor = tiny_model(streams=streams), ClipCaerVideoProcessor()
    told = describe_idle_flags(args, settings, given_flags(types, argv), sources, model, processor)
    assert told.startswith(f"not used in this run: `{named}`") if named else told == ""


@pytest.mark.parametrize("flag", ["prediction_loss_only", "do_train=false", "fsdp"])
def test_a_refused_flag_leaves_no_folder(material, tmp_path, capsys, flag):
    assert run_main(train.main, *material.flags, f"--{flag}", "--output_dir", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith(f"error: `{flag.split('=')[0]}`")
    assert not (tmp_path / "out").exists()
