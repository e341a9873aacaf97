"""The command's files: what they hold, what they do not show, and what they say of it."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from PIL import Image

from helpers.small_material import NUM_FRAMES, run_main
from helpers.small_run import write_clip
from helpers.tiny import lively_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import explain
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.explanations.explanation import Explainer, Sample
from modeling_clipcaer.explanations.page import NO_PROOF, lay_out_map, write_explanations
from modeling_clipcaer.explanations.samples import read_clips
from modeling_clipcaer.explanations.texts import encode_texts
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.models.frozen_parts import FrozenParts


PROCESSOR = {"num_frames": NUM_FRAMES, "image_size": 32}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "model"
    save_checkpoint(lively_model(num_frames=NUM_FRAMES), ClipCaerVideoProcessor(**PROCESSOR), folder)
    return folder


def make_explainer(**fields) -> Explainer:
    model = lively_model(num_frames=NUM_FRAMES, **fields)
    return Explainer(FrozenParts(model), ClipCaerVideoProcessor(**PROCESSOR), *encode_texts(model))


def draw_sample(name: str = "a clip") -> Sample:
    shape = (NUM_FRAMES, 3, 32, 32)
    generator = torch.Generator().manual_seed(1)
    squares = (torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(2))
    return Sample(name, dict(zip(("context", "face"), squares, strict=True)))


@pytest.fixture(scope="module")
def written(material, checkpoint, tmp_path_factory):
    """The command's folder for three clips."""
    folder = tmp_path_factory.mktemp("explained") / "out"
    flags = ("--model", checkpoint, "--dataset", material.dataset, "--clips", 0, 3, 7, "--num_workers", 0)
    assert run_main(explain.main, *flags, "--output_dir", folder) == 0
    return folder


def test_the_json_holds_what_was_found_and_how_it_was_made(written, material):
    content = json.loads((written / "explanation.json").read_text())
    rows = load_from_disk(material.dataset)["test"]
    assert [sample["name"] for sample in content["samples"]] == [rows[place]["clip_id"] for place in (0, 3, 7)]
    for sample in content["samples"]:
        assert sum(sample["scores"].values()) == pytest.approx(1, abs=1e-4)
        assert sample["answer"] == max(sample["scores"], key=sample["scores"].get)
        assert set(sample["streams"]) == set(sample["maps"]) == set(sample["frames"]) == {"context", "face"}
        for stream in ("context", "face"):
            assert np.sum(sample["maps"][stream], axis=(1, 2)) == pytest.approx([1] * NUM_FRAMES, abs=1e-3)
            assert len(sample["frames"][stream]) == NUM_FRAMES
        assert all(len(found) == 3 for found in sample["sentences"].values())
    kinds = [point["kind"] for point in content["map"]["points"]]
    assert kinds.count("explained") == 3 and kinds.count("video") == 7 and kinds.count("descriptive") == 5
    assert content["measured"] == "not yet measured" and content["settings"]["clips"] == ["0", "3", "7"]
    assert content["data"]["clips"] == 10 and content["model_revision"] and content["versions"]["torch"]
    assert content["notice"] == RESPONSIBLE_USE and content["caveat"] == NO_PROOF


def test_the_page_is_self_contained_and_says_that_a_map_is_no_proof(written):
    page = (written / "explanation.html").read_text()
    assert html.escape(NO_PROOF, quote=False).replace("'", "&#39;") in page and "Art. 5(1)(f)" in page
    assert not re.search(r"<script|https?://|<link|url\(['\"]?[^#]", page) and len(page) < 1_000_000
    pictures = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    for number, picture in enumerate(pictures, start=1):
        shown = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
        drawn = Image.open(written / "figures" / f"{number}.png").convert("RGB")
        assert shown.size == drawn.size
        assert np.abs(np.asarray(shown, float) - np.asarray(drawn, float)).mean() < 3  # of 255 levels
    assert len(pictures) == 3


def test_the_same_command_writes_the_same_bytes_also_over_other_files(written, material, checkpoint, tmp_path):
    flags = ("--model", checkpoint, "--dataset", material.dataset, "--clips", 0, 3, 7, "--num_workers", 0)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "4.png").touch()
    assert run_main(explain.main, *flags, "--output_dir", tmp_path) == 0
    assert not (tmp_path / "figures" / "4.png").exists()
    for name in ("explanation.json", "explanation.html", "figures/2.png"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_no_frame_is_shown_unless_asked_for_and_then_without_its_face(material):
    rows, processor = load_from_disk(material.dataset)["test"], ClipCaerVideoProcessor(**PROCESSOR)
    (plain,), (hidden,), (shown,) = (
        list(read_clips(rows, [0], processor, "both", *flags)) for flags in ((), (True,), (True, True))
    )
    assert plain.shown == {} and plain.label == "Neutrality"
    for stream in ("context", "face"):
        pixels = shown.pixels[stream].permute(0, 2, 3, 1).numpy()
        assert np.array_equal(shown.shown[stream], pixels)
        assert np.array_equal(hidden.pixels[stream], shown.pixels[stream])  # the model sees what it always sees
        changed = (hidden.shown[stream] != pixels).any(axis=-1)
        assert changed.mean() > (0.3 if stream == "face" else 0.02)


def test_figures_without_frames_hold_none_of_their_pixels(tmp_path):
    explainer = make_explainer()
    first, second = draw_sample(), draw_sample()
    explanation = explainer.explain(first)
    page = render_one(explainer, explanation, tmp_path / "plain")
    assert "no picture of a person is on this page" in page.lower()
    explanation.sample = second
    second.shown = {stream: cut.permute(0, 2, 3, 1).numpy() for stream, cut in second.pixels.items()}
    page = render_one(explainer, explanation, tmp_path / "shown")
    assert "no picture of a person" not in page.lower()
    plain, shown = (
        np.asarray(Image.open(tmp_path / name / "figures" / "1.png").convert("RGB")) for name in ("plain", "shown")
    )
    assert plain.shape == shown.shape and (plain != shown).any()


def render_one(explainer: Explainer, explanation, folder) -> str:
    layout = lay_out_map([explanation], [], None, explainer.texts, explainer.text_embeds, explainer.labels)
    about = {"source": "a <b>", "model": "m", "measured": "not yet measured", "calibrated": False}
    write_explanations([explanation], layout, about, explainer.labels, folder)
    return (folder / "explanation.html").read_text()


def test_names_from_outside_are_text_on_the_page(tmp_path):
    explainer = make_explainer()
    page = render_one(explainer, explainer.explain(draw_sample("<script>x</script>\u202e")), tmp_path)
    assert "<script>" not in page and "&lt;script&gt;x" in page and "\u202e" not in page and "a &lt;b&gt;" in page


@pytest.mark.parametrize("streams", ["face", "context"])
def test_a_model_of_one_stream_is_explained_by_that_alone(streams, tmp_path):
    explainer = make_explainer(streams=streams)
    sample = draw_sample()
    sample.pixels = {streams: sample.pixels[streams]}
    explanation = explainer.explain(sample)
    assert list(explanation.maps) == list(explanation.frames) == [streams] and explanation.streams == {}
    assert "What each stream contributes" not in render_one(explainer, explanation, tmp_path)


def test_without_a_face_the_context_decides_and_only_it_is_drawn():
    explainer, sample = make_explainer(), draw_sample()
    del sample.pixels["face"]
    explanation = explainer.explain(sample)
    assert list(explanation.maps) == ["context"] and explanation.streams["face"]["probability"] == 0
    context = explainer.processor.normalize(sample.pixels["context"])[None]
    with torch.no_grad():
        logits = explainer.model(
            pixel_values=context, face_pixel_values=context, face_present=torch.tensor([False])
        ).logits
    assert list(explanation.scores.values()) == pytest.approx(logits.softmax(-1)[0].tolist(), abs=1e-5)


def test_the_window_around_a_second_of_a_recording_is_explained(checkpoint, tmp_path):
    video = write_clip(tmp_path / "lesson.mp4")  # ten frames a second, one second
    (tmp_path / "faces.json").write_text(json.dumps({"lesson.mp4": {str(n): [8, 8, 40, 40] for n in range(10)}}))
    flags = (video, "--model", checkpoint, "--window", 0.4, "--stride", 0.2, "--at", 0.75, "--frames")
    boxes = ("--bounding_box_face", tmp_path / "faces.json")
    assert run_main(explain.main, *flags, *boxes, "--output_dir", tmp_path / "out") == 0
    (sample,) = json.loads((tmp_path / "out" / "explanation.json").read_text())["samples"]
    assert sample["name"] == "lesson.mp4, person-1, 0.6 to 1 s"
    assert sample["label"] is None and set(sample["maps"]) == {"context", "face"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "expected recordings, or --dataset"),
        (("a.mp4", "--dataset", "d"), "expected recordings, or --dataset"),
        (("--dataset", "d", "--show_faces"), "--show-faces has a meaning with --frames"),
        (("--dataset", "d", "--at", "3"), "--at has no meaning with --dataset"),
        (("--dataset", "d", "--window", "12"), "--window has no meaning with --dataset"),
        (("a.mp4", "--split", "test"), "--split has no meaning with recordings"),
        (("--dataset", "d", "--num", "0"), "`num` must lie in [1, 64]"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(flags, told, tmp_path, capsys):
    assert run_main(explain.main, *flags, "--model", "m", "--output_dir", tmp_path) == 2
    assert told in capsys.readouterr().err


def test_a_second_that_a_recording_does_not_have_is_told(checkpoint, tmp_path, capsys):
    video = write_clip(tmp_path / "lesson.mp4")
    assert run_main(explain.main, video, "--model", checkpoint, "--at", 2, "--output_dir", tmp_path / "out") == 2
    assert "--at 2" in (told := capsys.readouterr().err) and "lasts 1 s" in told


def test_a_clip_that_is_not_there_is_told(material, checkpoint, tmp_path, capsys):
    flags = ("--model", checkpoint, "--dataset", material.dataset, "--clips", "nobody", "--output_dir", tmp_path)
    assert run_main(explain.main, *flags) == 2
    assert "no clip `nobody`" in capsys.readouterr().err
