"""The table of losses: every row names what is there, and the training arguments have its flags."""

import inspect
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses import functions
from modeling_clipcaer.losses.table import ADDED_LOSSES, CLASSIFICATION_LOSSES, AddedLoss
from modeling_clipcaer.model_output import ClipCaerOutput


@pytest.mark.parametrize("loss", CLASSIFICATION_LOSSES.values(), ids=lambda loss: loss.name)
def test_a_classification_loss_takes_what_its_row_gives(loss):
    taken = list(inspect.signature(getattr(functions, loss.function)).parameters)
    given = {*loss.parameters, *loss.flags, "weights", *loss.inputs}
    assert taken[:2] == ["cosines" if loss.has_margins else "logits", "labels"] and given == set(taken[2:])


def test_a_default_of_a_row_is_that_of_its_function():
    for loss in CLASSIFICATION_LOSSES.values():
        taken = inspect.signature(getattr(functions, loss.function)).parameters
        assert {name: option.default for name, option in loss.parameters.items()} == {
            name: taken[name].default for name in loss.parameters
        }


@pytest.mark.parametrize("loss", ADDED_LOSSES, ids=lambda loss: loss.name)
def test_an_added_loss_is_of_outputs_of_the_model(loss):
    assert set(loss.inputs) <= set(ClipCaerOutput.__dataclass_fields__)
    taken = inspect.signature(getattr(functions, loss.function)).parameters.values()
    assert sum(parameter.default is parameter.empty for parameter in taken) == len(loss.inputs)


def test_the_training_arguments_have_the_flags_of_every_row(tmp_path):
    args = ClipCaerTrainingArguments(str(tmp_path))
    for loss in ADDED_LOSSES:
        assert getattr(args, loss.weight_flag) == loss.weight and loss.is_on(args)
        assert [getattr(args, flag) for flag in loss.ramp_flags] == [0, 0]
    for loss in CLASSIFICATION_LOSSES.values():
        assert all(getattr(args, flag) == option.default for flag, option in loss.own_flags.items())
    assert [loss.name for loss in CLASSIFICATION_LOSSES.values() if loss.is_chosen(args)] == ["cross_entropy"]


def settings(**fields):
    """Training arguments as far as a row reads them."""
    return SimpleNamespace(
        **{
            "mi_loss_weight": 0.5,
            "mi_warmup_epochs": 2.0,
            "mi_ramp_epochs": 4.0,
            "num_train_epochs": 3.0,
            "max_steps": -1,
        }
        | fields
    )


def test_an_added_loss_has_its_weight_at_every_epoch_and_is_off_at_none():
    mi, dc = ADDED_LOSSES
    assert (mi.weight_flag, mi.ramp_flags) == ("mi_loss_weight", ("mi_warmup_epochs", "mi_ramp_epochs"))
    assert (dc.weight_flag, dc.ramp_flags) == ("dc_loss_weight", ("dc_warmup_epochs", "dc_ramp_epochs"))
    assert [mi.weight_at(epoch, settings()) for epoch in (0, 2, 3, 6, 9)] == [0, 0, 0.125, 0.5, 0.5]
    assert mi.is_on(settings()) and not mi.is_on(settings(mi_loss_weight=0.0))
    assert mi.reads_soft_prompts and dc.reads_soft_prompts
    assert not AddedLoss("x", "dc_loss", ("descriptive_text_embeds",), 1.0, "x").reads_soft_prompts


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),  # the last of three epochs is number 2, in which the ramp is at 0
        ({"num_train_epochs": 4.0}, True),
        ({"num_train_epochs": 3.1}, True),
        ({"max_steps": 1}, True),
        ({"max_steps": 0}, False),
        ({"mi_warmup_epochs": 1.5}, True),
        ({"mi_ramp_epochs": 0.0}, True),
    ],
)
def test_an_added_loss_sets_in_where_its_ramp_is_above_0_in_the_last_epoch(fields, expected):
    assert ADDED_LOSSES[0].sets_in(settings(**fields)) is expected


def test_rows_compute_with_what_they_name():
    soft, descriptive = torch.randn(2, 5, 8).unbind()
    outputs = SimpleNamespace(soft_text_embeds=soft, descriptive_text_embeds=descriptive)
    mi, dc = ADDED_LOSSES
    torch.testing.assert_close(mi.compute(outputs), functions.mi_loss(soft, descriptive))
    torch.testing.assert_close(dc.compute(outputs), functions.dc_loss(soft))
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    args = SimpleNamespace(
        **{"label_smoothing_factor": 0.2, "label_smoothing_distribution": [1, 2, 3], "focal_gamma": 1.0},
        **{"focal_alpha": 0.5, "ldam_max_margin": 0.3, "ldam_scale": 7.0, "near_beta": 2.0},
    )
    weights = torch.tensor([1.0, 2.0, 3.0])
    for name, others, expected in (
        ("cross_entropy", {}, functions.smoothed_cross_entropy(logits, labels, 0.2, [1, 2, 3], weights)),
        ("focal", {}, functions.focal_loss(logits, labels, 1.0, 0.5, weights)),
        ("ldam", {"counts": [5, 3, 1]}, functions.ldam_loss(logits, labels, [5, 3, 1], 0.3, 7.0, weights)),
        ("near", {"label_embeds": soft[:3]}, functions.near_label_loss(logits, labels, soft[:3], 2.0, weights)),
    ):
        row = CLASSIFICATION_LOSSES[name]
        torch.testing.assert_close(row.compute(args, logits, labels, weights=weights, **others), expected)
        assert row.is_chosen(SimpleNamespace(classification_loss=name))
        assert not row.is_chosen(SimpleNamespace(classification_loss="x"))


def test_which_loss_takes_cosines_and_what_else_is_in_the_table():
    assert {name: (loss.has_margins, loss.inputs) for name, loss in CLASSIFICATION_LOSSES.items()} == {
        "cross_entropy": (False, ()),
        "focal": (False, ()),
        "ldam": (True, ("counts",)),
        "distribution": (False, ("votes",)),
        "near": (False, ("label_embeds",)),
    }
    assert list(CLASSIFICATION_LOSSES["focal"].own_flags) == ["focal_gamma", "focal_alpha"]
    defaults = {
        flag: option.default for loss in CLASSIFICATION_LOSSES.values() for flag, option in loss.own_flags.items()
    }
    assert defaults == {
        **{"focal_gamma": 2.0, "focal_alpha": 1.0, "ldam_max_margin": 0.5, "ldam_scale": 30.0, "near_beta": 10.0}
    }
    assert [(loss.name, loss.weight) for loss in ADDED_LOSSES] == [("mi", 0.5), ("dc", 0.1)]


def test_votes_are_learned_from_where_the_clips_have_them():
    CLASSIFICATION_LOSSES["distribution"].check_columns(["clip_id", "votes"])
    CLASSIFICATION_LOSSES["focal"].check_columns(["clip_id"])
    with pytest.raises(InputError, match="`classification_loss` distribution learns from the column `votes`, which"):
        CLASSIFICATION_LOSSES["distribution"].check_columns(["clip_id"])


def test_the_table_is_read_without_torch():
    script = "import sys, modeling_clipcaer.losses.table; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "numpy"} & set(loaded)
