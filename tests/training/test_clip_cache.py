import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict, load_from_disk
from datasets.arrow_writer import ArrowWriter

from helpers.places import ROOT
from helpers.small_material import NUM_FRAMES, run_main
from helpers.small_training import logged, make_trainer
from helpers.tiny import CLIP, tiny_model
from helpers.train_command import LAUNCH, QUICK, assert_same_weights, finish, history, start
from modeling_clipcaer import ClipCaerCollator, ClipCaerTrainingArguments, ClipCaerVideoProcessor
from modeling_clipcaer.commands.train import main as train_main
from modeling_clipcaer.data.cached_clips import CachedEmbedsCollator, ClipCutter, find_collator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.training.clip_cache import _EmbedsKeeper, _Plan, cache_clips, check_cache_arguments
from modeling_clipcaer.training.settings import CacheArguments


FROZEN = tuple("0" if word == "1e-3" else word for word in QUICK)


@pytest.fixture(scope="module")
def clips(material, tmp_path_factory):
    # Keep: a copy. `map` leaves files beside the dataset, which other tests use.
    return load_from_disk(shutil.copytree(material.dataset, tmp_path_factory.mktemp("clips") / "dataset"))


def make_model(**fields):
    torch.manual_seed(0)
    return tiny_model(num_frames=NUM_FRAMES, **fields)


def make_processor(**settings):
    return ClipCaerVideoProcessor(NUM_FRAMES, image_size=32, **settings)


def cache(clips, folder, model=None, processor=None, tower_dtype="float32", **flags):
    flags = CacheArguments(**flags or {"cache_frame_embeds": True})
    return cache_clips(model or make_model(), processor or make_processor(), clips, flags, folder, 0, tower_dtype)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*.arrow")}


# Equality


@pytest.mark.parametrize("settings", [{}, {"color_jitter": 0.3}, {"frame_sampling": "reference", "num_frames": 2}])
@pytest.mark.parametrize("streams", ["both", "face"])
def test_cached_crops_give_the_batches_of_the_files_to_the_last_bit(clips, tmp_path, settings, streams):
    processor = ClipCaerVideoProcessor(**{"num_frames": NUM_FRAMES, "image_size": 32, **settings})
    model = make_model(streams=streams)
    cached = cache(clips, tmp_path, model, processor, cache_crops=True)
    trainer_side = {"processor": processor, "seed": 3, "streams": streams}
    for split, mode in (("train", "train"), ("train", "eval"), ("test", "eval")):
        expected = ClipCaerCollator(**trainer_side, mode=mode)([clips[split][index] for index in (0, 4, 4, 9)])
        kind = find_collator(cached[split].column_names)
        found = kind(**trainer_side, mode=mode)([cached[split][index] for index in (0, 4, 4, 9)])
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_raters_votes_are_kept_beside_cached_clips(clips, tmp_path):
    votes = [[label, 1, 0, 0, 2] for label in clips["train"]["label"]]
    cached = cache(DatasetDict({"train": clips["train"].add_column("votes", votes)}), tmp_path)["train"]
    assert cached["votes"][:] == votes and find_collator(cached.column_names) is CachedEmbedsCollator


def test_cached_embeddings_give_the_logits_of_the_files(material, clips, tmp_path):
    trainer = make_trainer(material, tmp_path / "run", tower_dtype="float32")
    expected = trainer.predict(clips["test"])
    cached = cache(clips, tmp_path / "cache", trainer.model, trainer.processing_class)
    found = trainer.predict(cached["test"])
    np.testing.assert_allclose(found.predictions, expected.predictions, atol=1e-5)
    assert found.label_ids.tolist() == expected.label_ids.tolist()


def train(material, folder, clips, collator=None, processor=None):
    trainer = make_trainer(
        material, folder, {"temporal_dropout": 0.0}, clips, num_train_epochs=4, optim="sgd", tower_dtype="float32"
    )
    if processor is not None:
        trainer.processing_class = processor
        trainer.train_collator.processor = processor
    if collator is not None:
        trainer.train_collator.__class__ = collator
    trainer.train()
    return logged(trainer, "loss")


def test_without_augmentation_training_on_the_cache_is_training_on_the_files(material, clips, tmp_path):
    plain = make_processor(flip_prob=0, rotation_degrees=0)
    cached = cache(clips, tmp_path / "cache", make_model(temporal_dropout=0.0), plain)
    losses = [train(material, tmp_path / name, rows["train"]) for name, rows in (("a", clips), ("b", cached))]
    assert len(set(losses[0])) > 4
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


class ViewsCollator(CachedEmbedsCollator):
    """Cuts the views from the files in every step, and draws frames and view as the cache's collator does."""

    stream_names = ("pixel_values", "face_pixel_values")
    num_views = 3

    def read_clip(self, row, generator):
        views = ClipCutter(self.processor, self.streams, "train", num_views=self.num_views)([row])
        indices = self._draw_frames({"num_frames": views[0].shape[1]}, generator)
        view = int(torch.randint(self.num_views, (), generator=generator))
        return tuple(pixels[view, indices] for pixels in views)


def test_training_on_cached_views_is_training_on_the_same_views_of_the_files(material, clips, tmp_path):
    processor = make_processor(flip_prob=0.5, rotation_degrees=20)
    cached = cache(
        clips, tmp_path / "cache", make_model(temporal_dropout=0.0), processor, cache_frame_embeds=True, cache_views=3
    )
    on_files = train(material, tmp_path / "a", clips["train"], ViewsCollator, processor)
    on_cache = train(material, tmp_path / "b", cached["train"], None, processor)
    np.testing.assert_allclose(on_cache, on_files, rtol=1e-5)
    one_view = cache(clips, tmp_path / "cache", make_model(temporal_dropout=0.0), processor)
    assert not np.allclose(train(material, tmp_path / "c", one_view["train"], None, processor), on_cache, rtol=1e-5)


def test_the_first_view_is_the_plain_one_and_the_others_differ(clips):
    processor = make_processor(flip_prob=0.5, rotation_degrees=20)
    row = clips["train"][0]
    context, face = ClipCutter(processor, "both", "train", num_views=4)([row])
    plain = processor.process_clip(
        [Path(row["frame_dir"], name) for name in row["frame_names"]], row["face_boxes"], row["body_boxes"]
    )
    assert context.shape == face.shape == (4, NUM_FRAMES, 3, 32, 32)
    assert torch.equal(context[0], plain[0]) and torch.equal(face[0], plain[1])
    assert len({view.numpy().tobytes() for view in face}) == 4


def test_a_grid_keeps_evenly_spaced_frames(clips, tmp_path):
    cached = cache(clips, tmp_path, cache_frame_embeds=True, cache_frames=2)
    assert set(cached["train"]["num_frames"]) == {2} and set(cached["test"]["num_frames"]) == {NUM_FRAMES}
    whole = cache(clips, tmp_path, cache_frame_embeds=True)
    two, three = (
        np.frombuffer(rows["train"][0]["face_embeds"], np.float32).reshape(-1, 24) for rows in (cached, whole)
    )
    np.testing.assert_allclose(two, three[[0, 2]], atol=1e-5)


# What is kept, and what is made anew


def test_a_second_run_makes_nothing(clips, tmp_path, capsys):
    first = cache(clips, tmp_path)
    files = files_of(tmp_path)
    assert "all of it there" not in capsys.readouterr().out
    second = cache(clips, tmp_path)
    assert files_of(tmp_path) == files
    assert ", all of it there: " in capsys.readouterr().out
    assert second["train"][5] == first["train"][5]


def test_the_size_is_announced_to_the_byte_before_anything_is_made(clips, tmp_path, capsys):
    cache(clips, tmp_path, cache_frame_embeds=True, cache_views=2)
    frames = (2 * 24 + 10 + 10) * NUM_FRAMES
    size = f"{frames * 2 * 24 * 4 / 1e3:.1f} kB"
    assert f"frame embeddings of 44 clips, {size}, {size} of it to be made: {tmp_path}" in capsys.readouterr().out


def change_weights(clips):
    model = make_model()
    with torch.no_grad():
        model.model.clip.visual_projection.weight.mul_(1.01)
    return {"model": model}


def change_activation(clips):
    clip_config = {**CLIP, "vision_config": {**CLIP["vision_config"], "hidden_act": "gelu"}}
    return {"model": make_model(clip_config=clip_config)}


def change_boxes(clips):
    move = lambda row: {"body_boxes": [[side + 1 for side in box] for box in row["body_boxes"]]}  # noqa: E731
    return {"clips": clips.map(move)}


@pytest.mark.parametrize(
    "change",
    [
        change_weights,
        change_boxes,
        lambda clips: {"processor": make_processor(face_margin=5)},
        lambda clips: {"cache_frame_embeds": True, "cache_views": 2},
        lambda clips: {"tower_dtype": "bfloat16"},
        change_activation,
    ],
    ids=["weights", "boxes", "pixels", "views", "type", "activation"],
)
def test_any_change_of_what_a_cache_is_made_from_makes_another(clips, tmp_path, change):
    first = cache(clips, tmp_path)
    changed = change(clips)
    second = cache(changed.pop("clips", clips), tmp_path, **changed)
    assert first["train"][3]["face_embeds"] != second["train"][3]["face_embeds"] or (
        first["train"][3]["context_embeds"] != second["train"][3]["context_embeds"]
    )
    assert len(files_of(tmp_path)) > 3
    assert cache(clips, tmp_path)["train"][3] == first["train"][3]


def test_a_change_of_one_frame_makes_its_own_file_anew_and_no_other(clips, tmp_path):
    rows = clips["test"]
    frame = Path(rows[2]["frame_dir"], rows[2]["frame_names"][1])
    original, kept = frame.read_bytes(), frame.stat()
    cache(clips, tmp_path)
    before = files_of(tmp_path)
    try:
        shutil.copy(Path(rows[9]["frame_dir"], rows[9]["frame_names"][0]), frame)
        second = cache(clips, tmp_path)
        assert len(files_of(tmp_path).keys() - before.keys()) == 1
        embeds = np.frombuffer(second["test"][2]["context_embeds"], np.float32).reshape(NUM_FRAMES, -1)
        other = np.frombuffer(second["test"][9]["context_embeds"], np.float32).reshape(NUM_FRAMES, -1)
        np.testing.assert_allclose(embeds[1], other[0], atol=1e-4)
    finally:
        frame.write_bytes(original)
        os.utime(frame, ns=(kept.st_atime_ns, kept.st_mtime_ns))


@pytest.mark.parametrize(
    "flags", [{"cache_crops": True}, {"cache_frame_embeds": True}, {"cache_frame_embeds": True, "cache_views": 2}]
)
def test_what_a_clip_does_not_depend_on_makes_no_other_cache(clips, tmp_path, flags):
    cache(clips, tmp_path, **flags)
    made = set(files_of(tmp_path))
    settings = {"flip_prob": 0.9, "rotation_degrees": 9, "color_jitter": 0.2, "augment_per_stream": True}
    cache(clips, tmp_path, processor=make_processor(**settings), **flags)
    anew = set(files_of(tmp_path)) - made
    views = flags.get("cache_views", 1)
    rows = sum(len(Dataset.from_file(str(path))) for path in anew)
    assert rows == (len(clips["train"]) if views > 1 else 0)  # validation and test are never augmented
    cache(clips, tmp_path, **flags, cache_frames=2)
    rows = sum(len(Dataset.from_file(str(path))) for path in set(files_of(tmp_path)) - made - anew)
    assert rows == len(clips["train"])
    if "cache_crops" in flags:  # crops are kept before they are normalised
        before = set(files_of(tmp_path))
        cache(clips, tmp_path, processor=make_processor(do_normalize=False), **flags)
        assert set(files_of(tmp_path)) == before


def test_without_augmentation_one_view_is_kept_whatever_was_asked_for(clips, tmp_path):
    plain = make_processor(flip_prob=0, rotation_degrees=0)
    cached = cache(clips, tmp_path, processor=plain, cache_frame_embeds=True, cache_views=4)
    assert set(cached["train"]["num_views"]) == {1}
    made = files_of(tmp_path)
    cache(clips, tmp_path, processor=plain, cache_frame_embeds=True)
    assert files_of(tmp_path) == made


def test_embeddings_of_pixels_that_are_not_normalised_are_others(clips, tmp_path):
    first = cache(clips, tmp_path)
    second = cache(clips, tmp_path, processor=make_processor(do_normalize=False))
    assert first["test"][3]["face_embeds"] != second["test"][3]["face_embeds"]


def test_other_labels_need_no_other_cache(clips, tmp_path):
    cache(clips, tmp_path)
    before = files_of(tmp_path)
    relabelled = clips.map(lambda row: {"label": (row["label"] + 1) % 5})
    cached = cache(relabelled, tmp_path)
    assert files_of(tmp_path) == before
    assert cached["train"]["label"] == relabelled["train"]["label"] != clips["train"]["label"]


def test_a_clip_that_cannot_be_read_is_named_and_what_was_made_stays(clips, tmp_path):
    rows = clips["validation"]
    frame = Path(rows[4]["frame_dir"], rows[4]["frame_names"][0])
    original, kept = frame.read_bytes(), frame.stat()
    try:
        frame.write_bytes(original[:200])
        with pytest.raises(InputError, match=f"clip {rows[4]['clip_id']}: .*{frame.name}: cannot be read as an image"):
            cache(clips, tmp_path)
    finally:
        frame.write_bytes(original)
        os.utime(frame, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    made = files_of(tmp_path)
    assert len(made) == 1 and not list(tmp_path.rglob(".partial*"))
    cache(clips, tmp_path)
    assert made.items() <= files_of(tmp_path).items()


def test_a_missing_frame_is_named(clips, tmp_path):
    broken = clips.map(lambda row: {"frame_dir": row["frame_dir"] + "x" * (row["clip_id"].endswith("/102"))})
    with pytest.raises(InputError, match=r"clip images/SelfStudy/Lab/P000/102: .*1.jpg: cannot be read \(No such"):
        cache(broken, tmp_path)
    assert not files_of(tmp_path)


def test_a_disk_without_room_is_refused_before_anything_is_made(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match=r"kB are needed, 0.0 kB are free"):
        cache(clips, tmp_path)
    assert not files_of(tmp_path)


def fill_the_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing_half_written(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(ArrowWriter, "finalize", fill_the_disk)
    with pytest.raises(InputError, match=r"arrow: No space left on device; more is needed than the .* that were free"):
        cache(clips, tmp_path)
    assert not [path for path in tmp_path.rglob("*.arrow") if path.is_file()]


def test_a_folder_that_cannot_be_is_one_line(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/cache: Not a directory"):
        cache(clips, tmp_path / "file" / "cache")
    args = CacheArguments(cache_crops=True, cache_dir=str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="expected a folder to write to"):  # in training before any work
        check_cache_arguments(args, ClipCaerTrainingArguments(str(tmp_path)), use_lora=False)


HOLD = """
import sys
from pathlib import Path

from modeling_clipcaer.training.clip_cache import _hold

with _hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_unless_another_one_writes(clips, tmp_path):
    cache(clips, tmp_path)
    (folder, *_) = {path.parent for path in files_of(tmp_path)}
    (folder / ".partial-1-left.arrow").touch()
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        assert not list(tmp_path.rglob(".partial*"))
        (folder / ".partial-2-its.arrow").touch()
        cache(clips, tmp_path)
        assert len(list(tmp_path.rglob(".partial*"))) == 1
    finally:
        other.kill()
        other.communicate()
    cache(clips, tmp_path)
    assert not list(tmp_path.rglob(".partial*"))


def test_crops_that_a_dataset_holds_are_not_cached_again(clips, tmp_path):
    cropped = cache(clips, tmp_path / "crops", cache_crops=True)
    with pytest.raises(InputError, match="split `train` holds crops, not frames"):
        cache(cropped, tmp_path / "again")


def test_flags_of_loader_processes_do_not_matter_to_embeddings(material, tmp_path):
    flags = ("--dataloader_num_workers", 1, "--dataloader_persistent_workers", "true", "--dataloader_prefetch_factor")
    folders = ("--cache_dir", tmp_path / "cache", "--output_dir", tmp_path / "run")
    assert run_main(train_main, *material.flags, "--max_steps", 1, "--cache_frame_embeds", *flags, 4, *folders) == 0


def test_files_that_another_machine_made_on_its_own_disk_are_told_in_one_line(clips, tmp_path, monkeypatch):
    for name, value in (("num_processes", 2), ("process_index", 1)):
        monkeypatch.setattr(PartialState(), name, value)
    with pytest.raises(InputError, match=r"arrow: another process made it elsewhere; name a --cache-dir that all"):
        cache(clips, tmp_path)


def test_what_is_known_of_a_clip_before_encoding_takes_bytes_not_kilobytes(clips, tmp_path):
    model, processor = make_model(), make_processor()
    rows = clips["train"].select([0] * 1000)  # whose boxes and names alone would be 2 kB each
    keep, cutter = _EmbedsKeeper(model, processor, "float32"), ClipCutter(processor, "both", "train")
    tracemalloc.start()
    _Plan(rows, cutter, keep, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / len(rows) < 600


# Flags


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"cache_frame_embeds": True, "cache_crops": True}, "take one of them"),
        ({"cache_frame_embeds": True, "cache_views": 0}, "at least 1"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, complaint):
    with pytest.raises(InputError, match=complaint):
        CacheArguments(**flags)


@pytest.mark.parametrize(
    ("options", "use_lora", "complaint"),
    [
        ({"lr_image_encoder": 1e-5}, False, "frozen vision tower, `lr_image_encoder` is 1e-05"),
        ({"mixup_alpha": 0.2}, False, "`mixup_alpha` mixes pixels"),
        ({}, True, "frozen vision tower, `use_lora` adapts it"),
    ],
)
def test_embeddings_are_refused_where_they_would_change(tmp_path, options, use_lora, complaint):
    training_args = ClipCaerTrainingArguments(str(tmp_path), **options)
    check_cache_arguments(CacheArguments(cache_crops=True), training_args, use_lora)
    with pytest.raises(InputError, match=complaint):
        check_cache_arguments(CacheArguments(cache_frame_embeds=True), training_args, use_lora)


# Real processes


@pytest.mark.slow
def test_two_processes_share_one_cache_and_log_what_one_logs(material, tmp_path):
    flags = [
        *material.flags,
        *FROZEN,
        "--epochs",
        2,
        "--temporal_dropout",
        0,
        "--optim",
        "sgd",
        "--cache_frame_embeds",
    ]
    flags += ["--cache_dir", tmp_path / "cache", "--tower_dtype", "float32"]
    finish(start(*LAUNCH, "recipes/train.py", *flags, "--batch_size", 4, "--output_dir", tmp_path / "two"))
    files = files_of(tmp_path / "cache")
    finish(start("recipes/train.py", *flags, "--batch_size", 8, "--output_dir", tmp_path / "one"))
    assert files_of(tmp_path / "cache") == files and len(files) == 3
    losses = [[entry["loss"] for entry in history(tmp_path / name) if "loss" in entry] for name in ("one", "two")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.slow
def test_a_killed_encoding_pass_goes_on_and_ends_as_if_never_killed(material, tmp_path):
    flags = [*material.flags, *FROZEN, "--max_steps", 2, "--cache_frame_embeds", "--cache_dir"]
    process = start("recipes/train.py", *flags, tmp_path / "cache", "--output_dir", tmp_path / "killed")
    while not files_of(tmp_path / "cache") and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    made = files_of(tmp_path / "cache")
    finish(start("recipes/train.py", *flags, tmp_path / "cache", "--output_dir", tmp_path / "again"))
    assert made and made.items() <= files_of(tmp_path / "cache").items()
    finish(start("recipes/train.py", *flags, tmp_path / "other", "--output_dir", tmp_path / "whole"))
    contents = [{path.name: path.read_bytes() for path in files_of(tmp_path / name)} for name in ("cache", "other")]
    assert contents[0] == contents[1]
    assert_same_weights(tmp_path / "again", tmp_path / "whole")
