"""Every recipe and every command in the documentation is understood by the program it is for."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from transformers import PreTrainedConfig

from helpers.places import ROOT
from modeling_clipcaer import ClipCaerConfig, ClipCaerTrainingArguments
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.models.arguments import ModelArguments, TrainableArguments
from modeling_clipcaer.settings_clipcaer import PixelSettings
from modeling_clipcaer.training.settings import CacheArguments


TYPES = (ModelArguments, PixelSettings, DataArguments, CacheArguments, ClipCaerTrainingArguments, TrainableArguments)
LABEL_FILES = sorted((ROOT / "recipes").glob("*labels.yaml"))
RAER_LABEL_FILES = [path for path in LABEL_FILES if path.stem.startswith(("raer", "demo"))]
ABLATIONS = sorted((ROOT / "recipes").glob("*ablation.yaml"))
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if path not in LABEL_FILES + ABLATIONS)
DOCUMENTS = [ROOT / "README.md", ROOT / "recipes" / "README.md", *RECIPES]


def parse(*words):
    return parse_arguments(TYPES, ["--output_dir", "out", *words], "")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_understood_whole(path):
    model, processor, _, _, training, _ = parse("--config", str(path), "--dataset", "data")
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    for values in (model, processor, training):
        for name in given.keys() & vars(values).keys():
            value = getattr(values, name)
            expected = float(given[name]) if isinstance(value, float) else given[name]
            assert getattr(value, "value", value) == expected, name
    if model.labels_file:
        assert Path(find_preset(model.labels_file)).is_file()


@pytest.mark.parametrize("path", RAER_LABEL_FILES, ids=lambda path: path.stem)
def test_a_labels_file_covers_raers_labels(path):
    prompts = read_labels_file(str(path), list(ClipCaerConfig().id2label.values()))
    assert len(prompts["label_prompts"]) == len(prompts["descriptive_prompts"]) == 5


def test_every_field_of_the_configuration_has_a_flag():
    flags = {field.name for field in fields(ModelArguments)}
    own = {field.name for field in fields(ClipCaerConfig)} - {field.name for field in fields(PreTrainedConfig)}
    prompts = {"label_prompts", "descriptive_prompts", "label_token_ids", "descriptive_token_ids"}
    texts = {*prompts, "label_colours"}  # --labels_file
    fitted = {"calibration_temperature"}
    ours = own - texts - fitted - {"clip_config", "format_version"}
    assert ours <= flags


def test_the_flags_have_the_documented_defaults():
    model, _, _, _, training, _ = parse("--dataset", "data")
    assert (training.mi_loss_weight, training.dc_loss_weight, training.lr_adapter) == (0.5, 0.1, 1e-4)
    assert (model.slerp_weight, model.temperature, training.logit_adj_tau) == (0.5, 0.07, 1.0)
    assert training.class_balanced_loss is False and training.logit_adj is False


def find_train_commands():
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8").replace("\\\n# ", " ").replace("\\\n", " ")
        text = text.replace("$streams", "both").replace("$seed", "0")
        for found in re.finditer(r"recipes/train\.py ([^`\n]*)", text):
            words = shlex.split(found[1].split(" | ")[0].split(" > ")[0].rstrip(")."), comments=True)
            if "--help" not in words:
                yield pytest.param(words, id=f"{path.name}-{found.start()}")


@pytest.mark.parametrize("words", list(find_train_commands()))
def test_the_documented_training_commands_are_understood(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [word.replace("NAME", "raer_clipcaer") for word in words]
    if not {"--dataset", "--root-dir", "--root_dir"} & set(words):
        words += ["--dataset", "data"]
    parse(*words)


@pytest.mark.parametrize(
    ("name", "machines", "processes"),
    [
        ("accelerate_config", 1, 1),
        ("recipes/accelerate/several_gpus", 1, 4),
        ("recipes/accelerate/several_machines", 2, 8),
    ],
)
def test_accelerate_reads_its_configurations(name, machines, processes):
    config = load_config_from_file(str(ROOT / f"{name}.yaml"))
    assert (config.num_machines, config.num_processes) == (machines, processes)
    assert config.distributed_type == "MULTI_GPU" and config.mixed_precision == "no"
