import os

import pytest
import torch

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.settings import count_default_workers


def test_the_documented_defaults():
    args = ClipCaerTrainingArguments("unused")
    assert (args.mi_loss_weight, args.dc_loss_weight, args.lr_adapter) == (0.5, 0.1, 1e-4)
    assert (args.logit_adj, args.logit_adj_tau, args.class_balanced_loss) == (False, 1.0, False)
    assert (args.per_device_train_batch_size, args.num_train_epochs, args.seed) == (8, 20, 42)
    assert args.metric_for_best_model == "uar" and args.greater_is_better
    assert args.lr_image_encoder == 0  # the tower is frozen unless asked for
    assert args.report_to == []


@pytest.mark.parametrize(("cores", "processes", "workers"), [(2, 1, 2), (2, 2, 1), (2, 4, 1), (16, 2, 8), (64, 1, 8)])
def test_the_processes_of_a_launch_share_the_cores_for_their_loaders(monkeypatch, cores, processes, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(cores), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert count_default_workers() == workers
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert ClipCaerTrainingArguments("unused").dataloader_num_workers == min(cores, 8)


def test_without_an_accelerator_processes_work_together_on_the_cpu():
    assert ClipCaerTrainingArguments("unused").use_cpu == (not torch.accelerator.is_available())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, -0.1) for name in ("learning_rate", "lr_fusion", "lr_adapter", "lr_prompt_learner", "lr_gamma")),
        *((name, -1.0) for name in ("mi_warmup_epochs", "dc_ramp_epochs", "focal_gamma", "mixup_alpha")),
        *((name, 0) for name in ("per_device_train_batch_size", "per_device_eval_batch_size")),
        ("gradient_accumulation_steps", 0),
        ("dataloader_num_workers", -1),
        ("seed", -1),
        ("seed", 2**32),
        ("data_seed", -1),
        ("class_balanced_beta", 1.0),
        ("label_smoothing_factor", 1.0),
        ("mi_loss_weight", float("nan")),
        ("max_grad_norm", float("nan")),
        ("seed", -1),
        ("data_seed", 2**32),
        ("learning_rate", float("inf")),
        ("max_grad_norm", -1.0),
        ("save_total_limit", 0),
        ("focal_alpha", 0),
        ("ldam_scale", 0),
        ("max_steps", -2),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_found(field, value):
    with pytest.raises(InputError, match=rf"`{field}` must .* got {value}"):
        ClipCaerTrainingArguments("unused", **{field: value})


@pytest.mark.parametrize("field", ["adam_epsilon", "adam_beta1", "adam_beta2"])
def test_an_optimizer_that_could_not_be_made_is_told(field):
    with pytest.raises(InputError, match="`optim` adamw_torch_fused: Invalid"):
        ClipCaerTrainingArguments("unused", **{field: -1.0})


@pytest.mark.parametrize(
    "fields",
    [
        {"classification_loss": "focal", "label_smoothing_factor": 0.1},
        {"classification_loss": "ldam", "label_smoothing_factor": 0.1},
        {"classification_loss": "ldam", "logit_adj": True},
        {"lr_milestones": [1.0], "warmup_steps": 5},
        {"face_dropout": 0.5, "mixup_alpha": 0.2},
    ],
)
def test_options_of_which_one_would_be_ignored_or_doubled_are_refused(fields):
    with pytest.raises(InputError) as error:
        ClipCaerTrainingArguments("unused", **fields)
    assert all(f"`{name}`" in str(error.value) for name in fields)
    for name in fields:  # each alone is fine
        ClipCaerTrainingArguments("unused", **{name: fields[name]})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"greater_is_better": False}, "`greater_is_better` false would select the worst checkpoint by uar"),
        ({"metric_for_best_model": "eval_loss", "greater_is_better": True}, "the worst checkpoint by eval_loss"),
        ({"optim": "sgd", "optim_args": "momentun=0.9"}, "`optim_args` momentun: sgd takes momentum"),
        ({"optim": "sgd", "optim_args": "weight_decay=1"}, "`optim_args` weight_decay is not taken"),
        ({"optim": "sgd", "optim_args": "momentum"}, "`optim` sgd: "),
        ({"optim": "galore_adamw"}, "`optim` galore_adamw is not taken"),
        ({"optim": "adamw_bnb_8bit"}, "`optim` adamw_bnb_8bit: .*bitsandbytes"),
        ({"train_sampling_strategy": "group_by_length"}, "`train_sampling_strategy` must be random or sequential"),
        ({"train_sampling_strategy": "batch_rebalance"}, "`train_sampling_strategy` must be random or sequential"),
        ({"dataloader_num_workers": 0, "dataloader_persistent_workers": True}, "`dataloader_num_workers` is 0"),
        ({"lr_scheduler_kwargs": {"power": 3}}, "`lr_scheduler_kwargs` for linear: .*'power'"),
        ({"lr_scheduler_kwargs": "power"}, "`lr_scheduler_kwargs` must be a mapping"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "`lr_scheduler_kwargs` for cosine_with_min_lr"),
        ({"eval_strategy": "steps", "eval_steps": -3}, "`eval_steps` must be above 0, got -3"),
        ({"lr_milestones": [2.0, -1.0]}, "`lr_milestones` must be epochs from 0 up, got -1"),
        ({"adam_beta1": 2.0}, "`optim` adamw_torch.*: Invalid beta"),
        ({"adam_epsilon": -1.0}, "`optim` adamw_torch.*: Invalid epsilon"),
        ({"optim": "sgd", "optim_args": "nesterov=1"}, "`optim` sgd: Nesterov"),
        ({"max_steps": 0}, "`max_steps` must be above 0"),
        ({"num_train_epochs": 0}, "`num_train_epochs` must be above 0, got 0"),
        ({"prediction_loss_only": True}, "`prediction_loss_only` is not taken"),
        ({"deepspeed": "zero.json"}, "`deepspeed` is not taken"),
    ],
)
def test_what_would_break_a_run_or_do_nothing_is_refused_in_one_line(fields, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        ClipCaerTrainingArguments("unused", **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["fsdp", "deepspeed"])
def test_a_launcher_that_splits_weights_is_refused(monkeypatch, name):
    monkeypatch.setenv(f"ACCELERATE_USE_{name.upper()}", "true")
    with pytest.raises(InputError, match=f"accelerate's {name} is not taken"):
        ClipCaerTrainingArguments("unused")


@pytest.mark.parametrize("schedule", ["reduce_lr_on_plateau", "greedy"])
def test_a_schedule_that_goes_by_a_measure_knows_which_way_is_better(schedule):
    mode = lambda **args: ClipCaerTrainingArguments("unused", lr_scheduler_type=schedule, **args).lr_scheduler_kwargs  # noqa: E731
    assert mode() == {"mode": "max"}  # of UAR
    assert mode(metric_for_best_model="loss") == {"mode": "min"}
    assert mode(lr_scheduler_kwargs={"mode": "min"}) == {"mode": "min"}


def test_less_of_a_loss_is_better():
    assert ClipCaerTrainingArguments("unused", metric_for_best_model="loss").greater_is_better is False


def test_a_tracker_that_is_not_installed_is_named():
    with pytest.raises(InputError, match="`report_to` mlflo"):
        ClipCaerTrainingArguments("unused", report_to=["mlflo"])
