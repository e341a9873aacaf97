"""The model card, read back as the Hub reads it."""

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.reports.evaluation import build_report
from modeling_clipcaer.reports.model_card import address_card, find_restriction, render_licence, render_model_card


LABELS = ["calm", "glad", "lost"]
REFERENCES = [0, 0, 0, 0, 1, 1]  # no clip of the third
PREDICTIONS = [0, 0, 0, 1, 1, 0]


@pytest.fixture
def report():
    logits = np.eye(3)[PREDICTIONS] * 4
    places = {"checkpoint": "out/run", "dataset": "/home/someone/private/raer"}
    report = build_report(logits, REFERENCES, LABELS, split="test", seed=3, **places)
    return {
        **report,
        "result": "selected",
        "selected": {"epoch": 4.0, "validation_uar": 60.0, "validation_war": 70.0, "uar": 44.4, "war": 55.6},
        "last_epoch": {"epoch": 6.0, "uar": 41.5},
        "training_clips": {"calm": 30, "glad": 7, "lost": 2},
    }


PLOTS = ("confusion_matrix.png", "reliability.png", "training_curves.png")


def read(report, base_model="openai/clip-vit-base-patch32", presets=("raer_advanced",), flags=None, repository=None):
    text = render_model_card(report, base_model, list(presets), flags or {})
    return ModelCard(text if repository is None else address_card(text, repository, PLOTS, "example.mp4"))


def test_the_header_tells_the_hub_what_the_model_is(report):
    data = read(report).data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "video-classification")
    assert data.base_model == "openai/clip-vit-base-patch32"
    assert (data.license, data.license_name, data.license_link) == ("other", "terms-of-data-and-base-model", "LICENSE")
    assert "clipcaer" in data.tags


def test_the_model_index_holds_uar_and_war_with_intervals_and_every_recall(report):
    results = {result.metric_name: result for result in read(report).data.eval_results}
    assert {name: result.metric_value for name, result in results.items()} == {
        "UAR, %": 62.5,
        "WAR, %": 66.67,
        "recall of calm, %": 75.0,
        "recall of glad, %": 50.0,
    }
    for name in ("uar", "war"):
        interval = results[f"{name.upper()}, %"].metric_args["confidence_interval_95"]
        assert interval == pytest.approx(report[f"{name}_ci95"], abs=0.005) and interval[0] < interval[1]
    for result in results.values():
        assert (result.task_type, result.dataset_name, result.dataset_split) == (
            "video-classification",
            "raer",
            "test",
        )


def test_the_page_holds_results_training_use_and_licence(report):
    text = read(report, flags={"num_frames": 8, "seed": 42, "lr_milestones": [10, 15]}, repository="me/run").text
    low, high = report["uar_ci95"]
    assert f"**UAR 62.5 %** [{low:.1f}, {high:.1f}]" in text
    assert "| calm | 75.0 | 4 | 30 |" in text and "| lost | – | 0 | 2 |" in text
    assert "39 clips" in text and "`raer_advanced`" in text and "num_frames: 8" in text
    assert "seed: 42" not in text  # it is the default
    assert "The checkpoint is that of epoch 4, chosen on the validation split; the last has UAR 41.5 %." in text
    assert f"torch {report['versions']['torch']}" in text
    assert RESPONSIBLE_USE in text and "Prohibited: " in text and "non-commercial research" in text
    assert 'pipeline("video-classification", model="me/run", trust_remote_code=True)' in text
    assert 'pipeline("academic-emotion-recognition", model="me/run")' in text


def test_plots_are_on_the_card_and_the_picture_of_a_link_is_on_the_hub(report):
    card = read(report, repository="me/run")
    for name in PLOTS:
        assert f"]({name})" in card.text
    assert card.data.thumbnail == "https://huggingface.co/me/run/resolve/main/confusion_matrix.png"
    assert "thumbnail" not in read(report).data.to_dict() and card.data.language == "en"


def test_a_card_in_a_repository_says_so_and_is_otherwise_that_of_the_folder(report):
    folder, there = read(report), read(report, repository="me/run")
    assert (
        "THIS_FOLDER" in folder.text and "THIS_FOLDER" not in there.text and "where this file lies" not in there.text
    )
    added = {"thumbnail"}
    assert there.data.to_dict() | dict.fromkeys(added) == folder.data.to_dict() | dict.fromkeys(added)
    with_example = ModelCard(address_card(folder.content, "me/run", ["example.mp4"], "example.mp4"))
    (widget,) = with_example.data.widget
    assert (
        widget["src"] == "https://huggingface.co/me/run/resolve/main/example.mp4"
        and "drawn" in widget["example_title"]
    )


def test_clips_of_the_hub_go_by_their_id_commit_and_split_protocol(report):
    origin = {"name": "mine", "link": None, "is_drawn": False, "hub_id": "me/clips", "commit": "0123"}
    data = read(report | {"origin": origin, "split_protocol": "by person, fold 1 of 5"}).data
    assert data.datasets == ["me/clips"]
    told = {(r.dataset_type, r.dataset_name, r.dataset_revision, *r.dataset_args.values()) for r in data.eval_results}
    assert told == {("me/clips", "mine", "0123", "by person, fold 1 of 5")}


def test_what_is_lent_or_of_unknown_data_may_not_be_passed_on():
    assert find_restriction({"name": "RAER"}).startswith("RAER is for non-commercial research")
    assert find_restriction(None).startswith("It is not known") and find_restriction({"name": None})
    assert find_restriction({"name": "drawn students"}) is None


def test_data_go_by_their_name_and_drawings_are_called_drawings(report):
    known = report | {"origin": {"name": "RAER", "link": "https://example.test/raer", "is_drawn": False}}
    card = read(known)
    assert card.data.datasets == ["RAER"] and "# ClipCaer on RAER" in card.text
    assert "(<https://example.test/raer>)" in card.text and "rawn" not in card.content
    drawn = read(report | {"origin": {"name": "drawn students", "link": None, "is_drawn": True}})
    assert drawn.data.datasets == ["drawn-students"] and "synthetic" in drawn.data.tags
    assert {(result.dataset_type, result.dataset_name) for result in drawn.data.eval_results} == {
        ("drawn-students", "drawn students (computer drawings, not people)")
    }
    assert drawn.text.strip().startswith("# ClipCaer on drawn students\n\n> **Drawings, not people.**")
    assert "RAER is for" not in drawn.text and read(report).data.datasets is None


def test_the_card_names_no_place_of_this_machine(report, tmp_path):
    (tmp_path / "tiny_clip").mkdir()
    flags = {"dataset": "/home/someone/private/raer", "clip_model": str(tmp_path / "tiny_clip"), "hub_model_id": "a/b"}
    card = read(report, base_model=str(tmp_path / "tiny_clip"), flags=flags | {"seed": 3})
    assert card.data.base_model is None and "`tiny_clip`" in card.text and "seed: 3" in card.text
    assert "someone" not in card.content and str(tmp_path) not in card.content and "a/b" not in card.content
    assert "Preset: none" in read(report, presets=()).text
    assert 'model="THIS_FOLDER"' in card.text and "out/run" not in card.text


def test_the_licence_tells_weights_from_code(report):
    licence = render_licence(report, "openai/clip-vit-base-patch32")
    assert licence.startswith("The weights carry the terms of the data they were trained on (raer)")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence


def test_of_the_flags_the_card_tells_numbers_and_words_of_a_vocabulary(report, tmp_path):
    flags = {
        "output_dir": "mallory",  # no separator, and still a name that somebody gave
        "run_name": "of mallory",
        "labels_file": "~mallory/labels.yaml",
        "report_to": ["mallory/board"],
        "lr_scheduler_kwargs": {"path": "mallory"},
        "lr_milestones": [10, 15],
        "resample": "bilinear",
        "optim": "sgd",
        "clip_model": "C:\\Users\\mallory\\tiny_clip",
        "use_lora": True,
    }
    card = read(report, flags=flags)
    told = yaml.safe_load(card.text.partition("```yaml\n")[2].partition("```")[0])
    words = {"resample": "bilinear", "optim": "sgd", "clip_model": "tiny_clip"}
    assert told == {**words, "lr_milestones": [10, 15], "use_lora": True}
    assert "mallory" not in card.content
    withheld = "labels_file, lr_scheduler_kwargs, output_dir, report_to, run_name"
    assert f"Not told, as they may name places of a machine: {withheld}." in card.text


def test_a_base_model_in_the_hubs_cache_is_told_by_its_id(report, tmp_path):
    cached = tmp_path / "models--openai--clip-vit-base-patch32" / "snapshots" / "0123abc"
    cached.mkdir(parents=True)
    card = read(report, base_model=str(cached))
    assert card.data.base_model == "openai/clip-vit-base-patch32" and "0123abc" not in card.content
