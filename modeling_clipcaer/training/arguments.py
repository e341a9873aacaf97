"""How weights are found: learning rates, losses, imbalance."""

import math
import os
import sys
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations import get_available_reporting_integrations
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.losses.table import CLASSIFICATION_LOSSES
from modeling_clipcaer.models.arguments import ModelArguments, TrainableArguments
from modeling_clipcaer.settings_clipcaer import PixelSettings, check_ranges
from modeling_clipcaer.training.settings import (
    CacheArguments,
    LossSettings,
    OptimizerSettings,
    ResultSettings,
    RunSettings,
)


# Arguments of the Trainer that break a run here or would do nothing: each is taken at its default alone, with why.
TRAINER_ARGUMENTS_REFUSED = {
    **dict.fromkeys(
        ("fsdp", "fsdp_config", "deepspeed", "parallelism_config"),
        "splits or renames weights, by whose names the learning rates go; accelerate launch takes several GPUs by DDP",
    ),
    **dict.fromkeys(
        ("bf16_full_eval", "fp16_full_eval"),
        "casts the weights themselves, which are saved after it; take `tower_dtype`, or `bf16`",
    ),
    **dict.fromkeys(
        ("label_names", "remove_unused_columns"),
        "chooses columns, and the collator makes the batches, labels included, from all of them",
    ),
    **dict.fromkeys(
        ("prediction_loss_only", "eval_do_concat_batches", "batch_eval_metrics", "eval_use_gather_object"),
        "keeps the logits of all clips from the measures, which need them in one table",
    ),
    "auto_find_batch_size": "changes the number of steps in mid-run; set `per_device_train_batch_size` lower, and "
    "`gradient_accumulation_steps` higher for the same batch",
    "enable_jit_checkpoint": "writes into a checkpoint that is not whole; SIGTERM saves a whole one without it",
    "include_for_metrics": "gathers what UAR and WAR are not computed from",
    "include_num_input_tokens_seen": "counts tokens, and a clip has none",
    "save_on_each_node": "writes a checkpoint's parts under the name that the first node alone gives it",
    "neftune_noise_alpha": "puts noise on embeddings of tokens, and the text tower is frozen",
    **dict.fromkeys(
        ("use_liger_kernel", "liger_kernel_config"), "replaces layers of language models, and this is none"
    ),
}
# What an optimizer takes of `optim_args`. The Trainer ignores the others without a word; of those that are not here
# it passes on what they take.
OPTIM_ARGS = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adafactor"), ()),
    "sgd": ("momentum", "dampening", "nesterov"),
    "adagrad": ("lr_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
}


@dataclass
class ClipCaerTrainingArguments(
    RunSettings,
    OptimizerSettings,
    LossSettings,
    ResultSettings,
    TrainingArguments,
):
    """Arguments of [`ClipCaerTrainer`]: those of the Trainer, and those of the method's losses and parameter groups.

    A learning rate of 0 freezes its group. The text tower is always frozen.
    """

    if TYPE_CHECKING:
        output_dir: str = ""  # never `None` once `__post_init__` is through

    def __post_init__(self):
        # Keep: launched processes without an accelerator would otherwise find no common backend, and train apart.
        self.use_cpu: bool = self.use_cpu or not torch.accelerator.is_available()
        self.dataloader_pin_memory: bool = self.dataloader_pin_memory and not self.use_cpu
        if self.disable_tqdm is None:  # bars are for people: a log file gets lines instead
            self.disable_tqdm: bool | None = not sys.stderr.isatty()
        if self.output_dir is None:
            if self.exper_name is None:
                raise InputError("`output` must say where the run goes, as in `--output outputs/mine`")
            self.output_dir = f"outputs/{self.exper_name}"
        self._check_trainer_arguments()
        super().__post_init__()
        self._check_ranges()
        self._check_optimizer()
        self._check_combinations()
        self._check_schedule()

    def _check_ranges(self):
        check_ranges(self)
        for milestone in self.lr_milestones or []:
            if not 0 <= milestone < math.inf:
                raise InputError(f"`lr_milestones` must be epochs from 0 up, got {milestone:g}")
        missing = sorted(set(self.report_to) - set(get_available_reporting_integrations()))
        if missing:
            raise InputError(f"`report_to` {missing[0]}: that tracker is not installed; pip install {missing[0]}")

    def _check_trainer_arguments(self):
        for argument in fields(self):
            name, value = argument.name, getattr(self, argument.name)
            make = argument.default_factory
            default = argument.default if make is MISSING else make()
            off: tuple = (None, False, "", "no", [])  # which the Trainer takes for each other
            if name in TRAINER_ARGUMENTS_REFUSED and value != default and not (value in off and default in off):
                raise InputError(f"`{name}` is not taken: it {TRAINER_ARGUMENTS_REFUSED[name]}")
        for name in ("fsdp", "deepspeed"):
            if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() in ("1", "true", "yes"):
                raise InputError(f"accelerate's {name} is not taken: it {TRAINER_ARGUMENTS_REFUSED[name]}")
        if self.train_sampling_strategy not in ("random", "sequential"):
            raise InputError(
                "`train_sampling_strategy` must be random or sequential: "
                f"{self.train_sampling_strategy} goes by lengths of texts, and clips have none"
            )
        loader = ("dataloader_persistent_workers", "dataloader_multiprocessing_context")
        for name in loader if self.dataloader_num_workers == 0 else ():
            if getattr(self, name):
                raise InputError(f"`{name}` needs processes that decode frames: `dataloader_num_workers` is 0")

    def _check_optimizer(self):
        if self.optim.value.startswith(("galore", "apollo", "lomo", "adalomo")):
            raise InputError(f"`optim` {self.optim.value} is not taken: it groups the weights in a way of its own")
        try:
            optimizer_class, kwargs = Trainer.get_optimizer_cls_and_kwargs(self)
            optimizer_class([torch.zeros(1, requires_grad=True)], **kwargs)
        except (ImportError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"`optim` {self.optim.value}: {first_line(error)}") from error
        taken = OPTIM_ARGS.get(self.optim.value, ())
        for entry in self.optim_args.replace(" ", "").split(",") if taken and self.optim_args else ():
            name = entry.split("=")[0]
            if name == "weight_decay":
                raise InputError("`optim_args` weight_decay is not taken: the flag `weight_decay` decides")
            if name not in taken:
                raise InputError(f"`optim_args` {name}: {self.optim.value} takes {', '.join(taken)}")

    def _check_schedule(self):
        """Refuse what no schedule could be made of, and let those that go by a measure know which way is better."""
        for name in ("lr_scheduler_kwargs", "activation_checkpointing_kwargs"):
            if not isinstance(getattr(self, name), dict | None):
                raise InputError(f"`{name}` must be a mapping, as in '{{\"power\": 2}}', got {getattr(self, name)}")
        if self.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"):
            kwargs: Any = self.lr_scheduler_kwargs or {}
            mode = "max" if self.greater_is_better else "min"
            self.lr_scheduler_kwargs: dict | str | None = {"mode": mode, **kwargs}
        try:
            optimizer = torch.optim.SGD([torch.zeros(1)])
            get_scheduler(self.lr_scheduler_type, optimizer, 0, 1, self.lr_scheduler_kwargs)
        except (TypeError, ValueError) as error:
            raise InputError(f"`lr_scheduler_kwargs` for {self.lr_scheduler_type.value}: {error}") from error
        for name in ("eval", "save", "logging"):
            if getattr(self, f"{name}_strategy") == "steps" and not getattr(self, f"{name}_steps") > 0:
                raise InputError(f"`{name}_steps` must be above 0, got {getattr(self, f'{name}_steps')}")
        if self.max_steps < 1 and self.max_steps != -1:
            raise InputError(f"`max_steps` must be above 0, or -1 for `num_train_epochs`, got {self.max_steps}")
        if self.max_steps < 0 and not self.num_train_epochs > 0:
            raise InputError(f"`num_train_epochs` must be above 0, got {self.num_train_epochs:g}")

    def _check_combinations(self):
        metric, best = self.metric_for_best_model or "", self.greater_is_better
        if best is not None and metric and best == metric.endswith("loss"):
            found = f"`greater_is_better` {str(best).lower()} would select the worst checkpoint by {metric}"
            raise InputError(f"{found}; leave it out")
        loss = CLASSIFICATION_LOSSES[self.classification_loss]
        if "smoothing" not in loss.flags and self.label_smoothing_factor:
            raise InputError(
                f"`label_smoothing_factor` applies to cross_entropy only, `classification_loss` is {loss.name}"
            )
        if loss.has_margins and self.logit_adj:
            raise InputError(
                f"`logit_adj` and `classification_loss` {loss.name} shift the same logits: take one of them"
            )
        if self.face_dropout and self.mixup_alpha:
            raise InputError("`mixup_alpha` mixes faces that `face_dropout` leaves out: take one of them")
        if self.lr_milestones and self.warmup_steps:
            raise InputError("`lr_milestones` replace the schedule that `warmup_steps` belong to: take one of them")


def check_selection(args: ClipCaerTrainingArguments) -> None:
    """Refuse, before any work, settings in which the selected checkpoint might not have been saved."""
    if args.eval_strategy == "no" or args.save_strategy == "no":
        return
    if (args.metric_for_best_model or "").removeprefix("eval_") not in ("uar", "war"):
        raise InputError(f"`metric_for_best_model` must be uar or war, got {args.metric_for_best_model}")
    if args.save_strategy != "best" and args.save_strategy != args.eval_strategy:
        raise InputError(
            f"`save_strategy` {SaveStrategy(args.save_strategy).value} and `eval_strategy` "
            f"{IntervalStrategy(args.eval_strategy).value} differ: the selected checkpoint might not have been saved; "
            "make them equal"
        )
    if args.save_strategy == "steps" and not math.isclose((args.eval_steps / args.save_steps + 0.5) % 1, 0.5):
        raise InputError(
            f"`eval_steps` {args.eval_steps:g} is no multiple of `save_steps` {args.save_steps:g}: the selected "
            "checkpoint might not have been saved"
        )


# All flags of `train`.
ARGUMENT_TYPES = (
    *(ModelArguments, PixelSettings, DataArguments, CacheArguments, TrainableArguments),
    ClipCaerTrainingArguments,
)
