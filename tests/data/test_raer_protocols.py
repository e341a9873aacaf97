import json
from dataclasses import replace

import pytest
from datasets import load_from_disk

from helpers.listed_clips import make_clip, make_listed, raer_like_clips
from helpers.raer_tree import make_tree
from modeling_clipcaer.commands.build import load_layout, read_flags
from modeling_clipcaer.data.layouts.raer import Settings, build_dataset
from modeling_clipcaer.data.loading import read_split_protocol
from modeling_clipcaer.data.protocols import cut_by_protocol, name_protocol
from modeling_clipcaer.data.source_clips import settle_persons
from modeling_clipcaer.errors import InputError


CLIPS = raer_like_clips(num_persons=60)
LISTS = {"train": CLIPS[::2], "test": CLIPS[1::2]}


def persons(clips):
    return {clip.person_id for clip in clips}


def ids(clips):
    return {clip.clip_id for clip in clips}


def split(lists=LISTS, **options):
    settings = Settings(root=".", **options)
    clips = [replace(clip, split=name) for name, clips in lists.items() for clip in clips]
    return cut_by_protocol(settle_persons(clips, settings.find_person)[0], settings)


def place_name(clip):
    return Settings(root=".").find_place(clip)


def is_disjoint(splits):
    parts = [persons(clips) for clips in splits.values()]
    return sum(map(len, parts)) == len(set.union(*parts))


def test_official_keeps_the_test_list_and_cuts_validation_from_training():
    splits = split()
    assert [clip.clip_id for clip in splits["test"]] == [clip.clip_id for clip in LISTS["test"]]
    assert ids(splits["train"]) | ids(splits["validation"]) == ids(LISTS["train"])
    assert len(splits["train"]) + len(splits["validation"]) == len(LISTS["train"])
    assert persons(splits["train"]) & persons(splits["validation"])  # cut by clip
    by_person = split(val_split="person")
    assert not persons(by_person["train"]) & persons(by_person["validation"])
    assert ids(by_person["test"]) == ids(LISTS["test"])


@pytest.mark.parametrize(
    "options",
    [{"split": "person"}, {"split": "kfold", "folds": 4, "fold": 2}, {"split": "person", "test_share": 0.4}],
)
def test_by_person_nobody_is_in_two_splits_and_no_clip_is_lost(options):
    splits = split(**options)
    assert list(splits) == ["train", "validation", "test"] and is_disjoint(splits)
    assert set.union(*map(ids, splits.values())) == ids(CLIPS)
    wanted = options.get("test_share", 0.2 if options["split"] == "person" else 0.25)
    assert len(splits["test"]) == pytest.approx(wanted * len(CLIPS), rel=0.15)
    rare = [sum(clip.label == 2 for clip in clips) for clips in splits.values()]
    assert rare[2] == pytest.approx(30 * wanted, abs=3) and min(rare) >= 1


def test_every_clip_is_tested_in_exactly_one_fold():
    tested = [ids(split(split="kfold", folds=5, fold=fold)["test"]) for fold in range(1, 6)]
    assert set.union(*tested) == ids(CLIPS) and sum(map(len, tested)) == len(CLIPS)
    assert max(map(len, tested)) < 1.2 * min(map(len, tested))


def test_a_cut_depends_on_the_seed_and_not_on_the_lists_it_came_in():
    options = {"split": "kfold", "folds": 3, "fold": 1}
    swapped = {"train": LISTS["test"][::-1], "test": LISTS["train"]}
    assert ids(split(**options)["test"]) == ids(split(swapped, **options)["test"])
    assert ids(split(**options)["test"]) != ids(split(**options, seed=1)["test"])


def in_places(*places):
    clips = [make_clip(person, label * 10 + person, label) for person in range(8) for label in range(5)]
    renamed = [replace(clip, name=clip.name.replace("Library", place)) for place in places for clip in clips]
    return {"train": renamed[::2], "test": renamed[1::2]}


def test_a_place_left_out_is_the_test_split_and_nothing_else_is():
    splits = split(in_places("Library", "Classroom", "Lab"), split="leave-one-place-out", place="Classroom")
    assert {place_name(clip) for clip in splits["test"]} == {"Classroom"}
    assert {place_name(clip) for part in ("train", "validation") for clip in splits[part]} == {"Library", "Lab"}
    assert is_disjoint(splits) and len(splits["test"]) == 40


@pytest.mark.parametrize(
    ("places", "place", "message"),
    [
        (
            ("Library", "Lab"),
            "Kitchen",
            r"'Kitchen': no clip .* one of: Lab \(40 clips\), Library \(40 clips\)",
        ),
        (("Library",), "Library", "all 40 clips were taken there"),
    ],
)
def test_a_place_that_cannot_be_left_out_is_refused(places, place, message):
    with pytest.raises(InputError, match=message):
        split(in_places(*places), split="leave-one-place-out", place=place)


def test_other_layouts_name_person_and_place_by_patterns():
    settings = Settings(root=".", person_pattern=r"/subject(?P<person>\d+)/", place_pattern=r"images/([^/]+)/")
    clip = make_listed("images/hall/subject07/a", 0, "train.txt:1")
    assert (settings.find_person(clip), settings.find_place(clip)) == ("07", "hall")
    with pytest.raises(InputError, match=r"train.txt:9: --person-pattern .* finds no person in 'images/hall/x/a'"):
        settings.find_person(make_listed("images/hall/x/a", 0, "train.txt:9"))
    for pattern, message in (("[", "no regular expression"), ("/x/", "expected a group")):
        with pytest.raises(InputError, match=f"--person-pattern .*{message}"):
            Settings(root=".", person_pattern=pattern)


def test_clips_of_one_name_of_a_pattern_are_one_person():
    names = ["images/a/x_s1_0/c", "images/b/y_s1_1/c", "images/a/x_s2_0/c", "images/a/x_s3_0/c", "images/a/x_s4_0/c"]
    clips = [make_listed(f"{name}{label}", label, f"train.txt:{label}") for name in names for label in range(2)]
    lists, pattern = {"train": clips, "test": []}, r"_s(\d+)_"
    assert is_disjoint(split(lists, split="person", test_share=0.3, person_pattern=pattern))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "kfold"}, "expected --fold with a number from 1 to 5"),
        ({"split": "kfold", "fold": 6}, "expected --fold with a number from 1 to 5"),
        ({"split": "leave-one-place-out"}, "expected --place"),
        ({"split": "random"}, "expected one of official, person, kfold, leave-one-place-out"),
        ({"first_label": 2}, "`first_label` is '2', expected one of 0, 1"),
    ],
)
def test_protocols_that_say_too_little_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Settings(root=".", **options)


@pytest.mark.parametrize("flags", [["--fold", "1"], ["--split", "person", "--folds", "3"], ["--place", "Library"]])
def test_a_flag_of_another_protocol_is_refused(flags):
    with pytest.raises(InputError, match="has no effect with --split"):
        read_flags(load_layout("raer"), ["--root", "a", "--output", "b", *flags])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "official, validation by clip, seed 42"),
        ({"val_annotation": "val.txt"}, "official, validation list"),
        ({"split": "person", "seed": 3}, "person, test share 0.2, seed 3"),
        ({"split": "kfold", "fold": 2}, "kfold 2 of 5 by person, seed 42"),
        ({"split": "leave-one-place-out", "place": "Library"}, "leave-one-place-out Library, seed 42"),
    ],
)
def test_the_protocol_has_a_name(options, name):
    assert name_protocol(Settings(root=".", **options)) == name


def test_the_protocol_is_stored_with_the_dataset_and_read_for_reports(tmp_path):
    tree = make_tree(tmp_path)
    build_dataset(tree.raer, tmp_path / "out", split="leave-one-place-out", place="Library")
    name = "leave-one-place-out Library, seed 42"
    assert read_split_protocol(tmp_path / "out") == name
    rows = load_from_disk(tmp_path / "out")
    assert all(name in rows[part].info.description for part in rows)
    record = json.loads((tmp_path / "out" / "build.json").read_text())["split"]
    assert record["protocol"] == "leave-one-place-out" and record["places"]["test"] == {"Library": 5}
    assert record["persons"] == {"train": 3, "validation": 1, "test": 1}
    assert read_split_protocol(tmp_path) is None
