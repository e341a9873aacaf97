"""Bad input to the commands: one line that names it, exit status 2, and nothing half-written."""

import json
import shutil

import pytest
import yaml
from datasets import Dataset, DatasetDict, Value, load_from_disk
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from helpers.small_material import run_main
from modeling_clipcaer.commands import evaluate, predict, train
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.errors import InputError


@pytest.fixture(scope="session")
def trained(material, tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors") / "run"
    flags = ("--max_steps", 1, "--dataloader_num_workers", 0, "--output_dir", folder)
    assert run_main(train.main, *material.flags, *flags) == 0
    return folder


@pytest.fixture
def expect_error(capsys):
    """Run a command and hold it to one `error:` line with `fragments` in it, and status 2."""

    def check(main, *flags, fragments):
        capsys.readouterr()
        assert run_main(main, *flags) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and len(lines[0]) < 900
        for fragment in fragments:
            assert str(fragment) in lines[0]

    return check


@pytest.fixture
def copied_dataset(material, tmp_path):
    """The dataset with frames of its own, to spoil."""
    shutil.copytree(material.raer / "images", tmp_path / "images")
    clips = load_from_disk(material.dataset)
    clips = clips.map(lambda row: {"frame_dir": row["frame_dir"].replace(str(material.raer), str(tmp_path))})
    clips.save_to_disk(tmp_path / "dataset")
    return tmp_path / "dataset"


def frames_of(dataset, split):
    row = load_from_disk(dataset)[split][0]
    return row["clip_id"], [f"{row['frame_dir']}/{name}" for name in row["frame_names"]]


# Training


def test_an_unknown_flag_is_named_with_the_likely_one(material, tmp_path, expect_error):
    flags = (*material.flags, "--output_dir", tmp_path / "out", "--mi_los_weight", 1)
    expect_error(train.main, *flags, fragments=["--mi_los_weight", "did you mean --mi-loss-weight?"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_dataset_that_is_none_is_refused(material, tmp_path, expect_error, make):
    make(tmp_path / "data")
    flags = ("--clip_model", material.clip, "--dataset", tmp_path / "data", "--output_dir", tmp_path / "out")
    expect_error(train.main, *flags, fragments=[tmp_path / "data", "expected a dataset"])
    assert not (tmp_path / "out").exists()


def test_a_truncated_dataset_is_refused(material, tmp_path, expect_error):
    shutil.copytree(material.dataset, tmp_path / "data")
    arrow = next((tmp_path / "data" / "test").glob("data-*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:100])
    flags = ("--clip_model", material.clip, "--dataset", tmp_path / "data", "--output_dir", tmp_path / "out")
    expect_error(train.main, *flags, fragments=[tmp_path / "data"])


def test_a_dataset_without_a_needed_split_column_or_label_names_is_refused(material, tmp_path, expect_error):
    clips = load_from_disk(material.dataset)
    flags = ("--clip_model", material.clip, "--output_dir", tmp_path / "out", "--dataset")
    two = {split: clips[split] for split in ("train", "test")}
    DatasetDict(two).save_to_disk(tmp_path / "two")
    expect_error(train.main, *flags, tmp_path / "two", fragments=["no split `validation`", "train, test"])
    clips.remove_columns("body_boxes").save_to_disk(tmp_path / "bodiless")
    expect_error(train.main, *flags, tmp_path / "bodiless", fragments=["`train` has no column `body_boxes`"])
    clips["train"].save_to_disk(tmp_path / "one")
    expect_error(train.main, *flags, tmp_path / "one", fragments=["found one split alone"])
    numbers = clips.cast_column("label", Value("int64"))
    numbers.save_to_disk(tmp_path / "numbers")
    expect_error(train.main, *flags, tmp_path / "numbers", fragments=["`label`", "names"])
    nothing = Dataset.from_dict({name: [] for name in clips["test"].features}, features=clips["test"].features)
    DatasetDict({**clips, "test": nothing}).save_to_disk(tmp_path / "empty")
    expect_error(train.main, *flags, tmp_path / "empty", fragments=[tmp_path / "empty", "empty dataset"])
    clips.filter(lambda row: row["label"] < 0).save_to_disk(tmp_path / "filtered")
    expect_error(train.main, *flags, tmp_path / "filtered", fragments=[tmp_path / "filtered"])


def test_a_path_without_clip_is_refused(material, tmp_path, expect_error):
    flags = (*material.flags, "--output_dir", tmp_path / "out", "--clip_model")
    expect_error(train.main, *flags, tmp_path / "nowhere", fragments=[tmp_path / "nowhere"])
    BertModel(
        BertConfig(hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    ).save_pretrained(tmp_path / "bert")
    expect_error(train.main, *flags, tmp_path / "bert", fragments=[tmp_path / "bert", "expected a CLIP", "`bert`"])
    assert not (tmp_path / "out").exists()


def test_a_clip_checkpoint_that_lacks_a_weight_or_is_cut_off_is_refused(material, tmp_path, expect_error):
    shutil.copytree(material.clip, tmp_path / "clip")
    file = tmp_path / "clip" / "model.safetensors"
    weights = load_file(file)
    lacking = {name: value for name, value in weights.items() if name != "visual_projection.weight"}
    save_file(lacking, file, metadata={"format": "pt"})
    flags = (*material.flags, "--output_dir", tmp_path / "out", "--clip_model", tmp_path / "clip")
    expect_error(train.main, *flags, fragments=[tmp_path / "clip", "visual_projection.weight"])
    file.write_bytes(file.read_bytes()[:1000])
    expect_error(train.main, *flags, fragments=[tmp_path / "clip"])


def test_a_labels_file_must_have_the_datasets_labels(material, tmp_path, expect_error):
    path = tmp_path / "labels.yaml"
    flags = (*material.flags, "--output_dir", tmp_path / "out", "--labels_file", path)
    expect_error(train.main, *flags, fragments=[path, "cannot be read"])
    path.write_text(yaml.safe_dump({"labels": {"Calm": {"soft": "calm", "descriptive": "A calm face."}}}))
    expect_error(train.main, *flags, fragments=[path, "'Calm'", "'Neutrality'"])
    path.write_text("labels: {1: {soft: calm}, Calm: {soft: calm}}")
    expect_error(train.main, *flags, fragments=[path, "labels"])
    path.write_text("labels: {}")
    expect_error(train.main, *flags, fragments=[path, "expected `labels:` with an entry"])
    path.write_text("labels: {Calm: {soft: calm}}\nlabel_prompts: [calm]")
    expect_error(train.main, *flags, fragments=[f"{path}:2", "unknown key `label_prompts`"])
    path.write_bytes(b"labels: \xff")
    expect_error(train.main, *flags, fragments=[path])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_frame_met_in_training_is_named(material, copied_dataset, tmp_path, expect_error, workers):
    clip_id, frames = frames_of(copied_dataset, "train")
    with open(frames[1], "wb") as file:
        file.write(b"\xff\xd8 no picture")
    flags = ("--dataset", copied_dataset, "--output_dir", tmp_path / "out", "--dataloader_num_workers", workers)
    expect_error(train.main, *material.flags, *flags, fragments=[clip_id, frames[1]])
    assert not (tmp_path / "out").exists()  # a run that leaves nothing leaves no folder


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (["--batch_size", "0"], ["batch"]),
        (["--epochs", "many"], ["--num-train-epochs", "'many'"]),
        (["--temporal_pooling", "max"], ["--temporal-pooling", "cls", "attention", "mean"]),
        (["--slerp_weight", "1.5"], ["`slerp_weight`", "1.5"]),
        (["--num_frames", "0"], ["`num_frames`", "0"]),
        (["--num_context_tokens", "400"], ["`num_context_tokens`"]),
        (["--flip_prob", "2"], ["`flip_prob`", "2"]),
        (["--mi_loss_weight", "-1"], ["`mi_loss_weight`", "-1"]),
        (["--logit_adj", "--classification_loss", "ldam"], ["`logit_adj`", "ldam"]),
        (["--metric_for_best_model", "accuracy"], ["`metric_for_best_model`", "accuracy", "uar"]),
        (["--report_to", "tensorboard"], ["tensorboard"]),
        (["--optim", "adamm"], ["--optim", "adamm"]),
        (["--lr_prompt_learner", "0"], ["`lr_prompt_learner`"]),
        (["--save_strategy", "steps"], ["`save_strategy` steps", "`eval_strategy` epoch"]),
        (
            ["--save_strategy", "steps", "--save_steps", "2", "--eval_strategy", "steps", "--eval_steps", "3"],
            ["3", "2"],
        ),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_written(material, tmp_path, expect_error, flags, fragments):
    expect_error(train.main, *material.flags, "--output_dir", tmp_path / "out", *flags, fragments=fragments)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_output_folder_that_is_a_file_is_refused_before_work(material, trained, tmp_path, expect_error):
    path = tmp_path / "file"
    path.write_text("mine")
    clip = frames_of(material.dataset, "test")[1][0].rsplit("/", 1)[0]
    for place in (path, path / "below"):
        expect_error(train.main, *material.flags, "--output_dir", place, fragments=[place, "folder"])
        flags = ("--model", "nowhere", "--output_dir", place)
        expect_error(evaluate.main, "--dataset", material.dataset, *flags, fragments=[place, "folder"])
        expect_error(predict.main, clip, *flags, fragments=[place, "folder"])
    assert path.read_text() == "mine"


def test_a_folder_with_checkpoints_is_not_trained_into(material, trained, expect_error):
    before = sorted(trained.iterdir())
    expect_error(train.main, *material.flags, "--output_dir", trained, fragments=[trained, "--resume-from-checkpoint"])
    assert sorted(trained.iterdir()) == before


def test_a_resume_needs_a_checkpoint(material, tmp_path, expect_error):
    flags = (*material.flags, "--output_dir", tmp_path / "out", "--resume_from_checkpoint")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("{}")
    expect_error(train.main, *flags, "last", fragments=[tmp_path / "out", "a result and no checkpoint"])
    expect_error(train.main, *flags, tmp_path, fragments=[tmp_path, "no checkpoint"])


# Evaluation and prediction


def test_a_checkpoint_must_be_whole(material, trained, tmp_path, expect_error):
    flags = ("--dataset", material.dataset, "--output_dir", tmp_path / "out", "--model")
    expect_error(
        evaluate.main, *flags, tmp_path / "nowhere", fragments=[tmp_path / "nowhere", "there is no such folder"]
    )
    expect_error(evaluate.main, *flags, material.clip, fragments=[material.clip, "expected a ClipCaer", "`clip`"])
    shutil.copytree(trained, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    name = min(name for name in weights if "fusion" in name)
    save_file({key: value for key, value in weights.items() if key != name}, file, metadata={"format": "pt"})
    expect_error(evaluate.main, *flags, tmp_path / "model", fragments=[tmp_path / "model", "missing", name])
    save_file({**weights, "model.extra": weights[name].clone()}, file, metadata={"format": "pt"})
    expect_error(evaluate.main, *flags, tmp_path / "model", fragments=[tmp_path / "model", "unexpected", "extra"])
    save_file({**weights, name: weights[name][:1].clone()}, file, metadata={"format": "pt"})
    expect_error(evaluate.main, *flags, tmp_path / "model", fragments=[tmp_path / "model"])
    file.write_bytes(file.read_bytes()[:1000])
    expect_error(evaluate.main, *flags, tmp_path / "model", fragments=[tmp_path / "model"])
    (tmp_path / "model" / "config.json").write_text("{")
    expect_error(evaluate.main, *flags, tmp_path / "model", fragments=[tmp_path / "model"])
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_a_sound_processor_is_refused(material, trained, tmp_path, expect_error):
    shutil.copytree(trained, tmp_path / "model")
    settings = tmp_path / "model" / "video_preprocessor_config.json"
    content = json.loads(settings.read_text())
    flags = ("--model", tmp_path / "model", "--dataset", material.dataset, "--output_dir", tmp_path / "out")
    settings.write_text(json.dumps({**content, "face_margin": -1}))
    expect_error(evaluate.main, *flags, fragments=["`face_margin`", "-1"])
    settings.unlink()
    expect_error(evaluate.main, *flags, fragments=[tmp_path / "model"])


def test_the_models_labels_must_be_the_datasets(material, trained, tmp_path, expect_error):
    config = json.loads((trained / "config.json").read_text())
    shutil.copytree(trained, tmp_path / "model")
    config["id2label"]["1"] = "Boredom"
    config["label2id"] = {label: int(index) for index, label in config["id2label"].items()}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    flags = ("--model", tmp_path / "model", "--dataset", material.dataset, "--output_dir", tmp_path / "out")
    expect_error(evaluate.main, *flags, fragments=["lack `Boredom` and have `Enjoyment`"])


@pytest.mark.parametrize(
    ("flag", "value", "fragments"),
    [("--split", "dev", ["no split `dev`"]), ("--batch_size", 0, ["batch_size"]), ("--num_workers", -1, ["workers"])],
)
def test_bad_flags_of_evaluation_are_refused(material, trained, tmp_path, expect_error, flag, value, fragments):
    flags = ("--model", trained, "--dataset", material.dataset, "--output_dir", tmp_path / "out")
    expect_error(evaluate.main, *flags, flag, value, fragments=fragments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_frame_met_in_evaluation_leaves_no_report(
    material, trained, copied_dataset, tmp_path, expect_error, workers
):
    clip_id, frames = frames_of(copied_dataset, "test")
    open(frames[0], "wb").close()
    flags = ("--model", trained, "--dataset", copied_dataset, "--output_dir", tmp_path / "out")
    expect_error(evaluate.main, *flags, "--num_workers", workers, fragments=[clip_id, frames[0]])
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def expect_failed(capsys, *flags, fragments):
    """The command ends with status 1 and tells what is wrong with the one bad clip in one line."""
    with pytest.raises(SystemExit) as ended:
        run_main(predict.main, *flags)
    assert ended.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [fragment for fragment in fragments if str(fragment) not in line] == []


def test_bad_input_to_the_prediction_of_clips_is_named(material, trained, tmp_path, expect_error, capsys):
    flags = ("--clips", "--model", trained, "--output_dir", tmp_path / "out")
    good = frames_of(material.dataset, "test")[1][0].rsplit("/", 1)[0]
    expect_error(predict.main, good, tmp_path / "no.mp4", *flags, fragments=[tmp_path / "no.mp4", "found nothing"])
    (tmp_path / "empty").mkdir()
    expect_error(predict.main, tmp_path / "empty", *flags, fragments=[tmp_path / "empty", "a folder without any"])
    expect_error(predict.main, good, *flags, "--device", "abacus", fragments=["device", "abacus"])
    expect_error(predict.main, *flags, fragments=["INPUTS"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "text.mp4").write_text("no video")
    expect_failed(capsys, good, tmp_path / "text.mp4", *flags, fragments=[tmp_path / "text.mp4"])
    (tmp_path / "nothing.mp4").write_bytes(b"")
    expect_failed(capsys, tmp_path / "nothing.mp4", *flags, fragments=[tmp_path / "nothing.mp4"])
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "1.jpg").write_bytes(b"no picture")
    expect_failed(capsys, tmp_path / "spoilt", *flags, fragments=[tmp_path / "spoilt" / "1.jpg"])


def test_bad_boxes_for_the_prediction_of_clips_are_named(material, trained, tmp_path, expect_error, capsys):
    good = frames_of(material.dataset, "test")[1][0].rsplit("/", 1)[0]
    boxes = tmp_path / "boxes.json"
    flags = (good, "--clips", "--model", trained, "--output_dir", tmp_path / "out", "--bounding_box_face", boxes)
    expect_error(predict.main, *flags, fragments=[boxes])
    boxes.write_text("{")
    expect_error(predict.main, *flags, fragments=[boxes])
    boxes.write_text(json.dumps({"other": {"1.jpg": [1, 2, 3, 4]}}))
    expect_failed(capsys, *flags, fragments=[good, "no such clip", "`other`"])
    name = good.rsplit("/", 1)[1]
    boxes.write_text(json.dumps({name: {"99.jpg": [1, 2, 3, 4]}}))
    expect_failed(capsys, *flags, fragments=[good, "no frame `99.jpg`"])
    boxes.write_text(json.dumps({name: {"1.jpg": [500, 500, 600, 600]}}))
    expect_failed(capsys, *flags, fragments=[good, "frame 0"])


@pytest.mark.parametrize("name", ["dataset_dict.json", "test/state.json", "test/dataset_info.json"])
@pytest.mark.parametrize("text", ["[]", '{"torn', "[" * 10**5], ids=["list", "torn", "deep"])
def test_a_dataset_with_a_broken_json_file_is_told_in_one_line(material, tmp_path, name, text):
    folder = shutil.copytree(material.dataset, tmp_path / "dataset")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match="is a damaged or empty dataset") as caught:
        load_clips(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)
