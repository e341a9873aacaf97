import csv
import json
import os

import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.reports.evaluation import (
    build_report,
    complete_file,
    plot_training_curves,
    render_report,
    tell_result,
    write_report,
)
from modeling_clipcaer.reports.plots import Curve, _panels, draw_reliability
from modeling_clipcaer.reports.reliability import read_reliability


CONTRACT_KEYS = {
    *("uar", "war", "macro_f1", "per_class", "confusion_matrix", "labels", "absent_labels", "uar_ci95", "war_ci95"),
    *("ece", "num_clips", "checkpoint", "dataset", "split", "seed", "versions"),
}
# Neutrality 3 of 4, Enjoyment 1 of 2, Confusion 0 of 1; one of them is taken for Fatigue; no Distraction
REFERENCES = [0, 0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 0, 1, 1, 3, 0]
# A prediction of logit log 12 beside four of 0 has the probability 12 / 16 = 0.75
LOGITS = np.log(12) * np.eye(5)[PREDICTIONS]


def report_of(logits=LOGITS, references=REFERENCES, labels=RAER_LABELS):
    return build_report(logits, references, labels, checkpoint="out/best", dataset="data", split="test", seed=3)


def test_the_report_has_the_keys_of_the_contract_and_figures_in_percent_by_hand():
    report = report_of()
    assert set(report) >= CONTRACT_KEYS
    assert report["uar"] == pytest.approx(100 * (3 / 4 + 1 / 2 + 0) / 3, rel=1e-6)
    assert report["war"] == pytest.approx(400 / 7, rel=1e-6)
    # F1: Neutrality 3 of 4 predictions 3/4, Enjoyment 1 of 2 predictions 1/2, Confusion 0
    assert report["macro_f1"] == pytest.approx(100 * (3 / 4 + 1 / 2) / 3, rel=1e-6)
    assert report["ece"] == pytest.approx(0.75 - 4 / 7, abs=1e-4)
    assert report["confusion_matrix"][0] == [3, 1, 0, 0, 0] and report["num_clips"] == 7
    assert report["labels"] == list(RAER_LABELS)
    assert report["absent_labels"] == ["Fatigue", "Distraction"]
    for name in ("uar", "war"):
        low, high = report[f"{name}_ci95"]
        assert 0 <= low < report[name] < high <= 100
    assert [report[key] for key in ("checkpoint", "dataset", "split", "seed")] == ["out/best", "data", "test", 3]
    assert set(report["versions"]) >= {"python", "torch", "transformers", "clipcaer"}


def test_the_protocol_of_the_splits_is_named_where_it_is_known():
    known = build_report(
        LOGITS,
        REFERENCES,
        RAER_LABELS,
        checkpoint="m",
        dataset="d",
        split="test",
        seed=3,
        split_protocol="kfold 2 of 5",
    )
    assert known["split_protocol"] == "kfold 2 of 5" and "- split_protocol: `kfold 2 of 5`" in render_report(known)
    assert report_of()["split_protocol"] is None and "split_protocol" not in render_report(report_of())


def test_scores_that_divide_by_zero_are_null_in_the_report():
    scores = report_of()["per_class"]
    assert scores["Enjoyment"] == {"recall": 50.0, "precision": 50.0, "f1": 50.0, "support": 2}
    assert scores["Confusion"] == {"recall": 0.0, "precision": None, "f1": 0.0, "support": 1}
    assert scores["Fatigue"] == {"recall": None, "precision": 0.0, "f1": 0.0, "support": 0}
    assert scores["Distraction"] == {"recall": None, "precision": None, "f1": None, "support": 0}


def test_the_majority_baseline_is_what_always_answering_its_label_gives():
    references = np.repeat(np.arange(5), [345, 32, 7, 39, 105])
    report = report_of(np.random.default_rng(0).normal(size=(528, 5)), references)
    expected = {"label": "Neutrality", "uar": 20.0, "war": pytest.approx(65.34, abs=5e-3)}
    assert report["majority_baseline"] == expected


def test_logits_that_differ_in_the_last_bits_write_the_same_file(tmp_path):
    generator = np.random.default_rng(0)
    logits, references = generator.normal(size=(200, 5)).astype(np.float32), generator.integers(0, 5, 200)
    write_report(report_of(logits, references), tmp_path / "one")
    write_report(report_of(logits * np.float32(1 + 1e-7), references), tmp_path / "two")
    for name in ("report.json", "report.md", "confusion_matrix.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_line_that_a_command_ends_with_says_how_much_was_measured():
    report = report_of()
    low, high = report["uar_ci95"]
    line = tell_result(report)
    assert line.startswith(f"test UAR 41.7 % [{low:.1f}, {high:.1f}], WAR 57.1 % [") and line.endswith("on 7 clips")


def test_a_temperature_that_does_not_help_on_the_split_is_told():
    # Ten clips at a confidence of 0.75, eight of them right, are sharpened to 0.9: the error grows from 0.05 to 0.1.
    logits, references = np.log(12) * np.eye(5)[[0] * 10], [0] * 8 + [1] * 2
    sharp = {"checkpoint": "m", "dataset": "d", "split": "test", "seed": 3}
    temperature = np.log(12) / np.log(36)
    report = build_report(logits, references, RAER_LABELS, calibration_temperature=temperature, **sharp)
    assert (report["ece"], report["calibration"]["ece"]) == (0.05, 0.1)
    sentence = "the checkpoint's temperature does not help here: calibration error 10.0 % with it, 5.0 % without"
    assert sentence in report["caveats"] and sentence in render_report(report)
    assert (
        report["caveats"][0]
        == "test has few clips of: Neutrality 8, Enjoyment 2; one clip moves UAR by up to 25.0 points"
    )


def test_logits_that_do_not_fit_the_labels_are_refused():
    with pytest.raises(InputError, match=r"one column for each of the 5 labels, got \(7, 4\)"):
        report_of(LOGITS[:, :4])
    with pytest.raises(InputError, match="reference of clip 0 is 7, expected a whole number from 0 to 4"):
        report_of(references=[7, *REFERENCES[1:]])


def test_write_report_leaves_exactly_its_files_each_readable(tmp_path):
    report = report_of()
    write_report(report, tmp_path / "new" / "folder")
    output = tmp_path / "new" / "folder"
    assert sorted(os.listdir(output)) == [
        *("confusion_matrix.csv", "confusion_matrix.png", "reliability.png", "report.html", "report.json", "report.md")
    ]
    assert json.loads((output / "report.json").read_text()) == report
    with (output / "confusion_matrix.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["reference", *RAER_LABELS]
    assert rows[0] == ["Neutrality", "3", "1", "0", "0", "0"] and len(rows) == 5
    for name in ("confusion_matrix.png", "reliability.png"):
        with Image.open(output / name) as picture:
            assert picture.width > 500 and len(picture.convert("L").getcolors()) > 20


def test_the_page_says_what_a_reader_has_to_know():
    page = render_report(report_of())
    assert "**UAR 41.7 %** [" in page and "**WAR 57.1 %** [" in page
    assert "Always answering Neutrality gives UAR 33.3 %, WAR 57.1 %." in page
    assert "**No clip of: Fatigue, Distraction.**" in page
    assert "| Enjoyment | 50.0 | [5.8, 92.6] | 50.0 | 50.0 | 2 |" in page
    assert "| Distraction | – | – | – | – | 0 |" in page
    assert "| Neutrality | 3 | 1 | 0 | 0 | 0 |" in page
    assert "Art. 5(1)(f)" in page and "no decision about a person" in page


def test_labels_of_ones_own_survive_tables_and_pictures(tmp_path):
    labels = ["$bored$ | tense", "étonné", "x" * 40]
    report = report_of(LOGITS[:, :3] + np.eye(3)[[0, 0, 0, 1, 1, 2, 0]], REFERENCES, labels)
    write_report(report, tmp_path)
    assert "| $bored$ \\| tense | 75.0 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 0


def test_the_reliability_diagram_is_of_the_probabilities_that_are_told(tmp_path):
    # At a temperature of 2 a confidence of 12 / 16 becomes sqrt(12) / (sqrt(12) + 4).
    known = {"checkpoint": "m", "dataset": "d", "split": "test", "seed": 3, "calibration_temperature": 2.0}
    report = build_report(LOGITS, REFERENCES, RAER_LABELS, **known)
    plain, told = report["reliability"], report["calibration"]["reliability"]
    for bins, confidence in ((plain, 0.75), (told, 12**0.5 / (12**0.5 + 4))):
        (place,) = np.flatnonzero(bins["count"])
        assert bins["count"][place] == 7 and bins["confidence"][place] == pytest.approx(confidence, abs=1e-4)
    draw_reliability(report, tmp_path / "told.png")
    draw_reliability(report | {"calibration": None}, tmp_path / "plain.png")
    assert (tmp_path / "told.png").read_bytes() != (tmp_path / "plain.png").read_bytes()
    # The page shows the same: one dot for seven clips, four of them right, and the error of what is told.
    write_report(report, tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    error = 100 * abs(4 / 7 - 12**0.5 / (12**0.5 + 4))
    assert f"Calibration error {error:.1f} %, temperature 2.00 (without {100 * (0.75 - 4 / 7):.1f} %)" in page
    assert f"calibration error {error:.1f} %</span>" in page and page.count("<circle ") == 1
    (found,) = read_reliability(report).bins
    assert found.interval == pytest.approx(beta(4.5, 3.5).ppf([0.025, 0.975]), abs=1e-9)


def test_clips_are_left_unanswered_in_the_order_of_the_probabilities_that_are_told():
    # The first clip is the less sure one at a temperature of 1 (0.73 < 0.83), and the surer one at 4 (0.54 > 0.35).
    logits = np.array([[4.0, 3, -9, -9, -9], [3, 0, 0, 0, 0]])
    known = {"checkpoint": "m", "dataset": "d", "split": "test", "seed": 3}
    for temperature, accuracy in ((None, 0.0), (4.0, 100.0)):
        report = build_report(logits, [0, 1], RAER_LABELS, calibration_temperature=temperature, **known)
        assert report["abstention"]["accuracy_at"]["50"] == accuracy


def test_drawn_clips_are_called_so_before_the_figures_are_believed():
    origin = {"name": "drawn students", "link": None, "is_drawn": True}
    known = {"checkpoint": "m", "dataset": "d", "split": "test", "seed": 3}
    for drawn in (True, False):
        report = build_report(LOGITS, REFERENCES, RAER_LABELS, origin=origin | {"is_drawn": drawn}, **known)
        assert ("say nothing about people" in render_report(report)) == drawn


def test_a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(RuntimeError), complete_file(path) as partial:
        partial.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.md"]


# --- training curves

LOG_HISTORY = [
    {"epoch": 0.5, "step": 5, "loss": 2.0, "loss_ce": 1.5, "loss_mi": 1.0, "lr/base": 1e-2, "lr/image_encoder": 0.0},
    {"epoch": 1.0, "step": 10, "loss": 1.0, "loss_ce": 0.5, "loss_mi": 0.8, "lr/base": 1e-3, "lr/image_encoder": 0.0},
    {"epoch": 1.0, "step": 10, "eval_loss": 1.2, "eval_uar": 60.0, "eval_uar_low": 51.0, "eval_uar_high": 66.0},
    {"epoch": 2.0, "step": 20, "eval_loss": 1.4, "eval_uar": 55.0, "eval_uar_low": 45.0, "eval_uar_high": 62.0},
    {"epoch": 2.0, "step": 20, "train_loss": 1.5, "train_runtime": 9.0},
]


def test_parts_of_the_loss_are_beside_it_mi_apart_and_a_frozen_group_gets_no_curve():
    assert _panels(LOG_HISTORY) == {
        "Loss": [
            Curve("training", [0.5, 1.0], [2.0, 1.0]),
            Curve("training, ce alone", [0.5, 1.0], [1.5, 0.5]),
            Curve("validation", [1.0, 2.0], [1.2, 1.4]),
        ],
        "MI loss (logarithmic)": [Curve("training", [0.5, 1.0], [1.0, 0.8])],
        "Learning rate": [Curve("base", [0.5, 1.0], [1e-2, 1e-3])],
    }


def test_equal_curves_are_drawn_once_under_all_their_names():
    rates = {"lr/base": 1e-2, "lr/prompt_learner": 1e-2, "lr/adapter": 2e-2}
    (curves,) = _panels([{"epoch": epoch, **rates} for epoch in (1.0, 2.0)]).values()
    assert [curve.legend for curve in curves] == ["adapter", "base, prompt learner"]


@pytest.mark.parametrize("log_history", [LOG_HISTORY, LOG_HISTORY[2:3], LOG_HISTORY[-1:], []])
def test_training_curves_are_drawn_from_any_history(log_history, tmp_path):
    plot_training_curves(log_history, tmp_path / "curves.png", selected=1.0)
    assert os.listdir(tmp_path) == ["curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and picture.width > 500
