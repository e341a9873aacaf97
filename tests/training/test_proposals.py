"""A proposed recipe is one that training takes as it stands, and what it says of effects is what was measured."""

import itertools
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.places import ROOT
from helpers.small_material import SMALL_MODEL, run_main
from modeling_clipcaer.commands import new, train
from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES
from modeling_clipcaer.training.flag_effects import check_flags
from modeling_clipcaer.training.proposals import TIMES, Circumstances, propose, render


TEXTS = {0.0: None, 0.9: "daisee_labels"}
CASES = [
    Circumstances("data", {"train": counts}, share, 64.0, TEXTS[share], device, time, "ViT-B/32", share > 0, "o")
    for counts, share, device, time in itertools.product(
        ({"a": 40, "b": 10, "c": 0}, {"a": 10, "b": 11}), (0.0, 0.9), ("cpu", "gpu"), TIMES
    )
]


def read(text, path):
    path.write_text(text, encoding="utf-8")
    words = ["--config", str(path)]
    return parse_arguments(ARGUMENT_TYPES, words, ""), given_flags(ARGUMENT_TYPES, words)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_every_proposal_is_a_recipe_of_which_every_flag_has_an_effect(tmp_path, device):
    for case in CASES:
        if case.device == device:
            arguments, given = read(render(propose(case), ["A recipe."]), tmp_path / "a.yaml")
            assert check_flags(given, arguments) == {}
            assert given["dataset"] == "data" and given["output_dir"] == "o"
            assert arguments[3].cache_frame_embeds is not case.trains_tower


def test_every_value_stands_below_its_reason():
    text = render(propose(CASES[0]), ["A recipe.", "", "Of a test."])
    assert text.startswith("# A recipe.\n#\n# Of a test.\n")
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if line and not line.startswith("#"):
            assert above.startswith("# ") and not above.startswith("# ---") and above.endswith(".")
    assert max(map(len, lines)) <= 100 and set(yaml.safe_load(text)) == {
        choice.key for choices in propose(CASES[0]).values() for choice in choices
    }


def test_effects_are_those_that_were_measured():
    page = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    told = {figure for case in CASES for figure in re.findall(r"\d+\.\d ± \d\.\d", render(propose(case), []))}
    assert told and not [figure for figure in told if f"{figure}" not in page]


def test_what_was_found_decides():
    def value(key, **found):
        fields = dict(zip(Circumstances.__dataclass_fields__, vars(CASES[0]).values(), strict=True)) | found
        choices = {choice.key: choice for part in propose(Circumstances(**fields)).values() for choice in part}
        return choices[key].value if key in choices else None

    assert value("streams", face_share=0.0) == "context" and value("streams", face_share=0.4) == "both"
    assert value("logit_adj", counts={"train": {"a": 40, "b": 10}}) is True
    assert value("logit_adj", counts={"train": {"a": 10, "b": 10}}) is False
    assert value("lr_image_encoder", device="gpu", time="long") == 1e-6
    assert value("lr_image_encoder", device="cpu", time="long") == 0.0
    assert value("num_frames", time="short") == 8 and value("num_train_epochs", time="short") == 10
    # 20 pixels are for faces of more than 160; the demo's of 35 have 4.
    assert [value("face_margin", face_share=0.4, face_width=width) for width in (35.0, 160.0, 400.0)] == [4, 20, 20]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_the_recipe_is_one_that_trains_here(here, material, capsys):
    words = (material.dataset, "--clip-model", material.clip, "--time", "short", "--output", "mine.yaml", "--measure")
    assert run_main(new.main, *words) == 0
    said = capsys.readouterr().out
    assert said.endswith("next: clipcaer train --config mine.yaml\n")
    measured = re.search(r"Measured on this machine: 8 clips were read and encoded in \d+\.\d s.*44 clips take", said)
    assert measured and measured[0] in (here / "mine.yaml").read_text()
    assert "clipcaer folds --config mine.yaml" in (here / "mine.yaml").read_text()
    flags = (*SMALL_MODEL, "--epochs", 1, "--no_baselines", "--output", "run")
    assert run_main(train.main, "--config", "mine.yaml", *flags) == 0
    assert (here / "run" / "report.json").is_file()


def test_a_file_that_is_there_is_not_written_over_and_nobody_is_asked_without_a_terminal(here, material, capsys):
    (here / "mine.yaml").write_text("edited")
    assert run_main(new.main, material.dataset, "--output", "mine.yaml") == 2
    assert "mine.yaml: exists, and is perhaps edited; expected a new file (--output)" in capsys.readouterr().err
    assert run_main(new.main) == 2
    assert "no dataset, and no terminal to ask on; expected `clipcaer new DATASET`" in capsys.readouterr().err
    assert (here / "mine.yaml").read_text() == "edited" and [path.name for path in here.iterdir()] == ["mine.yaml"]


def test_folders_that_are_no_dataset_yet_are_told_the_way(here, capsys):
    (here / "videos" / "bored").mkdir(parents=True)
    assert run_main(new.main, "videos") == 2
    assert "by `clipcaer build folders videos --output data/mine`" in capsys.readouterr().err
    assert not (here / "videos.yaml").exists()


def test_a_recipe_that_training_would_refuse_is_not_written(here, material, capsys):
    (here / "texts.yaml").write_text("labels: {bored: {soft: a, descriptive: [b]}}")
    words = (material.dataset, "--clip-model", material.clip, "--labels-file", "texts.yaml", "--output", "mine.yaml")
    assert run_main(new.main, *words) == 2
    assert "texts.yaml: its labels are ['bored'], the dataset's are" in capsys.readouterr().err
    assert not (here / "mine.yaml").exists()


def test_on_a_terminal_it_asks_and_asks_again(material, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "modeling_clipcaer.commands.main", "new", "--output", "mine.yaml"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_CACHE": str(tmp_path / "hub"), "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=env)
    os.close(theirs)
    os.write(ours, f"{material.dataset}\nmainframe\ncpu\n\n".encode())
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # the terminal is gone with the process
        pass
    assert process.wait() == 0, said.decode()
    assert b"'mainframe'; expected one of cpu, gpu" in said and b"Time at hand" in said
    recipe = yaml.safe_load(Path(tmp_path / "mine.yaml").read_text())
    assert recipe["num_frames"] == 16 and recipe["dataset"] == str(material.dataset)
