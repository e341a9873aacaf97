"""Training splits that are harder than they are listed, and the label files that are controls."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.places import ROOT
from helpers.small_material import TRAIN_COUNTS, make_material
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.data.layouts.raer import Settings, build_dataset
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.regimes import describe_regime, harden
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


LABELS = ("calm", "glad", "lost")
COUNTS = {"train": (20, 12, 8), "validation": (3, 3, 3), "test": (4, 4, 4)}
SPLITS = {
    split: [
        SourceClip(f"/{split}/{number}/{clip}", f"{split}/{number}/{clip}", number, "list:1")
        for number, count in enumerate(counts)
        for clip in range(count)
    ]
    for split, counts in COUNTS.items()
}


def count(clips):
    return Counter(clip.label for clip in clips)


def test_without_a_wish_the_splits_are_the_same():
    assert harden(SPLITS, LABELS, BuildSettings()) == SPLITS and describe_regime(BuildSettings()) == ""


def test_few_clips_are_kept_of_every_label_and_others_by_another_seed():
    found = [harden(SPLITS, LABELS, BuildSettings(clips_per_label=4, seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] and found[0]["train"] != found[2]["train"]
    assert count(found[0]["train"]) == {0: 4, 1: 4, 2: 4} and set(found[0]["train"]) < set(SPLITS["train"])
    assert (found[0]["validation"], found[0]["test"]) == (SPLITS["validation"], SPLITS["test"])


def test_an_unseen_label_is_left_in_the_test_split_alone():
    found = harden(SPLITS, LABELS, BuildSettings(unseen_label="glad", clips_per_label=2))
    assert count(found["train"]) == {0: 2, 2: 2} and count(found["validation"]) == {0: 3, 2: 3}
    assert found["test"] == SPLITS["test"]


def test_just_so_many_labels_are_wrong_in_training_and_none_elsewhere():
    found = harden(SPLITS, LABELS, BuildSettings(label_noise=0.3))
    wrong = [new for new, old in zip(found["train"], SPLITS["train"], strict=True) if new.label != old.label]
    assert len(wrong) == 12  # three in ten of forty
    assert [replace(clip, label=0) for clip in found["train"]] == [replace(clip, label=0) for clip in SPLITS["train"]]
    assert (found["validation"], found["test"]) == (SPLITS["validation"], SPLITS["test"])
    unseen = harden(SPLITS, LABELS, BuildSettings(label_noise=0.9, unseen_label="glad"))
    assert set(count(unseen["train"])) == {0, 2}  # no wrong label is one that training must not have


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"clips_per_label": 9}, "training has 8 clips of lost"),
        ({"unseen_label": "bored"}, "expected one of calm, glad, lost"),
    ],
)
def test_what_the_clips_do_not_allow_is_refused_by_name(flags, reason):
    with pytest.raises(InputError, match=reason):
        harden(SPLITS, LABELS, BuildSettings(**flags))


def test_a_number_out_of_range_is_refused_before_anything_is_read():
    with pytest.raises(InputError, match=r"`label_noise` must lie in \[0, 1\), got 1"):
        Settings(root="nowhere", label_noise=1)


def test_a_build_keeps_what_is_asked_for_and_says_so(tmp_path_factory, tmp_path):
    raer = make_material(tmp_path_factory.getbasetemp()).raer
    lists = {"val_annotation": str(raer / "annotation" / "validation.txt")}
    record = build_dataset(raer, tmp_path / "few", clips_per_label=2, unseen_label="Fatigue", **lists)
    assert record["split"]["name"] == "official, validation list, no Fatigue in training, 2 training clips a label"
    clips = load_clips(tmp_path / "few")
    assert Counter(clips["train"]["label"][:]) == {0: 2, 1: 2, 2: 2, 4: 2} and min(TRAIN_COUNTS) >= 2
    assert Counter(clips["test"]["label"][:]) == dict.fromkeys(range(5), 2)


def read(name: str) -> dict[str, tuple]:
    entries = read_label_entries(str(Path(ROOT, "recipes", f"demo_{name}labels.yaml")))
    return {label: (entry["soft"], *sorted(entry["descriptive"])) for label, entry in entries.items()}


def test_no_label_has_its_own_sentences_in_a_control():
    texts, wrong, shuffled, nonsense = map(read, ("", "wrong_", "shuffled_", "nonsense_"))
    assert list(texts) == list(wrong) == list(shuffled) == list(nonsense)
    assert sorted(wrong.values()) == sorted(texts.values())
    assert sorted(sum(shuffled.values(), ())) == sorted(sum(texts.values(), ()))
    assert all(shuffled[label] != texts[label] != wrong[label] for label in texts)
    assert not set(sum(nonsense.values(), ())) & set(sum(texts.values(), ()))
