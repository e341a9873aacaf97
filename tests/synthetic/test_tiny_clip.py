"""The shipped tiny CLIP is a CLIP checkpoint like any other, small, and knows the words of the demo."""

import math
import sys

import pytest
import torch
import yaml
from transformers import AutoTokenizer, CLIPModel

from helpers.places import ROOT
from modeling_clipcaer.commands.pretrain_tiny_clip import main
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.synthetic.tiny_clip import contrastive_loss, draw_clip, draw_examples, measure


TINY_CLIP = ROOT / "tests" / "fixtures" / "tiny_clip"
DEMO_LABELS = ROOT / "recipes" / "demo_labels.yaml"
NUM_CONTEXT_TOKENS = 12


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(TINY_CLIP).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_CLIP)


def demo_texts() -> list[str]:
    prompts = read_labels_file(str(DEMO_LABELS), list(RAER_LABELS))
    return [text for view in prompts.values() for texts in view for text in texts]


def test_the_checkpoint_is_small_and_in_full_precision(model):
    assert model.num_parameters() <= 2_000_000
    assert sum(path.stat().st_size for path in TINY_CLIP.iterdir()) <= 4_000_000
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    names = {path.name for path in TINY_CLIP.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "README.md"} <= names


def test_configuration_and_tokenizer_agree_on_the_special_tokens(model, tokenizer):
    text = model.config.text_config
    assert text.vocab_size == len(tokenizer)
    assert (text.bos_token_id, text.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert text.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.model_max_length == text.max_position_embeddings
    # CLIP pools at the end token: at its id, or by the older rule at the highest id. Both have to find it.
    assert tokenizer.eos_token_id == len(tokenizer) - 1


def test_texts_begin_and_end_as_clip_s_do_and_any_text_survives(tokenizer):
    ids = tokenizer("A student holding a phone")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a student holding a phone"
    unseen = "Überraschung, 42 zebras!"
    assert tokenizer.unk_token_id not in tokenizer(unseen, add_special_tokens=False)["input_ids"]


def test_padding_does_not_change_a_text_s_embedding(model, tokenizer):
    texts = ["a face with a smile", "a student slumped over the desk working with a laptop alone in a library"]
    with torch.no_grad():
        together = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
        alone = model.get_text_features(**tokenizer(texts[:1], return_tensors="pt")).pooler_output
    torch.testing.assert_close(together[:1], alone)


def test_it_tells_what_unseen_drawings_show(model, tokenizer):
    pixels, words = draw_examples(seed=12345, num_clips=40, num_workers=2)
    figures = measure(model, tokenizer, pixels, words)
    assert min(figures.values()) > 75, figures


def test_the_demo_s_labels_are_raer_s_in_their_order():
    assert tuple(yaml.safe_load(DEMO_LABELS.read_text())["labels"]) == RAER_LABELS


def test_every_word_of_the_demo_s_prompts_is_one_known_token(tokenizer):
    for text in demo_texts():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(text.split()), text


def test_the_demo_s_prompts_fit_behind_the_context_tokens(model, tokenizer):
    longest = max(len(tokenizer(text)["input_ids"]) for text in demo_texts())
    assert longest + NUM_CONTEXT_TOKENS <= model.config.text_config.max_position_embeddings


def test_equal_captions_are_positives_of_each_other(model, tokenizer):
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8).expand(4, -1, -1, -1)
    loss = contrastive_loss(model, tokenizer, pixels, ["a face with a smile"] * 4)
    # One text: nothing to choose from an image. Four equal images: ln 4 from the text.
    assert loss.item() == pytest.approx(math.log(4) / 2, abs=1e-4)


def test_drawings_are_repeatable_and_differ_from_clip_to_clip():
    first, again, other = draw_clip(0, 0), draw_clip(0, 0), draw_clip(0, 1)
    for one, two in zip(first, again, strict=True):
        assert (one["face_pixels"] == two["face_pixels"]).all() and one["context_words"] == two["context_words"]
    assert (first[0]["context_pixels"] != other[0]["context_pixels"]).any()


def test_a_few_steps_write_a_checkpoint_that_loads(tmp_path, monkeypatch):
    output_dir = tmp_path / "new" / "clip"
    flags = ["--output-dir", str(output_dir), "--steps", "2", "--num_clips", "4", "--batch_size", "4"]
    monkeypatch.setattr(sys, "argv", ["pretrain_tiny_clip.py", *flags])
    assert run_command(main) == 0
    assert [path.name for path in output_dir.parent.iterdir()] == ["clip"]
    assert (
        len(AutoTokenizer.from_pretrained(output_dir))
        == CLIPModel.from_pretrained(output_dir).text_model.config.vocab_size
    )
    card = (output_dir / "README.md").read_text()
    assert " ".join(["--output-dir", "clip", *flags[2:]]) in card and str(tmp_path) not in card


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--output_dir", "."], "error: --output .: exists; expected the name of a folder to be made\n"),
        (["--output_dir", "new", "--steps", "0"], "error: `steps` must be at least 1, got 0\n"),
    ],
)
def test_bad_input_gives_one_line(tmp_path, monkeypatch, capsys, flags, found):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pretrain_tiny_clip.py", *flags])
    assert run_command(main) == 2
    assert capsys.readouterr().err == found
    assert not list(tmp_path.iterdir())
