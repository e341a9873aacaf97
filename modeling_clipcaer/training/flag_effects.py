"""Which flags of `train` have an effect in a run, and which were given and have none.

A flag that asks for what a run cannot do is refused, by the arguments' own checks or by [`REFUSED`]; one that belongs
to something which is switched off is named, and the run goes on. What is named is also in report.json.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from accelerate.utils import DynamoBackend
from transformers import Trainer

from modeling_clipcaer.common.flag_effects import Rule, find_unused
from modeling_clipcaer.data.cached_clips import augments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.table import ADDED_LOSSES, CLASSIFICATION_LOSSES, SOFT_PROMPT_LOSSES
from modeling_clipcaer.training.arguments import OPTIM_ARGS


# A value of a flag that no run of this command could follow, and why.
REFUSED: dict[str, tuple[Any, str]] = {
    "do_train": (False, "a run always trains; clipcaer evaluate measures without"),
    "do_eval": (
        False,
        "a run always measures the validation split; --eval-strategy no does so at its end alone",
    ),
    "do_predict": (False, "a run always measures the test split once"),
}


def _never(run: SimpleNamespace) -> bool:
    return False


def _shows_augmented_views(run: SimpleNamespace) -> bool:
    return not run.cache_frame_embeds or run.cache_views > 1


def _selects(run: SimpleNamespace) -> bool:
    return run.eval_strategy != "no" and run.save_strategy != "no"


def _uses_soft_view(run: SimpleNamespace) -> bool:
    source = run.prototype_source or ("descriptive" if run.slerp_weight > 0 else "soft")
    return source in ("soft", "mean") or any(loss.is_on(run) for loss in SOFT_PROMPT_LOSSES)


def _optimizer_takes(name: str) -> Callable[[SimpleNamespace], bool]:
    return lambda run: name in Trainer.get_optimizer_cls_and_kwargs(run.training_args)[1]


def _loss_rules() -> Iterator[Rule]:
    """A loss that is off has no use for its flags, nor has one that the run ends before."""
    for added in ADDED_LOSSES:
        yield Rule(added.ramp_flags, added.is_on, f"`{added.weight_flag}` is 0")
        yield Rule((added.weight_flag, added.ramp_flags[1]), added.sets_in, "the run ends before its warm-up does")
    for name, loss in CLASSIFICATION_LOSSES.items():
        yield Rule(tuple(loss.own_flags), loss.is_chosen, f"`classification_loss` is not {name}")


RULES = (
    # Where the run goes
    Rule(("exper_name",), lambda run: not run.output_dir_given, "`output_dir` names the folder"),
    Rule(("do_train", "do_eval", "do_predict"), _never, "every run does it in its own way"),
    # The model
    Rule(
        ("use_face_adapter", "adapter_reduction", "adapter_residual_ratio", "lr_adapter"),
        lambda run: run.streams != "context",
        "there is no face stream (`streams` context)",
    ),
    Rule(
        ("adapter_reduction", "adapter_residual_ratio", "lr_adapter"),
        lambda run: run.use_face_adapter,
        "there is no face adapter (`use_face_adapter` false)",
    ),
    Rule(
        (
            *("num_context_tokens", "class_specific_context", "class_token_position", "initializer_range"),
            "lr_prompt_learner",
        ),
        _uses_soft_view,
        "nothing uses the soft prompts: they do not classify, and "
        f"{' and '.join(loss.name.upper() for loss in SOFT_PROMPT_LOSSES)} loss are off",
    ),
    Rule(
        (
            *("temporal_layers", "temporal_heads", "temporal_head_dim", "temporal_mlp_dim", "temporal_dropout"),
            "temporal_init_std",
        ),
        lambda run: run.temporal_pooling != "mean",
        "`temporal_pooling` mean has no transformer",
    ),
    Rule(
        ("lr_classifier",),
        lambda run: run.prototype_source == "classifier" or run.learned_slerp_weight is not None,
        "nothing of the classifier is learned (`prototype_source`, `learned_slerp_weight`)",
    ),
    Rule(("slerp_target",), lambda run: run.slerp_weight > 0, "`slerp_weight` is 0"),
    Rule(("face_dropout",), lambda run: run.streams == "both", "there is one stream"),
    # Pixels
    Rule(("face_margin",), lambda run: run.streams != "context", "there is no face stream (`streams` context)"),
    Rule(("context", "letterbox"), lambda run: run.streams != "face", "there is no context stream (`streams` face)"),
    Rule(
        ("flip_prob", "rotation_degrees", "color_jitter", "augment_per_stream"),
        _shows_augmented_views,
        "`cache_frame_embeds` keeps one view of a clip, the plain one; more come with `cache_views`",
    ),
    Rule(("augment_per_stream",), augments, "nothing is augmented"),
    Rule(("augment_per_stream",), lambda run: run.streams == "both", "there is one stream"),
    Rule(("scaled_decoding",), lambda run: run.letterbox != "reference", "`letterbox` reference is never antialiased"),
    # Data and caches
    Rule(("cache_views",), augments, "nothing is augmented, and all views would be equal: one is kept"),
    Rule(("cache_views",), lambda run: not run.cache_crops, "crops are augmented anew in every epoch"),
    Rule(("cache_views",), lambda run: run.cache_frame_embeds, "`cache_frame_embeds` is off"),
    Rule(
        ("cache_frames", "cache_dir"),
        lambda run: run.cache_frame_embeds or run.cache_crops,
        "nothing is cached: neither `cache_frame_embeds` nor `cache_crops` is on",
    ),
    Rule(("lora_rank", "lora_alpha", "lora_targets"), lambda run: run.use_lora, "`use_lora` is off"),
    Rule(("save_trainable_only",), lambda run: run.save_strategy != "no", "`save_strategy` is no"),
    # Losses
    *_loss_rules(),
    Rule(
        ("label_smoothing_distribution",),
        lambda run: run.label_smoothing_factor > 0,
        "`label_smoothing_factor` is 0",
    ),
    Rule(("class_balanced_beta",), lambda run: run.class_balanced_loss, "`class_balanced_loss` is off"),
    Rule(("logit_adj_tau",), lambda run: run.logit_adj, "`logit_adj` is off"),
    # Optimisation
    Rule(("lr_gamma",), lambda run: bool(run.lr_milestones), "there are no `lr_milestones`"),
    Rule(
        ("lr_milestones", "lr_gamma"),
        lambda run: run.max_steps > 0 or min(run.lr_milestones or [0]) < run.num_train_epochs,
        "the run ends before the first of `lr_milestones`",
    ),
    Rule(
        ("lr_scheduler_type", "lr_scheduler_kwargs"),
        lambda run: not run.lr_milestones,
        "`lr_milestones` make the schedule",
    ),
    Rule(
        ("lr_scheduler_kwargs",),
        lambda run: run.lr_scheduler_type not in ("constant", "constant_with_warmup"),
        "a constant `lr_scheduler_type` takes none",
    ),
    Rule(
        ("warmup_steps",),
        lambda run: run.lr_scheduler_type not in ("constant", "reduce_lr_on_plateau", "greedy"),
        "this `lr_scheduler_type` has no warm-up",
    ),
    Rule(
        ("optim_args",),
        lambda run: OPTIM_ARGS.get(run.optim.value) != (),
        "this `optim` takes none",
    ),
    Rule(("adam_beta1", "adam_beta2"), _optimizer_takes("betas"), "this `optim` has no betas"),
    Rule(("adam_epsilon",), _optimizer_takes("eps"), "this `optim` has another epsilon or none"),
    Rule(("optim_target_modules",), _never, "it belongs to GaLore and APOLLO, which are not taken"),
    Rule(("average_tokens_across_devices",), _never, "it counts tokens, and a clip has none"),
    Rule(("num_train_epochs",), lambda run: run.max_steps <= 0, "`max_steps` says how long the run is"),
    Rule(
        ("train_sampling_strategy",),
        lambda run: not run.weighted_sampler,
        "`weighted_sampler` draws the clips",
    ),
    # Evaluation, checkpoints and logs
    Rule(("eval_steps",), lambda run: run.eval_strategy == "steps", "`eval_strategy` is not steps"),
    Rule(
        ("eval_delay", "eval_on_start", "eval_accumulation_steps"),
        lambda run: run.eval_strategy != "no",
        "`eval_strategy` is no",
    ),
    Rule(
        ("metric_for_best_model", "load_best_model_at_end"),
        _selects,
        "no epoch is selected: `eval_strategy` or `save_strategy` is no",
    ),
    Rule(("greater_is_better",), _never, "`metric_for_best_model` says it already"),
    Rule(("save_steps",), lambda run: run.save_strategy == "steps", "`save_strategy` is not steps"),
    Rule(
        ("save_total_limit", "save_only_model"),
        lambda run: run.save_strategy != "no",
        "`save_strategy` is no",
    ),
    Rule(
        ("logging_steps",),
        lambda run: run.logging_strategy == "steps" or (run.eval_strategy == "steps" and not run.eval_steps_given),
        "`logging_strategy` is not steps",
    ),
    Rule(
        ("logging_first_step", "logging_nan_inf_filter"),
        lambda run: run.logging_strategy != "no",
        "`logging_strategy` is no",
    ),
    Rule(("run_name",), lambda run: bool(run.report_to), "no tracker is told (`report_to`)"),
    Rule(
        ("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        lambda run: "trackio" in run.report_to,
        "trackio is not told (`report_to`)",
    ),
    Rule(
        ("hub_model_id", "hub_private_repo", "hub_revision", "hub_strategy"),
        lambda run: run.push_to_hub,
        "`push_to_hub` is off",
    ),
    Rule(("hub_always_push",), _never, "the result is pushed once, at the end"),
    # Where and how the run computes
    Rule(
        ("fp16",),
        lambda run: not run.fp16 or run.training_args.device.type != "cpu",
        "the run is on the CPU, in float32; `bf16` works there",
    ),
    Rule(
        ("dataloader_pin_memory", "torch_empty_cache_steps", "tf32"),
        lambda run: run.training_args.device.type != "cpu",
        "the run is on the CPU",
    ),
    Rule(
        (
            *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
            "ddp_timeout",
        ),
        lambda run: run.training_args.world_size > 1,
        "one process computes alone",
    ),
    Rule(
        ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"),
        lambda run: bool(run.activation_checkpointing),
        "`activation_checkpointing` is off",
    ),
    Rule(
        ("dataloader_persistent_workers", "dataloader_prefetch_factor"),
        lambda run: not run.cache_frame_embeds,
        "with `cache_frame_embeds` the training process reads the clips itself",
    ),
    Rule(
        ("dataloader_in_order",),
        lambda run: run.dataloader_num_workers > 0 and not run.cache_frame_embeds,
        "the training process reads the clips itself",
    ),
    Rule(
        ("ignore_data_skip", "restore_callback_states_from_checkpoint"),
        lambda run: run.resume_from_checkpoint is not None,
        "the run begins anew",
    ),
    Rule(("restore_callback_states_from_checkpoint",), _never, "no callback here has a state to restore"),
    Rule(("use_cache",), _never, "nothing is generated"),
    Rule(("length_column_name",), _never, "clips are not grouped by length"),
)


def check_flags(given: Mapping[str, Any], arguments: Iterable[Any]) -> dict[str, str]:
    """The flags in `given` that have no effect in a run with `arguments`, each with the reason.

    Args:
        given: what the command line and its `--config` files set, see [`modeling_clipcaer.common.flags.given_flags`].
        arguments: the dataclasses that hold all of a run's arguments; the last are those of training.

    Raises:
        InputError: a flag asks for what no run does.
    """
    for name, (value, reason) in REFUSED.items():
        if name in given and given[name] == value:
            raise InputError(f"`{name}` {str(value).lower()} is not taken: {reason}")
    *_, training_args = arguments = list(arguments)
    backends = [backend.value.lower() for backend in DynamoBackend]
    if training_args.torch_compile and training_args.torch_compile_backend not in backends:
        raise InputError(f"`torch_compile_backend` must be one of {', '.join(backends)}")
    run = SimpleNamespace(**{name: value for group in arguments for name, value in vars(group).items()})
    if run.attn_implementation == "flex_attention" and training_args.device.type == "cpu":
        raise InputError("`attn_implementation` flex_attention is not taken: on the CPU it has no gradient")
    run.training_args = training_args
    run.output_dir_given, run.eval_steps_given = "output_dir" in given, "eval_steps" in given
    return find_unused(RULES, given, run)
