"""How weights are found: learning rates, losses, imbalance."""

import math
import os
import sys
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations import get_available_reporting_integrations

from modeling_clipcaer.common.flags import option
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.models.frame_encoder import TOWER_DTYPES


_AT_LEAST_ZERO = (
    *("learning_rate", "lr_image_encoder", "lr_prompt_learner", "lr_adapter", "lr_fusion", "lr_gamma", "weight_decay"),
    *("mi_loss_weight", "mi_warmup_epochs", "mi_ramp_epochs", "dc_loss_weight", "dc_warmup_epochs", "dc_ramp_epochs"),
    *("focal_gamma", "focal_alpha", "ldam_max_margin", "ldam_scale", "logit_adj_tau", "mixup_alpha"),
    *("num_train_epochs", "dataloader_num_workers", "max_grad_norm", "warmup_steps", "eval_delay"),
)
_AT_LEAST_ONE = (
    *("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "save_total_limit"),
)
# At 0 the loss is a constant.
_ABOVE_ZERO = ("focal_alpha", "ldam_scale")

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


def count_default_workers() -> int:
    """Loader processes of a training process: its share of the cores that the processes of a launch may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Keep: a limit; each holds two batches ready.
    return max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@dataclass
class ClipCaerTrainingArguments(TrainingArguments):
    """Arguments of [`ClipCaerTrainer`]: those of the Trainer, and those of the method's losses and parameter groups.

    A learning rate of 0 freezes its group. The text tower is always frozen.
    """

    exper_name: str | None = option(None, "Name of the run: its folder is outputs/NAME unless --output_dir is given.")

    learning_rate: float = option(
        3e-4, "Learning rate of the temporal encoders, and of the fusion by default.", aliases=["--lr"]
    )
    lr_image_encoder: float = option(0.0, "Learning rate of CLIP's vision tower; 0 freezes it.")
    lr_prompt_learner: float = option(1e-3, "Learning rate of the soft prompts' context tokens; 0 freezes them.")
    lr_adapter: float = option(1e-4, "Learning rate of the face adapter; 0 freezes it.")
    lr_fusion: float | None = option(None, "Learning rate of the fusion; that of the temporal encoders by default.")
    lr_milestones: list[float] | None = option(
        None, "Epochs at which every learning rate is multiplied by --lr-gamma, in place of --lr-scheduler-type."
    )
    lr_gamma: float = option(0.1, "Factor at each of --lr-milestones.")

    mi_loss_weight: float = option(0.5, "Weight of the mutual-information loss between the two text views; 0: off.")
    mi_warmup_epochs: float = option(0.0, "Epochs before the MI loss sets in.")
    mi_ramp_epochs: float = option(0.0, "Epochs over which its weight then grows to the full one.")
    dc_loss_weight: float = option(0.1, "Weight of the decorrelation loss of the soft view; 0: off.")
    dc_warmup_epochs: float = option(0.0, "Epochs before the DC loss sets in.")
    dc_ramp_epochs: float = option(0.0, "Epochs over which its weight then grows to the full one.")

    classification_loss: str = option(
        "cross_entropy", "Loss of the logits.", choices=["cross_entropy", "focal", "ldam"]
    )
    label_smoothing_distribution: list[float] | None = option(
        None, "Shares of the labels in the mass that --label-smoothing-factor takes away; even by default."
    )
    focal_gamma: float = option(2.0, "Exponent of the focal loss.")
    focal_alpha: float = option(1.0, "Factor of the focal loss.")
    ldam_max_margin: float = option(0.5, "Greatest margin of the LDAM loss, that of the rarest label.")
    ldam_scale: float = option(30.0, "Scale of the cosines in the LDAM loss.")
    class_balanced_loss: bool = option(False, "Weight clips by their label's effective number (Cui et al., 2019).")
    class_balanced_beta: float = option(0.999, "Its beta.")
    logit_adj: bool = option(False, "Train on logits adjusted by the labels' log-priors (Menon et al., 2021).")
    logit_adj_tau: float = option(1.0, "Their factor.")
    weighted_sampler: bool = option(False, "Draw training clips by inverse label frequency, with replacement.")
    mixup_alpha: float = option(0.0, "Parameter of mixup's Beta distribution (Zhang et al., 2018); 0: off.")

    resume_without_optimizer: bool = option(
        False,
        "Resume from a checkpoint's weights and step alone: the optimizer and the random draws start afresh.",
    )
    resume_without_record: bool = option(
        False,
        "Resume also from a checkpoint of an earlier version, which has no resume.json: that it is whole, and has the "
        "clips and flags of this run, is then on trust.",
    )

    per_device_train_batch_size: int = option(
        8, "Clips a training step and process.", aliases=["--batch_size", "--batch-size"]
    )
    per_device_eval_batch_size: int = option(8, "Clips an evaluation step and process.")
    num_train_epochs: float = option(20.0, "Epochs.", aliases=["--epochs"])
    weight_decay: float = option(1e-4, "Weight decay of every trained weight; norms and biases too, as in the paper.")
    eval_strategy: str = option("epoch", "When the validation split is evaluated.")
    save_strategy: str = option("epoch", "When a checkpoint is saved.")
    save_total_limit: int | None = option(2, "Checkpoints kept: the best and the latest.")
    logging_strategy: str = option("epoch", "When losses are logged.")
    metric_for_best_model: str | None = option("uar", "Validation measure that selects the checkpoint.")
    greater_is_better: bool | None = option(None, "Whether more of it is better; of a loss less is, by default.")
    push_to_hub: bool = option(
        False, "Push the result to the Hub: once, when it is complete, in one commit. The token comes from HF_TOKEN."
    )
    hub_model_id: str | None = option(None, "Repository on the Hub, user/name; the output folder's name by default.")
    # Weights carry the terms of the data they were trained on, which often forbid passing them on.
    hub_private_repo: bool | None = option(True, "Make a new repository private.")
    hub_strategy: str = option("end", "What is pushed when; recipes/train.py takes `end` alone.")
    hub_token: str | None = option(None, "Refused by recipes/train.py: others can see a flag. Set HF_TOKEN instead.")
    tower_dtype: str = option(
        "auto",
        "Type in which the vision tower computes where no gradient of it is kept, in evaluation and when it is "
        "frozen; auto is bfloat16 where the hardware multiplies in it. The weights stay float32.",
        choices=list(TOWER_DTYPES),
    )
    remove_unused_columns: bool | None = option(False, "Keep: the collator needs every column.")
    ddp_find_unused_parameters: bool | None = option(
        False, "Every trained weight has a gradient in every step, so no step needs a search for those without."
    )
    dataloader_num_workers: int = field(
        default_factory=count_default_workers,
        metadata={"help": "Processes that decode frames, for each training process: its share of the cores, up to 8."},
    )

    def __post_init__(self):
        # Keep: launched processes without an accelerator would otherwise find no common backend, and train apart.
        self.use_cpu: bool = self.use_cpu or not torch.accelerator.is_available()
        self.dataloader_pin_memory: bool = self.dataloader_pin_memory and not self.use_cpu
        if self.disable_tqdm is None:  # bars are for people: a log file gets lines instead
            self.disable_tqdm: bool | None = not sys.stderr.isatty()
        if self.output_dir is None:
            if self.exper_name is None:
                raise ValueError("`output_dir` (or `exper_name`) must say where the run goes")
            self.output_dir: str | None = f"outputs/{self.exper_name}"
        self._check_trainer_arguments()
        super().__post_init__()
        self._check_ranges()
        self._check_optimizer()
        self._check_combinations()
        self._check_schedule()

    def _check_ranges(self):
        for name in (*_AT_LEAST_ZERO, *_AT_LEAST_ONE):
            value, least = getattr(self, name), int(name in _AT_LEAST_ONE)
            if value is not None and not least <= value < math.inf:
                raise InputError(f"`{name}` must be a number and at least {least}, got {value}")
        for name in _ABOVE_ZERO:
            if getattr(self, name) == 0:
                raise InputError(f"`{name}` must be above 0, got 0")
        for milestone in self.lr_milestones or []:
            if not 0 <= milestone < math.inf:
                raise InputError(f"`lr_milestones` must be epochs from 0 up, got {milestone:g}")
        for name in ("seed", "data_seed"):
            if not 0 <= (getattr(self, name) or 0) < 2**32:
                raise InputError(f"`{name}` must lie in [0, 2**32), got {getattr(self, name)}")
        if not 0 <= self.class_balanced_beta < 1:
            raise InputError(f"`class_balanced_beta` must lie in [0, 1), got {self.class_balanced_beta}")
        if not 0 <= self.label_smoothing_factor < 1:
            raise InputError(f"`label_smoothing_factor` must lie in [0, 1), got {self.label_smoothing_factor}")
        missing = sorted(set(self.report_to) - set(get_available_reporting_integrations()))
        if missing:
            raise InputError(f"`report_to` {missing[0]}: that tracker is not installed")

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
        if self.classification_loss != "cross_entropy" and self.label_smoothing_factor:
            raise InputError(
                "`label_smoothing_factor` applies to cross_entropy only, "
                f"`classification_loss` is {self.classification_loss}"
            )
        if self.classification_loss == "ldam" and self.logit_adj:
            raise InputError("`logit_adj` and `classification_loss` ldam shift the same logits: take one of them")
        if self.lr_milestones and self.warmup_steps:
            raise InputError("`lr_milestones` replace the schedule that `warmup_steps` belong to: take one of them")
