"""What is wrong with a checkpoint's folder is told in one line, before anything is built of it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForVideoClassification

from helpers.tiny import TOKEN_IDS, tiny_config, tiny_model
from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.checkpoints import load_checkpoint, save_checkpoint
from modeling_clipcaer.strict_loading import check_weights


CONFIG, PROCESSOR, WEIGHTS, NOTES = (
    *("config.json", "video_preprocessor_config.json"),
    *("model.safetensors", "trainable.json"),
)
FUSION = "model.fusion.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    save_checkpoint(tiny_model(), ClipCaerVideoProcessor(num_frames=4, image_size=32), folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    """A copy, to spoil."""
    return shutil.copytree(sound, tmp_path / "checkpoint")


def refusal(folder) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(str(folder))
    message = str(caught.value)
    assert message.startswith(str(folder)) and "\n" not in message
    return message


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temporal_layers": -1}, "`temporal_layers` must lie in [1, 64], got -1"),
        ({"temporal_layers": 10**9}, "`temporal_layers` must lie in [1, 64], got 1000000000"),
        ({"temporal_mlp_dim": 65536}, "found (24, 32), expected (24, 65536)"),
        ({"num_frames": "8"}, "'num_frames' expected int, got str"),
        ({"num_frames": True}, "'num_frames' expected int, got bool"),
        ({"temporal_dropout": True}, "'temporal_dropout'"),
        ({"temperature": float("nan")}, "config.json: holds NaN"),
        ({"slerp_weight": {"__float__": "NaN"}}, "`slerp_weight` must lie in [0, 1), got nan"),
        ({"temperature": {"__float__": "Infinity"}}, "`temperature` must lie in"),
        ({"adapter_reduction": 25}, "`adapter_reduction` must be at most 24"),
        (
            {"clip_config": {"text_config": {"num_hidden_layers": 10**9}}},
            "`clip_config.text_config.num_hidden_layers`",
        ),
        ({"clip_config": {"vision_config": {"num_attention_heads": 0}}}, "`clip_config.vision_config.num_attention"),
        ({"clip_config": {"vision_config": {"image_size": [32, 32]}}}, "`clip_config.vision_config.image_size`"),
        ({"clip_config": {"projection_dim": 10**9}}, "`clip_config.projection_dim` must lie in"),
        ({"stream": "both"}, "`stream` is not a field of ClipCaerConfig: misspelt, or written by a newer version"),
        ({"format_version": 2, "num_frames": "8"}, "it was written by a newer version"),
        ({"format_version": "1"}, "`format_version` is '1', this version of ClipCaer reads up to 1"),
        ({"model_type": "bert"}, "expected a ClipCaer checkpoint, found `bert`"),
        ({"label_token_ids": [[[97, 99, 98]], *TOKEN_IDS[1:]]}, "must hold tokens from 0 to 98"),
        ({"descriptive_prompts": ["a", "b", "a", "c", "d"]}, "`Neutrality` and `Confusion` have the same texts"),
    ],
)
def test_a_field_of_the_configuration_is_refused_by_name(folder, values, message):
    change(folder / CONFIG, **values)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label2id": dict(zip("abcde", range(5), strict=True))}, "`id2label` says that `Neutrality` is 0"),
        (
            {"label2id": {"Neutrality": 1, "Enjoyment": 0, "Confusion": 2, "Fatigue": 3, "Distraction": 4}},
            "`label2id` 1",
        ),
        ({"id2label": {"0": "a", "2": "b"}}, "must number the labels from 0 without a gap, got 0, 2"),
        ({"id2label": {"first": "a"}}, "must number the labels from 0 without a gap, got first"),
        ({"id2label": {str(number): "a" for number in range(5)}}, "names `a` twice, as 0 and as 1"),
        ({"id2label": {"0": "a", "1": 2}}, "must name every label, got 2 for 1"),
        ({"id2label": ["a"]}, "`id2label` must be a mapping"),
        ({"num_labels": 3}, "`num_labels` is 3, `id2label` names 5"),
    ],
)
def test_labels_that_contradict_each_other_are_refused(folder, values, message):
    change(folder / CONFIG, **values)
    assert message in refusal(folder)


def test_labels_come_in_the_order_of_their_numbers():
    config = tiny_config(id2label={"1": "b", "0": "a"}, label_token_ids=TOKEN_IDS[:2])
    assert list(config.id2label.items()) == [(0, "a"), (1, "b")]
    with pytest.raises(Exception, match="`id2label` names 2"):
        tiny_config(id2label={0: "a", 1: "b"}, num_labels=3, label_token_ids=TOKEN_IDS[:2])


@pytest.mark.parametrize("name", [CONFIG, PROCESSOR, NOTES])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", ": expected a JSON object, found []"),
        (b"", ":1:1: broken JSON"),
        (b'{"model_type": "clip', ":1:16: broken JSON"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 0xff at 7)"),
        (b"[" * 10**6, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of thousands of digits"),
        (b'{"a": -1e999}', "holds -1e999, which is too large"),
        (b'{"a": ' + b"9" * 400 + b".0}", f"holds {'9' * 20}, which is too large"),
        (b'{"a": 1, "a": 2}', "key 'a' occurs twice"),
    ],
    ids=["list", "empty", "torn", "bytes", "deep", "digits", "large", "longer", "twice"],
)
def test_a_broken_json_file_is_named(folder, name, text, message):
    (folder / name).write_bytes(text)
    told = refusal(folder)
    assert f"{name}" in told and message in told


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": 64}, "the processor's `image_size` is 64, the model takes 32"),
        ({"num_frames": 8}, "the processor's `num_frames` is 8, the model takes 4"),
        ({"image_mean": [1e999, 1, 1]}, "video_preprocessor_config.json: holds Infinity"),
        ({"num_frames": True}, "`num_frames` must be an integer"),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(folder, values, message):
    change(folder / PROCESSOR, **values)
    assert message in refusal(folder)


def spoil(change_weights):
    def spoil_file(path):
        weights = load_file(path)
        change_weights(weights)
        save_file(weights, path, metadata={"format": "pt"})

    return spoil_file


@pytest.mark.parametrize(
    ("spoil_file", "message"),
    [
        (spoil(lambda weights: weights[FUSION].view(-1)[3].fill_(torch.nan)), f"weight `{FUSION}` holds NaN"),
        (
            spoil(lambda weights: weights["model.clip.logit_scale"].fill_(-torch.inf)),
            "logit_scale` holds NaN or infin",
        ),
        (spoil(lambda weights: weights[FUSION].zero_()), f"weight `{FUSION}` holds nothing but zeros"),
        (spoil(lambda weights: weights.update({FUSION: weights[FUSION].to(torch.int8)})), f"`{FUSION}` is of type I8"),
        (spoil(lambda weights: weights.update({FUSION: weights[FUSION] * 1j})), f"`{FUSION}` is of type C64"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "model.safetensors: no safete"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "model.safetensors: no safetensors file"),
        (lambda path: path.write_bytes(b""), "model.safetensors: no safetensors file"),
        (lambda path: path.unlink(), "no file named model.safetensors"),
    ],
    ids=["NaN", "infinite", "zeros", "integers", "complex", "torn", "zeroed", "empty", "gone"],
)
def test_weights_that_are_torn_or_not_finite_are_refused(folder, spoil_file, message):
    spoil_file(folder / WEIGHTS)
    assert message in refusal(folder)


def test_a_lora_that_has_made_no_step_is_no_torn_file():
    check_weights({"q_proj.lora_B.default.weight": torch.zeros(4, 2)})
    with pytest.raises(InputError, match="nothing but zeros"):
        check_weights({"q_proj.lora_A.default.weight": torch.zeros(2, 4)})


def test_a_library_that_a_checkpoint_needs_is_named(folder):
    change(folder / CONFIG, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "bitsandbytes" in refusal(folder)


def test_a_plain_from_pretrained_is_as_strict(folder):
    spoil(lambda weights: weights[FUSION].view(-1)[3].fill_(torch.nan))(folder / WEIGHTS)
    for load in (ClipCaerForVideoClassification.from_pretrained, AutoModelForVideoClassification.from_pretrained):
        with pytest.raises(InputError, match=f"`{FUSION}` holds NaN"):
            load(folder)


def test_a_plain_from_pretrained_keeps_the_contract_of_transformers(folder):
    load = ClipCaerForVideoClassification.from_pretrained
    with pytest.raises(OSError, match="there is no such folder"):
        load("../nope")
    with pytest.raises(RuntimeError, match="is of shape"):
        load(folder, num_labels=3)
    anew = load(folder, num_labels=3, ignore_mismatched_sizes=True)
    assert anew.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    spoil(lambda weights: weights.pop(FUSION))(folder / WEIGHTS)
    with pytest.raises(InputError, match=f"missing weight `{FUSION}`"):
        load(folder)
    assert load(folder, output_loading_info=True)[1]["missing_keys"] == {FUSION}


def test_a_checkpoint_of_before_the_format_had_a_version_still_loads(folder):
    content = json.loads((folder / CONFIG).read_text())
    assert content.pop("format_version") == 1
    (folder / CONFIG).write_text(json.dumps(content))
    load_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["../nope", "/nope", "./nope", "runs/of/mine", "~/nope"])
def test_a_folder_that_is_not_there_is_said_to_be_none(name):
    for load in (load_checkpoint, ClipCaerForVideoClassification.from_pretrained):
        with pytest.raises(InputError, match=rf"^{name}: there is no such folder$"):
            load(name)


def test_a_name_that_may_be_on_the_hub_is_looked_for_there(tmp_path):
    with pytest.raises(
        InputError, match=r"^org/nope: there is no such folder, and from the Hub no ClipCaer checkpoint"
    ):
        load_checkpoint("org/nope")
    with pytest.raises(InputError, match=r"expected a ClipCaer checkpoint, found no config\.json"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"lora": {"rank": 10**9, "alpha": 1}, "base_model": None}, "expected `lora` with `rank` and `alpha`"),
        ({"lora": None, "base_model": "../nope", "frozen_sha256": "0"}, "../nope: there is no such folder"),
        ({"lora": None, "base_model": "../nope"}, "expected `base_model` with `frozen_sha256`"),
    ],
)
def test_notes_of_a_training_checkpoint_are_checked(folder, notes, message):
    (folder / NOTES).write_text(json.dumps(notes))
    assert message in refusal(folder)
