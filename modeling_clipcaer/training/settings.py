"""Flags of a training run. No torch: `train --help` shows them at once.

[`~training.arguments.ClipCaerTrainingArguments`] takes over what is said here of a run, its losses and its learning
rates, the Trainer's own flags that are often set or have another default here among them.
"""

import os
from dataclasses import dataclass

from modeling_clipcaer.common.flags import check_ranges, option, rare_option
from modeling_clipcaer.common.processes import count_cores
from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.table import CLASSIFICATION_LOSSES, add_flags
from modeling_clipcaer.models.arguments import ModelArguments, TrainableArguments, tower_dtype_option
from modeling_clipcaer.settings_clipcaer import PixelSettings


def count_default_workers() -> int:
    """Loader processes of a training process: its share of the cores that the processes of a launch may use."""
    # Keep: a limit; each holds two batches ready.
    return max(1, min(8, count_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@dataclass(eq=False, repr=False)
class RunSettings:
    """The run."""

    output_dir: str | None = option(None, "Folder of the run: its result, its checkpoints and its report.")
    exper_name: str | None = rare_option(None, "Name of the run: its folder is outputs/NAME unless --output is given.")
    num_train_epochs: float = option(20.0, "Epochs.", least=0, aliases=["--epochs"])
    per_device_train_batch_size: int = option(
        8, "Clips a training step and process.", least=1, aliases=["--batch_size", "--batch-size"]
    )
    per_device_eval_batch_size: int = rare_option(8, "Clips an evaluation step and process.", least=1)
    gradient_accumulation_steps: int = rare_option(1, "Training steps whose gradients make one.", least=1)
    seed: int = option(42, "Seed of the run.", least=0, below=2**32)
    data_seed: int | None = rare_option(
        None, "Seed of the clips' order; that of the run by default.", least=0, below=2**32
    )
    resume_from_checkpoint: str | None = option(None, "Checkpoint to go on from; `last`: the run's latest whole one.")
    resume_without_optimizer: bool = rare_option(
        False,
        "Resume from a checkpoint's weights and step alone: the optimizer and the random draws start afresh.",
    )
    resume_without_record: bool = rare_option(
        False,
        "Resume also from a checkpoint of an earlier version, which has no resume.json: that it is whole, and has the "
        "clips and flags of this run, is then on trust.",
    )
    bf16: bool = option(False, "Compute in bfloat16; weights stay in float32.")
    tower_dtype: str = tower_dtype_option(rare=True)
    dataloader_num_workers: int = option(
        count_default_workers,
        "Processes that decode frames; each training process has its share of the cores, up to 8, by default.",
        least=0,
    )
    remove_unused_columns: bool | None = rare_option(
        False, "Drop columns of the dataset; taken at off alone, since the collator needs every column."
    )
    ddp_find_unused_parameters: bool | None = rare_option(
        False, "Search each step for weights without a gradient; needless here, where every trained weight has one."
    )


@dataclass(eq=False, repr=False)
class OptimizerSettings:
    """Learning rates. One of 0 freezes its group; the text tower is always frozen."""

    learning_rate: float = option(
        3e-4, "Learning rate; of the temporal encoders, and of the fusion by default.", least=0, aliases=["--lr"]
    )
    lr_image_encoder: float = option(0.0, "Learning rate of CLIP's vision tower; 0 freezes it.", least=0)
    lr_prompt_learner: float = rare_option(
        1e-3, "Learning rate of the soft prompts' context tokens; 0 freezes them.", least=0
    )
    lr_adapter: float = rare_option(1e-4, "Learning rate of the face adapter; 0 freezes it.", least=0)
    lr_fusion: float | None = rare_option(
        None, "Learning rate of the fusion; that of the temporal encoders by default.", least=0
    )
    lr_classifier: float | None = rare_option(
        None,
        "Learning rate of what is learned of the classifier itself (--prototype-source classifier, "
        "--learned-slerp-weight); that of the temporal encoders by default.",
        least=0,
    )
    lr_milestones: list[float] | None = rare_option(
        None, "Epochs at which every learning rate is multiplied by --lr-gamma, in place of --lr-scheduler-type."
    )
    lr_gamma: float = rare_option(0.1, "Factor of every learning rate at each of --lr-milestones.", least=0)
    warmup_steps: float = rare_option(
        0, "Steps over which learning rates grow from 0; below 1, that share of all steps.", least=0
    )
    weight_decay: float = rare_option(
        1e-4, "Weight decay of every trained weight; norms and biases too, as in the paper.", least=0
    )
    max_grad_norm: float = rare_option(1.0, "Greatest norm of the gradient, to which a larger one is cut.", least=0)


@dataclass(eq=False, repr=False)
@add_flags
class LossSettings:
    """Losses and rare labels."""

    classification_loss: str = option("cross_entropy", "Loss of the logits.", choices=list(CLASSIFICATION_LOSSES))
    label_smoothing_factor: float = rare_option(0.0, "Mass that smoothing takes from the label.", least=0, below=1)
    label_smoothing_distribution: list[float] | None = rare_option(
        None, "Shares of the labels in the mass that --label-smoothing-factor takes away; even by default."
    )
    class_balanced_loss: bool = option(
        False, "Weight clips of rare labels more; by effective numbers (Cui et al., 2019)."
    )
    class_balanced_beta: float = rare_option(
        0.999, "Beta of the effective numbers of --class-balanced-loss.", least=0, below=1
    )
    logit_adj: bool = option(False, "Adjust logits by the labels' log-priors; in training (Menon et al., 2021).")
    logit_adj_tau: float = rare_option(1.0, "Factor of the log-priors of --logit-adj.", least=0)
    weighted_sampler: bool = rare_option(
        False, "Draw clips by inverse label frequency; in training, with replacement."
    )
    face_dropout: float = rare_option(
        0.0,
        "Probability that a training clip's face stream is left out, so that the context can take over where no face "
        "is seen.",
        least=0,
        below=1,
    )
    mixup_alpha: float = rare_option(
        0.0, "Parameter of mixup's Beta distribution (Zhang et al., 2018); 0: off.", least=0
    )


@dataclass(eq=False, repr=False)
class ResultSettings:
    """What is measured, kept and pushed."""

    baselines: bool = rare_option(
        True,
        "Measure beside the result what majority, zero-shot CLIP, a linear probe and an MLP reach. Where frame "
        "embeddings are not cached, every clip is encoded once more for it.",
    )
    eval_strategy: str = rare_option("epoch", "When the validation split is evaluated.")
    eval_delay: float = rare_option(0, "Epochs or steps before the first evaluation.", least=0)
    save_strategy: str = rare_option("epoch", "When a checkpoint is saved.")
    save_total_limit: int | None = rare_option(2, "Checkpoints kept: the best and the latest.", least=1)
    logging_strategy: str = rare_option("epoch", "When losses are logged.")
    # On drawings selection by 60 validation clips cost 1.3 points of UAR (docs/ablation.md).
    load_best_model_at_end: bool = rare_option(
        False,
        "Take the epoch that the validation split selects for the result; by default the last one. Both are tested.",
    )
    metric_for_best_model: str | None = rare_option(
        "uar", "What selects an epoch on the validation split, uar or war."
    )
    greater_is_better: bool | None = rare_option(None, "Whether more of it is better; of a loss less is, by default.")
    report_to: list[str] = rare_option(
        lambda: ["none"], "Trackers; tensorboard, trackio, wandb, or all that are installed.", metavar="NAME"
    )
    push_to_hub: bool = option(
        False, "Push the result to the Hub: once, when it is complete, in one commit. The token comes from HF_TOKEN."
    )
    hub_model_id: str | None = option(None, "Repository on the Hub, user/name; the output folder's name by default.")
    # Weights carry the terms of the data they were trained on, which often forbid passing them on.
    hub_private_repo: bool | None = rare_option(True, "Make a new repository private.")
    hub_strategy: str = rare_option("end", "What is pushed when; here `end` alone.")
    hub_token: str | None = rare_option(None, "Refused: others can see a flag. Set HF_TOKEN instead.")


def cache_dir_option():
    """The flag `cache_dir` of the commands that read frame embeddings."""
    return rare_option(None, "Folder of the caches; `cache` in the dataset's folder by default.")


@dataclass
class MeasuredCacheArguments:
    """What an evaluation keeps of clips, and takes of what training kept."""

    cache_frame_embeds: bool = option(
        False,
        "Encode every clip once, and read its frame embeddings from the cache ever after; with the same tower and "
        "pixels it is training's.",
    )
    cache_dir: str | None = cache_dir_option()


@dataclass
class CacheArguments:
    """What is kept of clips, so that it need not be computed again."""

    cache_frame_embeds: bool = option(
        False, "Encode every clip once; the frozen vision tower does, and its frame embeddings are trained on."
    )
    cache_views: int = rare_option(
        1, "With --cache-frame-embeds, views of a training clip: the plain one, and others augmented.", least=1
    )
    cache_frames: int = rare_option(
        0, "Frames kept of a training clip, evenly spaced, for training to draw from; 0 keeps all.", least=0
    )
    cache_crops: bool = rare_option(
        False,
        "Cut face and context of every clip once and keep the squares of pixels. They show people: keep them where "
        "the data may be.",
    )
    cache_dir: str | None = cache_dir_option()

    def __post_init__(self):
        check_ranges(self)
        if self.cache_frame_embeds and self.cache_crops:
            raise InputError("`cache_frame_embeds` makes `cache_crops` useless: take one of them")


# The flags of `train` without those that are the Trainer's alone, as its first help groups them.
HELP_GROUPS = {
    "model": (ModelArguments, TrainableArguments),
    "data": (DataArguments, CacheArguments),
    "pixels": (PixelSettings,),
    "losses": (LossSettings,),
    "run": (RunSettings, OptimizerSettings, ResultSettings),
}
