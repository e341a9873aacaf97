"""Every clip of a split is measured, and once. Several processes have their tests in test_train_command.py."""

import multiprocessing

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import load_from_disk
from torch.utils.data import IterableDataset
from transformers.trainer_utils import EvalLoopOutput

from helpers.small_training import logged, make_trainer
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.measured_clips import account_for_clips


@pytest.fixture(scope="module")
def clips(material):
    return load_from_disk(material.dataset)


@pytest.fixture(scope="module")
def expected(material, tmp_path_factory):
    """Logits of the ten clips of validation in one batch, and their loss."""
    trainer = make_trainer(material, tmp_path_factory.mktemp("expected"), per_device_eval_batch_size=10)
    found = trainer.predict(trainer.eval_dataset)
    loss = F.cross_entropy(torch.tensor(found.predictions).double(), torch.tensor(found.label_ids)).item()
    assert found.metrics["test_loss"] == pytest.approx(loss, rel=1e-12)
    return found.predictions, loss


@pytest.mark.parametrize(
    "flags",
    [
        {"dataloader_drop_last": True},
        {"dataloader_drop_last": True, "dataloader_num_workers": 2, "dataloader_persistent_workers": True},
        {"eval_accumulation_steps": 1},
        {"eval_accumulation_steps": 2, "max_steps": 1},
        {"accelerator_config": {"split_batches": True}},
        {"accelerator_config": {"dispatch_batches": True}},
        {"accelerator_config": {"even_batches": False, "dispatch_batches": False}},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [3, 4])
def test_no_flag_and_no_batch_changes_what_is_measured(material, tmp_path, expected, flags, batch_size):
    logits, loss = expected
    trainer = make_trainer(material, tmp_path, per_device_eval_batch_size=batch_size, **flags)
    found = trainer.predict(trainer.eval_dataset)
    np.testing.assert_allclose(found.predictions, logits, rtol=1e-4, atol=1e-5)
    assert found.label_ids.tolist() == trainer.eval_dataset["label"][:]
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(loss, rel=1e-5)
    assert logged(trainer, "eval_loss_classification") == [metrics["eval_loss"]] == logged(trainer, "eval_loss")
    # These are training's, and stay as they were given.
    assert trainer.args.dataloader_drop_last == flags.get("dataloader_drop_last", False)
    for name, value in flags.get("accelerator_config", {}).items():
        assert getattr(trainer.accelerator.dataloader_config, name) == value


def test_the_loader_kept_for_one_split_is_not_taken_for_another(material, clips, tmp_path):
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    trainer = make_trainer(material, tmp_path, **workers)
    trainer.evaluate()
    found = trainer.evaluate(clips["train"])["eval_loss"]
    assert not multiprocessing.active_children()
    assert found == make_trainer(material, tmp_path).evaluate(clips["train"])["eval_loss"]


def test_a_stream_is_measured_to_its_end(material, clips, tmp_path, expected):
    trainer = make_trainer(material, tmp_path, per_device_eval_batch_size=4, dataloader_drop_last=True)
    metrics = trainer.evaluate(clips["validation"].to_iterable_dataset(num_shards=3))
    assert metrics["eval_loss"] == pytest.approx(expected[1], rel=1e-5)


class Stream(IterableDataset):
    """Rows of which each worker gives all, as streams do that do not know of workers."""

    features, column_names = None, ["clip_id", "frame_dir"]

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_a_stream_of_known_length_that_repeats_its_clips_is_refused(material, clips, tmp_path):
    trainer = make_trainer(material, tmp_path, dataloader_num_workers=2)
    with pytest.raises(InputError, match="20 clips were measured, the split has 10"):
        trainer.evaluate(Stream(clips["validation"]))


def output_of(labels):
    return EvalLoopOutput(np.eye(5)[labels], np.array(labels), {}, len(labels))


def test_clips_that_are_missing_or_repeat_are_no_result(clips):
    labels = clips["test"]["label"][:]
    output = output_of(labels)
    account_for_clips(clips["test"], output, "test")
    assert output.metrics["test_loss"] == pytest.approx(-np.log(np.e / (np.e + 4)))
    with pytest.raises(InputError, match="8 clips were measured, the split has 10"):
        account_for_clips(clips["test"], output_of(labels[:8]), "test")
    with pytest.raises(InputError, match="not those of the split"):
        account_for_clips(clips["test"], output_of([*labels[:9], labels[0]]), "test")


def test_a_training_split_that_is_dropped_whole_is_refused(material, tmp_path):
    trainer = make_trainer(material, tmp_path, per_device_train_batch_size=25, dataloader_drop_last=True)
    with pytest.raises(InputError, match="leaves no batch: 24 training clips do not fill 25"):
        trainer.train()


def test_milestones_count_the_steps_of_an_epoch_that_drops_its_last_batch(material, tmp_path):
    options = {"lr_milestones": [1.0], "per_device_train_batch_size": 9, "dataloader_drop_last": True}
    trainer = make_trainer(material, tmp_path, num_train_epochs=2, **options)
    trainer.train()
    np.testing.assert_allclose(logged(trainer, "lr/base"), [1e-2, 1e-2, 1e-3, 1e-3])
