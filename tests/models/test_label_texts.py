"""A tokenizer fits the text tower, and no two labels have the same texts, wherever either comes from."""

import json
import shutil
from pathlib import Path, PurePosixPath

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPConfig, CLIPTokenizer

from helpers.small_material import make_material
from helpers.tiny import TOKEN_IDS, tiny_config
from modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.clip_loading import load_clip_model, load_tokenizer
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.label_texts import check_tokenizer
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model
from modeling_clipcaer.models.zero_shot import ZeroShotModel


LABELS = ["bored", "tired", "happy"]
FIELDS = {"id2label": dict(enumerate(LABELS)), "num_context_tokens": 2}


@pytest.fixture
def clip(tmp_path_factory, tmp_path) -> Path:
    """A copy of the CLIP checkpoint, to spoil."""
    return shutil.copytree(make_material(tmp_path_factory.getbasetemp()).clip, tmp_path / "clip")


def change_text_config(clip: Path, **values) -> None:
    content = json.loads((clip / "config.json").read_text())
    content["text_config"] |= values
    (clip / "config.json").write_text(json.dumps(content))


def drop_tokenizer(clip: Path) -> None:
    for path in clip.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()


def grow_tokenizer(clip: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(clip)
    tokenizer.add_tokens(["classroom"])
    tokenizer.save_pretrained(clip)


def shrink_embedding(clip: Path) -> None:
    """A text tower of fewer tokens than the tokenizer's."""
    weights = load_file(clip / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    weights[name] = weights[name][:500].clone()
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    change_text_config(clip, vocab_size=500)


def unframe_texts(clip: Path) -> None:
    content = json.loads((clip / "tokenizer.json").read_text())
    (clip / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))
    (clip / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_tokenizer, "holds no tokenizer"),
        (grow_tokenizer, "the tokenizer knows 515 tokens, the text tower's embedding 514"),
        (shrink_embedding, "the tokenizer knows 514 tokens, the text tower's embedding 500"),
        (unframe_texts, "the tokenizer puts no begin and end around a text"),
        (
            lambda clip: change_text_config(clip, eos_token_id=7),
            "the tokenizer's end is token 513, the text tower's is 7",
        ),
        (lambda clip: (clip / "tokenizer.json").write_text('{"torn'), "no tokenizer could be loaded"),
    ],
    ids=["absent", "larger", "beyond the embedding", "without begin and end", "another end", "torn"],
)
def test_a_tokenizer_that_does_not_fit_is_refused_wherever_it_is_loaded(clip, spoil, message):
    spoil(clip)
    config = json.loads((clip / "config.json").read_text())["text_config"]
    loads = (
        lambda: load_clip_model(str(clip)),
        lambda: ClipCaerForVideoClassification.from_clip_pretrained(str(clip), **FIELDS),
        lambda: build_model(ModelArguments(clip_model=str(clip), num_context_tokens=2), LABELS, ZeroShotModel),
        lambda: load_tokenizer(str(clip), type("TextConfig", (), config)),
    )
    for load in loads:
        with pytest.raises(InputError) as caught:
            load()
        assert message in str(caught.value) and str(caught.value).startswith(str(clip))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_tokenizer_without_all_its_merges_is_refused(tiny_clip, share):
    tokenizer, config = AutoTokenizer.from_pretrained(tiny_clip), CLIPConfig.from_pretrained(tiny_clip).text_config
    check_tokenizer(tokenizer, config)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    torn = CLIPTokenizer(vocab=model["vocab"], merges=merges[: int(share * len(merges))])
    assert len(torn) == len(tokenizer)
    with pytest.raises(InputError, match=r"by no merge: merges\.txt is not whole"):
        check_tokenizer(torn, config)


def test_the_ids_of_clips_published_configurations_are_no_misfit(clip):
    change_text_config(clip, bos_token_id=0, eos_token_id=2)  # OpenAI's, of before the library corrected them
    model = ClipCaerForVideoClassification.from_clip_pretrained(str(clip), **FIELDS)
    assert {ids[-1] for (ids,) in model.config.label_token_ids} == {513}


def test_a_clip_of_older_days_is_read(clip):
    weights = load_file(clip / "model.safetensors")
    (clip / "model.safetensors").unlink()
    torch.save(weights | {"text_model.embeddings.position_ids": torch.arange(256)[None]}, clip / "pytorch_model.bin")
    load_clip_model(str(clip))
    torch.save({name: value for name, value in weights.items() if name != "logit_scale"}, clip / "pytorch_model.bin")
    with pytest.raises(InputError, match="lacks the weight `logit_scale`"):
        load_clip_model(str(clip))
    torch.save(weights | {"made_by": PurePosixPath("a")}, clip / "pytorch_model.bin")
    with pytest.raises(InputError, match="its pickled weights are torn, or hold objects beside tensors"):
        load_clip_model(str(clip))


def test_a_clip_whose_weights_are_not_finite_is_refused(clip):
    weights = load_file(clip / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = torch.nan
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"`visual_projection\.weight` holds NaN"):
        load_clip_model(str(clip))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"label_prompts": ["Bored", "tired", "bored"]},
            "`label_prompts` as tokens: `bored` and `happy` have the same",
        ),
        ({"descriptive_prompts": [["a b"], ["c", "d"], ["d", "c"]]}, "`tired` and `happy` have the same texts"),
        ({"label_prompts": ["one text"] * 3}, "`bored` and `tired` have the same texts"),
        ({"label_prompts": ["a", "b", "<|endoftext|>"]}, "words it does not know"),
        ({"label_prompts": ["a", "b", "c <|endoftext|> d"]}, "words it does not know"),
        ({"label_prompts": ["a", "b", "  "]}, "`label_prompts` of `happy`: '  ': the tokenizer finds no words"),
        ({"descriptive_prompts": ["a", "b", "c " * 300]}, "302 tokens, the text tower takes 256"),
    ],
)
def test_texts_that_say_nothing_or_the_same_are_refused_by_name(clip, fields, message, monkeypatch):
    args = ModelArguments(clip_model=str(clip), num_context_tokens=2)
    monkeypatch.setattr(ModelArguments, "config_fields", lambda self: {"num_context_tokens": 2, **fields})
    with pytest.raises(InputError) as caught:
        build_model(args, LABELS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_one_label_alone_is_refused():
    with pytest.raises(InputError, match="the labels are bored: expected at least two to tell apart"):
        build_model(ModelArguments(), ["bored"])


def test_a_labels_file_with_the_same_texts_for_two_labels_is_refused(tmp_path):
    path = tmp_path / "labels.yaml"
    entries = "".join(f"  {label}: {{soft: the {label}, descriptive: [one, two]}}\n" for label in LABELS)
    path.write_text(f"labels:\n{entries}")
    with pytest.raises(InputError, match=r"labels\.yaml: `descriptive`: `bored` and `tired` have the same texts"):
        read_labels_file(str(path), LABELS)


def write_labels(path, bored="", happy=""):
    more = {"bored": bored, "happy": happy}
    entries = [f"  {name}: {{soft: the {name}, descriptive: {name}{more.get(name, '')}}}\n" for name in LABELS]
    path.write_text(f"labels:\n{''.join(entries)}")
    return str(path)


def test_colours_of_a_labels_file_become_fields_of_the_configuration(tmp_path, caplog):
    path = write_labels(tmp_path / "labels.yaml", ', colour: "#00aa55"', ", colour: neutral")
    fields = read_labels_file(path, LABELS)
    assert fields["label_colours"] == {"bored": "#00aa55", "happy": "neutral"}
    assert "label_colours" not in read_labels_file(write_labels(tmp_path / "plain.yaml"), LABELS)
    config = tiny_config(id2label=dict(enumerate(LABELS)), label_token_ids=None, label_colours=fields["label_colours"])
    config.save_pretrained(tmp_path)
    assert type(config).from_pretrained(tmp_path).label_colours == {"bored": "#00aa55", "happy": "neutral"}
    assert caplog.messages == []
    path = write_labels(tmp_path / "alike.yaml", ', colour: "#9aa5b0"', ", colour: neutral")
    read_labels_file(path, LABELS)
    assert caplog.messages == [f"{path}: the colours of `bored` and `happy` look alike to some readers"]
    for colours, message in (({"sad": "#00aa55"}, "names `sad`"), ({"bored": "green"}, "found 'green'")):
        with pytest.raises(Exception, match=message):
            tiny_config(id2label=dict(enumerate(LABELS)), label_token_ids=None, label_colours=colours)
    for colour in ("#00aa55", '"#00aa5"', "slate", "7"):  # without quotes the first is a remark
        path = write_labels(tmp_path / "labels.yaml", f", colour: {colour}\n   ")
        with pytest.raises(InputError, match="`bored`: `colour`: expected"):
            read_labels_file(path, LABELS)


def test_a_configuration_with_the_same_tokens_for_two_labels_is_refused():
    with pytest.raises(Exception, match="`label_token_ids`: `Neutrality` and `Distraction` have the same texts"):
        tiny_config(label_token_ids=[*TOKEN_IDS[:4], TOKEN_IDS[0]])
