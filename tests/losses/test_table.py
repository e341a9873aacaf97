"""The table of losses: every row names what is there, and the training arguments have its flags."""

import inspect
import subprocess
import sys

import pytest

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.losses import functions
from modeling_clipcaer.losses.table import ADDED_LOSSES, CLASSIFICATION_LOSSES
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


def test_the_table_is_read_without_torch():
    script = "import sys, modeling_clipcaer.losses.table; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "numpy"} & set(loaded)
