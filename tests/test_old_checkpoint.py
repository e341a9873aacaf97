"""A run of an earlier version, be0bcb4, whose files tests/fixtures/be0bcb4 keeps: it loads, predicts and goes on."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from helpers.places import ROOT
from helpers.small_material import make_clip, run_main
from modeling_clipcaer import ClipCaerForVideoClassification, load_face_adapter
from modeling_clipcaer.commands import evaluate, train
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.training.checkpoints import check_whole


OLD = ROOT / "tests" / "fixtures" / "be0bcb4"
# What that version gave: the logits of `draw_pixels`, its report of the test split, and each epoch's loss.
EXPECTED = json.loads((OLD / "expected.json").read_text())
FLAGS = (
    *("--learning_rate", 0.03, "--lr_prompt_learner", 0.03, "--lr_adapter", 0.03, "--lr_image_encoder", 0.1),
    *("--seed", 5, "--epochs", 4, "--temporal_dropout", 0, "--tower_dtype", "float32", "--dataloader_num_workers", 0),
    *("--labels_file", OLD / "labels.yaml", "--disable_tqdm", "true"),
)


def draw_pixels() -> dict[str, torch.Tensor]:
    """Of two clips of three frames."""
    shape = (2, 3, 3, 32, 32)
    values = torch.arange(2 * 3 * 3 * 32 * 32, dtype=torch.float32).sin()
    return {"pixel_values": values.view(shape), "face_pixel_values": values.flip(0).view(shape)}


def join_weights(folder) -> torch.Tensor:
    """All numbers of a model."""
    return torch.cat([value.flatten() for _, value in sorted(load_file(folder / "model.safetensors").items())])


def assert_gives(model, name):
    with torch.no_grad():
        logits = model(**draw_pixels()).logits
    torch.testing.assert_close(logits, torch.tensor(EXPECTED[name]), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The CLIP checkpoint that the LoRA run began with, which is that of the other run's result."""
    folder = tmp_path_factory.mktemp("old") / "clip"
    make_clip(folder)
    load_checkpoint(str(OLD / "run"))[0].model.clip.save_pretrained(folder)
    return folder


@pytest.fixture
def old_run(tmp_path):
    """A copy of what the run left, in a folder that it goes on in."""
    shutil.copytree(OLD / "run" / "checkpoint-3", tmp_path / "run" / "checkpoint-3")
    return tmp_path / "run"


@pytest.fixture
def flags(material, clip):
    return ("--clip_model", clip, *material.flags[2:], *FLAGS)


@pytest.mark.parametrize("name", ["run", "run/checkpoint-3"])
def test_an_old_checkpoint_gives_its_logits(name):
    assert_gives(load_checkpoint(str(OLD / name))[0], name)
    assert_gives(ClipCaerForVideoClassification.from_pretrained(OLD / name).eval(), name)


def test_an_old_face_adapter_is_that_of_its_run():
    model, _ = load_checkpoint(str(OLD / "run" / "checkpoint-3"))
    load_face_adapter(model, OLD / "face_adapter")
    expected = load_checkpoint(str(OLD / "run"))[0].model.face_adapter.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.model.face_adapter.state_dict().items())


def test_an_old_checkpoint_of_what_trains_alone_is_completed(clip, tmp_path):
    checkpoint = shutil.copytree(OLD / "lora" / "checkpoint-3", tmp_path / "checkpoint-3")
    notes = json.loads((checkpoint / "trainable.json").read_text())
    (checkpoint / "trainable.json").write_text(json.dumps(notes | {"base_model": str(clip)}))
    assert_gives(load_checkpoint(str(checkpoint))[0], "lora/checkpoint-3")


def test_an_old_checkpoint_predicts_as_it_did(material, tmp_path):
    words = ("--model", OLD / "run", "--dataset", material.dataset, "--split", "test", "--tower_dtype", "float32")
    assert run_main(evaluate.main, *words, "--output_dir", tmp_path) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert {name: report[name] for name in EXPECTED["report"]} == EXPECTED["report"]


def test_an_old_run_goes_on_to_the_weights_it_ended_with(old_run, flags, caplog):
    resume = ("--resume_from_checkpoint", old_run / "checkpoint-3", "--resume_without_record")
    assert run_main(train.main, *flags, "--output_dir", old_run, *resume) == 0
    assert f"{old_run}/checkpoint-3: has no record" in caplog.text
    check_whole(old_run / "checkpoint-12")
    log = json.loads((old_run / "checkpoint-12" / "trainer_state.json").read_text())["log_history"]
    assert [entry["loss"] for entry in log if "loss" in entry] == pytest.approx(EXPECTED["losses"], rel=1e-3)
    # Sums of another order, which Adam makes much of where a gradient is next to nothing.
    start, found, end = (join_weights(folder) for folder in (OLD / "run" / "checkpoint-3", old_run, OLD / "run"))
    assert (found - end).norm() < 0.01 * (start - end).norm()
    assert "resume_without_record: true" in (old_run / "run.yaml").read_text()


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "checkpoint-3: has no resume.json, which says what it was made with; if it is of an earlier version"),
        (("--resume_from_checkpoint", "last", "--resume_without_record"), "needs the checkpoint's path"),
        (("--resume_without_record", "--epochs", 5), "12 steps, now 15"),
        (("--resume_without_record", "--batch_size", 4), "1 x 8 x 1 = 8, now 1 x 4 x 1 = 4"),
        (("--resume_without_record", "--flip_prob", 0.1), "flip_prob 0.5, now 0.1"),
        (("--resume_without_record", "--slerp_weight", 0.1), "slerp_weight 0.5, now 0.1"),
    ],
)
def test_an_old_run_goes_on_as_nothing_else_and_not_unasked(old_run, flags, capsys, words, message):
    start = ("--output_dir", old_run, "--resume_from_checkpoint", old_run / "checkpoint-3")
    assert run_main(train.main, *flags, *start, *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert [path.name for path in old_run.iterdir()] == ["checkpoint-3"]


FILES = [path.name for path in sorted((OLD / "run" / "checkpoint-3").iterdir())]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "half"])
def test_an_old_checkpoint_that_is_torn_is_told_in_one_line(old_run, flags, capsys, name, damage):
    path = old_run / "checkpoint-3" / name
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[: len(content) // 2])
    resume = ("--resume_from_checkpoint", old_run / "checkpoint-3", "--resume_without_record")
    assert run_main(train.main, *flags, "--output_dir", old_run, *resume) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert str(old_run / "checkpoint-3") in line


def test_no_file_of_the_fixture_names_a_place_of_a_machine():
    for path in OLD.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [place for place in (b"/tmp", b"/home", b"/root", b"/work") if place in content], path
