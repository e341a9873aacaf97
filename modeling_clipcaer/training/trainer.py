"""The Trainer with ClipCaer's losses, parameter groups and samplers."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback
from transformers.trainer_utils import HubStrategy, has_length

from modeling_clipcaer.data.cached_clips import COLLATORS, find_collator
from modeling_clipcaer.data.clip_labels import align_labels
from modeling_clipcaer.data.data_collator import DRAWN_BEFORE, ClipCaerCollator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.functions import (
    adjust_logits,
    class_balanced_weights,
    smoothed_cross_entropy,
    smoothed_targets,
)
from modeling_clipcaer.losses.table import ADDED_LOSSES, CLASSIFICATION_LOSSES, AddedLoss
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.prototypes import instance_logits
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.measured_clips import account_for_clips, whole_split
from modeling_clipcaer.training.parameter_groups import (
    check_gradient_paths,
    find_parameter_group,
    freeze_parameters,
    group_learning_rates,
    warn_of_double_correction,
)
from modeling_clipcaer.training.resumable_trainer import ResumableTrainer
from modeling_clipcaer.training.step_clips import Share, mix, pair_clips, share_step
from modeling_clipcaer.training.stops import NamedBatches, check_loss, told_full_memory


class WeightedEpochSampler(Sampler[int]):
    """Draws clips with replacement by weight. The draw depends on seed and epoch alone: a resumed run repeats it.

    Every process draws the whole order, of which accelerate gives each its share.
    """

    def __init__(self, weights: np.ndarray, seed: int, get_epoch: Callable[[], int]):
        self.weights, self.seed, self.get_epoch = weights, seed, get_epoch

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[int]:
        # Keep: a pair as the seed. Their sum would give a run with the next seed this run's draws, an epoch earlier.
        generator = np.random.default_rng((self.seed, self.get_epoch()))
        shares = self.weights / self.weights.sum()
        times: Counter[int] = Counter()
        for clip in generator.choice(len(self), size=len(self), p=shares).tolist():
            yield Draw(clip, times[clip])
            times[clip] += 1


class Draw(int):
    """The number of a clip that is drawn with replacement, which knows how often it was drawn before in the epoch."""

    drawn_before: int

    def __new__(cls, clip: int, drawn_before: int):
        draw = super().__new__(cls, clip)
        draw.drawn_before = drawn_before
        return draw

    def __getnewargs__(self):
        return int(self), self.drawn_before


class DrawnClips(Dataset):
    """The rows of a split, each with how often it was drawn before."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, draws: list[Draw]) -> list[dict[str, Any]]:
        rows = self.rows.__getitems__([int(draw) for draw in draws])
        return [{**row, DRAWN_BEFORE: draw.drawn_before} for row, draw in zip(rows, draws, strict=True)]


class _EpochStart(TrainerCallback):
    """Tells the training collator the epoch before its workers start, so that each epoch has draws of its own, and has
    what frozen parts compute made of the weights as they are now."""

    def __init__(self, trainer: "ClipCaerTrainer"):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        if isinstance(self.trainer.train_collator, ClipCaerCollator):
            self.trainer.train_collator.epoch = int(state.epoch or 0)
        self.trainer.renew_frozen_parts()


class ClipCaerTrainer(ResumableTrainer):
    r"""
    Trains [`ClipCaerForVideoClassification`] on a dataset of clips.

    Args:
        model: the model; which of its weights train follows from the learning rates in `args`.
        args: [`ClipCaerTrainingArguments`].
        train_dataset, eval_dataset: `datasets.Dataset` with the columns that `clipcaer build` writes, or with those of
            cached clips, see [`cached_clips`]. Labels that have names are numbered by them as the model's are.
        processing_class: [`ClipCaerVideoProcessor`].
        class_counts (`list[int]`, *optional*): training clips of each of the model's labels, for a
            `datasets.IterableDataset`, whose labels cannot be counted without reading all of it. It takes `max_steps`,
            and is drawn from in its own order: shuffle it.
        data_collator (`Callable`, *optional*): makes batches of rows, for training and evaluation, in place of
            [`ClipCaerCollator`]: inputs of the model, of which pixels may be uint8, and `labels`. One of its kind
            is in `"eval"` mode where it evaluates.
        kwargs: other arguments of `Trainer`.

    Raises:
        InputError: a weight that is to be trained can receive no gradient, a label has no training clip where the
            loss needs its count, labels have other names than the model's, or an evaluation lost or repeated a clip.
    """

    # Keep: our losses are means over the batch, which the Trainer must divide by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model,
        args: ClipCaerTrainingArguments,
        train_dataset=None,
        processing_class=None,
        class_counts: list[int] | None = None,
        data_collator: Callable[[list], dict[str, torch.Tensor]] | None = None,
        **kwargs,
    ):
        if args.push_to_hub and args.hub_strategy != HubStrategy.END:
            found = HubStrategy(args.hub_strategy).value
            raise InputError(f"`hub_strategy` must be end, got {found}: others push this machine's paths")
        if hasattr(model, "get_base_model") or getattr(model, "_hf_peft_config_loaded", False):
            found = "PEFT's checkpoints hold its adapter alone, and what trains beside it would be lost"
            raise InputError(f"{found}; clipcaer train --use-lora trains LoRA, and merges it")
        self.loss = CLASSIFICATION_LOSSES[args.classification_loss]
        self.labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
        if train_dataset is not None:
            train_dataset = align_labels(train_dataset, self.labels, "the training split", "the model's")
        settings = {"processor": processing_class, "seed": args.seed, "streams": model.config.streams}
        self.eval_collators = {kind: kind(**settings, mode="eval") for kind in COLLATORS}
        columns = [] if train_dataset is None else train_dataset.column_names
        if train_dataset is not None and data_collator is None:
            self.loss.check_columns(columns)
        if data_collator is not None and args.face_dropout:
            raise InputError("`face_dropout` belongs to the collator: give it to the `data_collator` of your own")
        training: dict[str, Any] = {"mode": "train", "face_dropout": args.face_dropout}
        self.train_collator = data_collator or find_collator(columns)(**settings, **training)
        self.given_eval_collator = data_collator
        if isinstance(data_collator, ClipCaerCollator):
            self.given_eval_collator = copy(data_collator)
            self.given_eval_collator.mode = "eval"
        super().__init__(
            model,
            args,
            data_collator=self.train_collator,
            train_dataset=train_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.frozen_parts = FrozenParts(model, args.tower_dtype)
        self.add_callback(_EpochStart(self))
        self.components: dict[str, list] = defaultdict(list)
        self.group_lrs: dict[str, float] = {}
        self.class_counts: list[int] = []
        if train_dataset is not None:
            self.class_counts = self._count_labels() if class_counts is None else class_counts
            self._prepare_imbalance()
            freeze_parameters(model, group_learning_rates(args))
            check_gradient_paths(model.config, args)
            warn_of_double_correction(args)

    def _count_labels(self) -> list[int]:
        if not has_length(self.train_dataset):
            raise InputError("`class_counts` must say how many clips of each label a streamed training split has")
        labels, num_labels = np.asarray(self.train_dataset["label"]), self.model.config.num_labels
        if labels.min() < 0 or labels.max() >= num_labels:
            found = f"from {labels.min()} to {labels.max()}"
            raise InputError(
                f"the training split has labels {found}, the model {num_labels}, from 0; expected the model's"
            )
        return np.bincount(labels, minlength=num_labels).tolist()

    def _prepare_imbalance(self):
        needs_counts = {
            "class_balanced_loss": self.args.class_balanced_loss,
            "logit_adj": self.args.logit_adj,
            "weighted_sampler": self.args.weighted_sampler,
            f"classification_loss {self.loss.name}": self.loss.has_margins,
        }
        if 0 in self.class_counts and any(needs_counts.values()):
            label = self.model.config.id2label[self.class_counts.index(0)]
            option = next(name for name, needed in needs_counts.items() if needed)
            raise InputError(
                f"the training split has no clip of `{label}`, which `{option}` needs; add some, or leave that out"
            )
        if self.args.weighted_sampler and not has_length(self.train_dataset):
            raise InputError(
                "`weighted_sampler` draws clips by their number, which a streamed training split has not; leave it out"
            )
        self.class_weights = None
        if self.args.class_balanced_loss:
            self.class_weights = class_balanced_weights(self.class_counts, self.args.class_balanced_beta)
        self.class_priors = torch.tensor(self.class_counts, dtype=torch.float64) / sum(self.class_counts)
        if self.args.label_smoothing_factor > 0:
            # Refuses a distribution that does not fit the labels, before the first step.
            smoothed_targets(len(self.class_counts), 0.0, self.args.label_smoothing_distribution)

    def push_to_hub(self, commit_message="End of training", token=None, revision=None):
        """Push model and processor with their code, from the main process; returns the commit.

        Keep: not the Trainer's way, which sends all that is in the output folder, this machine's paths among it.
        """
        if not self.is_world_process_zero():
            return None
        repository = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        where = {"token": token or self.args.hub_token, "revision": revision or self.args.hub_revision}
        self.processing_class.push_to_hub(repository, private=self.args.hub_private_repo, **where)
        model = self.accelerator.unwrap_model(self.model)
        return model.push_to_hub(repository, commit_message=commit_message, **where)

    # Data

    def _get_dataloader(
        self, dataset, description, *args, is_training: bool = False, dataloader_key: str | None = None, **kwargs
    ):
        if is_training:
            self._check_one_batch(dataset)
            # Keep: not of a stream, whose batches accelerate cuts up by their tensors.
            self.data_collator = NamedBatches(self.train_collator) if has_length(dataset) else self.train_collator
            dataset = DrawnClips(dataset) if self.args.weighted_sampler else dataset
            return super()._get_dataloader(dataset, description, *args, is_training=True, **kwargs)
        # Keep: without `dataloader_key`, by which the Trainer takes the loader of one split for that of any other.
        self.data_collator = self.given_eval_collator or self.eval_collators[find_collator(dataset.column_names)]
        dataset = align_labels(dataset, self.labels, f"the split of the {description.lower()}", "the model's")
        with whole_split(self.args, self.accelerator.dataloader_config):
            return super()._get_dataloader(dataset, description, *args, **kwargs)

    def _check_one_batch(self, dataset) -> None:
        needed = self.args.train_batch_size * self.args.world_size
        if self.args.dataloader_drop_last and has_length(dataset) and len(dataset) < needed:
            raise InputError(
                f"`dataloader_drop_last` leaves no batch: {len(dataset)} training clips do not fill {needed}"
            )

    def _get_train_sampler(self, train_dataset=None):
        if not self.args.weighted_sampler:
            return super()._get_train_sampler(train_dataset)
        weights = 1 / np.array(self.class_counts)[np.asarray(self.train_dataset["label"])]
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return WeightedEpochSampler(weights, seed, lambda: int(self.state.epoch or 0))

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The batches of a step, each with its share of the step and, for mixup, with its clips' partners."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            accelerator, sizes = self.accelerator, [len(batch["labels"]) for batch in batches]
            processes = accelerator.num_processes, accelerator.process_index
            shares = share_step(sizes, *processes, self._count_last_pass())
            for batch, share in zip(batches, shares, strict=True):
                batch["step_share"] = share
            if self.args.mixup_alpha > 0:
                seed = (self.args.seed, self.state.global_step)
                partners = pair_clips(batches, shares, self.args.mixup_alpha, seed, accelerator)
                for batch, partner in zip(batches, partners, strict=True):
                    batch["partners"] = partner
        return batches, None

    def _count_last_pass(self) -> int | None:
        """Clips of the batches of all processes that come last in an epoch, where they do not fill them."""
        loading = self.accelerator.dataloader_config
        if self.args.dataloader_drop_last or not has_length(self.train_dataset):
            return None
        if not self.accelerator.gradient_state.end_of_dataloader:
            return None
        # Keep: not accelerate's own remainder, which in an epoch that is gone on with is of one process's batches.
        full = self._train_batch_size * (1 if loading.split_batches else self.accelerator.num_processes)
        return len(self.train_dataset) % full or None

    def _prepare_inputs(self, inputs):
        """Move a batch to the device as uint8, and normalise it there."""
        return self._normalize(super()._prepare_inputs(inputs))

    def _normalize(self, inputs: dict[str, Any]) -> dict[str, Any]:
        prepared = dict(inputs)
        for name, value in inputs.items():
            if isinstance(value, dict):
                prepared[name] = self._normalize(value)
            elif torch.is_tensor(value) and value.dtype == torch.uint8:
                prepared[name] = self.processing_class.normalize(value)
        return prepared

    # Losses

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Classification loss; in training also those that are added to it, with their weights at this epoch.

        The soft prompts go through the text tower only where they classify or the weight of a loss of them is above 0.
        """
        inputs = dict(inputs)
        labels, votes = inputs.pop("labels"), inputs.pop("votes", None)
        clip_ids = inputs.pop("clip_ids", None)
        step_share, partners = inputs.pop("step_share", Share(len(labels), 1.0)), inputs.pop("partners", None)
        if not model.training:
            needed = self.model.config.soft_prompts_classify
            outputs = self._run(model, inputs, needed)
            loss = smoothed_cross_entropy(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss
        if partners is not None:
            inputs = mix(inputs, partners)
        weights = self._added_weights()
        moved = any(weight for added, weight in weights.items() if added.reads_soft_prompts)
        needed = moved or self.model.config.soft_prompts_classify
        outputs = self._run(model, inputs, needed)
        logits, num_clips = self._training_logits(outputs), step_share.clips
        loss = self._loss_of_first(num_clips, logits, labels, votes)
        if partners is not None:
            theirs = self._loss_of_first(num_clips, logits, partners["labels"], partners.get("votes"))
            loss = partners["share"] * loss + (1 - partners["share"]) * theirs
        components = {"loss_classification": loss}
        added_losses = {added: added.compute(outputs) for added in weights if needed or not added.reads_soft_prompts}
        components |= {f"loss_{added.name}": value for added, value in added_losses.items()}
        loss = step_share.factor * loss + sum(weights[added] * value for added, value in added_losses.items())
        check_loss(loss, logits, clip_ids, self.state.global_step + 1, self.args.output_dir)
        if not needed:
            # Keep: DDP waits for a gradient of the context tokens in every step, and weight decay goes on with zeros.
            loss = loss + 0 * self.model.model.prompt_learner.context_tokens.sum()
        self._record(components, num_clips)
        self.group_lrs = {f"lr/{group['name']}": group["lr"] for group in self.optimizer.param_groups}
        return (loss, outputs) if return_outputs else loss

    def _run(self, model, inputs: dict[str, Any], use_soft_prompts: bool):
        """The model's outputs, of which its frozen parts' share is computed once an epoch or evaluation.

        Keep: not where several devices would share out the prompts among them like clips, nor where a training step is
        compiled whole.
        """
        inputs = {**inputs, "use_soft_prompts": use_soft_prompts}
        whole = isinstance(model, torch.nn.DataParallel) or (model.training and self.args.torch_compile)
        return model(**inputs if whole else self.frozen_parts(inputs))

    def _training_logits(self, outputs) -> torch.Tensor:
        """The logits that the classification loss is of, (batch_size, num_labels)."""
        config = self.model.config
        if not self.loss.has_margins or config.slerp_weight == 0:
            return outputs.logits
        # Keep: a margin is one of the cosine of θ. Moved prototypes give that of (1 - λ)θ, whose range is a
        # fraction of it, and of which the same margin would be most.
        prototypes = self.model.select_prototypes(outputs)[: config.num_labels]  # of DataParallel: one device's
        return instance_logits(outputs.video_embeds, prototypes, 0.0, config.temperature)

    def _loss_of_first(self, num_clips: int, logits, labels, votes) -> torch.Tensor:
        """The classification loss of the first `num_clips` of a batch. Of none it is 0, with a gradient of zeros."""
        if num_clips == 0:
            return 0 * logits.sum()
        votes = None if votes is None else votes[:num_clips]
        return self.classification_loss(logits[:num_clips], labels[:num_clips], votes)

    def classification_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, votes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Training loss of logits (batch_size, num_labels) for labels (batch_size,), or for raters' votes (batch_size,
        num_labels)."""
        others: dict[str, Any] = {"weights": self.class_weights}
        if self.args.logit_adj:
            logits = adjust_logits(logits, self.class_priors, self.args.logit_adj_tau)
        if self.loss.has_margins:
            logits = logits * self.model.config.temperature  # which are cosines
        known = {"counts": self.class_counts, "votes": votes, "label_embeds": self.model.model.descriptive_text_embeds}
        others |= {name: known[name] for name in self.loss.inputs}
        return self.loss.compute(self.args, logits, labels, **others)

    def _added_weights(self) -> dict[AddedLoss, float]:
        """Weight at this epoch of each added loss that is switched on."""
        epoch = int(self.state.epoch or 0)
        return {loss: loss.weight_at(epoch, self.args) for loss in ADDED_LOSSES if loss.is_on(self.args)}

    def training_step(self, *args, **kwargs):
        """A batch's step; one that has no room in memory is told with the flags by which it has."""
        with told_full_memory(self.args, in_training=True):
            return super().training_step(*args, **kwargs)

    def prediction_step(self, *args, **kwargs):
        """A batch of an evaluation; one that has no room in memory is told likewise."""
        with told_full_memory(self.args, in_training=False):
            return super().prediction_step(*args, **kwargs)

    def evaluation_loop(self, dataloader, *args, metric_key_prefix: str = "eval", **kwargs):
        """Evaluate or predict every clip, once each, with the weights as they are; the loss is their mean, whatever
        their batches and processes."""
        self.renew_frozen_parts()
        try:
            output = super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        finally:
            self.renew_frozen_parts()
        account_for_clips(dataloader.dataset, output, metric_key_prefix)
        return output

    def renew_frozen_parts(self) -> None:
        """Let what the model's frozen parts compute be made again, of the weights as they are now."""
        self.frozen_parts = FrozenParts(self.model, self.args.tower_dtype)

    # Logs

    def _record(self, components: dict[str, torch.Tensor], num_clips: int):
        for name, value in components.items():
            value = value.detach().float()
            self.components[name].append(torch.stack([value * num_clips, value.new_tensor(float(num_clips))]))

    def _drain(self) -> dict[str, float]:
        """Mean of each recorded component over the training clips of all processes since the last call."""
        recorded = self.components
        if not recorded:
            return {}
        sums = self.accelerator.reduce(torch.stack([torch.stack(recorded[name]).sum(0) for name in recorded]), "sum")
        means = {name: total / count for name, (total, count) in zip(recorded, sums.tolist(), strict=True)}
        recorded.clear()
        return means

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with every component of the loss and every group's learning rate."""
        if "loss" in logs:
            logs |= self._drain() | self.group_lrs
        super().log(logs, start_time)

    # Optimisation

    def create_optimizer(self, model=None):
        """One group of weights for each learning rate above 0. All of them decay, as in the paper."""
        if self.optimizer is None:
            grouped = defaultdict(list)
            for name, parameter in (model or self.model).named_parameters():
                if parameter.requires_grad:
                    grouped[find_parameter_group(name)].append(parameter)
            optimizer_class, kwargs = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            groups = [
                {"name": name, "params": grouped[name], "lr": lr, "weight_decay": self.args.weight_decay}
                for name, lr in group_learning_rates(self.args).items()
                if grouped[name]
            ]
            self.optimizer: torch.optim.Optimizer = optimizer_class(groups, **kwargs)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """The Trainer's schedule, or steps at `lr_milestones`."""
        if self.lr_scheduler is None and self.args.lr_milestones is not None:
            round_batches = math.floor if self.args.dataloader_drop_last else math.ceil
            batches = round_batches(sum(self.class_counts) / (self.args.train_batch_size * self.args.world_size))
            steps_per_epoch = math.ceil(batches / self.args.gradient_accumulation_steps)
            milestones = [round(epoch * steps_per_epoch) for epoch in self.args.lr_milestones]
            optimizer = optimizer or self.optimizer
            self.lr_scheduler: LRScheduler | None = MultiStepLR(optimizer, milestones, self.args.lr_gamma)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)
