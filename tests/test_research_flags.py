"""What users of the research code are told about its flags."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from golden_cases import GOLDEN

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.losses import REFERENCE_SMOOTHING_DISTRIBUTION
from recipes.command_line import _build_parser, _keys
from recipes.convert_original_checkpoint import REFERENCE_PIXELS
from recipes.model_arguments import DataArguments, ModelArguments, ProcessorArguments
from recipes.research_flags import RESEARCH_FLAGS, explain_research_flags


ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "from_research_code.md").read_text()
ARGUMENT_TYPES = (ModelArguments, ProcessorArguments, DataArguments, ClipCaerTrainingArguments)
OURS = set(_keys(_build_parser(ARGUMENT_TYPES, "")))


def flags_in(text: str) -> set[str]:
    return {flag.replace("-", "_") for flag in re.findall(r"--([a-zA-Z][\w-]*)", text)}


@pytest.mark.parametrize("name", GOLDEN["args"])
def test_every_argument_of_the_research_code_is_ours_or_explained(name):
    assert name in OURS or name in RESEARCH_FLAGS
    assert name in flags_in(PAGE)


@pytest.mark.parametrize("name", RESEARCH_FLAGS)
def test_what_is_to_be_written_instead_is_a_flag_of_ours(name):
    assert name in flags_in(PAGE)
    assert flags_in(RESEARCH_FLAGS[name]) - {"model"} <= OURS


def test_pasted_flags_are_explained_at_once():
    told = explain_research_flags(["--lr", "1e-3", "--lambda_mi", "0.7", "--mi-warmup=5", "--frobnicate"])
    assert told == "--lambda_mi: write --mi-loss-weight; --mi-warmup: write --mi-warmup-epochs"


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
