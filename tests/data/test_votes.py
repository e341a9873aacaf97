"""Raters' votes, from the files of a source to a batch, and what the audit says of them."""

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, load_from_disk

from helpers.builders import builder
from helpers.miniatures import CREMAD_LABELS, make_cremad, write_clip, write_table
from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.commands import parquet
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.audit.dataset import audit_dataset
from modeling_clipcaer.data.build import build, plan_build
from modeling_clipcaer.data.clip_labels import align_labels
from modeling_clipcaer.data.layouts import cremad, csv
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.votes import find_favourites, move_votes, order_votes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.run_comparison import compare_clips, fingerprint_clips


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_cremad(tmp_path_factory.mktemp("source") / "CREMA-D")


@pytest.fixture(scope="module")
def built(source):
    """The dataset of CREMA-D's miniature, built once."""
    folder = source.parent / "built"
    build(cremad.find_clips, cremad.Settings(root=str(source)), folder)
    return folder


def name_rows(folder):
    """The rows of a dataset by the beginning of their video's name."""
    clips = load_clips(folder)
    return {row["clip_id"].split("/")[-1][:12]: row for split in clips for row in clips[split]}


def test_a_row_has_the_votes_of_those_who_saw_the_face_in_the_labels_order(built):
    found = name_rows(built)
    assert len(found) == 30 and all(len(row["votes"]) == 6 for row in found.values())
    assert found["1002_IEO_ANG"]["votes"] == [7, 1, 0, 0, 0, 0] and found["1002_IEO_SAD"]["votes"] == [
        1,
        0,
        0,
        0,
        0,
        7,
    ]
    acted = {name: CREMAD_LABELS[row["label"]][:3].upper() for name, row in found.items()}
    assert all(name.endswith(label) for name, label in acted.items())
    assert found["1001_IEO_DIS"]["votes"] == [6, 2, 0, 0, 0, 0]
    assert found["1001_IEO_FEA"]["votes"] == [0, 1, 4, 0, 0, 4]
    assert found["1001_IEO_HAP"]["votes"] == [0] * 6
    assert found["1001_IEO_DIS"]["person_id"] == "1001"


def test_the_label_may_be_what_most_raters_said_and_ties_are_left_out(source):
    found = cremad.find_clips(cremad.Settings(root=str(source), label_from="raters"))
    labels = {clip.name.split("/")[-1][:12]: clip.label for clip in found.clips}
    assert len(labels) == 28 and labels["1001_IEO_DIS"] == "Anger" and labels["1001_IEO_SAD"] == "Sad"
    assert not {"1001_IEO_FEA", "1001_IEO_HAP"} & set(labels)
    assert found.findings == {"videos": 30, "raters_left_out": {"tied": 1, "without votes": 1}}
    assert found.notes == [
        "2 clips without one label that most raters said are left out",
        "30 of CREMA-D's 7442 videos are there",
    ]


def test_votes_may_be_those_of_another_presentation(source):
    found = {whose: cremad.find_clips(cremad.Settings(root=str(source), votes_of=whose)) for whose in ("face", "both")}
    happy = {whose: next(clip for clip in of.clips if "1001_IEO_HAP" in clip.name) for whose, of in found.items()}
    assert happy["face"].votes == {} and list(happy["both"].votes.values()) == [0, 0, 0, 7, 1, 0]


def test_what_is_no_video_and_no_table_is_refused_by_name(run, source, tmp_path):
    (tmp_path / "VideoFlash").mkdir()
    words = ["--root", tmp_path, "--output", tmp_path / "out"]
    (tmp_path / "processedResults").symlink_to(source / "processedResults")
    pointer = tmp_path / "VideoFlash" / "1001_IEO_ANG_HI.flv"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "is a pointer of Git LFS, no video; `git lfs pull`" in run(builder("cremad"), *words)[2]
    pointer.rename(pointer.with_name("holiday.flv"))
    (tmp_path / "VideoFlash" / "holiday.flv").write_bytes(b"FLV")
    assert "holiday.flv: expected a name like 1001_DFA_ANG_XX" in run(builder("cremad"), *words)[2]
    (tmp_path / "processedResults").unlink()
    header = ("", "A", "D", "F", "H", "N", "S", "fileName")
    table = write_table(tmp_path / "processedResults" / "tabulatedVotes.csv", [header, (1, *[0] * 6, "x")])
    assert f"{table}: expected lines that are called 200001" in run(builder("cremad"), *words)[2]
    write_table(table, [header, (200001, "many", *[0] * 5, "x")])
    assert f"{table}:2: field `A` is 'many'; expected a whole number from 0 up" in run(builder("cremad"), *words)[2]


def write_own(folder, votes, names="ab"):
    """A table of six persons' clips of the labels a and b, each with its cells of votes for the labels in `names`."""
    lines = [["video", "start", "label", *(f"votes_{name}" for name in names)]]
    for person in range(6):
        write_clip(folder / f"{person}.mp4")
        lines += [
            [f"{person}.mp4", start, label, *cells] for start, label, cells in zip((0, 0.2), "ab", votes, strict=True)
        ]
    return write_table(folder / "clips.csv", lines)


def plan(folder, **settings):
    """What would be built of the table in `folder`."""
    settings = csv.Settings(csv=str(folder / "clips.csv"), test_share=0.3, val_share=0.3, **settings)
    return plan_build(csv.find_clips(settings), settings)


def test_a_table_may_have_votes_and_names_what_is_none(tmp_path):
    write_own(tmp_path, [(3, 1), ("", "")])
    planned = plan(tmp_path)
    assert "votes" in planned.features
    for clips in planned.splits.values():
        assert {(clip.label, *clip.votes) for clip in clips} == {(0, 3, 1), (1, 0, 0)}
    planned = plan(tmp_path, labels=["b", "a"])
    assert {(clip.label, *clip.votes) for clip in planned.splits["test"]} == {(1, 1, 3), (0, 0, 0)}
    write_own(tmp_path, [(3, -1), (1, 1)])
    with pytest.raises(InputError, match=r"clips\.csv:2: field `votes_b` is '-1'; expected a whole number from 0 up"):
        plan(tmp_path)
    write_own(tmp_path, [(3, 1), (1, 1)], "ac")
    with pytest.raises(InputError, match="votes for 'c', expected some for a, b alone"):
        plan(tmp_path)


def test_counts_go_with_their_labels():
    assert order_votes({"b": 2}, ["a", "b"], "here") == [0, 2]
    assert move_votes([5, 6, 7], [2, 0, 1]) == [6, 7, 5]
    assert find_favourites({"a": 1, "b": 4, "c": 4}) == ["b", "c"] and find_favourites({"a": 0}) == []


@pytest.mark.parametrize("streamed", [False, True])
def test_votes_are_renumbered_with_the_labels(streamed):
    columns = {"clip_id": ["x", "y"], "label": [0, 2], "votes": [[5, 6, 7], [0, 0, 1]]}
    rows = Dataset.from_dict(columns).cast_column("label", ClassLabel(names=["c", "a", "b"]))
    rows = align_labels(rows.to_iterable_dataset() if streamed else rows, ["a", "b", "c"], "there", "ours")
    assert [(row["label"], row["votes"]) for row in rows] == [(2, [6, 7, 5]), (1, [0, 1, 0])]


def test_votes_beside_labels_of_text_have_no_order_and_are_refused():
    rows = Dataset.from_dict({"clip_id": ["x", "y"], "label": ["a", "b"], "votes": [[1, 0], [0, 1]]})
    with pytest.raises(InputError, match="`votes` are in the order of the labels"):
        align_labels(rows, ["a", "b"], "there", "ours")


@pytest.mark.parametrize(
    ("votes", "message"),
    [([1, 2], "`votes` are 2, expected one count for each of 6"), (None, "`votes` are none"), ([-1] * 6, "hold -1")],
)
def test_votes_that_are_none_are_refused_by_their_clip_and_found_by_the_audit(built, tmp_path, votes, message):
    clips = load_from_disk(built)
    spoilt = [votes, *clips["train"]["votes"][1:]]
    feature = clips["train"].features["votes"]
    clips["train"] = clips["train"].remove_columns("votes").add_column("votes", spoilt, feature=feature)
    DatasetDict(clips).save_to_disk(tmp_path / "spoilt")
    with pytest.raises(InputError, match=f"`train`: clip {clips['train'][0]['clip_id']}: .*{message}"):
        load_clips(tmp_path / "spoilt")
    found = [
        finding for finding in audit_dataset(tmp_path / "spoilt")["findings"] if finding["check"] == "broken_votes"
    ]
    assert [(finding["severity"], finding["split"], finding["count"]) for finding in found] == [("error", "train", 1)]


def test_the_audit_sums_votes_up_and_counts_labels_that_raters_doubt(built):
    audit = audit_dataset(built)
    votes = [split["votes_per_clip"] for split in audit["splits"].values()]
    assert min(split["min"] for split in votes) == 0 and max(split["max"] for split in votes) == 9
    assert {split["median"] for split in votes} == {8.0}
    found = {}
    for finding in audit["findings"]:
        found[finding["check"]] = found.get(finding["check"], 0) + finding["count"]
    assert (found["outvoted_labels"], found["no_votes"]) == (1, 1)


def test_votes_are_kept_in_shards(built, tmp_path, monkeypatch):
    known = name_rows(built)
    flags = ["--embed", "none", "--output", str(tmp_path / "shards")]
    monkeypatch.setattr("sys.argv", ["parquet", str(built), *flags])
    assert run_command(parquet.main) == 0
    for part in load_clips(tmp_path / "shards").values():
        assert all(row["votes"] == known[row["clip_id"].split("/")[-1][:12]]["votes"] for row in part)


def test_a_run_does_not_go_on_with_other_votes(built):
    rows = load_from_disk(built)["train"]
    first, *others = rows["votes"]
    changed = rows.remove_columns("votes").add_column("votes", [first[::-1], *others], feature=rows.features["votes"])
    assert compare_clips({"train": fingerprint_clips(rows)}, {"train": fingerprint_clips(rows)}) == []
    (told,) = compare_clips({"train": fingerprint_clips(rows)}, {"train": fingerprint_clips(changed)})
    assert "of other ids, labels, votes or boxes" in told


def test_a_training_batch_has_the_votes_and_one_that_is_measured_has_not(built):
    known = name_rows(built)
    pair, processor = (
        [known["1002_IEO_ANG"], known["1001_IEO_DIS"]],
        ClipCaerVideoProcessor(num_frames=2, image_size=32),
    )
    assert ClipCaerCollator(processor, "train")(pair)["votes"].equal(
        torch.tensor([[7, 1, 0, 0, 0, 0], [6, 2, 0, 0, 0, 0]])
    )
    assert "votes" not in ClipCaerCollator(processor, "eval")(pair)
