"""A run goes on from a checkpoint that is whole, as the run that it was, to the same weights; or not at all."""

import dataclasses
import errno
import json
import os
import shutil

import pytest
import torch
import yaml
from datasets import ClassLabel, DatasetDict, load_from_disk
from safetensors.torch import load_file
from transformers import CLIPModel

from helpers.small_material import run_main
from helpers.small_training import logged, make_trainer
from helpers.tiny import tiny_config
from modeling_clipcaer import ClipCaerTrainingArguments, ClipCaerVideoProcessor
from modeling_clipcaer.commands import train
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES
from modeling_clipcaer.training.checkpoints import (
    adopt_best,
    check_whole,
    find_last,
    list_checkpoints,
    read_record,
    remove_old,
    write_record,
)
from modeling_clipcaer.training.resuming import find_resume_checkpoint
from modeling_clipcaer.training.run_comparison import (
    CHANGE_NO_NUMBER,
    CHANGE_ROUNDING,
    OF_LAYOUT,
    PLACES,
    Layout,
    compare_runs,
    describe_model,
    fingerprint_clips,
)


QUICK = ("--dataloader_num_workers", 0, "--disable_tqdm", "true", "--save_total_limit", 5, "--epochs", 2)
LAST = ("--resume_from_checkpoint", "last")
LISTS = {"train": "train", "val": "validation", "test": "test"}
STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


@pytest.fixture(scope="module")
def whole(material, tmp_path_factory):
    """A finished run with both its checkpoints, of steps 3 and 6."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_main(train.main, *material.flags, *QUICK, "--output_dir", folder) == 0
    return folder


@pytest.fixture
def checkpoints(whole, tmp_path):
    """A folder with copies of the run's checkpoints alone, as of a run that was killed."""
    for path in whole.glob("checkpoint-*"):
        shutil.copytree(path, tmp_path / "run" / path.name)
    return tmp_path / "run"


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(left, right):
    left, right = weights_of(left), weights_of(right)
    assert left.keys() == right.keys() and not [name for name in left if not torch.equal(left[name], right[name])]


# Whole checkpoints


def test_a_record_names_every_file_and_no_place_of_this_machine(whole, material):
    for checkpoint in whole.glob("checkpoint-*"):
        record = check_whole(checkpoint)
        names = {path.name for path in checkpoint.iterdir()} - {"resume.json"}
        assert set(record["files"]) == names >= {*STATES, "model.safetensors", "trainer_state.json", "config.json"}
        assert record["step"] == int(checkpoint.name.partition("-")[2])
        text = (checkpoint / "resume.json").read_text()
        assert str(material.dataset.parent) not in text and str(whole) not in text


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*STATES, "model.safetensors", "trainer_state.json", "config.json"])
def test_the_latest_whole_checkpoint_is_found_and_what_was_passed_over_is_named(checkpoints, name, damage):
    assert find_last(checkpoints) == (checkpoints / "checkpoint-6", [])
    DAMAGES[damage](checkpoints / "checkpoint-6" / name)
    found, passed_over = find_last(checkpoints)
    assert found == checkpoints / "checkpoint-3"
    (words,) = passed_over
    assert words.startswith(f"{checkpoints}/checkpoint-6/{name}: is ") and "\n" not in words


@pytest.mark.parametrize(
    "content", [None, b"", b'{"format_version": 1', b"[]", b"[" * 100_000, b'{"format_version": 2}']
)
def test_a_checkpoint_without_a_record_that_can_be_read_is_passed_over(checkpoints, content):
    record = checkpoints / "checkpoint-6" / "resume.json"
    record.unlink() if content is None else record.write_bytes(content)
    found, (words,) = find_last(checkpoints)
    assert found == checkpoints / "checkpoint-3" and "resume.json" in words and "\n" not in words


@pytest.mark.parametrize("changed", [{"step": "6"}, {"run": {}}, {"files": []}, {"files": {}}, {"sha256": None}])
def test_a_record_that_was_changed_is_damaged(checkpoints, changed):
    record = checkpoints / "checkpoint-6" / "resume.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changed))
    found, (words,) = find_last(checkpoints)
    assert found == checkpoints / "checkpoint-3" and words == f"{record}: is damaged: not what was written"


def test_a_record_keeps_numbers_that_are_not_finite(tmp_path):
    write_record(tmp_path, 1, {"max_grad_norm": float("inf")})
    assert read_record(tmp_path)["run"] == {"max_grad_norm": float("inf")}


def test_old_checkpoints_are_told_by_their_steps_whatever_the_clock_says(tmp_path):
    for step in (3, 6, 9, 12, 15):
        (tmp_path / f"checkpoint-{step}").mkdir()
        os.utime(tmp_path / f"checkpoint-{step}", (0, 10**9 - 1000 * step))
    for limit in (None, 0, -1):
        remove_old(tmp_path, step=12, best_step=3, limit=limit)
        assert len(list_checkpoints(tmp_path)) == 5
    remove_old(tmp_path, step=12, best_step=3, limit=3)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-12", "checkpoint-9", "checkpoint-3"]
    remove_old(tmp_path, step=12, best_step=3, limit=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-12", "checkpoint-3"]


def test_a_checkpoint_is_found_by_any_way_to_it(checkpoints, tmp_path):
    (tmp_path / "link").symlink_to(checkpoints)
    (tmp_path / "newest").symlink_to(checkpoints / "checkpoint-6")
    for wanted in (f"{checkpoints}/", tmp_path / "link", tmp_path / "none" / ".." / "link"):
        (tmp_path / "none").mkdir(exist_ok=True)
        for checkpoint in (f"{wanted}/checkpoint-6/", tmp_path / "newest"):
            args = ClipCaerTrainingArguments(output_dir=str(wanted), resume_from_checkpoint=str(checkpoint))
            assert find_resume_checkpoint(args) == checkpoints / "checkpoint-6"


def test_a_checkpoint_is_passed_over_whose_best_one_so_far_is_no_longer_whole(checkpoints, tmp_path):
    state = checkpoints / "checkpoint-6" / "trainer_state.json"
    assert json.loads(state.read_text())["best_global_step"] == 3
    adopt_best(checkpoints / "checkpoint-6", tmp_path / "other")
    check_whole(tmp_path / "other" / "checkpoint-3")
    (checkpoints / "checkpoint-3" / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"6: the best checkpoint .*/checkpoint-3/model.safetensors: is damaged"):
        find_last(checkpoints)


def test_a_lost_optimizer_is_said_to_take_a_flag(checkpoints):
    for folder in checkpoints.iterdir():
        (folder / "optimizer.pt").unlink()
    with pytest.raises(InputError, match=r"6/optimizer.pt: is missing; .*3/optimizer.pt.*--resume-without-optimizer"):
        find_last(checkpoints)
    assert find_last(checkpoints, optimizer=False) == (checkpoints / "checkpoint-6", [])


def test_a_run_goes_on_from_the_whole_checkpoint_beside_a_torn_one_to_the_same_weights(
    whole, checkpoints, material, capsys
):
    DAMAGES["half"](checkpoints / "checkpoint-6" / "optimizer.pt")
    assert run_main(train.main, *material.flags, *QUICK, "--output_dir", checkpoints, *LAST) == 0
    output = capsys.readouterr().out
    assert f"passed over: {checkpoints}/checkpoint-6/optimizer.pt: is damaged" in output
    assert f"going on from {checkpoints}/checkpoint-3" in output
    assert_same_weights(checkpoints, whole)
    check_whole(checkpoints / "checkpoint-6")
    flags, expected = (yaml.safe_load((folder / "run.yaml").read_text()) for folder in (checkpoints, whole))
    assert flags == {**expected, "output_dir": str(checkpoints)}  # a file of flags for the run from its start


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones_and_none_by_its_name(
    material, tmp_path, monkeypatch
):
    trainer = make_trainer(material, tmp_path, save_strategy="steps", save_steps=1, save_total_limit=1)
    real_save = torch.save

    def save(content, path, *args, **kwargs):
        if trainer.state.global_step == 2 and os.path.basename(path) == "scheduler.pt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real_save(content, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(InputError, match=r"checkpoint-2/scheduler.pt: No space left on device; more is needed than"):
        trainer.train()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    check_whole(tmp_path / "checkpoint-1")


# The same run


def reorder_labels(clips):
    names = clips["train"].features["label"].names
    turned = names[1:] + names[:1]
    splits = {}
    for split, rows in clips.items():
        labels = [turned.index(names[label]) for label in rows["label"]]
        rows = rows.remove_columns("label").add_column("label", labels)
        splits[split] = rows.cast_column("label", ClassLabel(names=turned))
    return DatasetDict(splits)


def test_another_run_is_refused_by_name_and_a_finished_result_stays_as_it_is(
    whole, checkpoints, material, tmp_path, capsys
):
    clips = load_from_disk(material.dataset)
    names = clips["train"].features["label"].names
    reorder_labels(clips).save_to_disk(tmp_path / "reordered")
    DatasetDict(clips, test=clips["test"].select(range(9))).save_to_disk(tmp_path / "fewer")
    DatasetDict(clips, train=clips["train"].select(range(23, -1, -1))).save_to_disk(tmp_path / "turned")
    texts = {"labels": {name: {"soft": name, "descriptive": [f"{name} here"]} for name in names}}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(texts))
    clip = CLIPModel.from_pretrained(material.clip)
    shutil.copytree(material.clip, tmp_path / "clip")
    clip.visual_projection.weight.data[0, 0] += 1
    clip.save_pretrained(tmp_path / "clip")
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    for flags, words in (
        (("--learning_rate", 1e-7, "--seed", 5), "learning_rate 0.0003, now 1e-07; seed 42, now 5"),
        (("--epochs", 3), "6 steps, now 9 (num_train_epochs, max_steps), on which lr_scheduler_type linear depends"),
        (("--batch_size", 4), "processes x batch x accumulation 1 x 8 x 1 = 8, now 1 x 4 x 1 = 4"),
        (("--batch_size", 4, "--gradient_accumulation_steps", 2), "temporal_dropout 0.1"),
        (("--flip_prob", 0.1), "flip_prob 0.5, now 0.1"),
        (("--use_lora", "--lr_image_encoder", 1e-3), "use_lora false, now true"),
        (("--dataset", tmp_path / "reordered"), f'labels ["{names[0]}", '),
        (("--dataset", tmp_path / "fewer"), "10 clips in split test, now 9"),
        (("--dataset", tmp_path / "turned"), "24 clips in split train, in another order"),
        (("--labels_file", tmp_path / "labels.yaml"), "label_prompts ["),
        (("--clip_model", tmp_path / "clip"), "weights of clip_model "),
        (("--ignore_data_skip",), "`ignore_data_skip`"),
        (("--resume_from_checkpoint", whole / "checkpoint-3", "--resume_without_optimizer"), "of a finished run"),
        (("--resume_from_checkpoint", checkpoints / "checkpoint-3"), "holds checkpoints of an earlier run"),
    ):
        assert run_main(train.main, *material.flags, *QUICK, "--output_dir", whole, *LAST, *flags) == 2, flags
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert words in line
    assert run_main(train.main, *material.flags, *QUICK, "--output_dir", whole) == 2
    assert "holds checkpoints of an earlier run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_a_colour_that_a_label_has_now_is_no_other_run():
    """Colours move no weight: a labels file in which they alone are others goes on with the run."""
    runs = [
        describe_model(tiny_config(label_colours=colours), ClipCaerVideoProcessor())
        for colours in (None, {RAER_LABELS[0]: "neutral"}, dict.fromkeys(RAER_LABELS[:2], "#00AA55"))
    ]
    assert runs[0] == runs[1] == runs[2]
    assert describe_model(tiny_config(num_context_tokens=4), ClipCaerVideoProcessor()) != runs[0]


def test_the_fingerprint_of_clips_is_of_their_content_in_order_and_of_no_place(material, tmp_path):
    rows = load_from_disk(material.dataset)["train"]
    expected = fingerprint_clips(rows)
    rows.select(range(23, -1, -1)).select(range(23, -1, -1)).save_to_disk(tmp_path / "copy", num_shards=3)
    moved = load_from_disk(tmp_path / "copy").map(lambda row: {"frame_dir": f"/else{row['frame_dir']}"})
    assert fingerprint_clips(moved) == fingerprint_clips(rows.select(range(24))) == expected

    def change(name, value):
        return fingerprint_clips(
            rows.map(lambda row, place: {name: value(row) if place == 9 else row[name]}, with_indices=True)
        )

    others = [
        change("clip_id", lambda row: row["clip_id"] + "x"),
        change("label", lambda row: (row["label"] + 1) % 5),
        change("face_boxes", lambda row: [[], *row["face_boxes"][1:]]),
        change("body_boxes", lambda row: [[box[0] + 1, *box[1:]] for box in row["body_boxes"]]),
        fingerprint_clips(rows.select([1, 0, *range(2, 24)])),
    ]
    assert len({other["sha256"] for other in (expected, *others)}) == 6
    assert fingerprint_clips(rows.to_iterable_dataset()) is None


def test_a_failed_start_leaves_no_folder_and_changed_files_of_raer_no_other_dataset(material, tmp_path, capsys):
    shutil.copytree(material.raer / "annotation", tmp_path / "annotation")
    lists = {f"--{name}-annotation": tmp_path / "annotation" / f"{split}.txt" for name, split in LISTS.items()}
    own = ("--root-dir", material.raer, *(word for pair in lists.items() for word in pair))
    flags = ("--clip_model", material.clip, *material.flags[4:], *QUICK[:4], "--max_steps", 1, *own)
    smoothing = ("--label_smoothing_factor", 0.1, "--label_smoothing_distribution", 1, 2)  # of five labels
    assert run_main(train.main, *flags, *smoothing, "--output_dir", tmp_path / "new" / "run") == 2
    assert "must hold 5 numbers" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert run_main(train.main, *flags, "--output_dir", tmp_path / "run") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    lines = lists["--val-annotation"].read_text().splitlines(keepends=True)
    lists["--val-annotation"].write_text("".join(lines[:-1]))
    assert run_main(train.main, *flags, "--output_dir", tmp_path / "run", *LAST) == 2
    assert "10 clips in split validation, now 9" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_every_flag_is_of_one_kind_and_none_is_of_a_name_that_is_gone():
    kinds = (PLACES, CHANGE_NO_NUMBER, CHANGE_ROUNDING, OF_LAYOUT)
    names = {field.name for kind in ARGUMENT_TYPES for field in dataclasses.fields(kind) if field.init}
    assert set().union(*kinds) <= names and len(set().union(*kinds)) == sum(map(len, kinds))


def test_a_longer_run_goes_on_exactly_where_no_rate_depends_on_its_end(material, tmp_path):
    def run(folder, epochs, checkpoint=None, **schedule):
        options = {"save_strategy": "steps", "save_steps": 3, "num_train_epochs": epochs, **schedule}
        trainer = make_trainer(material, tmp_path / folder, **options)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    steps = {"lr_milestones": [1.0], "lr_scheduler_type": "linear"}
    run("short", 1, **steps)
    longer = run("longer", 2, str(tmp_path / "short" / "checkpoint-3"), **steps)
    once = run("once", 2, **steps)
    assert logged(longer, "loss") == logged(once, "loss")
    assert_same_weights(*(tmp_path / name / "checkpoint-6" for name in ("longer", "once")))
    with pytest.raises(InputError, match="is of step 6, and this run ends at step 3"):
        run("back", 1, str(tmp_path / "once" / "checkpoint-6"), **steps)


def test_without_optimizer_state_a_run_goes_on_under_a_flag_alone_at_its_step_of_the_schedule(material, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2, "lr_scheduler_type": "linear"}
    first = make_trainer(material, tmp_path, **options, save_only_model=True)
    first.train()
    checkpoint = tmp_path / "checkpoint-5"
    with pytest.raises(InputError, match=r"was saved without optimizer.pt, scheduler.pt, rng_state.pth"):
        make_trainer(material, tmp_path, **options).train(resume_from_checkpoint=str(checkpoint))
    resumed = make_trainer(material, tmp_path, **options, resume_without_optimizer=True)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert logged(resumed, "lr/base") == pytest.approx(logged(first, "lr/base"))
    assert logged(resumed, "loss")[:5] == logged(first, "loss")[:5]
    assert resumed.state.global_step == 6


def test_logging_and_saving_follow_the_flags_of_the_start_that_goes_on(material, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2, "logging_steps": 3}
    make_trainer(material, tmp_path / "first", **options).train()
    options |= {"save_steps": 1, "logging_steps": 1}
    resumed = make_trainer(material, tmp_path / "second", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-4"))
    assert {path.name for path in (tmp_path / "second").iterdir()} == {"checkpoint-5", "checkpoint-6"}
    assert [entry["step"] for entry in resumed.state.log_history if "loss" in entry] == [3, 5, 6]


# Layouts


def compare_layouts(old, new, drop_last=False, **settings):
    training = {"lr_scheduler_type": "linear"}
    run = {"labels": [], "clips": {"train": None}, "settings": {"training": training, "model": settings}}
    layouts = [dataclasses.asdict(Layout(*layout, drop_last=drop_last, steps=9)) for layout in (old, new)]
    return compare_runs(*({**run, "layout": layout} for layout in layouts))


@pytest.mark.parametrize("new", [(1, 16, 1, 48), (1, 8, 2, 48), (4, 4, 1, 48), (2, 4, 2, 48)])
def test_the_same_clips_in_a_step_may_be_laid_out_otherwise(new):
    found = compare_layouts((2, 8, 1, 48), new)
    assert not found.refused and len(found.rounding) == 1
    (words,) = compare_layouts((2, 8, 1, 48), new, temporal_dropout=0.1).refused
    assert "each process draws for itself: temporal_dropout 0.1" in words


@pytest.mark.parametrize("new", [(1, 8, 1, 48), (4, 8, 1, 48), (2, 8, 2, 48), (2, 16, 1, 48)])
def test_other_clips_in_a_step_are_refused(new):
    (words,) = compare_layouts((2, 8, 1, 48), new).refused
    assert "processes x batch x accumulation 2 x 8 x 1 = 16, now" in words and "other steps" in words


def test_clips_that_do_not_fill_the_last_step_are_refused_another_layout_where_layouts_drop_others_of_them():
    assert not compare_layouts((2, 8, 1, 50), (1, 16, 1, 50)).refused
    (words,) = compare_layouts((2, 8, 1, 50), (1, 16, 1, 50), drop_last=True).refused
    assert "50 clips do not divide into steps of 16" in words


@pytest.mark.parametrize("draws", [{}, {"weighted_sampler": True, "mixup_alpha": 0.4}])
def test_accumulated_batches_go_on_as_one_batch_did(material, tmp_path, draws):
    """Also where the last step of an epoch has 5 clips, and where clips are mixed."""
    clips = load_from_disk(material.dataset)["train"].select(range(3, 24))

    def run(folder, checkpoint=None, **layout):
        trainer = make_trainer(
            *(material, folder, {"temporal_dropout": 0}, clips),
            **{"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 1, "optim": "sgd"},
            **{**draws, "lr_scheduler_type": "linear", "save_total_limit": 9, **layout},
        )
        trainer.processing_class.flip_prob, trainer.processing_class.rotation_degrees = 0.5, 10
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    one = run(tmp_path / "one")
    accumulated = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    resumed = run(tmp_path / "four", str(tmp_path / "one" / "checkpoint-2"), **accumulated)
    assert logged(resumed, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    for name, expected in one.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="other steps"):
        run(tmp_path / "few", str(tmp_path / "one" / "checkpoint-2"), per_device_train_batch_size=2)
