import re
from argparse import ArgumentTypeError
from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest
import yaml
from transformers import HfArgumentParser, TrainingArguments

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.commands import train
from modeling_clipcaer.commands.compare import CompareArguments
from modeling_clipcaer.commands.evaluate import EvaluationArguments
from modeling_clipcaer.commands.main import COMMANDS, start
from modeling_clipcaer.commands.synthetic import DrawingArguments
from modeling_clipcaer.common.flags import _build_parser, given_flags, parse_arguments, show_help
from modeling_clipcaer.data.arguments import DataArguments
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.settings_clipcaer import PixelSettings
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES
from modeling_clipcaer.training.settings import (
    HELP_GROUPS,
    LossSettings,
    OptimizerSettings,
    ResultSettings,
    RunSettings,
)


TYPES = (ModelArguments, PixelSettings, DataArguments, ClipCaerTrainingArguments)
NEEDED = ("--dataset", "data", "--output_dir", "out")


def parse(*words):
    """All arguments as one mapping."""
    filled = parse_arguments(TYPES, [*NEEDED, *map(str, words)], "")
    return as_mapping(filled)


def as_mapping(filled):
    # The processes' state compares by identity.
    values = {name: value for group in filled for name, value in vars(group).items()}
    return {name: value for name, value in values.items() if name != "distributed_state"}


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="run.yaml"):
        path = tmp_path / name
        path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
        return path

    return write_file


@pytest.mark.parametrize("flag", ["--output", "--output-dir", "--output_dir"])
def test_what_a_command_writes_is_taken_by_either_name(flag):
    (compared,) = parse_arguments((CompareArguments,), ["a", "b", flag, "there"], "")
    assert compared.output_dir == "there"
    (drawn,) = parse_arguments((DrawingArguments,), [f"{flag}=there"], "")
    assert drawn.output == "there"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--lr", "1e-3"], "learning_rate", 1e-3),
        (["--epochs", "7"], "num_train_epochs", 7),
        (["--batch-size", "3"], "per_device_train_batch_size", 3),
        (["--batch_size=3"], "per_device_train_batch_size", 3),
        (["--contexts-number", "5"], "num_context_tokens", 5),
        (["--contexts_number", "5"], "num_context_tokens", 5),
        (["--clip-path", "ViT-L/14"], "clip_model", "ViT-L/14"),
        (["--mi-loss-weight", "0.7"], "mi_loss_weight", 0.7),
        (["--mi_loss_weight", "0.7"], "mi_loss_weight", 0.7),
        (["--logit-adj"], "logit_adj", True),
        (["--logit-adj", "false"], "logit_adj", False),
        (["--no-use-face-adapter"], "use_face_adapter", False),
        (["--no_use_face_adapter"], "use_face_adapter", False),
        (["--use_face_adapter=false"], "use_face_adapter", False),
        (["--lr-milestones", "10", "15"], "lr_milestones", [10, 15]),
    ],
)
def test_a_flag_is_understood_in_each_of_its_spellings(words, name, value):
    assert parse(*words)[name] == value


def test_the_documented_names_of_openais_checkpoints():
    for name, hub in (("ViT-B/32", "clip-vit-base-patch32"), ("ViT-L/14", "clip-vit-large-patch14")):
        model_args = parse_arguments(TYPES, [*NEEDED, "--clip-path", name], "")[0]
        assert model_args.resolve_clip() == f"openai/{hub}"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("learning_rate: 1e-4", "learning_rate", 1e-4),  # a string to YAML 1.1, which wants 1.0e-4
        ("lr: 0.01", "learning_rate", 0.01),
        ("mi-loss-weight: 2", "mi_loss_weight", 2.0),
        ("lr_milestones: [10, 15.5]", "lr_milestones", [10, 15.5]),
        ("lr_milestones: [10]", "lr_milestones", [10]),
        ("lr_milestones: 10", "lr_milestones", [10]),
        ("label_smoothing_distribution: [1, 0, 0, 0, 2]\nlabel_smoothing_factor: 0.1", "label_smoothing_factor", 0.1),
        ("use_face_adapter: false", "use_face_adapter", False),
        ("use-face-adapter: true", "use_face_adapter", True),
        ("no_use_face_adapter: true", "use_face_adapter", False),
        ("no_use_face_adapter: false", "use_face_adapter", True),
        ("logit_adj: yes", "logit_adj", True),
        ("prototype_source:", "prototype_source", None),
        ("prototype_source: soft", "prototype_source", "soft"),
        ("run_name: '-x y'", "run_name", "-x y"),
        ("optim_args: momentum=0.9", "optim_args", "momentum=0.9"),
        ("lr_scheduler_type: cosine", "lr_scheduler_type", "cosine"),
        ("# nothing but a comment", "seed", 42),
        ("", "seed", 42),
    ],
)
def test_a_yaml_entry_is_read_like_its_flag(write, line, name, value):
    assert parse("--config", write(line))[name] == value


def test_flags_override_the_file_wherever_they_stand_and_later_files_earlier_ones(write):
    first, second = write("lr: 1\nseed: 1\nepochs: 1\n", "first.yaml"), write("seed: 2\nepochs: 2\n", "second.yaml")
    args = parse("--epochs", 3, "--config", first, f"--config={second}")
    assert (args["learning_rate"], args["seed"], args["num_train_epochs"]) == (1, 2, 3)
    assert parse("--config", second, "--config", first)["seed"] == 1
    assert not parse("--config", write("use_face_adapter: true"), "--no_use_face_adapter")["use_face_adapter"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mi_los_weight", "1"], "unknown argument --mi_los_weight; did you mean --mi-loss-weight?"),
        (["--mi-los-weight=1"], "unknown argument --mi-los-weight=1; did you mean --mi-loss-weight?"),
        (["--xyzzy"], "unknown argument --xyzzy"),
        (["stray"], "unknown argument stray"),
        (["--mi_loss"], "unknown argument --mi_loss; did you mean"),  # no abbreviations
        (["--epochs", "ten"], "argument --num-train-epochs.*invalid float value: 'ten'"),
        (["--logit_adj", "perhaps"], "argument --logit-adj.*perhaps"),
        (["--temporal_pooling", "max"], "argument --temporal-pooling.*'max'.*cls.*attention"),
        (["--seed"], "argument --seed: expected one argument"),
        (["--max_grad_norm", "inf"], "`max_grad_norm` must be a finite number, got inf"),
        (["--lr_milestones", "2", "nan"], "`lr_milestones` must be a finite number, got nan"),
        (["--config"], "argument --config: expected one argument"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["--root_dir", "RAER"], "exactly one of `dataset` and `root_dir`"),
        (["--fp16", "--bf16"], "fp16 and bf16"),
    ],
)
def test_a_bad_flag_is_told_in_one_line(words, message):
    with pytest.raises(InputError, match=message) as error:
        parse(*words)
    assert "\n" not in str(error.value)


def test_what_is_needed_and_missing_is_named():
    with pytest.raises(InputError, match="exactly one of `dataset` and `root_dir`"):
        parse_arguments(TYPES, ["--output_dir", "out"], "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nmi_los_weight: 1\n", ":2: unknown key `mi_los_weight`; did you mean --mi-loss-weight"),
        ("seed: 1\n\nepochs: ten\n", ":3: argument --num-train-epochs.*'ten'"),
        ("streams: neither", ":1: argument --streams.*'neither'"),
        ("seed: 1.5", ":1: argument --seed.*1.5"),
        ("seed: [1, 2]", ":1: `seed`: expected one value, found a list"),
        ("lr_milestones: [1, x]", ":1: argument --lr-milestones.*'x'"),
        ("lr_milestones: []", ":1: argument --lr-milestones.*expected at least one argument"),
        ("seed: {a: 1}", ":1: `seed`: expected a value, found a mapping"),
        ("config: other.yaml", ":1: unknown key `config`"),
        ("help: true", ":1: unknown key `help`"),
        ("3: 4", ":1: unknown key `3`"),
        ("seed: 1\nseed: 2\n", ":2: `seed` is also on line 1"),
        ("lr: 1\nlearning_rate: 2\n", ":2: `learning_rate` and `lr` are the same flag"),
        ("- seed", ": expected `flag: value` lines, found a list"),
        ("seed", ": expected `flag: value` lines, found a str"),
        ("seed: [1", ": is not valid YAML"),
        (b"seed: \xff", ": cannot be read: it is not UTF-8"),
    ],
)
def test_a_bad_yaml_file_is_told_with_its_line(write, text, message):
    path = write(text)
    with pytest.raises(InputError, match=message) as error:
        parse("--config", path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_the_given_flags_as_a_file_make_the_same_run(write):
    config = write("lr_milestones: [2, 3]\nuse_face_adapter: false\nseed: 7\n")
    words = ("--config", str(config), "--seed", "8", "--logit-adj", "--optim", "sgd", "--run_name", "-odd: name")
    words += ("--debug", "underflow_overflow")
    given = given_flags(TYPES, [*NEEDED, *words])
    assert given == {
        **{"dataset": "data", "output_dir": "out", "seed": 8, "logit_adj": True, "optim": "sgd"},
        "debug": ["underflow_overflow"],
        **{"lr_milestones": [2.0, 3.0], "use_face_adapter": False, "run_name": "-odd: name"},
    }
    again = parse_arguments(TYPES, ["--config", str(write(yaml.safe_dump(given), "again.yaml"))], "")
    assert as_mapping(again) == parse(*words)


def read_help(capsys, types, word) -> str:
    with pytest.raises(SystemExit) as stop:
        parse_arguments(types, [word], "What it does.")
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("word", ["--help-all", "--help_all"])
def test_the_long_help_names_every_flag_once_with_its_default(capsys, word):
    text = read_help(capsys, TYPES, word)
    shown = re.findall(r"^  --(?:\[no-\])?([\w-]+)", text, flags=re.M)
    names = {setting.name.replace("_", "-") for kind in TYPES for setting in fields(kind) if setting.init}
    # What goes by another name, since its own leaves no room, or is one in all commands.
    short = {"per-device-train-batch-size": "batch-size", "output-dir": "output"}
    assert sorted(shown) == sorted({short.get(name, name) for name in names} | {"config", "help", "help-all"})
    assert "default: 0.5)" in text and "default: None" not in text


def test_the_first_help_of_training_is_five_groups_on_a_screen_and_a_half(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        show_help(HELP_GROUPS, ["--help"], train.__doc__)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 54 and max(map(len, lines)) <= 80
    titles = [line for line in lines if re.fullmatch("[A-Za-z]+:", line)]
    assert titles == ["First:", "model:", "data:", "pixels:", "losses:", "run:"]
    shown = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(shown) == 3 + 28 and len(set(shown)) == len(shown)
    assert {"--dataset", "--output", "--batch-size", "--seed", "--hub-model-id", "--face-margin"} <= set(shown)
    assert "--lr-adapter" not in shown and "--adam-beta1" not in shown


def test_help_says_of_a_switch_that_is_on_how_to_turn_it_off(capsys):
    text = " ".join(read_help(capsys, (PixelSettings,), "--help-all").split())
    assert "--[no-]do-normalize Normalise pixels by CLIP's mean and deviation. (default: on)" in text
    assert "--augment-per-stream Draw" in text and "--no-do-normalize" not in text


LEANING = ("its ", "their ", "of ", "them ", "they ", "it ", "these ", "those ")


@pytest.mark.parametrize("name", [*COMMANDS, *(f"layouts {layout}" for layout in LAYOUTS)])
def test_no_flag_is_explained_by_the_line_above_it(name):
    place = f"data.layouts.{LAYOUTS[name[8:]]}" if name in map("layouts {}".format, LAYOUTS) else f"commands.{name}"
    module = import_module(f"modeling_clipcaer.{place.replace('-', '_')}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and is_dataclass(kind)]
    kinds += ARGUMENT_TYPES if name == "train" else ()
    texts = {setting.name: setting.metadata.get("help", "") for kind in kinds for setting in fields(kind)}
    assert not {name for name, text in texts.items() if text.lower().startswith(LEANING)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_a_misspelled_flag_before_what_is_missing(name, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    # The doctor and a push write nothing here, and of what the app writes nothing stays.
    wrong, right = ("--confg", "--config") if name in ("app", "doctor", "push") else ("--outputt-dir", "--output")
    words = [*(["csv"] if name == "build" else []), wrong, "x"]
    assert start(name, words=words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: unknown argument {wrong}; did you mean {right}") and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_few_flags_are_explained_in_whole_at_once(capsys):
    assert read_help(capsys, (DataArguments,), "--help-all").count("--") > 9
    short, long = (read_help(capsys, (EvaluationArguments,), word) for word in ("--help", "--help-all"))
    assert short == long and "where the hardware multiplies in it" in " ".join(short.split())


def test_the_trainers_own_flags_are_read_as_transformers_reads_them():
    ours, theirs = (
        {spelling: action for action in parser._actions for spelling in action.option_strings}
        for parser in (_build_parser((TrainingArguments,), ""), HfArgumentParser(TrainingArguments))
    )
    assert ours.keys() - theirs.keys() == {"--config", "--help-all", "--help_all"}
    for spelling in theirs.keys() - {"-h", "--help"}:
        mine, its = ours[spelling], theirs[spelling]
        assert type(mine) is type(its)
        for name in ("dest", "nargs", "const", "choices", "required"):
            assert getattr(mine, name) == getattr(its, name), spelling
        if not spelling.startswith(("--no_", "--no-")):  # of the same destination as another, whose default stands
            assert mine.default == its.default, spelling
        for word in ("yes", "0", "3", "1e-3", "adamw_torch", "underflow_overflow", "{}"):
            assert read_word(mine, word) == read_word(its, word), (spelling, word)


def read_word(action, word):
    try:
        return action.type(word) if action.type else word
    except (ValueError, ArgumentTypeError, TypeError):
        return "refused"


def test_what_is_ours_of_a_trainers_flag_is_said_where_it_differs():
    """Flags of the Trainer that stand in our settings to be ranged or shown have its own defaults, these aside."""
    theirs = {setting.name: setting.default for setting in fields(TrainingArguments)}
    changed = {
        setting.name
        for kind in (RunSettings, OptimizerSettings, LossSettings, ResultSettings)
        for setting in fields(kind)
        if setting.name in theirs and setting.default != theirs[setting.name]
    }
    assert changed == {
        *("learning_rate", "num_train_epochs", "weight_decay", "eval_strategy", "save_strategy", "save_total_limit"),
        *("logging_strategy", "metric_for_best_model", "hub_private_repo", "hub_strategy", "remove_unused_columns"),
        *("ddp_find_unused_parameters", "dataloader_num_workers", "report_to"),
    }
