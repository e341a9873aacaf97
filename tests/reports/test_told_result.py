"""The result of an evaluation as a command tells it."""

from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.reports.told_result import draw_matrix, list_result, tell_epoch


REPORT = {
    "labels": ["Enjoyment", "Fatigue", "Confusion"],
    "confusion_matrix": [[12, 3, 1], [0, 1034, 0], [0, 0, 0]],
    **{"split": "test", "num_clips": 1050, "uar": 87.5, "uar_ci95": [80.04, 90], "war": 99.6, "war_ci95": [99, 100]},
}


def test_the_headline_stands_over_a_small_matrix_whose_diagonal_is_bold():
    lines = list_result(REPORT, "OUT", ["a note"], "zero-shot")
    assert [line.plain for line in lines] == [
        "zero-shot test UAR 87.5 % [80.0, 90.0], WAR 99.6 % [99.0, 100.0] on 1050 clips: OUT/report.md",
        "",
        "true       predicted as",
        "          Enjoyment   Fatigue Confusion  recall",
        "Enjoyment        12         3         1  75.0 %",
        "Fatigue           0      1034         0 100.0 %",
        "Confusion         0         0         0       –",
        "",
        "a note",
    ]
    assert [
        line.plain[span.start : span.end].strip() for line in lines for span in line.spans if span.style == "result"
    ] == [*("zero-shot test UAR 87.5 % [80.0, 90.0], WAR 99.6 % [99.0, 100.0] on 1050 clips", "12", "1034", "0")]


def test_the_labels_of_raer_are_whole_at_80_columns():
    lines = draw_matrix({"labels": RAER_LABELS, "confusion_matrix": [[1000] * 5] * 5})
    assert lines[1].plain.split() == [*RAER_LABELS, "recall"]
    assert max(line.cell_len for line in lines) <= 80


def test_a_matrix_that_fits_no_line_is_left_to_the_report():
    labels = [f"label {number}" for number in range(40)]
    assert draw_matrix({"labels": labels, "confusion_matrix": [[0] * 40] * 40}) == []


def test_the_epoch_of_the_result_is_told_beside_the_other_one():
    epochs = {"last_epoch": {"epoch": 12.0, "uar": 87.8}, "selected": {"epoch": 11.0, "uar": 90.04}}
    assert tell_epoch({"result": "last_epoch", **epochs}) == (
        "The result is that of epoch 12, the last one; "
        "that of epoch 11, the best on the validation split, has UAR 90.0 %."
    )
    same = {"result": "selected", **epochs, "last_epoch": epochs["selected"]}
    assert tell_epoch(same) == "The result is that of epoch 11, the best on the validation split."
