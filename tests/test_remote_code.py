"""A checkpoint folder carries its code: a stranger's process gives the same numbers to the last bit."""

import ast
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from transformers import pipeline

from helpers import videos
from helpers.places import ROOT
from helpers.small_run import CODE, answer_here, ask_stranger, train_small, write_clip
from modeling_clipcaer import ClipCaerPipeline
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.video_classification import name_pipelines


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A run, and what a stranger got from its folder and from the Trainer's checkpoint."""
    run = train_small(tmp_path_factory.getbasetemp())
    folder = tmp_path_factory.mktemp("stranger")
    clip = write_clip(folder / "clip.mp4")
    folders = [run, next(run.glob("checkpoint-*"))]
    answers = ask_stranger(clip, folders, folder / "asked")
    return SimpleNamespace(clip=clip, folders=folders, answers=answers, saved=folder / "asked")


@pytest.mark.slow
def test_a_stranger_gets_the_same_numbers_to_the_last_bit(stranger):
    for folder, answer in zip(stranger.folders, stranger.answers, strict=True):
        assert answer.pop("modules") == ["transformers_modules"]
        assert answer == answer_here(stranger.clip, folder)
        assert len(set(answer["logits"])) == 5
        assert len(answer["batched"]) == 7
        for (entry,) in answer["batched"]:
            assert entry["score"] == pytest.approx(answer["scores"][entry["label"]], abs=1e-5)


@pytest.mark.slow
def test_what_a_stranger_saves_again_works_for_the_next_one(stranger, tmp_path):
    copies = [stranger.saved / str(number) / kind for number in (0, 1) for kind in ("model", "pipeline")]
    answers = ask_stranger(stranger.clip, copies, tmp_path / "asked")
    for copy, answer in zip(copies, answers, strict=True):
        del answer["modules"]
        assert answer == answer_here(stranger.clip, copy)
        assert {path.stem for path in copy.glob("*.py")} == CODE
    assert answers[0] == answers[1] and answers[2] == answers[3]


@pytest.mark.slow
def test_folders_hold_the_models_side_alone_and_name_every_auto_class(stranger):
    for folder in stranger.folders:
        assert {path.stem for path in folder.glob("*.py")} == CODE
        config = json.loads((folder / "config.json").read_text())
        assert config["auto_map"].keys() == {"AutoConfig", "AutoModel", "AutoModelForVideoClassification"}
        assert config["custom_pipelines"] == name_pipelines()
        assert [path.name for path in folder.glob("*model*.*") if path.suffix != ".py"] == ["model.safetensors"]


def read_code_of_card(run):
    """The blocks of Python on a run's card, for a stranger and for who has the package, with its folder named."""
    card = (run / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", card, re.S)
    assert len(blocks) == 2
    return [block.replace("THIS_FOLDER", str(run)) for block in blocks]


def test_the_card_s_code_runs_with_the_package(tmp_path_factory, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    videos.write_video(tmp_path / "lesson.mp4", videos.noise(20, (1280, 720)))
    exec(read_code_of_card(train_small(tmp_path_factory.getbasetemp()))[1], {})
    assert re.fullmatch(r"0:00–0:02  room +[A-Z][a-z]+ +\d+ %", capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_the_card_s_code_runs_without_the_package(tmp_path_factory, tmp_path):
    videos.write_video(tmp_path / "lesson.mp4", videos.noise(20, (1280, 720)))
    script = tmp_path / "script.py"
    absent = f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'helpers')!r}); from stranger import Absent; "
    absent += "sys.meta_path.insert(0, Absent()); del sys.path[0]\n"
    script.write_text(absent + read_code_of_card(train_small(tmp_path_factory.getbasetemp()))[0])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-I", script.name]
    found = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    answer = ast.literal_eval(found.stdout.splitlines()[-1])
    assert len(answer) == 5 and sum(entry["score"] for entry in answer) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_pipeline_of_the_package_saves_what_it_needs(stranger, tmp_path):
    pipe = pipeline("academic-emotion-recognition", model=str(stranger.folders[0]))
    assert isinstance(pipe, ClipCaerPipeline)
    pipe.save_pretrained(tmp_path / "saved")
    again = pipeline("academic-emotion-recognition", model=str(tmp_path / "saved"))
    clip = {"video": str(stranger.clip), "face_boxes": [8, 8, 30, 30], "body_box": [0, 0, 40, 48]}
    assert again(clip, window=None) == pipe(clip, window=None) != pipe(str(stranger.clip), window=None)
    load_checkpoint(str(tmp_path / "saved"))
