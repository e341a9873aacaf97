"""Runs on the same clips are compared clip by clip, and groups of clips are told by themselves."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.small_material import run_main
from modeling_clipcaer.commands import compare
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import clips_to_see
from modeling_clipcaer.reports.breakdowns import break_down
from modeling_clipcaer.reports.comparison import METHOD, compare_runs, match_clips, render_comparison, tell_pair
from modeling_clipcaer.reports.predictions import Predictions, write_predictions


LABELS = ["calm", "glad"]


def make_run(answers, references=(0, 0, 0, 1, 1, 1), persons="aabbcc", clips=range(6)) -> Predictions:
    """Answers as logits of 1 and 0."""
    logits = np.eye(2, dtype=np.float32)[list(answers)]
    ids = [f"clip{number}" for number in clips]
    return Predictions(LABELS, ids, list(persons), np.array(references), logits)


FIRST, SECOND = make_run([0, 0, 1, 1, 1, 0]), make_run([0, 0, 0, 1, 1, 1])


def test_a_pair_has_its_differences_by_hand():
    (pair,) = compare_runs([FIRST, SECOND], ["old", "new"])["pairs"]
    assert pair["uar"]["difference"] == pair["war"]["difference"] == pytest.approx(100 / 3, abs=1e-5)
    # Two clips are right in the second alone: two fair coins fall alike every second time.
    assert pair["mcnemar"] == {"only_first": 0, "only_second": 2, "p_value": 0.5}
    assert pair["differing_answers"] == 2 and pair["by"] == "person"
    assert "UAR +33.3 points" in tell_pair(pair, 6)


def test_each_run_has_its_recalls_and_the_pair_the_clips_that_would_tell_them_apart():
    first = make_run([0, 1, 1, 1, 1], references=(0, 0, 0, 0, 1), persons="aabbb", clips=range(5))
    second = make_run([0, 0, 1, 1, 1], references=(0, 0, 0, 0, 1), persons="aabbb", clips=range(5))
    found = compare_runs([first, second], ["old", "new"])
    assert found["runs"] == [
        {"name": "old", "uar": pytest.approx(62.5), "war": pytest.approx(40)},
        {"name": "new", "uar": pytest.approx(75), "war": pytest.approx(60)},
    ]
    assert (found["num_clips"], found["num_persons"], found["labels"], found["seed"]) == (5, 2, LABELS, 42)
    # One clip of five is right in the second alone.
    assert found["pairs"][0]["clips_needed_by_mcnemar"] == clips_to_see(0.2, 0.2)
    mixed = make_run([0, 0, 0, 1, 0], references=(0, 0, 0, 0, 1), persons="aabbb", clips=range(5))
    (pair,) = compare_runs([first, mixed], ["old", "new"])["pairs"]  # two right in the second alone, one in the first
    assert pair["clips_needed_by_mcnemar"] == clips_to_see(0.2, 0.6) != clips_to_see(0.6, 0.2)
    alone = [replace(run, person_ids=["a"] * 5) for run in (first, second)]
    assert compare_runs(alone, ["old", "new"])["pairs"][0]["by"] == "clip"
    unknown = [replace(run, person_ids=[""] * 5) for run in (first, second)]
    assert compare_runs(unknown, ["old", "new"])["num_persons"] is None


def tell(difference, low, high, is_within_noise, needed):
    found = {"difference": difference, "ci95": [low, high], "is_within_noise": is_within_noise, "clips_needed": needed}
    return tell_pair({"first": "old", "second": "new", "uar": found, "war": found}, 1234).split(". ")[0]


def test_a_pair_is_told_in_a_sentence():
    assert tell(3.04, 1, 5, False, 9) == "UAR +3.0 points [+1.0, +5.0]: more than noise, new is better"
    assert tell(-3.06, -5, -1, False, 9) == "UAR -3.1 points [-5.0, -1.0]: more than noise, old is better"
    assert tell(0, -1, 1, True, None) == "UAR +0.0 points [-1.0, +1.0]: no difference at all on these 1234 clips"
    wanted = "about 5,000 clips would be needed to see it, there are 1,234"
    assert tell(1, -1, 3, True, 5000) == f"UAR +1.0 points [-1.0, +3.0]: within noise; if it is real, {wanted}"


def test_the_same_answers_differ_in_nothing():
    (pair,) = compare_runs([FIRST, FIRST], ["old", "again"])["pairs"]
    low, high = pair["uar"]["ci95"]
    assert pair["uar"]["difference"] == 0 and low < 0 < high and pair["uar"]["is_within_noise"]
    assert "no difference at all on these 6 clips" in tell_pair(pair, 6)


def test_figures_have_six_digits():
    found = compare_runs([FIRST, make_run([0, 0, 0, 0, 1, 1])], ["old", "new"])
    assert [run["war"] for run in found["runs"]] == [66.666667, 83.333333]
    (pair,) = found["pairs"]
    assert pair["war"]["difference"] == 16.666667
    assert any(bound == round(bound, 6) != round(bound, 5) for bound in pair["war"]["ci95"])
    rare = make_run([0] * 12, references=[1] * 12, persons="ab" * 6, clips=range(12))
    right = replace(rare, logits=rare.logits[:, ::-1])
    (pair,) = compare_runs([rare, right], ["old", "new"])["pairs"]
    assert pair["mcnemar"]["p_value"] == 0.000488281  # two of 4096: 0.00048828125


def test_the_page_says_what_mcnemars_test_found_and_how_many_clips_it_needs_where_that_can_be_told():
    page = render_comparison(compare_runs([FIRST, SECOND], ["old", "new"]))
    needed = clips_to_see(1 / 3, 1 / 3)
    assert "# 2 runs on the same 6 clips of 3 persons\n\n| run | UAR, % | WAR, % |\n| --- | ---: | ---: |\n" in page
    assert "\n| old | 66.7 | 66.7 |\n| new | 100.0 | 100.0 |\n\n![Differences](comparison.png)\n\n" in page
    assert "\n## new less old\n\n**UAR +33.3 points" in page
    assert (
        "\n\nMcNemar: 0 clips are right in the first alone, 2 in the second alone, p = 0.5. At this rate of "
        f"disagreement the test needs {needed:,} clips to find a WAR so far apart. They answer 2 clips differently."
    ) in page
    assert page.endswith(f"\n\n## How it was measured\n\n{METHOD}\n\n{RESPONSIBLE_USE}\n")
    unknown = [replace(run, person_ids=[""] * 6) for run in (FIRST, FIRST)]
    page = render_comparison(compare_runs(unknown, ["old", "again"]))
    assert page.startswith("# 2 runs on the same 6 clips\n")
    assert "p = 1. They answer 0 clips differently.\n" in page and "disagreement" not in page.split("## How")[0]


def test_clips_in_another_order_are_found_by_their_ids():
    order = [5, 0, 3, 1, 4, 2]
    ids, persons = ([values[place] for place in order] for values in (SECOND.clip_ids, SECOND.person_ids))
    moved = Predictions(LABELS, ids, persons, SECOND.references[order], SECOND.logits[order])
    (_, found), left_out = match_clips([FIRST, moved], ["old", "new"])
    assert left_out == 0 and found.clip_ids == FIRST.clip_ids and np.array_equal(found.logits, SECOND.logits)


OTHER_CLIPS = make_run([0, 0, 1, 1, 1, 1], references=(0, 0, 1, 1, 1, 1), clips=range(1, 7))


@pytest.mark.parametrize(
    "other, message",
    [
        (replace(SECOND, labels=["glad", "calm"]), "must have the same labels in the same order: old has calm, glad"),
        (
            make_run([0] * 6, references=(0, 0, 1, 1, 1, 1)),
            "1 clips have another true label in new than in old: clip2",
        ),
        (OTHER_CLIPS, "--common-only compares on the 5 clips that all have"),
        (make_run([0] * 6, clips=range(10, 16)), "no clip is answered by all runs"),
        (make_run([0] * 6, clips=[0, 0, 1, 2, 3, 4]), "new: 1 clips occur twice"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        match_clips([FIRST, other], ["old", "new"])


def test_common_clips_are_compared_where_that_is_asked_for():
    (first, second), left_out = match_clips([FIRST, OTHER_CLIPS], ["old", "new"], common_only=True)
    assert left_out == 2 and first.clip_ids == second.clip_ids == [f"clip{number}" for number in range(1, 6)]


def test_the_command_writes_a_table_a_plot_and_the_clips_that_differ(tmp_path, capsys):
    for name, run in (("old", FIRST), ("new", SECOND)):
        (tmp_path / name).mkdir()
        write_predictions(run, tmp_path / name / "predictions.parquet")
    output = tmp_path / "out"
    assert run_main(compare.main, tmp_path / "old", tmp_path / "new", "--output_dir", output) == 0
    assert "new less old: UAR +33.3 points" in capsys.readouterr().out
    with (output / "disagreements.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["clip2", "b", "calm", "glad", "calm"], ["clip5", "c", "glad", "calm", "glad"]]
    found = json.loads((output / "comparison.json").read_text())
    assert [run["name"] for run in found["runs"]] == ["old", "new"] and "clipcaer" in found["versions"]
    assert (output / "comparison.png").stat().st_size > 0 and "# 2 runs on the same 6 clips" in (
        output / "comparison.md"
    ).read_text(encoding="utf-8")
    assert run_main(compare.main, tmp_path / "old", "--output_dir", output) == 2
    assert "expected two runs or more" in capsys.readouterr().err


def test_groups_of_clips_are_told_by_themselves():
    answers = replace(
        FIRST,
        places=["Hall", "Hall", "Lab", "Lab", "Lab", ""],
        num_frames=np.array([8, 8, 12, 16, 16, 16]),
        face_shares=np.array([1.0, 1.0, 0.5, 0.0, 1.0, 1.0]),
    )
    found = break_down(answers, seed=0)
    figures = {
        name: {row["group"]: (row["num_clips"], row["num_persons"], row["war"]) for row in rows}
        for name, rows in found.items()
    }
    half, third = pytest.approx(50), pytest.approx(200 / 3, abs=1e-5)
    assert figures["by_person"] == {"a": (2, 1, 100), "b": (2, 1, half), "c": (2, 1, half)}
    assert figures["by_place"] == {"Hall": (2, 1, 100), "Lab": (3, 2, third), "not known": (1, 1, 0)}
    assert figures["by_length"] == {"8 frames": (2, 1, 100), "12 to 16 frames": (4, 2, half)}
    assert figures["by_boxes"]["face found in every frame"] == (4, 2, 75)
    assert all(row["is_small"] for row in found["by_place"])
