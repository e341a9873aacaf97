"""What becomes of the research code's commands, as they are pasted."""

import os
import re
import shlex

import pytest
import torch
import yaml

from helpers.golden_cases import GOLDEN
from helpers.places import ROOT
from helpers.small_material import NUM_FRAMES, SMALL_MODEL, make_material, run_main
from modeling_clipcaer.commands import train
from modeling_clipcaer.commands.convert import REFERENCE_PIXELS
from modeling_clipcaer.common.flags import _build_parser, _keys, parse_arguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.functions import REFERENCE_SMOOTHING_DISTRIBUTION, ldam_loss
from modeling_clipcaer.research_code.flags import IDLE_FLAGS, RENAMED_FLAGS, TRANSLATED_FLAGS, read_research_flags
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES


PAGE = (ROOT / "docs" / "reference" / "research_flags.md").read_text()
GUIDE = (ROOT / "docs" / "from_research_code.md").read_text()
OURS = set(_keys(_build_parser(ARGUMENT_TYPES, "")))
# What the research code's own training script gives, paths aside.
SCRIPT = """--mode train --exper-name safe --gpu 0 --epochs 50 --batch-size 8 --lr 1e-5 --lr-image-encoder 0.0
--lr-prompt-learner 1e-5 --lr-adapter 1e-5 --weight-decay 0.0001 --momentum 0.9 --milestones 20 35 --gamma 0.1
--temporal-layers 1 --num-segments 16 --duration 1 --image-size 224 --seed 42 --print-freq 10 --text-type
class_descriptor --contexts-number 12 --class-token-position end --class-specific-contexts True
--load_and_tune_prompt_learner True --lambda_mi 0.2 --lambda_dc 0.3 --mi-warmup 10 --mi-ramp 10 --dc-warmup 10
--dc-ramp 15 --slerp-weight 0.5 --temperature 0.2 --use-weighted-sampler --label-smoothing 0.02 --use-amp --crop-body
--grad-clip 1.0"""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def flags_in(text: str) -> set[str]:
    return {flag.replace("-", "_") for flag in re.findall(r"--([a-zA-Z][\w-]*)", text)}


def read(words: str):
    """The arguments by name, and the notes."""
    ours, notes = read_research_flags(shlex.split(words))
    filled = parse_arguments(ARGUMENT_TYPES, [*ours, "--output_dir", "out"], "")
    return {name: value for group in filled for name, value in vars(group).items()}, "\n".join(notes)


@pytest.mark.parametrize("name", GOLDEN["args"])
def test_every_argument_of_the_research_code_is_taken(name):
    assert name in OURS or name in (*IDLE_FLAGS, *TRANSLATED_FLAGS, *RENAMED_FLAGS)
    assert name in flags_in(PAGE)


@pytest.mark.parametrize("name", [*IDLE_FLAGS, *TRANSLATED_FLAGS])
def test_the_page_has_every_flag_that_is_not_ours(name):
    assert name in flags_in(PAGE) and name not in OURS
    assert flags_in(IDLE_FLAGS.get(name, "")) - {"use_ldl", "use_moco"} <= OURS


@pytest.mark.parametrize("name", RENAMED_FLAGS)
def test_a_renamed_flag_is_read_as_ours(name):
    assert name in flags_in(PAGE) and name not in OURS and RENAMED_FLAGS[name] in OURS
    ours = f"--{RENAMED_FLAGS[name]}"
    assert read_research_flags([f"--{name.replace('_', '-')}=1", "--lr", "2"])[0] == [f"{ours}=1", "--lr", "2"]


@pytest.mark.parametrize("name", IDLE_FLAGS)
def test_a_flag_without_an_effect_is_taken_with_a_note(name):
    words, notes = read_research_flags([f"--{name.replace('_', '-')}", "x", "--lr", "2"])
    assert words == ["--lr", "2"]
    assert notes[0] == f"--{name.replace('_', '-')} x: taken without an effect: {IDLE_FLAGS[name]}"


def test_our_own_commands_get_no_notes():
    words = [
        "--config",
        "a.yaml",
        "--dataset",
        "RAER",
        "--ldam_max_margin",
        "0.3",
        "--optim",
        "sgd",
        "--max_steps",
        "-1",
    ]
    assert sorted(read_research_flags(words)[0]) == sorted(words) and read_research_flags(words)[1] == []


def test_the_training_script_is_read_whole():
    args, notes = read(f"{SCRIPT} --root-dir RAER --train-annotation train.txt --clip-path ViT-B/32")
    expected = {
        **{"num_train_epochs": 50, "per_device_train_batch_size": 8, "learning_rate": 1e-5, "lr_gamma": 0.1},
        **{"lr_milestones": [20, 35], "num_frames": 16, "num_context_tokens": 12, "mi_loss_weight": 0.2},
        **{"dc_ramp_epochs": 15, "weighted_sampler": True, "context": "body", "max_grad_norm": 1.0, "optim": "sgd"},
        **{"optim_args": "momentum=0.9", "label_smoothing_factor": 0.02, "logging_steps": 10, "root_dir": "RAER"},
        **{"logging_strategy": "steps", "exper_name": "safe", "fp16": torch.cuda.is_available()},
    }
    assert {name: args[name] for name in expected} == expected
    assert args["label_smoothing_distribution"] == pytest.approx(REFERENCE_SMOOTHING_DISTRIBUTION)
    told = {"mode", "gpu", "momentum", "duration", "image_size", "print_freq", "text_type", "crop_body", "use_amp"}
    assert told | {"load_and_tune_prompt_learner", "label_smoothing"} <= flags_in(notes)
    assert "our defaults" in notes.splitlines()[-1]


def test_the_training_script_trains(tmp_path, tmp_path_factory, monkeypatch, capsys):
    material = make_material(tmp_path_factory.getbasetemp())
    monkeypatch.chdir(tmp_path)
    annotation = material.raer / "annotation"
    lists = [f"--{split}-annotation={annotation}/{name}.txt" for split, name in (("train", "train"), ("test", "test"))]
    paths = ["--root-dir", material.raer, *lists, "--clip-path", material.clip, *SMALL_MODEL]
    assert run_main(train.main, *SCRIPT.split(), *paths, "--workers", 0, "--max_steps", 2) == 0
    told = capsys.readouterr().err
    assert "note: --gpu 0: " in told and "Traceback" not in told
    run = yaml.safe_load((tmp_path / "outputs" / "safe" / "run.yaml").read_text())
    assert run["optim"] == "sgd" and run["num_frames"] == NUM_FRAMES and "gpu" not in run


def test_the_originals_switches_are_read():
    paths = "--dataset AcademicEmotion_five --root-dir RAER --resume False --resume-path '' --aug-file ''"
    base = f"{paths} --smooth-param 0.2"
    args, notes = read(f"{base} --label-smoothing True")
    assert args["label_smoothing_factor"] == 0.2 and args["dataset"] is None
    args, notes = read(f"{base} --label-smoothing False --crop-body False --use-amp False")
    assert args["label_smoothing_factor"] == 0 and args["context"] == "frame" and not args["fp16"]
    assert "--dataset AcademicEmotion_five: taken without an effect: --root-dir" in notes
    args, notes = read("--root-dir RAER --label-smoothing 0.0 --smooth-param 0.2")
    assert args["label_smoothing_factor"] == 0 and args["label_smoothing_distribution"] is None
    assert "--smooth-param 0.2: taken without an effect: --label-smoothing gives the figure" in notes
    args, notes = read("--root-dir RAER --smooth-param 0.2")
    assert args["label_smoothing_factor"] == 0 and "--smooth-param 0.2: taken without an effect" in notes


@pytest.mark.parametrize(
    ("words", "optim", "optim_args"),
    [
        ("--optimizer SGD --momentum 0.8", "sgd", "momentum=0.8"),
        ("--momentum 0.8", "sgd", "momentum=0.8"),
        ("--optimizer AdamW --momentum 0.8", "adamw_torch", None),
        ("--momentum 0.8 --optim adagrad --optim_args lr_decay=1", "adagrad", "lr_decay=1"),  # ours, said last
        ("--config recipes/raer_reference.yaml --optimizer AdamW", "adamw_torch", "momentum=0.9"),
    ],
)
def test_the_optimizer_is_theirs(words, optim, optim_args, monkeypatch):
    monkeypatch.chdir(ROOT)
    args, _ = read(f"{words} --dataset data")
    assert (args["optim"], args["optim_args"]) == (optim, optim_args)


def test_the_loss_is_theirs_or_what_differs_is_said():
    args, notes = read("--dataset data --loss-type ldam --ldam-max-m 0.4 --ldam-s 20 --label-smoothing 0.1")
    assert args["classification_loss"] == "ldam" and args["label_smoothing_factor"] == 0
    assert (args["ldam_max_margin"], args["ldam_scale"]) == (0.4, 20)
    assert "--ldam-max-margin M*T --ldam-scale S/T" in notes and "--label-smoothing 0.1: taken without" in notes
    # The note's formula: theirs is CE(S (cosine / T - M)).
    cosines, labels = torch.tensor([[0.3, 0.1], [0.2, 0.6]]), torch.tensor([0, 1])
    theirs = ldam_loss(cosines / 0.07, labels, [9, 3], 0.4, 20)
    torch.testing.assert_close(ldam_loss(cosines, labels, [9, 3], 0.4 * 0.07, 20 / 0.07), theirs)
    args, notes = read("--dataset data --loss_type ldl --ldl_temperature 2")
    assert args["classification_loss"] == "cross_entropy" and "as there without --use-ldl" in notes


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (
            "--mode eval --eval-checkpoint best.pth",
            ["clipcaer convert --checkpoint best.pth", "clipcaer evaluate --model"],
        ),
        ("--eval-checkpoint best.pth", ["--checkpoint best.pth"]),
        ("--mode test", ["--mode must be train or eval", "test"]),
        ("--use-ldl --ldl-temperature 1.0", ["--use-ldl is not here", "0.1", "--label-smoothing-factor"]),
        ("--use-moco --moco-k 4096", ["--use-moco is not here"]),
        ("--loss-type huber", ["--loss-type", "ce, ldl, ldam", "huber"]),
        ("--optimizer Adam", ["--optimizer", "SGD, AdamW", "Adam"]),
        ("--duration 2", ["--duration 2", "--num-frames"]),
        ("--resume True --resume-path model.pth", ["--resume True", "--resume-from-checkpoint last"]),
        ("--gpu first", ["--gpu", "first"]),
    ],
)
def test_what_is_not_here_is_one_line_and_no_folder(tmp_path, monkeypatch, capsys, words, fragments):
    monkeypatch.chdir(tmp_path)
    assert run_main(train.main, *words.split(), "--dataset", "data", "--exper-name", "mine") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and all(fragment in told for fragment in fragments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("gpu", "count", "visible", "expected", "words"),
    [
        ("1", 2, None, "1", []),
        ("1", 2, "4,6", "6", []),
        ("0", 0, None, None, ["--use-cpu"]),
        ("cpu", 2, None, None, ["--use-cpu"]),
        ("mps", 0, None, None, ["--use-cpu"]),
    ],
)
def test_gpu_chooses_the_device(monkeypatch, gpu, count, visible, expected, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible) if visible else monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    found, notes = read_research_flags(["--gpu", gpu])
    assert found == words and notes[0].startswith(f"--gpu {gpu}: ")
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected


def test_a_gpu_that_is_not_there_is_refused_and_a_launcher_decides(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="--gpu 2: there are 2 GPUs"):
        read_research_flags(["--gpu", "2"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    words, notes = read_research_flags(["--gpu", "2"])
    assert words == [] and "the launcher gives" in notes[0]


def test_the_pages_command_is_read_whole():
    command = GUIDE.split("python main.py --mode train")[1].split("accelerate launch")[0]
    args, _ = read(command.replace("\\\n", " ").split("```")[0])
    assert (args["clip_model"], args["num_context_tokens"], args["root_dir"]) == ("ViT-B/32", 12, "RAER")
    assert (args["mi_loss_weight"], args["mi_warmup_epochs"], args["dc_ramp_epochs"]) == (0.7, 5, 10)
    assert args["lr_milestones"] == [20, 35] and args["logit_adj"] and args["num_train_epochs"] == 50
    # What differs from the preset with the same settings is what the command leaves open.
    recipe = yaml.safe_load((ROOT / "recipes" / "raer_reference.yaml").read_text())
    same = {
        "optim",
        "optim_args",
        "label_smoothing_factor",
        "temperature",
        "slerp_weight",
        "dc_warmup_epochs",
        "lr_gamma",
    }
    assert {name: args[name] for name in same} == {name: recipe[name] for name in same}


def test_the_reference_recipe_has_the_converters_pixels_and_the_reference_smoothing():
    recipe = yaml.safe_load((ROOT / "recipes" / "raer_reference.yaml").read_text())
    assert {name: recipe[name] for name in REFERENCE_PIXELS} == REFERENCE_PIXELS
    assert recipe["label_smoothing_distribution"] == pytest.approx(REFERENCE_SMOOTHING_DISTRIBUTION)
    for name in ("adapter_residual_ratio", "temporal_init_std"):
        assert recipe[name] == 1.0


def test_the_pages_command_is_the_one_the_golden_numbers_were_made_with():
    command = GUIDE.split("python main.py --mode train")[1].split("accelerate launch")[0]
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
