import numpy as np
import pytest
from datasets import DatasetDict, concatenate_datasets, load_from_disk

from helpers.small_material import run_main
from modeling_clipcaer.commands.folds import main
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.folds import pool_folds, summarise_seeds
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.reports.predictions import Predictions, read_predictions, write_predictions


def test_folds_are_trained_in_parts_and_pooled_when_all_are_there(material, tmp_path, capsys):
    clips = load_from_disk(material.dataset)
    rows = concatenate_datasets(list(clips.values()))
    names = [f"P{number % 6}" for number in range(len(rows))]
    rows = rows.remove_columns("person_id").add_column("person_id", names)
    DatasetDict(train=rows).save_to_disk(tmp_path / "dataset")
    flags = list(material.flags)
    flags[flags.index("--dataset") + 1] = tmp_path / "dataset"
    flags += ["--epochs", 1, "--folds", 3, "--output_dir", tmp_path / "out", "--cache_frame_embeds"]
    assert run_main(main, *flags, "--fold", 1, 3) == 0
    assert "1 of 3 runs are not there yet" in capsys.readouterr().out
    assert not (tmp_path / "out" / "folds.json").exists()
    assert run_main(main, *flags) == 0
    assert "3 runs in" in (told := capsys.readouterr().out) and "1 of them not finished" in told
    report = read_object(tmp_path / "out" / "folds.json")
    pooled = read_predictions(tmp_path / "out" / "seed-0")
    assert sorted(pooled.clip_ids) == sorted(rows["clip_id"])
    hits = pooled.logits.argmax(axis=1) == pooled.references
    assert report["summary"]["war"]["mean"] == pytest.approx(100 * hits.mean(), abs=1e-5)
    (seed,) = report["per_seed"]
    assert sum(fold["clips"] for fold in seed["per_fold"]) == seed["clips"] == len(rows) and seed["persons"] == 6
    for name in ("uar", "war", "macro_f1"):
        low, high = seed[f"{name}_ci95"]
        assert low <= seed[name] <= high
    assert {"command", "flags", "seeds", "clips", "clip_weights", "versions"} <= report.keys()
    assert "each tested once" in (tmp_path / "out" / "folds.md").read_text()


def test_a_person_who_was_tested_twice_is_refused(tmp_path):
    for fold in ("one", "two"):
        (tmp_path / fold).mkdir()
        answers = Predictions(["a", "b"], [fold], ["P1"], np.array([0]), np.zeros((1, 2), np.float32))
        write_predictions(answers, tmp_path / fold / "predictions.parquet")
    with pytest.raises(InputError, match="person P1 was tested in folds 1 and 2"):
        pool_folds([tmp_path / "one", tmp_path / "two"])


def test_seeds_are_summed_up_by_mean_and_deviation():
    seeds = [{"uar": 50.0, "war": 60.0, "macro_f1": 1.0}, {"uar": 54.0, "war": 60.0, "macro_f1": 2.0}]
    found = summarise_seeds(seeds)
    assert found["uar"] == {"mean": 52.0, "deviation": pytest.approx(8**0.5, abs=1e-6)}
    assert summarise_seeds(seeds[:1])["uar"] == {"mean": 50.0, "deviation": None}
