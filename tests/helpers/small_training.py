"""A tiny model's training in this process."""

import torch
from datasets import Dataset, load_from_disk

from helpers.small_material import NUM_FRAMES, Material
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerTrainer, ClipCaerTrainingArguments, ClipCaerVideoProcessor
from modeling_clipcaer.metrics import compute_uar_war


def make_trainer(material: Material, folder, model_fields=None, clips: Dataset | None = None, **args):
    """A trainer of a tiny model that logs every step and saves nothing."""
    defaults = {
        "learning_rate": 1e-2,
        "num_train_epochs": 1,
        "dataloader_num_workers": 0,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "lr_scheduler_type": "constant",
        "disable_tqdm": True,
    }
    torch.manual_seed(0)
    model = tiny_model(num_frames=NUM_FRAMES, **(model_fields or {}))
    splits = load_from_disk(material.dataset)
    return ClipCaerTrainer(
        model,
        ClipCaerTrainingArguments(str(folder), **{**defaults, **args}),
        train_dataset=splits["train"] if clips is None else clips,
        eval_dataset=splits["validation"],
        processing_class=ClipCaerVideoProcessor(NUM_FRAMES, image_size=32, flip_prob=0, rotation_degrees=0),
        compute_metrics=compute_uar_war,
    )


def logged(trainer, name: str) -> list[float]:
    """The values of `name` in the log, in order."""
    return [entry[name] for entry in trainer.state.log_history if name in entry]
