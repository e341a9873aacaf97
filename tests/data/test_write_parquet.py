"""A dataset as parquet shards gives the clips that it gives from disk, read whole, streamed and shared out."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.distributed import split_dataset_by_node
from huggingface_hub import DatasetCard
from PIL import Image
from torch.utils.data import DataLoader

from helpers import videos
from helpers.builders import builder
from helpers.small_material import make_material, run_main
from helpers.small_training import logged, make_trainer
from modeling_clipcaer import ClipCaerTrainer, ClipCaerVideoProcessor
from modeling_clipcaer.commands.parquet import SHARE_FLAG, main
from modeling_clipcaer.data.cached_clips import find_collator
from modeling_clipcaer.data.features import FEATURES
from modeling_clipcaer.data.loading import get_labels, load_clips
from modeling_clipcaer.data.parquet import rows as parquet_rows
from modeling_clipcaer.data.parquet import shards as parquet_shards
from modeling_clipcaer.data.parquet.card import LICENCE, render_dataset_card
from modeling_clipcaer.errors import InputError


COUNTS = {"train": 9, "validation": 3, "test": 4}
TOTAL = 6  # frames of a clip
ALLOWED = ("--embed", "frames", SHARE_FLAG)
PROCESSOR = {"num_frames": 4, "image_size": 32, "face_margin": 2}


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path, monkeypatch):
    """Where `datasets` puts what it reads of the shards."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow-cache")
    # It waits after a stream for threads of Arrow versions before 25.
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Clips of six noisy frames, with a face box for each and one body box, and the record of their build."""
    folder = tmp_path_factory.mktemp("machine") / "dataset"
    rng, splits = np.random.default_rng(0), {}
    for split, count in COUNTS.items():
        splits[split] = Dataset.from_list(
            [make_clip(folder.parent / split / f"{number:03d}", number, rng) for number in range(count)],
            features=FEATURES,
        )
    DatasetDict(splits).save_to_disk(folder)
    record = {
        "split": {"protocol": "official", "seed": 42},
        "sources": {str(folder.parent / "train.txt"): "0a1b"},
        "arguments": {"root": str(folder.parent), "output": "../built/here", "val_share": 0.1},
    }
    (folder / "build.json").write_text(json.dumps(record))
    return folder


def make_clip(folder, number, rng):
    folder.mkdir(parents=True)
    for frame in range(1, TOTAL + 1):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{frame}.jpg", quality=90)
    return {
        "clip_id": f"images/{folder.parent.name}/P{number // 3:03d}/{number:03d}",
        "person_id": f"P{number // 3:03d}",
        "frame_dir": str(folder),
        "frame_names": [f"{frame}.jpg" for frame in range(1, TOTAL + 1)],
        "face_boxes": [[10.0 + frame, 5.0, 40.0, 30.0] for frame in range(TOTAL)],
        "face_box_sources": ["annotated"] * (TOTAL - 1) + ["nearest"],
        "body_boxes": [[2.0, 1.0, 60.0, 47.0]],
        "label": number % 5,
    }


def write(dataset, output, *flags):
    assert run_main(main, dataset, "--output", output, *flags) == 0
    return output


@pytest.fixture(scope="module")
def frames(dataset, tmp_path_factory):
    return write(dataset, tmp_path_factory.mktemp("frames") / "out", *ALLOWED)


@pytest.fixture(scope="module")
def crops(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    ClipCaerVideoProcessor(**PROCESSOR).save_pretrained(folder / "checkpoint")
    flags = ("--embed", "crops", SHARE_FLAG, "--processor", folder / "checkpoint", "--num_proc", 2)
    return write(dataset, folder / "out", *flags)


def make_collator(rows, mode, streams="both", **settings):
    processor = ClipCaerVideoProcessor(**(PROCESSOR | settings))
    return find_collator(rows.column_names)(processor, mode, seed=3, streams=streams)


def assert_same_batches(found, expected, mode, streams="both", **settings):
    places = [0, len(expected) // 2, 0, len(expected) - 1]
    batches = [
        make_collator(rows, mode, streams, **settings)([rows[place] for place in places]) for rows in (found, expected)
    ]
    assert batches[0].keys() == batches[1].keys()
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[1])


def start(*flags):
    """The command in a process of its own, which ends with its status."""
    run = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(run_main(main, *flags)))
    run.start()
    return run


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Written and read back


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_embedded_frames_give_the_batches_of_the_files_to_the_last_bit(dataset, frames, mode):
    found, expected = load_clips(frames, tuple(COUNTS)), load_from_disk(dataset)
    for split in COUNTS:
        assert_same_batches(found[split], expected[split], mode)
    row = found["test"][0]
    assert row["frames"][1] == Path(expected["test"][0]["frame_dir"], "2.jpg").read_bytes()
    same = expected["test"].column_names
    same.remove("frame_dir")
    assert found["test"].select_columns(same)[:] == expected["test"].select_columns(same)[:]


@pytest.mark.parametrize("streams", ["both", "face", "context"])
def test_crops_give_the_batches_of_the_files_to_the_last_bit(dataset, crops, streams):
    found, expected = load_clips(crops, tuple(COUNTS)), load_from_disk(dataset)
    for split, mode in (("train", "train"), ("train", "eval"), ("validation", "eval"), ("test", "eval")):
        assert_same_batches(found[split], expected[split], mode, streams)
    # Training may draw other numbers of frames, and augment as it likes.
    assert_same_batches(found["train"], expected["train"], "train", num_frames=3, rotation_degrees=20)


@pytest.mark.parametrize(("split", "setting"), [("train", {"face_margin": 5}), ("test", {"num_frames": 3})])
def test_crops_of_other_settings_are_refused_at_the_first_batch(crops, split, setting):
    rows = load_clips(crops)[split]
    ((name, value),) = setting.items()
    collate = make_collator(rows, "eval", **setting)
    message = rf"clip images/{split}/P000/000: its crops were cut with `{name}` {PROCESSOR[name]}, expected {value} as"
    with pytest.raises(InputError, match=message):
        collate([rows[0]])


def test_the_settings_of_crops_are_beside_them(crops):
    assert ClipCaerVideoProcessor.from_pretrained(crops).to_dict() == ClipCaerVideoProcessor(**PROCESSOR).to_dict()


def test_without_images_the_rows_and_their_label_names_are_those_on_disk(dataset, tmp_path, capsys):
    output = write(dataset, tmp_path / "out", "--embed", "none")
    assert "must be at the same place" in capsys.readouterr().out
    found, expected = load_clips(output, tuple(COUNTS)), load_from_disk(dataset)
    assert {split: rows[:] for split, rows in found.items()} == {split: rows[:] for split, rows in expected.items()}
    assert found["train"].features == expected["train"].features
    assert get_labels(found) == FEATURES["label"].names


def test_frames_of_a_video_become_files_that_lose_nothing(tmp_path):
    path = videos.write_video(tmp_path / "lesson.mp4", videos.noise(30))
    row = {"clip_id": "a", "video": str(path), "first_frame": 5, "num_frames": 20, "label": 1, "body_boxes": []}
    row["face_boxes"] = [[10.0 + frame, 5.0, 80.0, 90.0] for frame in range(20)]
    clips = DatasetDict({split: Dataset.from_list([row]) for split in ("train", "test")})
    for split in clips:
        clips[split] = clips[split].cast_column("label", FEATURES["label"])
    clips.save_to_disk(tmp_path / "dataset")
    found = load_clips(write(tmp_path / "dataset", tmp_path / "out", *ALLOWED, "--max-frames", 8))
    assert_same_batches(found["test"], clips["test"], "eval", context="frame")
    assert_same_batches(found["test"], clips["test"], "train", frame_order="string")
    kept = found["train"][0]
    assert [int(name[:-4]) - 5 for name in kept["frame_names"]] == [1, 3, 6, 8, 11, 13, 16, 18]
    assert [box[0] - 10 for box in kept["face_boxes"]] == [1, 3, 6, 8, 11, 13, 16, 18]


def test_every_reader_of_datasets_finds_the_splits(frames):
    clips = load_dataset(str(frames))
    assert {split: len(rows) for split, rows in clips.items()} == COUNTS
    assert clips["test"].features["label"].names == FEATURES["label"].names


def test_the_card_and_the_record_tell_the_licence_and_the_split_and_nothing_of_the_machine(dataset, frames, crops):
    for folder in (frames, crops):
        card = (folder / "README.md").read_text()
        assert (
            LICENCE in card
            and (folder / "LICENSE").read_text() == f"{LICENCE}\n"
            and ("the place where it was taken" in card) == (folder == frames)
        )
        assert json.loads((folder / "build.json").read_text()) == {
            "split": {"protocol": "official", "seed": 42},
            "sources": {"train.txt": "0a1b"},
            "arguments": {"val_share": 0.1},
        }
        for path in folder.iterdir():
            assert str(dataset.parent).encode() not in path.read_bytes(), path.name


def test_the_card_s_code_reads_the_shards(frames, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    code = (frames / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    exec(code.replace("THIS_FOLDER", str(frames)), {})
    assert capsys.readouterr().out.splitlines()[-1] == load_clips(str(frames))["train"][0]["clip_id"]


def test_the_hub_reads_the_card_and_a_person_finds_labels_splits_and_columns(dataset, tmp_path):
    drawn = {"name": "drawn students", "link": None, "is_drawn": True}
    splits = {"train": {"num_persons": 3, "frames_per_clip": {"min": 6, "median": 6.0, "max": 6}}}
    record = {"origin": drawn, "splits": splits, "split": {"name": "by hand"}, "shared_persons": {"train/test": 2}}
    counts = {"train": {"a": 1200, "b": 7}, "test": {"a": 2, "b": 0}}
    card = DatasetCard(render_dataset_card(counts, load_from_disk(dataset)["train"].features, record, "out", "crops"))
    assert card.data.license == "apache-2.0" and card.data.size_categories == ["1K<n<10K"]
    assert card.data.to_dict()["pretty_name"] == "drawn students" and "synthetic" in card.data.tags
    for line in (
        "# Drawn students",
        "> **Drawings, not people.** Every clip is drawn by a computer.",
        "| a | 1200 | 2 |",
        "| train | 1,207 | 3 | 6, 6, 6 |",
        "Splits: by hand. Persons in two of them: 2 of train/test.",
        "| `frame_names` | list of string | files of its frames, in order |",
    ):
        assert line in card.text.splitlines(), line
    plain = DatasetCard(render_dataset_card(counts, {}, {}, "out", "none"))
    told = (plain.data.license, plain.data.to_dict()["license_name"], plain.data.to_dict()["license_link"])
    assert told == ("other", "terms-of-the-source", "LICENSE") and "# Out" in plain.text


@pytest.mark.parametrize("embed", ["frames", "crops"])
def test_nothing_that_is_published_of_videos_elsewhere_tells_this_machines_folders(tmp_path, monkeypatch, embed):
    home = tmp_path / "home" / "alice.muster"
    (home / "v").mkdir(parents=True)
    lines = ["video,label,split"]
    for number, (label, split) in enumerate([("a", "train"), ("b", "train"), ("a", "validation"), ("b", "test")]):
        lines.append(f"{videos.write_video(home / 'v' / f'{number}.mp4', videos.noise(6))},{label},{split}")
    (home / "v" / "5.mp4").write_bytes(b"no video")
    lines.append(f"{home / 'v' / '5.mp4'},a,train")
    table = tmp_path / "tables" / "clips.csv"
    table.parent.mkdir()
    table.write_text("\n".join(lines) + "\n")
    flags = ("--csv", table, "--output", home / "dataset", "--skip-unreadable", "--allow-outside-root")
    monkeypatch.setattr(sys, "argv", ["build_csv.py", *map(str, flags)])
    builder("csv").main()
    rows = load_from_disk(home / "dataset")
    assert rows["train"]["clip_id"][:] == rows["train"]["person_id"][:] == ["0.mp4", "1.mp4"]
    write(home / "dataset", tmp_path / "out", "--embed", embed, SHARE_FLAG)
    for path in (tmp_path / "out").iterdir():
        assert b"alice" not in path.read_bytes() and b"tables" not in path.read_bytes(), path.name
        if path.suffix == ".parquet":
            found = pq.read_table(path)
            text = repr(found.schema.metadata) + repr(found.to_pylist())
            assert "alice" not in text and str(tmp_path) not in text, path.name
    assert json.loads((tmp_path / "out" / "build.json").read_text())["unreadable_clips_left_out"] == 1


def test_ids_that_are_paths_are_not_published(dataset, tmp_path, capsys):
    clips = load_from_disk(dataset).map(lambda row: {"person_id": "/home/alice/a.mp4"}, keep_in_memory=True)
    clips.save_to_disk(tmp_path / "old")
    assert run_main(main, tmp_path / "old", "--output", tmp_path / "out", *ALLOWED) == 2
    assert "`person_id` is a path of this machine; build the dataset again" in capsys.readouterr().err


def test_a_pipe_among_the_frames_is_refused(dataset, tmp_path, capsys):
    shutil.copytree(dataset.parent, tmp_path / "copy")
    places = str(dataset.parent), str(tmp_path / "copy")
    clips = load_from_disk(dataset)
    clips.map(lambda row: {"frame_dir": row["frame_dir"].replace(*places)}, keep_in_memory=True).save_to_disk(
        tmp_path / "moved"
    )
    (tmp_path / "copy" / "test" / "001" / "3.jpg").unlink()
    os.mkfifo(tmp_path / "copy" / "test" / "001" / "3.jpg")
    assert run_main(main, tmp_path / "moved", "--output", tmp_path / "out", *ALLOWED) == 2
    assert "3.jpg: expected an image file, found a named pipe" in capsys.readouterr().err


def test_a_record_that_is_published_holds_no_folder_wherever_it_stands(tmp_path):
    places = {"sources": {"/home/mallory/train.txt": "0123"}, "arguments": {"labels": ["C:\\mallory\\a"]}}
    record = {"split": {"name": "by hand", "val_annotation": "/home/mallory/validation.txt"}, **places}
    (tmp_path / "build.json").write_text(json.dumps(record))
    (tmp_path / "out").mkdir()
    told = parquet_shards.publish_record(tmp_path, tmp_path / "out")
    assert told["split"] == {"name": "by hand", "val_annotation": "validation.txt"}
    assert told["sources"] == {"train.txt": "0123"}
    assert "mallory" not in (tmp_path / "out" / "build.json").read_text()


# Shards


def test_shards_are_small_in_groups_that_are_smaller_in_the_order_of_the_split(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_shards, "GROUP_BYTES", 50_000)  # two or three clips
    output = write(dataset, tmp_path / "out", *ALLOWED, "--shard-size", "80KB")
    shards = sorted(output.glob("train-*"))
    total = len(shards)
    assert [path.name for path in shards] == [f"train-{place:05d}-of-{total:05d}.parquet" for place in range(total)]
    assert total > 2
    for path in shards:
        assert path.stat().st_size < 90_000
        file = pq.ParquetFile(path)
        assert all(file.metadata.row_group(number).total_byte_size < 60_000 for number in range(file.num_row_groups))
    assert load_clips(output)["train"]["clip_id"][:] == load_from_disk(dataset)["train"]["clip_id"][:]


def test_the_same_clips_make_the_same_files_with_any_number_of_processes(dataset, frames, tmp_path):
    assert read_files(write(dataset, tmp_path / "out", *ALLOWED, "--num-proc", 2)) == read_files(frames) | {
        "README.md": (tmp_path / "out" / "README.md").read_bytes()
    }


def test_training_clips_are_shuffled_for_readers_that_stream_and_the_others_stay(dataset, tmp_path):
    found = load_clips(write(dataset, tmp_path / "out", "--embed", "none", "--shuffle-seed", 1))
    expected = load_from_disk(dataset)
    shuffled, ordered = found["train"]["clip_id"][:], expected["train"]["clip_id"][:]
    assert shuffled != ordered and sorted(shuffled) == ordered
    assert found["test"]["clip_id"][:] == expected["test"]["clip_id"][:]


# What is refused, and what a kill leaves


@pytest.mark.parametrize("embed", ["frames", "crops"])
def test_images_are_written_by_those_who_may_share_them_alone(dataset, tmp_path, capsys, embed):
    assert run_main(main, dataset, "--output", tmp_path / "new" / "out", "--embed", embed) == 2
    output = capsys.readouterr()
    assert output.out.startswith("Licence: ") and "must not be redistributed" in output.out
    assert output.err == f"error: --embed {embed} writes images of people: {SHARE_FLAG} says that you may share them\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--embed", "none", "--max-frames", 3), "--max-frames has no effect with --embed none"),
        (("--embed", "none", "--processor", "x"), "--processor has no effect with --embed none"),
        (("--embed", "none", "--shard-size", "many"), "--shard-size: 'many', expected a size like 500MB"),
        (("--embed", "none", "--num-proc", 0), "`num_proc` must be at least 1, got 0"),
        (("--embed", "crops", SHARE_FLAG, "--processor", "/no/where"), "/no/where: there is no such folder"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(dataset, tmp_path, capsys, flags, message):
    assert run_main(main, dataset, "--output", tmp_path / "out", *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_anything_else_in_it_is_left_alone(dataset, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert run_main(main, dataset, "--output", tmp_path / "out", "--embed", "none") == 2
    assert "expected a new folder or earlier shards, found thesis.txt" in capsys.readouterr().err
    assert read_files(tmp_path / "out") == {"thesis.txt": b"mine"}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_clip_that_cannot_be_read_leaves_the_earlier_shards_as_they_were(dataset, tmp_path, capfd, processes):
    shutil.copytree(dataset.parent, tmp_path / "copy")
    places = str(dataset.parent), str(tmp_path / "copy")
    clips = load_from_disk(dataset)
    moved = clips.map(lambda row: {"frame_dir": row["frame_dir"].replace(*places)}, keep_in_memory=True)
    moved.save_to_disk(tmp_path / "moved")
    write(tmp_path / "moved", tmp_path / "out", *ALLOWED)
    before = read_files(tmp_path / "out")
    (tmp_path / "copy" / "test" / "001" / "3.jpg").unlink()
    # Keep: apart; the traceback of an error holds a loader's processes until memory is tidied up.
    run = start(tmp_path / "moved", "--output", tmp_path / "out", *ALLOWED, "--num-proc", processes)
    run.join()
    assert run.exitcode == 2
    error = capfd.readouterr().err
    assert re.fullmatch(r"error: clip images/test/P000/001: .*3\.jpg: cannot be read \(No such file.*\)\n", error)
    assert read_files(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "moved", "out"}


def test_a_killed_run_leaves_no_shards_and_is_started_anew(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_shards, "GROUP_BYTES", 1)
    clips = load_from_disk(dataset)
    stuck = tmp_path / "stuck"
    stuck.mkdir()
    Image.new("RGB", (64, 48)).save(stuck / "1.jpg")
    read = parquet_rows._read_file
    monkeypatch.setattr(
        parquet_rows, "_read_file", lambda path: time.sleep(600) if path.parent == stuck else read(path)
    )
    last = clips["test"][3] | {"frame_dir": str(stuck), "frame_names": ["1.jpg"], "face_boxes": []}
    clips["test"] = Dataset.from_list([*clips["test"].select(range(3)), last], features=FEATURES)
    clips.save_to_disk(tmp_path / "dataset")
    run = start(tmp_path / "dataset", "--output", tmp_path / "out", *ALLOWED)
    for _ in range(300):
        if [path for path in tmp_path.glob(".out-building-*/shards/test-*") if path.stat().st_size > 20_000]:
            break
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.join()
    assert list(tmp_path.glob(".out-building-*/shards/train-*")) and not (tmp_path / "out").exists()
    monkeypatch.setattr(parquet_rows, "_read_file", read)
    found = load_clips(write(tmp_path / "dataset", tmp_path / "out", *ALLOWED))
    assert {split: len(rows) for split, rows in found.items()} == COUNTS
    assert not list(tmp_path.glob(".out*"))


def test_a_missing_and_a_torn_shard_are_named(dataset, frames, tmp_path):
    output = write(dataset, tmp_path / "out", *ALLOWED, "--shard-size", "70KB")
    torn = tmp_path / "torn"
    shutil.copytree(output, torn)
    shard = torn / "train-00001-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:30_000])
    with pytest.raises(InputError, match="torn: is a damaged or empty dataset"):
        load_clips(torn)
    (output / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(
        InputError, match=r"expected 3 shards of `train`, but train-00001-of-00003\.parquet is missing"
    ):
        load_clips(output)
    shutil.copy(frames / "train-00000-of-00001.parquet", output)
    with pytest.raises(InputError, match="shards of `train`, but"):
        load_clips(output)


# Streamed


def read_stream(rows, collate, workers=0):
    """Pixels of each clip of `rows` by its name, of batches of two."""
    found = {}

    def keep(batch):
        return [row["clip_id"] for row in batch], collate(batch)

    for names, batch in DataLoader(rows, 2, collate_fn=keep, num_workers=workers):
        for place, name in enumerate(names):
            assert name not in found
            found[name] = [batch[key][place] for key in ("pixel_values", "face_pixel_values", "labels")]
    return found


@pytest.mark.parametrize("shard_size", ["60KB", "500MB"])
@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_that_stream_shuffled_shards_see_every_clip_once(dataset, tmp_path, shard_size, workers):
    output = write(dataset, tmp_path / "out", *ALLOWED, "--shard-size", shard_size)
    expected = load_from_disk(dataset)["train"]
    collate = make_collator(expected, "eval")
    stream = load_dataset("parquet", data_files={"train": str(output / "train-*")}, split="train", streaming=True)
    assert (stream.num_shards > 2) == (shard_size == "60KB")
    shuffled = stream.shuffle(seed=5, buffer_size=4)
    shares = [read_stream(split_dataset_by_node(shuffled, rank, 2), collate, workers) for rank in range(2)]
    assert not shares[0].keys() & shares[1].keys() and abs(len(shares[0]) - len(shares[1])) <= 3
    found = shares[0] | shares[1]
    assert len(found) == COUNTS["train"] and list(found) != expected["clip_id"][:]
    for row in expected:
        for pixels, own in zip(found[row["clip_id"]], collate([row]).values(), strict=True):
            assert torch.equal(pixels, own[0])


def make_stream_trainer(material, folder, stream, settings, **arguments):
    """A trainer like small_training's, of a stream."""
    twin = make_trainer(material, folder, {"temporal_dropout": 0.0}, max_steps=5, **settings)
    return ClipCaerTrainer(
        twin.model, twin.args, train_dataset=stream, processing_class=twin.processing_class, **arguments
    )


def test_training_and_prediction_on_a_stream_are_those_on_the_files(tmp_path_factory, tmp_path):
    material = make_material(tmp_path_factory.getbasetemp())
    output = write(material.dataset, tmp_path / "out", *ALLOWED, "--shard-size", "60KB")
    files = {split: str(output / f"{split}-*") for split in COUNTS}
    stream = load_dataset("parquet", data_files=files, streaming=True)
    clips = load_from_disk(material.dataset)
    settings = {"class_balanced_loss": True, "tower_dtype": "float32", "train_sampling_strategy": "sequential"}
    on_files = make_trainer(material, tmp_path / "a", {"temporal_dropout": 0.0}, max_steps=5, **settings)
    counts = {"class_counts": on_files.class_counts}
    on_stream = make_stream_trainer(material, tmp_path / "b", stream["train"], settings, **counts)
    for trainer in (on_files, on_stream):
        trainer.train()
    losses = logged(on_files, "loss"), logged(on_stream, "loss")
    assert len(losses[1]) == 5 and len(set(losses[1])) == 5  # three batches are an epoch
    np.testing.assert_allclose(losses[1][:3], losses[0][:3], rtol=1e-6)
    expected, found = on_stream.predict(clips["test"]), on_stream.predict(stream["test"])
    np.testing.assert_allclose(found.predictions, expected.predictions, atol=1e-6)
    assert found.label_ids.tolist() == expected.label_ids.tolist()


@pytest.mark.parametrize(
    ("settings", "counts", "message"),
    [
        ({}, None, "`class_counts` must say"),
        ({"weighted_sampler": True}, [2, 2, 2, 2, 1], "`weighted_sampler` draws clips by their number"),
    ],
)
def test_a_stream_is_refused_what_it_cannot_give(tmp_path_factory, frames, tmp_path, settings, counts, message):
    material = make_material(tmp_path_factory.getbasetemp())
    stream = load_dataset("parquet", data_files=str(frames / "train-*"), split="train", streaming=True)
    with pytest.raises(InputError, match=message):
        make_stream_trainer(material, tmp_path, stream, settings, class_counts=counts)
