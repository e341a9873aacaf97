"""The Hugging Face Space: a card that Spaces take, and a file that starts our command and does nothing else."""

import runpy

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from helpers.places import ROOT
from modeling_clipcaer.app.arguments import AppArguments
from modeling_clipcaer.commands import main
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.settings import TimelineSettings


SPACE = ROOT / "spaces"


def start_space(monkeypatch):
    """What the Space's file would start: the command's name and its words."""
    started = []
    monkeypatch.setattr(main, "start", lambda name, words: started.append((name, words)) or 0)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SPACE / "app.py"), run_name="__main__")
    assert ended.value.code == 0
    ((name, words),) = started
    return name, parse_arguments((AppArguments, TimelineSettings), words, "")


def test_the_card_has_what_spaces_ask_for_and_the_notice():
    _, head, text = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(head)
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    assert len(card["short_description"]) <= 60
    requirement = next(
        line for line in (ROOT / "setup.cfg").read_text().splitlines() if line.strip().startswith("gradio")
    )
    assert card["sdk_version"] in SpecifierSet(requirement.strip().removeprefix("gradio"))
    assert RESPONSIBLE_USE.split(": ")[0].removeprefix("Research software. ") in " ".join(text.split())
    assert (SPACE / "requirements.txt").read_text().splitlines()[-1] == "clipcaer[app]"


def test_a_space_answers_by_the_checkpoint_that_its_variable_names(monkeypatch):
    monkeypatch.setenv("CLIPCAER_MODEL", "somebody/clipcaer")
    name, (args, settings) = start_space(monkeypatch)
    assert (name, args.model, args.labels, args.host, args.port) == ("app", "somebody/clipcaer", None, "0.0.0.0", 7860)
    assert settings.duration == 600


def test_a_space_without_a_checkpoint_answers_zero_shot_by_labels_that_come_with_the_code(monkeypatch):
    monkeypatch.delenv("CLIPCAER_MODEL", raising=False)
    _, (args, _) = start_space(monkeypatch)
    assert args.model == "openai/clip-vit-base-patch32"
    assert read_labels_file(find_preset(args.labels), list(RAER_LABELS))
