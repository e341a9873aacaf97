import json
import shutil

import numpy as np
import pytest
import torch
from datasets import load_from_disk

from helpers.small_material import run_main
from modeling_clipcaer.commands import evaluate
from modeling_clipcaer.data.data_collator import ClipCaerCollator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics.ensembles import average_answers
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.reports.predictions import read_predictions
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.ensembles import load_members, make_view, predict_together
from modeling_clipcaer.training.trainer import ClipCaerTrainer


@pytest.fixture(scope="module")
def args(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("args"))
    return ClipCaerTrainingArguments(folder, eval_strategy="no", dataloader_num_workers=0, tower_dtype="float32")


@pytest.fixture(scope="module")
def rows(material):
    return load_from_disk(str(material.dataset))["test"]


@pytest.fixture
def another(trained, tmp_path):
    """The same architecture with its fusion drawn anew and its labels in another order."""
    model, processor = load_checkpoint(str(trained))
    torch.nn.init.normal_(model.model.fusion.weight)
    names = list(reversed([model.config.id2label[number] for number in range(model.config.num_labels)]))
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.save_pretrained(tmp_path / "another")
    processor.save_pretrained(tmp_path / "another")
    return tmp_path / "another"


def predict_alone(folder, rows, args) -> np.ndarray:
    model, processor = load_checkpoint(str(folder))
    return ClipCaerTrainer(model, args, processing_class=processor).predict(rows).predictions


def test_one_member_and_view_answers_as_ever(trained, rows, args):
    logits, _ = predict_together(load_members([str(trained)]), [rows], args)
    assert np.array_equal(logits, predict_alone(trained, rows, args)) and logits.dtype == np.float32


def test_labels_in_another_order_are_mapped_by_name(trained, another, rows, args):
    logits, _ = predict_together(load_members([str(trained), str(another)]), [rows, rows], args)
    alone = [predict_alone(trained, rows, args), predict_alone(another, rows, args)[:, ::-1]]
    np.testing.assert_array_equal(logits, average_answers(alone))


def test_a_member_with_other_labels_is_refused(trained, another):
    content = json.loads((another / "config.json").read_text())
    content["id2label"]["0"] = "Boredom"
    content["label2id"] = {name: int(number) for number, name in content["id2label"].items()}
    (another / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"another: its labels are Boredom, .* those of .*small_run Neutrality"):
        load_members([str(trained), str(another)])


def test_the_second_view_is_mirrored_and_looks_at_other_frames_of_each_segment(trained, rows):
    _, processor = load_checkpoint(str(trained))
    batch = list(rows)[:2]
    plain = ClipCaerCollator(processor, mode="eval")(batch)
    views = [make_view(rows, processor, view, "both")(batch) for view in (1, 1, 2)]
    for name in ("pixel_values", "face_pixel_values"):
        # A clip of these has as many frames as are looked at, so that every view has the same ones.
        assert torch.equal(views[0][name], plain[name].flip(-1)) and torch.equal(views[0][name], views[1][name])
        assert torch.equal(views[2][name], plain[name]) and not torch.equal(views[0][name], plain[name])
    assert processor.flip_prob == 0.5  # and the checkpoint's own processor is as it was
    short = make_view(rows, processor, 2, "both")
    short.processor.num_frames = 1
    seen = {short([row])["pixel_values"].numpy().tobytes() for row in [batch[0]] * 3}
    assert len(seen) == 1
    frames = [plain["pixel_values"][:1, [place]].numpy().tobytes() for place in range(3)]
    assert seen <= set(frames)


@pytest.mark.slow
def test_the_report_says_members_and_views_and_keeps_the_common_answer(trained, another, material, tmp_path):
    flags = ["--dataset", material.dataset, "--num_workers", 0, "--tower_dtype", "float32"]
    shutil.copytree(trained, tmp_path / "seed1", ignore=shutil.ignore_patterns("checkpoint-*"))
    for name, words in {
        "one": ["--model", tmp_path / "seed1"],
        "both": ["--model", tmp_path / "seed1", another, "--views", 2],
    }.items():
        assert run_main(evaluate.main, *words, *flags, "--output_dir", tmp_path / name) == 0
    one, both = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "both"))
    assert (one["checkpoint"], one["views"], len(one["members"])) == ("seed1", 1, 1)
    assert one["model_revision"] == one["members"][0]["model_revision"]
    assert (both["checkpoint"], both["views"], both["model_revision"]) == ("seed1 + another", 2, None)
    assert both["members"][0] == one["members"][0] and both["members"][1] != one["members"][0]
    assert "views: `2`" in (tmp_path / "both" / "report.md").read_text()
    answers = read_predictions(tmp_path / "both")
    np.testing.assert_allclose(np.exp(answers.logits).sum(axis=1), 1, rtol=1e-5)
