"""Whatever order somebody listed the labels in, a split's numbers mean the labels of the model that reads it."""

import json

import pytest
import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, concatenate_datasets, load_from_disk

from helpers.small_material import run_main
from helpers.small_training import make_trainer
from modeling_clipcaer.commands import evaluate, zero_shot
from modeling_clipcaer.data.clip_labels import align_labels
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.data.loading import load_clips, tell_shared_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.raer_labels import RAER_LABELS


LABELS = list(RAER_LABELS)
BACKWARDS = LABELS[::-1]


@pytest.fixture(scope="module")
def clips(material):
    return load_from_disk(material.dataset)


def as_names(rows):
    """The same clips with the labels' names in place of their numbers."""
    names = [rows.features["label"].names[number] for number in rows["label"]]
    return rows.remove_columns("label").add_column("label", names)


def renumber(rows, labels):
    """The same clips, numbered by another person's list of labels."""
    numbers = [labels.index(name) for name in as_names(rows)["label"]]
    return rows.remove_columns("label").add_column("label", numbers, feature=ClassLabel(names=labels))


def save_mixed(clips, folder, **other):
    DatasetDict({**clips, **other}).save_to_disk(folder)
    return folder


def save_shards(clips, folder):
    folder.mkdir()
    for split, rows in clips.items():
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("change", [lambda rows: renumber(rows, BACKWARDS), as_names], ids=["order", "strings"])
@pytest.mark.parametrize("stored", ["arrow", "parquet"])
def test_every_split_comes_in_the_numbers_of_the_training_split(clips, tmp_path, change, stored):
    mixed = DatasetDict({**clips, "validation": change(clips["validation"]), "test": change(clips["test"])})
    folder = tmp_path / "clips"
    mixed.save_to_disk(folder) if stored == "arrow" else save_shards(mixed, folder)
    for split, rows in load_clips(folder, ("train", "validation", "test")).items():
        assert rows.features["label"].names == LABELS
        assert rows["label"][:] == clips[split]["label"][:] and rows["clip_id"][:] == clips[split]["clip_id"][:]


def test_the_order_of_the_columns_names_is_told_in_one_line(clips, caplog):
    align_labels(renumber(clips["test"], BACKWARDS), LABELS, "data: split `test`", "the checkpoint's")
    assert [record.getMessage() for record in caplog.records] == [
        "data: split `test`: its labels stand in another order than the checkpoint's; they are mapped by name"
    ]
    caplog.clear()
    align_labels(clips["test"], LABELS, "data", "the checkpoint's")
    assert not caplog.records


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([*LABELS[:4], "Boredom"], "lack `Distraction` and have `Boredom`"),
        ([*LABELS, "Boredom"], "but have `Boredom`"),
        (LABELS[:4], "but lack `Distraction`"),
        ([*LABELS, "Boredom"][1:], "lack `Neutrality` and have `Boredom`"),
    ],
)
def test_a_split_with_other_names_is_refused_by_name(clips, tmp_path, labels, message):
    numbers, feature = [min(number, 3) for number in clips["test"]["label"]], ClassLabel(names=labels)
    rows = clips["test"].remove_columns("label").add_column("label", numbers, feature=feature)
    folder = save_mixed(clips, tmp_path / "clips", test=rows)
    with pytest.raises(InputError, match=rf"split `test`: its labels must be those of split `train`, .*{message}"):
        load_clips(folder)


SPELLED = ("\xc4rger", "Freude", "STRASSE")  # in another way: decomposed, in capitals, with the sharp s
VOTES = {"votes": List(Value("int32"))}
OTHERWISE = ["FREUDE", "stra\xdfe", "A\u0308rger"]


@pytest.mark.parametrize("as_text", [False, True], ids=["numbers", "strings"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_names_are_one_in_whatever_spelling(caplog, as_text, streamed):
    feature = Value("string") if as_text else ClassLabel(names=OTHERWISE)
    labels = OTHERWISE if as_text else [0, 1, 2]
    features = Features({"clip_id": Value("string"), "label": feature})
    rows = Dataset.from_dict({"clip_id": ["1", "2", "3"], "label": labels}, features)
    rows = align_labels(rows.to_iterable_dataset() if streamed else rows, SPELLED, "data", "the checkpoint's")
    assert [row["label"] for row in rows] == [1, 2, 0] and rows.features["label"].names == list(SPELLED)
    if not (as_text and streamed):  # whose names come one by one
        assert "spelled in another way than the checkpoint's: " in caplog.text
        assert r"'A\u0308rger' is '\xc4rger'" in caplog.text


def test_plain_numbers_are_left_alone_and_must_be_of_a_label(caplog):
    rows = Dataset.from_dict({"clip_id": ["a", "b"], "label": [2, 0]})
    assert align_labels(rows, SPELLED, "data", "the model's") is rows and not caplog.records
    with pytest.raises(InputError, match=r"^data: 1 labels are none: 3 of clip b, expected 0 to 2$"):
        align_labels(Dataset.from_dict({"clip_id": ["a", "b"], "label": [2, 3]}), SPELLED, "data", "the model's")
    with pytest.raises(InputError, match="1 labels are none: 3 of clip 1, expected 0 to 2"):
        align_labels(Dataset.from_dict({"label": [2, 3]}), SPELLED, "data", "the model's")
    unlabelled = Dataset.from_dict({"label": [None, None]}, Features({"label": Value("int64")}))
    assert align_labels(unlabelled, SPELLED, "data", "the model's") is unlabelled
    without = Dataset.from_dict({"clip_id": ["a"]})
    assert align_labels(without, SPELLED, "data", "the model's") is without


MAPPED = [
    (ClassLabel(names=["a", "B"]), False, True),
    (ClassLabel(names=["b", "a"]), True, False),
    (ClassLabel(names=["B", "a"]), True, True),
    (Value("string"), False, True),
]


@pytest.mark.parametrize(("feature", "order", "spelling"), MAPPED)
def test_what_is_mapped_is_told_by_its_reason_alone(caplog, feature, order, spelling):
    rows = {"clip_id": ["1", "2"], "label": [0, 1] if isinstance(feature, ClassLabel) else ["B", "a"]}
    features = Features({"clip_id": Value("string"), "label": feature})
    align_labels(Dataset.from_dict(rows, features), ["a", "b"], "data", "ours")
    assert [record.getMessage() for record in caplog.records] == [
        *(["data: its labels are spelled in another way than ours: 'B' is 'b'"] if spelling else []),
        *(["data: its labels stand in another order than ours; they are mapped by name"] if order else []),
    ]


def test_votes_go_with_their_labels_and_need_labels_of_numbers():
    rows = Dataset.from_dict(
        {"label": [0, 1], "votes": [[5, 3], [1, 2]]}, Features({"label": ClassLabel(names=["b", "a"])} | VOTES)
    )
    for given in (rows, rows.to_iterable_dataset()):
        found = list(align_labels(given, ["a", "b"], "data", "ours"))
        assert found == [{"label": 1, "votes": [3, 5]}, {"label": 0, "votes": [2, 1]}]
    features = Features({"label": Value("string")} | VOTES)
    texts = Dataset.from_dict({"label": ["a", "b"], "votes": [[5, 3], [1, 2]]}, features)
    with pytest.raises(InputError, match="data: `votes` are in the order of the labels, which a `label` of texts has"):
        align_labels(texts, ["a", "b"], "data", "ours")


@pytest.mark.parametrize(("values", "shown"), [([0, -1], "-1"), ([0, None], "None"), (["Freude", "Wut"], "'Wut'")])
def test_a_streamed_label_that_is_none_is_refused_by_name(values, shown):
    feature = ClassLabel(names=OTHERWISE) if values[0] == 0 else Value("string")
    rows = Dataset.from_dict({"label": values}, Features({"label": feature}))
    rows = align_labels(rows.to_iterable_dataset(), SPELLED, "data", "the model's")
    with pytest.raises(InputError, match=rf"data: {shown} is no label; expected the model's, `\xc4rger`"):
        list(rows)


def test_two_spellings_in_one_split_are_refused():
    rows = Dataset.from_dict({"label": ["Freude", "freude"]})
    with pytest.raises(InputError, match="data: its labels 'Freude' and 'freude' are one name, spelled in two ways"):
        align_labels(rows, SPELLED, "data", "the model's")


def test_a_labels_file_may_spell_the_labels_in_another_way(tmp_path):
    sentences = {name: {"soft": name, "descriptive": f"someone of {name}"} for name in OTHERWISE}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({"labels": sentences}))
    prompts = read_labels_file(str(tmp_path / "labels.yaml"), list(SPELLED))
    assert prompts["label_prompts"] == [["A\u0308rger"], ["FREUDE"], ["stra\xdfe"]]


def test_names_that_no_label_has_numbers_without_names_and_no_label_are_refused(clips, tmp_path):
    def load(name, rows):
        return load_clips(save_mixed(clips, tmp_path / name, test=rows))

    def relabel(label, feature):
        numbers = [label, *clips["test"]["label"][1:]]
        return clips["test"].remove_columns("label").add_column("label", numbers, feature=feature)

    clip = clips["test"][0]["clip_id"]
    names = ["Neutralty", *as_names(clips["test"])["label"][1:]]
    with pytest.raises(InputError, match=r"split `test`: .*but have `Neutralty`"):
        load("misspelt", clips["test"].remove_columns("label").add_column("label", names))
    with pytest.raises(InputError, match="split `test`: `label` has no names"):
        load("numbers", relabel(0, Value("int64")))
    with pytest.raises(InputError, match="split `test`: 1 clips have no label"):
        load("none", relabel(None, ClassLabel(names=LABELS)))
    with pytest.raises(InputError, match=f"1 labels are none: -1 of clip {clip}, expected 0 to 4"):
        load("unlabelled", relabel(-1, ClassLabel(names=LABELS)))


def test_shards_of_one_split_with_two_lists_of_labels_are_refused(clips, tmp_path):
    folder = save_shards(clips, tmp_path / "clips")
    (folder / "test-00000-of-00001.parquet").rename(folder / "test-00000-of-00002.parquet")
    renumber(clips["test"], BACKWARDS).to_parquet(folder / "test-00001-of-00002.parquet")
    with pytest.raises(InputError, match=r"test-00001-of-00002\.parquet: its labels are .*Distraction.*, those of"):
        load_clips(folder)


def test_a_measured_split_holds_a_clip_once(clips, tmp_path):
    twice = concatenate_datasets([clips["test"], clips["test"].select([3])])
    with pytest.raises(InputError, match=rf"split `test` holds clip {clips['test'][3]['clip_id']} 2 times"):
        load_clips(save_mixed(clips, tmp_path / "test", test=twice))
    often = concatenate_datasets([clips["train"], clips["train"].select([3])])  # to learn from it more often
    assert len(load_clips(save_mixed(clips, tmp_path / "train", train=often))["train"]) == 25


def test_splits_that_have_clips_in_common_are_told(clips):
    assert tell_shared_clips(clips) == []
    mixed = DatasetDict({**clips, "train": concatenate_datasets([clips["train"], clips["test"].select([3, 4])])})
    first = min(clips["test"]["clip_id"][3:5])
    assert tell_shared_clips(mixed) == [f"train and test have 2 clips in common, {first} for one"]


# Commands


def read_report(command, folder, *flags):
    assert run_main(command.main, *flags, "--num_workers", 0, "--output_dir", folder) == 0
    report = json.loads((folder / "report.json").read_text())
    for rival in report.get("baselines", []):
        del rival["seconds"]
    return {**report, "dataset": None, "origin": None, "split_protocol": None, "command": None}


@pytest.mark.parametrize("split", ["test", "train"])
def test_an_evaluation_is_the_same_in_any_order_of_the_labels(material, clips, trained, tmp_path, split):
    mixed = save_mixed(clips, tmp_path / "clips", **{split: renumber(clips[split], BACKWARDS)})
    flags = ("--model", trained, "--split", split, "--dataset")
    expected = read_report(evaluate, tmp_path / "expected", *flags, material.dataset)
    assert read_report(evaluate, tmp_path / "found", *flags, mixed) == expected


def test_plain_clip_is_measured_the_same_in_any_order_of_the_labels(material, clips, tmp_path):
    sentences = {label: {"soft": label, "descriptive": f"someone of {label}"} for label in LABELS}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({"labels": sentences}))
    flags = ("--clip_model", material.clip, "--labels_file", tmp_path / "labels.yaml", "--num_frames", 3)
    mixed = save_mixed(clips, tmp_path / "clips", test=renumber(clips["test"], BACKWARDS))
    expected, found = (
        read_report(zero_shot, tmp_path / name, *flags, "--dataset", dataset)
        for name, dataset in (("expected", material.dataset), ("found", mixed))
    )
    assert {label: found["per_class"][label] for label in LABELS} == expected["per_class"]


# The Trainer as a library


def test_the_trainer_reads_every_dataset_in_the_labels_of_its_model(material, clips, tmp_path):
    expected = make_trainer(material, tmp_path).evaluate()
    trainer = make_trainer(material, tmp_path, clips=renumber(clips["train"], BACKWARDS))
    trainer.eval_dataset = renumber(clips["validation"], BACKWARDS)
    assert trainer.class_counts == [8, 5, 4, 4, 3]
    assert trainer.train_dataset["label"][:] == clips["train"]["label"][:]
    for metrics in (trainer.evaluate(), trainer.evaluate(as_names(clips["validation"]))):
        assert {name: metrics[name] for name in ("eval_loss", "eval_uar", "eval_war")} == {
            name: expected[name] for name in ("eval_loss", "eval_uar", "eval_war")
        }
    streamed = trainer.evaluate(renumber(clips["validation"], BACKWARDS).to_iterable_dataset())
    assert streamed["eval_loss"] == expected["eval_loss"]


def test_the_trainer_refuses_a_dataset_of_other_labels(material, clips, tmp_path):
    labels = [*LABELS[:4], "Boredom"]
    feature = ClassLabel(names=labels)
    with pytest.raises(InputError, match=r"the training split: its labels must be the model's, .* have `Boredom`"):
        make_trainer(material, tmp_path, clips=clips["train"].cast_column("label", feature))
    trainer = make_trainer(material, tmp_path)
    with pytest.raises(InputError, match=r"evaluation: its labels must be the model's, .* have `Boredom`"):
        trainer.evaluate(clips["validation"].cast_column("label", feature))
