"""A dataset elsewhere gives the clips, the order and the training that it gives from disk, to the last bit."""

import json
import shutil
from pathlib import Path

import datasets
import pytest
import torch
from datasets import Dataset, DatasetDict, Video, load_from_disk
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from helpers.miniatures import write_clip
from helpers.small_material import run_main
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import parquet, train
from modeling_clipcaer.data import fetching
from modeling_clipcaer.data.data_collator import ClipCaerCollator
from modeling_clipcaer.data.fetching import PLACE
from modeling_clipcaer.data.loading import load_clips, read_origin, read_split_protocol
from modeling_clipcaer.data.parquet import shards as parquet_shards
from modeling_clipcaer.data.streamed import is_streamed
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.run_comparison import fingerprint_clips


SPLITS = ("train", "validation", "test")
QUICK = ("--dataloader_num_workers", 0, "--disable_tqdm", "true", "--epochs", 1, "--no_baselines")
STEPS = ("--save_strategy", "steps", "--save_steps", 2, "--eval_strategy", "steps", "--eval_steps", 2)


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path, monkeypatch):
    """Where `datasets` puts what it reads of files."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow-cache")


@pytest.fixture(scope="module")
def shards(material, tmp_path_factory):
    """The dataset as shards of several groups, with the bytes of its frames."""
    output = tmp_path_factory.mktemp("elsewhere") / "shards"
    words = ("--embed", "frames", "--i-may-share-these-images", "--shard-size", "40KB")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_shards, "GROUP_BYTES", 20_000)
        assert run_main(parquet.main, material.dataset, "--output", output, *words) == 0
    assert len(list(output.glob("train-*"))) > 1
    return output


def make_batches(rows, mode="train", num_workers=0):
    """The clips in an order that mixes shards and groups, in batches."""
    collator = ClipCaerCollator(ClipCaerVideoProcessor(num_frames=3, image_size=32), mode, seed=3)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
    return list(DataLoader(rows, 4, sampler=order, collate_fn=collator, num_workers=num_workers))


def assert_same_batches(found, expected, **how):
    for left, right in zip(make_batches(found, **how), make_batches(expected), strict=True):
        assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in right)


def test_clips_elsewhere_are_those_on_disk_to_the_last_bit_in_any_process(material, shards):
    place = shards.as_uri()
    found, expected = load_clips(place, SPLITS), load_clips(material.dataset, SPLITS)
    for split in SPLITS:
        assert found[split]["clip_id"][:] == expected[split]["clip_id"][:]
        assert found[split].features["label"] == expected[split].features["label"]
        assert fingerprint_clips(found[split]) == fingerprint_clips(expected[split])
    for workers in (0, 2):
        assert_same_batches(found["train"], expected["train"], num_workers=workers)
    assert read_split_protocol(place) == read_split_protocol(material.dataset)
    assert read_origin(place) == read_origin(material.dataset)


def test_labels_in_another_order_are_mapped_by_name_as_on_disk(material, shards):
    labels = load_clips(material.dataset)["train"].features["label"].names[::-1]
    found, expected = (load_clips(place, ("test",), labels)["test"] for place in (shards.as_uri(), material.dataset))
    assert found["label"][:] == expected["label"][:] and found.features["label"].names == labels
    assert_same_batches(found, expected)


def test_pictures_are_fetched_when_they_are_wanted_and_what_is_gone_is_one_line(shards, tmp_path):
    copy = shutil.copytree(shards, tmp_path / "copy")
    rows = load_clips(copy.as_uri(), ("train",))["train"]
    assert rows.data.nbytes < 20_000  # of 200 kB
    shutil.rmtree(copy)
    assert len(rows["label"][:]) == 24 and rows[0]["frames"] is None
    with pytest.raises(InputError, match=r"^clip images/\S+: file://\S+/train-\S+.parquet: cannot be fetched \("):
        make_batches(rows)


def test_neighbours_of_a_group_are_fetched_once(shards, monkeypatch):
    fetching._read_pictures.cache_clear()
    rows = load_clips(shards.as_uri(), ("test",))["test"]
    groups = {(row["address"], row["group"]) for row in rows[PLACE][:]}
    asked, open_shard = [], fetching.open_shard
    monkeypatch.setattr(fetching, "open_shard", lambda *words: asked.append(words) or open_shard(*words))
    for row in rows:
        fetching.fetch_pictures(row)
    fetched = [words for words in asked if len(words) == 2]
    assert len(fetched) == len(groups) < len(rows)


@pytest.mark.slow
def test_training_goes_on_elsewhere_in_the_middle_of_an_epoch_to_the_same_weights(material, shards, tmp_path):
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    assert run_main(train.main, *material.flags, *QUICK, *STEPS, "--output_dir", whole) == 0
    shutil.copytree(whole / "checkpoint-2", moved / "checkpoint-2")  # of three steps an epoch
    words = ("--dataset", shards.as_uri(), "--resume_from_checkpoint", "last", "--output_dir", moved)
    assert run_main(train.main, *material.flags, *QUICK, *STEPS, *words) == 0
    left, right = (load_file(folder / "model.safetensors") for folder in (whole, moved))
    assert all(torch.equal(left[name], right[name]) for name in left | right)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (whole, moved)]
    assert reports[0]["clips"] == reports[1]["clips"] and reports[0]["uar"] == reports[1]["uar"]


# `datasets`' own videos


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos with a table of their labels for each split, as people put them on the Hub, and the same clips as rows
    that name files of this machine."""
    folder, rows = tmp_path_factory.mktemp("videos") / "set", {}
    for split in SPLITS:
        paths = [write_clip(folder / split / f"{number}.mp4") for number in range(4)]
        lines = [
            {"file_name": path.name, "label": "ab"[place % 2], "person_id": "P"} for place, path in enumerate(paths)
        ]
        (folder / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
        rows[split] = Dataset.from_list(
            [
                {"clip_id": str(n), "video": str(path), "first_frame": 0, "num_frames": 5, "label": "ab"[n % 2]}
                | {"face_boxes": [], "body_boxes": []}
                for n, path in enumerate(paths)
            ]
        ).class_encode_column("label")
    return folder, rows


def as_column(folder, rows):
    """The same clips with a column of videos that holds their bytes."""
    listed = {
        split: {"video": [{"path": Path(path).name, "bytes": Path(path).read_bytes()} for path in part["video"]]}
        | {"label": part["label"][:]}
        for split, part in rows.items()
    }
    features = datasets.Features({"video": Video(), "label": rows["train"].features["label"]})
    return DatasetDict({split: Dataset.from_dict(columns, features=features) for split, columns in listed.items()})


@pytest.mark.parametrize("form", ["table", "saved", "shards"])
def test_a_column_of_videos_is_read_by_our_own_decoder_from_wherever_it_is(videos, tmp_path, caplog, form):
    folder, expected = videos
    place = tmp_path / "set"
    if form == "table":
        place = folder
    elif form == "saved":
        as_column(*videos).save_to_disk(place)
    else:
        (place / "data").mkdir(parents=True)
        for split, rows in as_column(*videos).items():
            rows.to_parquet(place / "data" / f"{split}-00000-of-00001.parquet")
    found = load_clips(place, SPLITS)
    for split in SPLITS:
        assert found[split].features["label"].names == ["a", "b"]
        assert found[split]["label"][:] == expected[split]["label"][:]
        assert len({*found[split]["clip_id"]}) == 4 and not [x for x in found[split]["clip_id"] if x.startswith("/")]
        rows = expected[split].remove_columns("clip_id").add_column("clip_id", found[split]["clip_id"][:])
        assert_same_batches(found[split], rows)
    assert "split `train` has no `face_boxes`: the whole frame is taken" in caplog.text
    assert load_clips(place, ("test",))["test"]["clip_id"][:] == found["test"]["clip_id"][:]


# What is refused


def test_no_dataset_brings_places_to_fetch_from(material, shards, tmp_path):
    clips = load_from_disk(material.dataset)
    place = {"address": "hf://datasets/them/secret/x.mp4", "group": None, "row": None}
    hostile = {split: rows.add_column(PLACE, [place] * len(rows)) for split, rows in clips.items()}
    DatasetDict(hostile).save_to_disk(tmp_path / "saved")
    (tmp_path / "laid" / "data").mkdir(parents=True)
    (tmp_path / "flat").mkdir()
    for split, rows in hostile.items():
        for folder in (tmp_path / "laid" / "data", tmp_path / "flat"):
            rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    for name in ("saved", "laid", "flat", (tmp_path / "flat").as_uri()):
        with pytest.raises(InputError, match=f"has a column `{PLACE}`, which no dataset may bring"):
            load_clips(tmp_path / name if "://" not in name else name)


def test_a_list_of_files_in_the_place_of_a_videos_bytes_is_refused(videos, tmp_path):
    rows = as_column(*videos)["test"].cast_column("video", Video(decode=False))
    lists = [{"path": "a.mp4", "bytes": b"ffconcat version 1.0\nfile /etc/hostname\n"}] * len(rows)
    rows = rows.remove_columns("video").add_column("video", lists, feature=Video(decode=False))
    DatasetDict(test=rows).save_to_disk(tmp_path / "set")
    with pytest.raises(InputError, match=r"clip test/0: a\.mp4: expected a video, found a list of other files"):
        make_batches(load_clips(tmp_path / "set")["test"].select([0]))


def test_a_split_that_is_not_there_and_another_kind_of_dataset_are_said(shards, tmp_path):
    with pytest.raises(InputError, match="has no split `dev`; it has train, validation, test"):
        load_clips(shards.as_uri(), ("dev",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no split `train`; it has none"):
        load_clips((tmp_path / "empty").as_uri(), ("train",))


def test_the_hub_is_asked_for_what_is_spelt_as_an_id_outside_of_folders_here_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "own").mkdir(parents=True)
    elsewhere = ("me/clips", "hf://datasets/me/clips", "s3://bucket/clips", "file:///x")
    here = ("data/own", "data/owm", "/me/clips", "clips", "./me/clips", "me/clips/x", tmp_path)
    assert all(map(is_streamed, elsewhere)) and not any(map(is_streamed, here))
    with pytest.raises(InputError, match="me/clips: there is no such folder, and the Hub gives no such dataset"):
        load_clips("me/clips")  # HF_HUB_OFFLINE
