"""Short trainings in float64, one after the other, in however many processes this is launched; what they log.

    accelerate launch --cpu --num_processes 2 tests/helpers/layout_runs.py WANTED.json

WANTED: {"material": [clip, dataset, raer], "output": file, "batch_size": 4, "accumulation": 1,
"runs": {name: {"args": {}, "clips": 24, "cache": bool, "votes": bool}}}. The file gets for each name what its
steps logged, its last weights and what they are measured at: {"steps": [], "weights": {}, "evaluation": {}}.
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import DatasetDict, load_from_disk
from transformers import PrinterCallback

from helpers.small_material import NUM_FRAMES, Material
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerTrainer, ClipCaerTrainingArguments, ClipCaerVideoProcessor
from modeling_clipcaer.metrics import compute_uar_war
from modeling_clipcaer.training.clip_cache import cache_clips
from modeling_clipcaer.training.settings import CacheArguments


LOGGED = ("loss", "grad_norm", "lr/")


class DoubleTrainer(ClipCaerTrainer):
    """Its inputs are in float64, as its model is."""

    def _prepare_inputs(self, inputs):
        return as_double(super()._prepare_inputs(inputs))


def as_double(inputs):
    if isinstance(inputs, dict):
        return {name: as_double(value) for name, value in inputs.items()}
    return inputs.double() if torch.is_tensor(inputs) and inputs.is_floating_point() else inputs


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text())
    found = run_all(wanted)
    if PartialState().is_main_process:
        Path(wanted["output"]).write_text(json.dumps(found))


def run_all(wanted: dict) -> dict:
    """What the file gets, of the runs in this process and in those that it is launched with."""
    material, folder = Material(*map(Path, wanted["material"])), Path(wanted["output"]).parent
    found = {}
    for name, run in wanted["runs"].items():
        trainer = train(material, folder, wanted["batch_size"], wanted["accumulation"], run)
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        measured = trainer.evaluate()
        weights = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
        found[name] = {
            "steps": [{key: value for key, value in entry.items() if key.startswith(LOGGED)} for entry in logs],
            "weights": {key: value.flatten().tolist() for key, value in weights.items()},
            "evaluation": {key: measured[key] for key in ("eval_loss", "eval_uar", "eval_war")},
        }
    return found


def train(material, folder, batch_size, accumulation, run) -> DoubleTrainer:
    torch.manual_seed(0)
    model = tiny_model(num_frames=NUM_FRAMES, temporal_dropout=0.0, **run.get("model", {})).double()
    args = ClipCaerTrainingArguments(
        str(folder / "unused"),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        per_device_eval_batch_size=3,
        **{"use_cpu": True, "learning_rate": 1e-2, "num_train_epochs": 2, "lr_scheduler_type": "linear"},
        **{"dataloader_num_workers": 0, "eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True},
        **{"logging_strategy": "steps", "logging_steps": 1, "tower_dtype": "float32", "seed": 3, "report_to": []},
        # Keep: SGD. The first steps of Adam divide rounding errors by themselves.
        **{"optim": "sgd", "optim_args": "momentum=0.9", **run.get("args", {})},
    )
    processor = ClipCaerVideoProcessor(NUM_FRAMES, image_size=32, flip_prob=0.5, rotation_degrees=10, color_jitter=0.2)
    splits = load_from_disk(str(material.dataset))
    splits = DatasetDict(
        {"train": splits["train"].select(range(24 - run["clips"], 24)), "validation": splits["validation"]}
    )
    if run.get("votes"):
        votes = [[(place + 3 * label) % 4 + 1 for place in range(5)] for label in splits["train"]["label"]]
        splits["train"] = splits["train"].add_column("votes", votes)
    if run.get("cache"):
        cache = CacheArguments(**run["cache"])
        splits = cache_clips(model, processor, splits, cache, folder / "cache", tower_dtype="float32")
    trainer = DoubleTrainer(
        model,
        args,
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        processing_class=processor,
        compute_metrics=compute_uar_war,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


if __name__ == "__main__":
    main()
