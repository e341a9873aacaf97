"""`evaluate --explain`: which clips are explained, and what the report shows of them."""

import json

import numpy as np
import pytest
from datasets import load_from_disk

from helpers.small_material import NUM_FRAMES, run_main
from helpers.tiny import lively_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import evaluate
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.reports.explained import choose_answers
from modeling_clipcaer.training import ensembles


SURE, TYPICAL, NEXT = (
    "the surest mistake of its label",
    "typical of what is right of its label",
    "among the next surest mistakes",
)


def logits_of(answers):
    """Logits of two labels: the answer, and by how much it leads."""
    return np.array([[lead, 0.0] if answer == 0 else [0.0, lead] for answer, lead in answers])


def test_mistakes_come_first_then_what_is_typical_then_further_mistakes():
    answers = [(1, 3.0), (1, 5.0), (0, 1.0), (0, 2.0), (0, 9.0), (0, 4.0), (1, 1.0), (1, 4.0)]
    references = [0, 0, 0, 0, 0, 1, 1, 1]
    chosen = choose_answers(logits_of(answers), references, 9)
    # Mistakes: 1 and 0 of the first label, 5 of the second. Right: 4, 3, 2 by confidence, and 7, 6.
    assert chosen == {1: SURE, 5: SURE, 3: TYPICAL, 6: TYPICAL, 0: NEXT}
    assert list(chosen) == [1, 5, 3, 6, 0]
    assert list(choose_answers(logits_of(answers), references, 2)) == [1, 5]
    assert choose_answers(logits_of(answers), references, 0) == {}


def test_a_label_without_clips_or_without_mistakes_is_passed_over():
    assert choose_answers(logits_of([(0, 1.0), (0, 3.0), (0, 2.0)]), [0, 0, 0], 5) == {2: TYPICAL}


@pytest.fixture(scope="module")
def evaluated(material, tmp_path_factory):
    """Flags of an evaluation, and the folder that it has written."""
    folder = tmp_path_factory.mktemp("evaluated")
    processor = ClipCaerVideoProcessor(num_frames=NUM_FRAMES, image_size=32)
    save_checkpoint(lively_model(num_frames=NUM_FRAMES), processor, folder / "model")
    flags = ("--model", folder / "model", "--dataset", material.dataset, "--num_workers", 0, "--no_baselines")
    assert run_main(evaluate.main, *flags, "--output_dir", folder / "out", "--explain", 3) == 0
    return flags, folder / "out"


def test_the_report_shows_what_answers_rest_on(evaluated):
    _, out = evaluated
    content = json.loads((out / "explanation" / "explanation.json").read_text())
    page = (out / "report.html").read_text()
    assert len(content["samples"]) == 3 == page.count("data:image/webp;base64,")
    for sample in content["samples"]:
        assert sample["reason"] in (SURE, TYPICAL, NEXT)
        assert (sample["answer"] == sample["label"]) is (sample["reason"] == TYPICAL)
        assert sample["name"] in page and sample["shown"] is False
    kinds = [point["kind"] for point in content["map"]["points"]]
    assert kinds.count("explained") == 3 and kinds.count("video") == 7  # all ten clips of the split
    assert 'href="explanation/explanation.html"' in page and "No picture of a person is on this page" in page
    report = json.loads((out / "report.json").read_text())
    assert content["data"] == report["clips"] and content["model_revision"] == report["model_revision"]
    assert "explain" not in set(report) - {"command"}  # nothing of it is published


def test_an_earlier_explanation_is_replaced_and_frames_are_shown_if_asked(evaluated):
    flags, out = evaluated
    assert run_main(evaluate.main, *flags, "--output_dir", out, "--explain", 1, "--explain-frames") == 0
    assert [path.name for path in (out / "explanation" / "figures").iterdir()] == ["1.png"]
    page = (out / "report.html").read_text()
    assert "It shows people" in page and page.count("data:image/webp;base64,") == 1


def test_a_folder_of_that_name_that_is_not_an_explanation_is_left_alone(evaluated, tmp_path, capsys):
    (tmp_path / "explanation").mkdir()
    (tmp_path / "explanation" / "thesis.txt").touch()
    assert run_main(evaluate.main, *evaluated[0], "--output_dir", tmp_path, "--explain", 1) == 2
    assert "expected no folder of this name" in capsys.readouterr().err
    assert (tmp_path / "explanation" / "thesis.txt").is_file()


def test_frames_whose_faces_cannot_be_hidden_are_refused_before_any_clip_is_answered(
    evaluated, material, tmp_path, capsys, monkeypatch
):
    dataset = load_from_disk(material.dataset).remove_columns("face_box_sources")
    dataset.save_to_disk(tmp_path / "dataset")
    monkeypatch.setattr(ensembles, "predict_together", lambda *_: pytest.fail("it answered"))
    flags = (*evaluated[0][:2], "--dataset", tmp_path / "dataset", "--explain", 1, "--explain-frames")
    assert run_main(evaluate.main, *flags, "--output_dir", tmp_path / "out") == 2
    assert "without which no face can be hidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--explain-frames",), "--explain-frames has a meaning with --explain alone"),
        (("--explain", 3, "--show-faces"), "--show-faces has a meaning with --explain-frames alone"),
        (("--explain", 3, "--views", 2), "--explain explains the answers of one checkpoint and one view"),
        (("--explain", 3, "--model", "m", "n"), "--explain explains the answers of one checkpoint and one view"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(flags, told, tmp_path, capsys):
    assert run_main(evaluate.main, "--model", "m", "--dataset", "d", "--output_dir", tmp_path, *flags) == 2
    assert told in capsys.readouterr().err
