"""What users of the research code are told about its flags."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from golden_cases import GOLDEN

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses import REFERENCE_SMOOTHING_DISTRIBUTION
from recipes.command_line import _build_parser, _keys, parse_arguments
from recipes.convert_original_checkpoint import REFERENCE_PIXELS
from recipes.model_arguments import DataArguments, ModelArguments, ProcessorArguments
from recipes.research_flags import (
    RENAMED_FLAGS,
    RESEARCH_FLAGS,
    explain_research_flags,
    rename_research_flags,
)


ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "from_research_code.md").read_text()
ARGUMENT_TYPES = (ModelArguments, ProcessorArguments, DataArguments, ClipCaerTrainingArguments)
OURS = set(_keys(_build_parser(ARGUMENT_TYPES, "")))


def flags_in(text: str) -> set[str]:
    return {flag.replace("-", "_") for flag in re.findall(r"--([a-zA-Z][\w-]*)", text)}


@pytest.mark.parametrize("name", GOLDEN["args"])
def test_every_argument_of_the_research_code_is_ours_or_explained(name):
    assert name in OURS or name in RESEARCH_FLAGS or name in RENAMED_FLAGS
    assert name in flags_in(PAGE)


@pytest.mark.parametrize("name", RESEARCH_FLAGS)
def test_what_is_to_be_written_instead_is_a_flag_of_ours(name):
    assert name in flags_in(PAGE)
    assert flags_in(RESEARCH_FLAGS[name]) - {"model"} <= OURS


@pytest.mark.parametrize("name", RENAMED_FLAGS)
def test_a_renamed_flag_is_read_as_ours(name):
    assert name in flags_in(PAGE) and name not in OURS and RENAMED_FLAGS[name] in OURS
    ours = f"--{RENAMED_FLAGS[name]}"
    assert rename_research_flags([f"--{name.replace('_', '-')}=1", "--lr", "2"]) == [f"{ours}=1", "--lr", "2"]


def test_unknown_flags_are_explained_at_once():
    told = explain_research_flags(["--lr", "1e-3", "--gpu", "0", "--duration=1", "--frobnicate"])
    assert told.startswith("--gpu: leave it out: ") and "; --duration: leave it out: " in told
    assert "frobnicate" not in told


def pasted_command() -> list[str]:
    command = PAGE.split("python main.py --mode train")[1].split("accelerate launch")[0]
    return rename_research_flags(shlex.split(command.replace("\\\n", " ").split("```")[0]))


def test_a_pasted_command_says_exactly_what_differs():
    with pytest.raises(InputError) as told:
        parse_arguments(ARGUMENT_TYPES, pasted_command(), "", explain_research_flags)
    explained = flags_in(str(told.value).replace("write --", "").replace("beside --", ""))
    assert {"gpu", "optimizer", "momentum", "text_type", "label_smoothing"} <= explained
    assert not explained & set(OURS - {"optim", "labels_file"}) - {"label_smoothing_distribution"}


def test_a_pasted_command_without_those_flags_trains_as_it_says(tmp_path):
    explained = r"--(gpu|optimizer|momentum|text-type|label-smoothing) \S+"
    words = re.sub(explained, "", shlex.join(pasted_command())).split()
    model, _, data, training = parse_arguments(ARGUMENT_TYPES, words, "", explain_research_flags)
    assert (model.resolve_clip(), model.num_context_tokens) == ("openai/clip-vit-base-patch32", 12)
    assert data.root_dir == "RAER" and training.output_dir == "outputs/all"
    assert (training.mi_loss_weight, training.mi_warmup_epochs, training.dc_ramp_epochs) == (0.7, 5, 10)
    assert training.lr_milestones == [20, 35] and training.logit_adj and training.num_train_epochs == 50


def test_the_reference_recipe_has_the_converters_pixels_and_the_reference_smoothing():
    recipe = yaml.safe_load((ROOT / "recipes" / "raer_reference.yaml").read_text())
    assert {name: recipe[name] for name in REFERENCE_PIXELS} == REFERENCE_PIXELS
    assert recipe["label_smoothing_distribution"] == pytest.approx(REFERENCE_SMOOTHING_DISTRIBUTION)
    for name in ("adapter_residual_ratio", "temporal_init_std"):
        assert recipe[name] == 1.0


def test_the_pages_command_is_the_one_the_golden_numbers_were_made_with():
    command = PAGE.split("python main.py --mode train")[1].split("accelerate launch")[0]
    spelled = {}
    for word in shlex.split(command.replace("\\\n", " ")):
        if word.startswith("--"):
            values = spelled.setdefault(word[2:].replace("-", "_"), [])
        else:
            values.append(word)
    for name in set(spelled) & set(GOLDEN["args"]):
        value = GOLDEN["args"][name]
        expected = value if isinstance(value, list) else [] if value is True else [value]
        assert [type(v)(word) for v, word in zip(expected, spelled[name], strict=True)] == expected, name
    assert {"lambda_mi", "slerp_weight", "milestones", "logit_adj"} <= set(spelled)
