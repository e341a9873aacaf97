"""What a run of training was made with, and what of it may differ in the run that goes on from its checkpoint."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from transformers import TrainingArguments


# The one rule for a flag that differs from the run's: what can change no number may differ, and takes effect from here
# on; what changes the order of sums alone may differ too, and is said; everything else is refused by name. A flag that
# names a place may differ, since what is there is compared: labels, texts, clips and CLIP's weights.
PLACES = {
    *("output_dir", "exper_name", "dataset", "root_dir", "train_annotation", "val_annotation", "test_annotation"),
    *("bounding_box_face", "bounding_box_body", "labels_file", "clip_model", "cache_dir"),
}
CHANGE_NO_NUMBER = {
    *("logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "logging_nan_inf_filter"),
    *("include_num_input_tokens_seen", "log_level", "log_level_replica", "disable_tqdm", "report_to", "run_name"),
    *("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id", "skip_memory_metrics"),
    *("save_only_model", "save_strategy", "save_steps", "save_total_limit"),
    *("enable_jit_checkpoint", "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy"),
    *("hub_always_push", "hub_revision", "dataloader_num_workers", "dataloader_pin_memory"),
    *("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context"),
    *("torch_empty_cache_steps", "ddp_timeout", "local_rank", "resume_from_checkpoint", "resume_without_optimizer"),
    *("resume_without_record", "baselines", "load_best_model_at_end"),
    *("ignore_data_skip", "restore_callback_states_from_checkpoint", "do_train", "do_eval", "do_predict"),
}
CHANGE_ROUNDING = {
    *("attn_implementation", "per_device_eval_batch_size", "eval_accumulation_steps", "activation_checkpointing"),
    *("activation_checkpointing_kwargs", "gradient_checkpointing", "gradient_checkpointing_kwargs"),
    *("ddp_backend", "ddp_bucket_cap_mb", "ddp_static_graph"),
}
# Compared as the layout and the length of the run.
OF_LAYOUT = {"per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps"}
# Of a configuration, what says nothing of the model's numbers, or is said as labels.
UNCOMPARED = {
    *("transformers_version", "architectures", "auto_map", "dtype", "model_type", "calibration_temperature"),
    *("id2label", "label2id", "problem_type", "output_attentions", "output_hidden_states", "return_dict"),
    *("video_processor_type", "processor_class", "custom_pipelines", "format_version"),
    "label_colours",
}
# What follows from texts, and is not said again beside them.
FOLLOWS = {"label_token_ids": "label_prompts", "descriptive_token_ids": "descriptive_prompts"}
# Schedules whose rate at a step does not follow from the number of steps.
ENDLESS_SCHEDULES = ("constant", "constant_with_warmup", "inverse_sqrt")
SHOWN = 70  # characters of a value in a message


@dataclass(frozen=True)
class Layout:
    """How the clips of a step are shared out, and how long the run is. Exact for another layout where it can be."""

    processes: int
    batch_size: int  # clips of a process in a forward pass
    accumulation: int
    clips: int | None
    drop_last: bool
    steps: int  # of the whole run

    @property
    def clips_per_step(self) -> int:
        """Clips whose loss a step of the optimizer is of."""
        return self.processes * self.batch_size * self.accumulation

    def __str__(self) -> str:
        return f"{self.processes} x {self.batch_size} x {self.accumulation} = {self.clips_per_step}"


@dataclass
class Comparison:
    """What a run has that the one of a checkpoint had not, in words, each with the value before and now."""

    refused: list[str] = field(default_factory=list)
    rounding: list[str] = field(default_factory=list)
    """Allowed, and equal to rounding, not to the last bit."""
    changed: list[str] = field(default_factory=list)
    """Allowed, and leading on to another result."""


def describe_layout(args: TrainingArguments, batch_size: int, clips: int | None) -> Layout:
    """The layout of a run with these arguments, of whose training split `clips` are known."""
    steps = args.max_steps
    if steps <= 0 and clips is not None:
        per_pass = args.world_size * batch_size
        passes = clips // per_pass if args.dataloader_drop_last else math.ceil(clips / per_pass)
        steps = math.ceil(args.num_train_epochs * max(math.ceil(passes / args.gradient_accumulation_steps), 1))
    return Layout(
        *(args.world_size, batch_size, args.gradient_accumulation_steps, clips, args.dataloader_drop_last),
        steps=steps,
    )


def choose_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of flags or of a configuration, what a later run is compared by: no place of this machine among it."""
    left_out = PLACES | CHANGE_NO_NUMBER | OF_LAYOUT | UNCOMPARED
    return {
        name: choose_settings(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if name not in left_out and not name.startswith("_")
    }


def describe_model(config: Any, processor: Any) -> dict[str, Any]:
    """Of a run, what the configurations of its model and processor say: its labels and these settings."""
    settings = {"model": choose_settings(config.to_dict()), "processor": choose_settings(processor.to_dict())}
    return {"labels": [config.id2label[number] for number in range(config.num_labels)], "settings": settings}


def fingerprint_clips(rows: Any) -> dict[str, Any] | None:
    """Number of clips of a split, and SHA-256 of their ids, labels by name, boxes and times, in order; no place among
    it, since data may be moved. `None`: it is streamed."""
    if not {"clip_id", "label"} <= set(getattr(rows, "column_names", None) or ()) or not hasattr(rows, "__len__"):
        return None
    names, digest = getattr(rows.features["label"], "names", None), hashlib.sha256()
    for clip_id, label in zip(rows["clip_id"], rows["label"], strict=True):
        digest.update(json.dumps([clip_id, label if names is None else names[label]]).encode())
    for name in sorted(set(rows.column_names) - {"clip_id", "label"}):
        _hash_numbers(rows, name, digest)
    return {"clips": len(rows), "sha256": digest.hexdigest()}


def _hash_numbers(rows: Any, name: str, digest: Any) -> None:
    """A column of numbers or of lists of numbers, whatever its chunks. Others are left out."""
    depth, leaf = 0, rows.data.schema.field(name).type
    while pa.types.is_list(leaf) or pa.types.is_large_list(leaf):
        depth, leaf = depth + 1, leaf.value_type
    if not (pa.types.is_integer(leaf) or pa.types.is_floating(leaf)):
        return
    column = rows.select_columns([name]).with_format("arrow")[:].column(name)
    digest.update(name.encode())
    for _ in range(depth):
        digest.update(pc.fill_null(pc.list_value_length(column), -1).to_numpy().astype(np.int64).tobytes())
        column = pc.list_flatten(column)
    digest.update(column.to_numpy().tobytes())


def compare_clips(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In words, of which splits the clips are others than those of the run that a checkpoint is of."""
    found = []
    for split, now in new.items():
        before = old.get(split)
        if before is not None and before != now:
            counts = [clips and clips["clips"] for clips in (before, now)]
            others = (
                "in another order, or of other ids, labels, votes or boxes"
                if counts[0] == counts[1]
                else f"now {counts[1]}"
            )
            found.append(f"{counts[0]} clips in split {split}, {others}")
    return found


def compare_runs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """What of the run `new` differs from `old`, which a checkpoint is of."""
    found, named = Comparison(), set()
    if old["labels"] != new["labels"]:
        found.refused.append(_say("labels", old["labels"], new["labels"]))
        named |= {*FOLLOWS, *FOLLOWS.values()}
    for section, settings in new["settings"].items():
        before = old["settings"].get(section, {})
        for name in settings:
            if name in before and before[name] != settings[name] and not named & {name, FOLLOWS.get(name)}:
                named.add(name)
                kind = found.rounding if name in CHANGE_ROUNDING else found.refused
                kind.append(_say(name, before[name], settings[name]))
    found.refused += compare_clips(old["clips"], new["clips"])
    if old["clips"]["train"] == new["clips"]["train"]:
        _compare_layouts(Layout(**old["layout"]), Layout(**new["layout"]), new["settings"], found)
    return found


def _compare_layouts(old: Layout, new: Layout, settings: Mapping[str, Any], found: Comparison) -> None:
    if (old.processes, old.batch_size, old.accumulation) != (new.processes, new.batch_size, new.accumulation):
        reason = _refuse_layout(old, new, settings)
        words = f"processes x batch x accumulation {old}, now {new}"
        (found.rounding if reason is None else found.refused).append(words + (f", {reason}" if reason else ""))
    if old.clips_per_step == new.clips_per_step and old.steps != new.steps:
        words = f"{old.steps} steps, now {new.steps} (num_train_epochs, max_steps)"
        bound = _name_what_needs_the_end(settings["training"])
        (found.refused if bound else found.changed).append(words + (f", on which {bound} depends" if bound else ""))


def _refuse_layout(old: Layout, new: Layout, settings: Mapping[str, Any]) -> str | None:
    """Why another layout of the same clips in each step would give other numbers; `None`: it would not."""
    if old.clips_per_step != new.clips_per_step:
        return "which makes other steps"
    if not new.clips or (new.drop_last and new.clips % new.clips_per_step):
        return f"and {new.clips} clips do not divide into steps of {new.clips_per_step}"
    if (settings["training"].get("accelerator_config") or {}).get("split_batches"):
        return "and split_batches shares out every batch"
    vision = settings["model"].get("clip_config", {}).get("vision_config", {})
    drawn = {
        "temporal_dropout": settings["model"].get("temporal_dropout"),
        "attention_dropout": vision.get("attention_dropout"),
    }
    for name, value in drawn.items():
        if value:
            return f"and each process draws for itself: {name} {value:g}"
    return None


def _name_what_needs_the_end(training: Mapping[str, Any]) -> str | None:
    """The setting by which the number of steps changes a step before the last; `None`: a longer run only goes on."""
    for name in ("warmup_steps", "eval_steps"):
        if 0 < (training.get(name) or 0) < 1:
            return f"{name} {training[name]:g}"
    if training.get("lr_milestones") or training["lr_scheduler_type"] in ENDLESS_SCHEDULES:
        return None
    return f"lr_scheduler_type {training['lr_scheduler_type']}"


def _say(name: str, before: Any, now: Any) -> str:
    before, now = (json.dumps(value, ensure_ascii=False) for value in (before, now))
    shown = [text if len(text) <= SHOWN else text[: SHOWN - 1] + "…" for text in (before, now)]
    if shown[0] == shown[1]:
        return f"{name}: others than the run's"
    return f"{name} {shown[0]}, now {shown[1]}"
