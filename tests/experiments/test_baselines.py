"""Baselines: what they learn, that they are repeatable, and what is told of a model that they beat."""

import numpy as np
import pytest
import torch
from datasets import load_from_disk

from helpers.small_material import NUM_FRAMES, run_main
from modeling_clipcaer.commands import evaluate
from modeling_clipcaer.commands.evaluate import EvaluationArguments, check_baselines
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.baselines import (
    add_baselines,
    measure_baselines,
    standardise,
    train_linear_probe,
    train_mlp,
)
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.zero_shot import ZeroShotModel, score_clips
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.settings_clipcaer import PixelSettings
from modeling_clipcaer.training.clip_cache import cache_clips
from modeling_clipcaer.training.settings import CacheArguments


def make_features(labelling, num_clips=64):
    """Points of a plane, the same rule in all splits."""
    rng = np.random.default_rng(0)
    points = {split: rng.uniform(-1, 1, (num_clips, 2)) for split in ("train", "validation", "test")}
    return {split: (torch.from_numpy(values), labelling(values).astype(int)) for split, values in points.items()}


def share_right(predictions, features):
    return float(np.mean(predictions == features["test"][1]))


def test_a_line_is_enough_for_the_linear_probe():
    features = make_features(lambda points: points[:, 0] > points[:, 1])
    assert share_right(train_linear_probe(features, 2), features) > 0.9


def test_signs_that_must_agree_are_learnt_by_the_mlp_alone():
    features = make_features(lambda points: points[:, 0] * points[:, 1] > 0, 256)
    torch.manual_seed(0)
    assert share_right(train_mlp(features, 2), features) > 0.9
    assert share_right(train_linear_probe(features, 2), features) < 0.7


def test_the_log_priors_keep_a_rare_label_in_the_answers():
    """One label in sixteen, drawn over each other: without priors the frequent one would always be answered."""
    rng = np.random.default_rng(1)
    features = {}
    for split, (many, few) in {"train": (480, 32), "validation": (100, 100), "test": (100, 100)}.items():
        labels = np.repeat([0, 1], [many, few])
        features[split] = torch.from_numpy(rng.normal(labels[:, None] * 1.5, 1, (many + few, 1))), labels
    predictions = train_linear_probe(standardise(features), 2)
    assert np.mean(predictions == 1) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("train", [train_linear_probe, train_mlp])
def test_a_label_that_was_never_learnt_is_never_answered(train):
    features = make_features(lambda points: 2 * (points[:, 0] > 0))
    torch.manual_seed(0)
    assert set(train(features, 3)) == {0, 2}


def test_features_are_standardised_by_training_and_a_constant_one_is_nothing():
    labels = np.zeros(2, int)
    features = {
        "train": (torch.tensor([[1.0, 5.0], [3.0, 5.0]]), labels),
        "test": (torch.tensor([[4.0, 9.0]]), labels),
    }
    found = standardise(features)
    torch.testing.assert_close(found["train"][0], torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(found["test"][0], torch.tensor([[2.0, 0.0]]))


def test_a_model_is_told_first_what_it_does_not_beat():
    baselines = [
        {"name": name, "uar": uar} for name, uar in (("majority", 20.0), ("MLP", 88.0), ("linear probe", 80.0))
    ]
    told = {
        uar: add_baselines({"uar": uar, "uar_ci95": [low, 95.0], "caveats": ["few"]}, baselines)["caveats"]
        for uar, low in ((90.0, 89.0), (90.0 - 1, 79.0), (88.0, 86.0), (70.0, 60.0))
    }
    assert told == {
        90.0: ["few"],
        89.0: [
            "in UAR the model is ahead, by no more than chance may give, of: MLP (88.0 %), linear probe (80.0 %)",
            "few",
        ],
        88.0: ["in UAR the model does not beat: MLP (88.0 %)", "few"],
        70.0: ["in UAR the model does not beat: MLP (88.0 %), linear probe (80.0 %)", "few"],
    }


@pytest.fixture(scope="module")
def parts(material):
    args = ModelArguments(clip_model=str(material.clip), num_frames=NUM_FRAMES, num_context_tokens=2)
    model = build_model(args, list(RAER_LABELS)).eval()
    return model, build_processor(model, PixelSettings()), load_from_disk(material.dataset)


def without_seconds(baselines):
    assert all(baseline.pop("seconds") >= 0 for baseline in baselines)
    return baselines


def test_all_are_measured_on_the_same_clips_and_again_to_the_last_digit(parts, tmp_path):
    model, processor, clips = parts
    state = torch.get_rng_state()
    found = without_seconds(measure_baselines(model, processor, clips))
    assert torch.equal(state, torch.get_rng_state())
    assert [baseline["name"] for baseline in found] == ["majority", "zero-shot", "linear probe", "MLP"]
    assert (found[0]["uar"], found[0]["war"]) == (20.0, 20.0)  # two test clips of each of five labels
    for baseline in found:
        assert baseline["uar_ci95"][0] <= baseline["uar"] <= baseline["uar_ci95"][1]
    cached = cache_clips(model, processor, clips, CacheArguments(cache_frame_embeds=True), tmp_path)
    assert without_seconds(measure_baselines(model, processor, cached)) == found


def test_zero_shot_is_what_its_command_measures(parts, material):
    model, processor, clips = parts
    args = ModelArguments(clip_model=str(material.clip), num_frames=NUM_FRAMES, num_context_tokens=2)
    plain = build_model(args, list(RAER_LABELS), ZeroShotModel).eval()
    answers = score_clips(plain, processor, clips["test"], 4, 0).argmax(dim=1).numpy()
    (_, zero_shot) = measure_baselines(model, processor, clips, training=None)
    assert zero_shot["war"] == pytest.approx(100 * np.mean(answers == np.array(clips["test"]["label"][:])))


def test_an_evaluation_has_probes_where_it_is_told_what_to_train_them_on(parts, material, tmp_path):
    model, processor, _ = parts
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    flags = ("--model", tmp_path / "model", "--dataset", material.dataset, "--num_workers", 0, "--output_dir")
    names = {}
    for name, more in {
        "plain": (),
        "probes": ("--baselines_train_split", "train"),
        "none": ("--no-baselines",),
    }.items():
        assert run_main(evaluate.main, *flags, tmp_path / name, *more) == 0
        names[name] = [rival["name"] for rival in read_object(tmp_path / name / "report.json").get("baselines", [])]
    assert names == {
        "plain": ["majority", "zero-shot"],
        "probes": ["majority", "zero-shot", "linear probe", "MLP"],
        "none": [],
    }


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"split": "train", "baselines_train_split": "train"}, "another to measure"),
        ({"split": "validation", "baselines_train_split": "train"}, "neither of them validation"),
        ({"baselines": False, "baselines_train_split": "train"}, "no effect without `baselines`"),
    ],
)
def test_a_baseline_never_learns_from_what_it_is_measured_on(flags, reason):
    with pytest.raises(InputError, match=reason):
        check_baselines(EvaluationArguments(model="m", dataset="d", output_dir="o", **flags))
