"""`recipes/train.py`: what a run leaves, how it is selected, killed and resumed, and several processes."""

import json
import shutil
import signal
import time
from contextlib import redirect_stdout

import pytest
import torch
import yaml
from datasets import load_from_disk
from safetensors.torch import load_file

from helpers.places import ROOT
from helpers.small_material import run_main
from helpers.train_command import LAUNCH, QUICK, assert_same_weights, finish, history, start
from modeling_clipcaer.commands import evaluate, train
from modeling_clipcaer.metrics import predict_labels, weighted_average_recall
from modeling_clipcaer.reports.predictions import read_predictions


REPORT_KEYS = {
    *("uar", "war", "macro_f1", "per_class", "confusion_matrix", "labels", "absent_labels", "uar_ci95", "war_ci95"),
    *("ece", "num_clips", "checkpoint", "dataset", "split", "seed", "versions"),
}


SPOIL = ("--epochs", 3, "--lr_milestones", 2, "--lr_gamma", 1e4, "--lr", 3e-3)


@pytest.fixture(scope="module")
def spoilt(material, tmp_path_factory):
    """A run whose third and last epoch wrecks the weights: a learning rate 10,000 times as high."""
    folder = tmp_path_factory.mktemp("spoilt") / "run"
    flags = (*SPOIL, "--load_best_model_at_end")
    with (folder.parent / "told.txt").open("w") as told, redirect_stdout(told):
        assert run_main(train.main, *material.flags, *QUICK, *flags, "--output_dir", folder) == 0
    return folder


def read(path):
    return json.loads(path.read_text())


# What a run tells and leaves


def test_an_epoch_is_told_in_one_line_and_the_best_so_far_has_a_star(spoilt):
    lines = (spoilt.parent / "told.txt").read_text().splitlines()
    place = lines.index("epoch     loss      cls       MI       DC  val UAR      WAR       lr     left")
    rows, best = lines[place + 1 : place + 4], 0.0
    assert not lines[place + 4] and lines[place + 5].startswith("test UAR ") and max(map(len, rows)) <= 80
    logs = history(spoilt)
    losses = [entry for entry in logs if "loss" in entry]
    for row, logged, measured in zip(rows, losses, [entry for entry in logs if "eval_uar" in entry], strict=True):
        assert row.split()[0] == f"{measured['epoch']:g}" and row.split()[1] == f"{logged['loss']:.4f}"
        assert f"  {measured['eval_uar']:.1f} %  " in row and row.endswith("*") == (measured["eval_uar"] > best)
        best = max(best, measured["eval_uar"])
    assert not any("{'" in line for line in lines)


def test_the_checkpoint_with_the_best_validation_uar_is_what_is_left_and_reported(material, spoilt, tmp_path):
    scores = {entry["epoch"]: entry["eval_uar"] for entry in history(spoilt) if "eval_uar" in entry}
    report = read(spoilt / "report.json")
    assert list(scores) == [1, 2, 3] and max(scores, key=scores.get) != 3
    assert report["selected"]["epoch"] == max(scores, key=scores.get)
    assert report["selected"]["validation_uar"] == max(scores.values()) and report["result"] == "selected"
    assert_same_weights(spoilt, spoilt / f"checkpoint-{3 * int(report['selected']['epoch'])}")
    flags = ("--model", spoilt, "--dataset", material.dataset, "--num_workers", 0)
    assert run_main(evaluate.main, *flags, "--output_dir", tmp_path / "test") == 0
    measured = read(tmp_path / "test" / "report.json")
    for folder, name, war in (
        (spoilt, "predictions.parquet", report["war"]),
        (spoilt, "predictions_last.parquet", report["last_epoch"]["war"]),
        (tmp_path / "test", "predictions.parquet", report["war"]),
    ):
        answers = read_predictions(folder / name)
        assert 100 * weighted_average_recall(answers.references, predict_labels(answers.logits)) == pytest.approx(war)
        assert answers.num_frames.tolist() == [3] * 10 and answers.face_shares.tolist() == [1.0] * 10
        assert answers.places == ["Lab"] * 10
    # The evaluation has other baselines: the run trained the tower that it looks through.
    same = measured.keys() - {"baselines", "caveats", "command", "members", "views"}
    assert {name: measured[name] for name in same} == {name: report[name] for name in same}
    assert run_main(evaluate.main, *flags, "--output_dir", tmp_path / "dev", "--split", "validation") == 0
    assert read(tmp_path / "dev" / "report.json")["uar"] == pytest.approx(max(scores.values()))


def test_the_last_epoch_is_what_is_left_and_reported_unless_asked(material, spoilt, tmp_path):
    assert run_main(train.main, *material.flags, *QUICK, *SPOIL, "--output_dir", tmp_path) == 0
    report, other = read(tmp_path / "report.json"), read(spoilt / "report.json")
    assert (report["result"], report["last_epoch"]["epoch"]) == ("last_epoch", 3)
    assert_same_weights(tmp_path, spoilt / "checkpoint-9")
    assert {name: report[name] for name in other["last_epoch"].keys() & report.keys()} == {
        name: value for name, value in other["last_epoch"].items() if name in report
    }
    for name in ("last_epoch", "selected"):
        assert report[name] == other[name]
    assert "the epoch was chosen" not in (tmp_path / "report.md").read_text()
    answers = [(tmp_path, "predictions_selected.parquet"), (spoilt, "predictions.parquet")]
    answers += [(tmp_path, "predictions.parquet"), (spoilt, "predictions_last.parquet")]
    logits = [read_predictions(folder / name).logits for folder, name in answers]
    assert (logits[0] == logits[1]).all() and (logits[2] == logits[3]).all() and (logits[0] != logits[2]).any()


def test_the_report_has_every_promised_key(material, spoilt):
    report = read(spoilt / "report.json")
    assert report.keys() >= REPORT_KEYS
    assert report["num_clips"] == 10 and report["split"] == "test" and report["seed"] == 42
    assert (report["checkpoint"], report["dataset"]) == (spoilt.name, material.dataset.name)  # for others to read
    assert report["training_clips"] == dict(zip(report["labels"], [8, 5, 4, 4, 3], strict=True))
    assert sum(report["class_priors"].values()) == pytest.approx(1)
    by_person = {"uar_ci95_by_person", "war_ci95_by_person"}
    figures = {"uar", "war", "macro_f1", "uar_ci95", "war_ci95", "ece"} | by_person
    for name in ("last_epoch", "selected"):
        assert report[name].keys() == {"epoch", "validation_uar", "validation_war"} | figures


def test_the_report_says_how_little_it_rests_on(spoilt):
    report, page, card = read(spoilt / "report.json"), (spoilt / "report.md").read_text(), (spoilt / "README.md")
    two = dict.fromkeys(report["labels"], 2)
    assert report["split_clips"] == {"train": report["training_clips"], "validation": two, "test": two}
    # With two clips of each of five labels one of them moves a recall by 50 points, and UAR by a fifth of that.
    few = "has few clips of: " + ", ".join(f"{label} 2" for label in report["labels"])
    assert report["caveats"][-1:] == [f"test {few}; one clip moves UAR by up to 10.0 points"]
    assert report["training_caveats"][1:] == [
        f"validation {few}; one clip moves UAR by up to 10.0 points",
        "the epoch was chosen by these 10 validation clips",
    ]
    assert report["calibration"] is None and report["calibration_fit"]["reason"].startswith("10 clips are too few")
    for sentence in [*report["caveats"], *report["training_caveats"], report["calibration_fit"]["reason"]]:
        assert sentence in page and sentence in card.read_text()
    assert read(spoilt / "config.json")["calibration_temperature"] is None


def test_the_baselines_are_beside_the_result_unless_they_are_switched_off(material, spoilt, tmp_path):
    report, card = read(spoilt / "report.json"), (spoilt / "README.md").read_text()
    assert [rival["name"] for rival in report["baselines"]] == ["majority", "zero-shot", "linear probe", "MLP"]
    beaten = [rival for rival in report["baselines"] if rival["uar"] >= report["uar"]]
    first = report["caveats"][0]
    assert first.startswith("in UAR the model ") and ("does not beat" in first) == bool(beaten)
    assert first in (spoilt / "report.md").read_text() and first in card
    assert f"Baselines on the same clips, UAR: majority {report['baselines'][0]['uar']:.1f} %, zero-shot" in card
    flags = (*material.flags, *QUICK, "--max_steps", 1, "--no-baselines", "--output_dir", tmp_path)
    assert run_main(train.main, *flags) == 0
    assert (
        "baselines" not in read(tmp_path / "report.json") and "Baselines" not in (tmp_path / "README.md").read_text()
    )


def test_a_run_leaves_checkpoint_report_plots_card_and_flags(spoilt):
    names = {path.name for path in spoilt.iterdir()}
    assert names >= {
        *("model.safetensors", "config.json", "modeling_clipcaer.py", "report.json", "report.md", "README.md"),
        *("confusion_matrix.csv", "confusion_matrix.png", "training_curves.png", "reliability.png", "run.yaml"),
    }
    assert not [name for name in names if name.startswith(".")]
    for name in ("predictions.parquet", "predictions_last.parquet"):
        assert read_predictions(spoilt / name).person_ids == ["SelfStudy/Lab/P002"] * 10
    card = (spoilt / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["pipeline_tag"] == "video-classification" and "clipcaer" in header["tags"]
    assert f"{read(spoilt / 'report.json')['uar']:.1f}" in card and "prohibits" in card


def test_the_runs_flags_as_a_file_make_the_same_weights(spoilt, tmp_path):
    assert run_main(train.main, "--config", spoilt / "run.yaml", "--output_dir", tmp_path / "again") == 0
    assert_same_weights(spoilt, tmp_path / "again")
    flags = yaml.safe_load((spoilt / "run.yaml").read_text())
    again = yaml.safe_load((tmp_path / "again" / "run.yaml").read_text())
    assert again == {**flags, "output_dir": str(tmp_path / "again")}


def test_a_run_without_validation_ends_with_its_last_weights(material, tmp_path):
    flags = (*material.flags, *QUICK, "--eval_strategy", "no", "--max_steps", 2, "--output_dir", tmp_path)
    assert run_main(train.main, *flags) == 0
    assert_same_weights(tmp_path, tmp_path / "checkpoint-2")
    assert read(tmp_path / "report.json")["selected"]["validation_uar"] is None


@pytest.mark.parametrize(
    "recipe",
    ["raer_clipcaer", "raer_advanced", "raer_reference", "raer_best", "raer_fork_best", "raer_b16", "raer_l14"],
)
def test_a_preset_trains_on_a_small_clip(material, tmp_path, recipe):
    flags = ("--config", ROOT / "recipes" / f"{recipe}.yaml", *material.flags, *QUICK, "--max_steps", 2)
    assert run_main(train.main, *flags, "--num_context_tokens", 2, "--output_dir", tmp_path) == 0


def test_raers_own_files_are_built_and_trained_on(material, tmp_path):
    own = material.raer / "annotation"
    flags = ("--clip_model", material.clip, *material.flags[4:], *QUICK, "--max_steps", 1, "--output_dir", tmp_path)
    files = ("--root-dir", material.raer, "--train-annotation", own / "train.txt", "--val-annotation")
    boxes = ("--bounding-box-face", material.raer / "bounding_box" / "face.json")
    assert run_main(train.main, *flags, *files, own / "validation.txt", *boxes) == 0
    assert {split: len(rows) for split, rows in load_from_disk(tmp_path / "dataset").items()} == {
        **{"train": 24, "validation": 10, "test": 10}
    }


# Resuming


def test_the_test_split_is_read_after_training_alone_and_a_run_goes_on_from_there(material, tmp_path, capsys):
    """With unreadable test frames a run trains to its end; once they are mended it has only the test to do."""
    shutil.copytree(material.raer / "images", tmp_path / "images")
    clips = load_from_disk(material.dataset)
    clips = clips.map(lambda row: {"frame_dir": row["frame_dir"].replace(str(material.raer), str(tmp_path))})
    clips.save_to_disk(tmp_path / "dataset")
    for row in clips["test"]:
        shutil.rmtree(row["frame_dir"])
    flags = (
        *material.flags,
        *QUICK,
        "--epochs",
        2,
        "--dataset",
        tmp_path / "dataset",
        "--output_dir",
        tmp_path / "run",
    )
    assert run_main(train.main, *flags) == 2
    assert clips["test"][0]["clip_id"] in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint-3", "checkpoint-6"}
    shutil.copytree(material.raer / "images", tmp_path / "images", dirs_exist_ok=True)
    assert run_main(train.main, *flags, "--resume_from_checkpoint", "last") == 0
    assert read(tmp_path / "run" / "report.json")["num_clips"] == 10


def test_half_a_checkpoint_is_not_resumed_from(material, tmp_path):
    flags = (*material.flags, *QUICK, "--epochs", 2, "--eval_strategy", "no", "--output_dir", tmp_path)
    assert run_main(train.main, *flags) == 0
    (tmp_path / "report.json").unlink()
    (tmp_path / "checkpoint-6" / "trainer_state.json").write_text('{"global_step"')
    (tmp_path / "checkpoint-6" / "optimizer.pt").unlink()
    whole = tmp_path / "whole"
    whole.mkdir()
    shutil.copy(tmp_path / "model.safetensors", whole)
    assert run_main(train.main, *flags, "--resume_from_checkpoint", "last") == 0
    assert_same_weights(tmp_path, whole)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights_to_the_last_bit(material, tmp_path):
    flags = (
        *(*material.flags, *QUICK, "--epochs", 6, "--weighted_sampler", "--temporal_dropout", 0.3),
        *("--dataloader_num_workers", 2, "--rotation_degrees", 10, "--color_jitter", 0.2),
        *("--eval_strategy", "steps", "--eval_steps", 6, "--save_strategy", "steps", "--save_steps", 2),
    )
    killed = start("recipes/train.py", *flags, "--output_dir", tmp_path / "killed")
    while killed.poll() is None and not (tmp_path / "killed" / "checkpoint-8" / "trainer_state.json").exists():
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    output = killed.communicate()[0].decode()
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "killed" / "report.json").exists(), output
    assert run_main(train.main, *flags, "--output_dir", tmp_path / "whole") == 0
    flags += ("--output_dir", tmp_path / "killed", "--resume_from_checkpoint", "last")
    assert run_main(train.main, *flags) == 0
    assert_same_weights(tmp_path / "killed" / "checkpoint-18", tmp_path / "whole" / "checkpoint-18")
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")
    for name in ("uar", "war", "selected", "confusion_matrix"):
        assert read(tmp_path / "killed" / "report.json")[name] == read(tmp_path / "whole" / "report.json")[name]


# Processes


@pytest.mark.slow
def test_bad_input_to_the_process_is_one_line_and_status_2(material, tmp_path):
    output = finish(start("recipes/train.py", *material.flags, "--mi_los_weight", 1), status=2)
    assert output == "error: unknown argument --mi_los_weight; did you mean --mi-loss-weight?\n"
    assert not (ROOT / "trainer_output").exists()


@pytest.fixture(scope="module")
def two(material, tmp_path_factory):
    """Flags of a run without dropout and augmentation, and its folder as made by two processes of 4 clips each."""
    folder = tmp_path_factory.mktemp("two") / "run"
    flags = (
        *(*material.flags, *QUICK, "--epochs", 2, "--weighted_sampler", "--class_balanced_loss", "--optim", "sgd"),
        *("--temporal_dropout", 0, "--flip_prob", 0, "--rotation_degrees", 0, "--lr_scheduler_type", "constant"),
        *("--logging_strategy", "steps", "--logging_steps", 1, "--eval_strategy", "steps", "--eval_steps", 2),
        *("--save_strategy", "steps", "--save_steps", 2, "--save_total_limit", 10, "--dataloader_drop_last", "true"),
    )
    output = finish(start(*LAUNCH, "recipes/train.py", *flags, "--batch-size", 4, "--output_dir", folder))
    assert output.count("test UAR") == 1  # by one of the processes
    return flags, folder


@pytest.mark.slow
def test_two_processes_log_what_one_logs_with_twice_the_batch(two, tmp_path):
    flags, folder = two
    assert run_main(train.main, *flags, "--batch-size", 8, "--output_dir", tmp_path) == 0
    pairs = list(zip(history(folder), history(tmp_path), strict=True))
    assert len(pairs) == 9  # six steps, three evaluations
    for several, one in pairs:
        names = [
            name for name in one if name.startswith(("loss", "lr/", "grad_norm", "eval_uar", "eval_war", "eval_loss"))
        ]
        assert {"loss_classification", "loss_mi", "loss_dc", "lr/base"} <= set(names) or {
            "eval_uar",
            "eval_loss",
            "eval_loss_classification",
        } <= set(names)
        assert {name: several[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-4)
    reports = [read(path / "report.json") for path in (folder, tmp_path)]
    assert reports[0]["confusion_matrix"] == reports[1]["confusion_matrix"]


@pytest.mark.slow
def test_two_processes_resume_to_the_same_weights_to_the_last_bit(two, tmp_path):
    flags, folder = two
    flags += ("--batch-size", 4, "--resume_from_checkpoint", folder / "checkpoint-2", "--output_dir", tmp_path)
    finish(start(*LAUNCH, "recipes/train.py", *flags))
    assert_same_weights(tmp_path / "checkpoint-6", folder / "checkpoint-6")


@pytest.mark.slow
def test_one_process_goes_on_as_two_did_with_twice_the_batch_and_with_no_other(two, tmp_path, capsys):
    flags, folder = two
    resume = ("--resume_from_checkpoint", folder / "checkpoint-2", "--output_dir", tmp_path / "one")
    assert run_main(train.main, *flags, "--batch-size", 4, *resume) == 2
    assert "2 x 4 x 1 = 8, now 1 x 4 x 1 = 4, which makes other steps" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
    assert run_main(train.main, *flags, "--batch-size", 8, *resume) == 0
    expected, resumed = (load_file(path / "checkpoint-6" / "model.safetensors") for path in (folder, tmp_path / "one"))
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)
    reports = [read(path / "report.json") for path in (folder, tmp_path / "one")]
    assert reports[0]["confusion_matrix"] == reports[1]["confusion_matrix"]


@pytest.mark.slow
def test_two_processes_evaluate_to_the_same_report_as_one(material, spoilt, tmp_path):
    """Ten clips in batches of three: two processes are given some of them twice."""
    flags = ("--model", spoilt, "--dataset", material.dataset, "--num_workers", 0, "--batch_size", 3, "--output_dir")
    finish(start(*LAUNCH, "recipes/evaluate.py", *flags, tmp_path / "two"))
    assert run_main(evaluate.main, *flags, tmp_path / "one") == 0
    two, one = (read(tmp_path / name / "report.json") for name in ("two", "one"))
    for report in (two, one):
        assert all(rival.pop("seconds") >= 0 for rival in report["baselines"])
        assert report.pop("command").startswith("clipcaer evaluate --model")
    assert two == one
