"""Checkpoints of the public research code to ClipCaer folders and back (its tiny model: see tests/golden)."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from helpers.golden_cases import GOLDEN, KEYS, case_model, case_state, drop_second_names, golden, golden_pixels
from helpers.places import ROOT
from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor
from modeling_clipcaer.commands.convert import main
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.research_code.checkpoint import read_original_checkpoint
from modeling_clipcaer.research_code.model import build_model, export_state_dict, infer_clip_config, infer_config


STANDARD, ENSEMBLE = "class_descriptor.slerp0.5", "prompt_ensemble.slerp0.0"
LOGITS = {"rtol": 1e-4, "atol": 2e-4}


@pytest.fixture
def convert(monkeypatch):
    """The command in this process: its exit status."""

    def run(*flags) -> int:
        monkeypatch.setattr(sys, "argv", ["convert_original_checkpoint.py", *map(str, flags)])
        return run_command(main)

    return run


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A bare state dict."""
    path = tmp_path_factory.mktemp("original") / "bare.pth"
    torch.save(case_state(STANDARD), path)
    return path


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> Path:
    """A whole training checkpoint: wrapped weights in half precision, and objects that are no tensors."""
    path = tmp_path_factory.mktemp("original") / "model_best.pth"
    state = {f"module.{name}": tensor.half() for name, tensor in case_state(STANDARD).items()}
    recorder = Namespace(losses=torch.zeros(3).numpy(), current_epoch=3)
    torch.save({"epoch": 3, "state_dict": state, "best_acc": 61.5, "optimizer": {}, "recorder": recorder}, path)
    return path


def logits_of(model) -> torch.Tensor:
    with torch.no_grad():
        return model(**golden_pixels()).logits


def strip_context(prompt: list[int], num_context_tokens: int) -> list[int]:
    return prompt[:1] + prompt[1 + num_context_tokens :]


@pytest.mark.slow
def test_the_command_writes_a_folder_that_gives_the_research_codes_logits(bare, tmp_path):
    script = ROOT / "recipes" / "convert_original_checkpoint.py"
    command = [sys.executable, script, "--checkpoint", bare, "--output-dir", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0, done.stderr
    model, info = ClipCaerForVideoClassification.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(logits_of(model), golden(f"{STANDARD}.logits"), **LOGITS)
    for told in ("temporal_net.cls_token", "resblocks.*.attn.in_proj_weight", "token_suffix", "second names"):
        assert told in done.stdout
    card = (tmp_path / "out" / "README.md").read_text()
    assert "non-commercial research only" in card and "not be redistributed" in card and "bare.pth" in card
    assert not list((tmp_path / "out").glob(".*"))


def test_a_training_checkpoint_is_refused_in_one_line_unless_trusted(training, tmp_path, convert, capfd):
    assert convert("--checkpoint", training, "--output_dir", tmp_path / "out") == 2
    told = capfd.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"error: {training}: ") and "argparse.Namespace" in told and "--trust-checkpoint" in told
    assert not (tmp_path / "out").exists()
    assert convert("--checkpoint", training, "--output_dir", tmp_path / "out", "--trust_checkpoint") == 0
    assert "left out: training state beside the weights" in capfd.readouterr().out
    model = ClipCaerForVideoClassification.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    half = {name: tensor.half().float() for name, tensor in drop_second_names(case_state(STANDARD)).items()}
    torch.testing.assert_close(logits_of(model), logits_of(build_model(half)), rtol=0, atol=1e-6)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (exec, (f"open({str(self.path)!r}, 'w')",))


@pytest.mark.parametrize("trust", [False, True])
def test_no_code_of_a_checkpoint_is_run(tmp_path, trust):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": case_state(STANDARD), "recorder": Payload(tmp_path / "run")}, path)
    if trust:
        assert read_original_checkpoint(path, trust=True).others == {"recorder": "object that was not read"}
    else:
        with pytest.raises(InputError, match="holds objects beside tensors"):
            read_original_checkpoint(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_prompts_and_sizes_are_recovered_from_the_tensors(case):
    config, expected = case_model(case).config, GOLDEN["cases"][case]
    num_context_tokens = expected["options"].get("contexts_number", 12)
    assert config.num_context_tokens == num_context_tokens
    assert config.class_specific_context == (len(expected["ctx_shape"]) == 3)
    assert [ids for label in config.label_token_ids for ids in label] == [
        strip_context(prompt, num_context_tokens) for prompt in expected["prompts"]
    ]
    assert {len(label) for label in config.label_token_ids} == {3 if case == ENSEMBLE else 1}
    assert config.descriptive_token_ids == [[ids] for ids in GOLDEN["descriptive_prompts"]]
    assert config.resolved_prototype_source == ("descriptive" if config.slerp_weight > 0 else "soft")
    text, vision = config.clip_config.text_config, config.clip_config.vision_config
    assert (text.num_attention_heads, vision.num_attention_heads, vision.image_size) == (2, 2, 64)
    assert (config.adapter_residual_ratio, config.adapter_reduction, config.num_frames) == (1.0, 4, 16)


def original_key_set() -> dict[str, torch.Tensor]:
    state = case_state("class_descriptor.slerp0.0")
    return {name: value for name, value in state.items() if "adapter" not in name and "hand_crafted" not in name}


def test_the_original_key_set_has_neither_adapter_nor_descriptive_view():
    model = build_model(drop_second_names(original_key_set()))
    config = model.config
    assert not config.use_face_adapter and config.descriptive_token_ids is None
    assert (config.slerp_weight, config.temperature, config.resolved_prototype_source) == (0.0, 0.01, "soft")
    with torch.no_grad():
        outputs = model(**golden_pixels())
    torch.testing.assert_close(
        outputs.soft_text_embeds, golden("class_descriptor.slerp0.0.soft_text"), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(outputs.context_video_embeds, golden("video.body"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outputs.logits, outputs.video_embeds @ outputs.soft_text_embeds.T / 0.01)
    assert export_state_dict(model).keys() == original_key_set().keys()


def test_the_number_of_labels_follows_from_the_prompts(convert, tmp_path, capfd):
    state = {
        name: tensor[:4].clone() if name.startswith("prompt_learner.") else tensor
        for name, tensor in original_key_set().items()
    }
    torch.save(state, tmp_path / "four.pth")
    config = build_model(drop_second_names(state)).config
    assert list(config.id2label.values()) == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
    labels = ["calm", "glad", "lost", "tired"]
    flags = ("--labels", *labels, "--class-token-position", "middle", "--temperature", "0.02")
    assert convert("--checkpoint", tmp_path / "four.pth", "--output_dir", tmp_path / "out", *flags) == 0
    config = ClipCaerForVideoClassification.from_pretrained(tmp_path / "out").config
    assert list(config.id2label.values()) == labels
    assert (config.class_token_position, config.temperature) == ("middle", 0.02)
    assert ClipCaerVideoProcessor.from_pretrained(tmp_path / "out").context == "body"
    flags = ("--labels", "calm", "glad", "lost", "NA")
    assert convert("--checkpoint", tmp_path / "four.pth", "--output_dir", tmp_path / "refused", *flags) == 2
    assert "four.pth: `id2label`: the label 'NA' is no text" in capfd.readouterr().err


@pytest.mark.parametrize("zip_format", [True, False])
def test_second_names_alone_carry_a_tensor(tmp_path, zip_format):
    state = case_state(STANDARD)
    only = {"clip_model_.token_embedding.weight", "clip_model_.logit_scale"}
    kept = {name: state[name] for name in state if not name.startswith("clip_model_.") or name in only}
    torch.save(kept, tmp_path / "short.pth", _use_new_zipfile_serialization=zip_format)
    read = read_original_checkpoint(tmp_path / "short.pth")
    assert read.second_names == [] and read.others == {}
    torch.testing.assert_close(logits_of(build_model(read.state)), golden(f"{STANDARD}.logits"), **LOGITS)


def spoil(name: str, value) -> dict:
    state = case_state(STANDARD)
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


SUFFIX = "prompt_learner.token_suffix"
BAD = [
    ("project_fc.bias", None, "`project_fc.bias` is missing"),
    ("prompt_learner.token_prefix", None, "`prompt_learner.token_prefix` is missing"),
    (
        "temporal_net_body.cls_token",
        torch.zeros(1, 1, 8),
        r"`temporal_net_body.cls_token`: expected shape \(1, 1, 512\)",
    ),
    ("project_fc.weight", torch.zeros(512, 1023), r"`project_fc.weight`: expected shape \(512, 1024\).*\(512, 1023\)"),
    ("prompt_learner.ctx", torch.zeros(5, 11, 128), r"token_suffix`: expected shape \(5, 65, 128\)"),
    ("prompt_learner.ctx", torch.zeros(4, 12, 128), r"`prompt_learner.ctx`: expected shape \(5, 12, 128\)"),
    ("gate.weight", torch.zeros(3), "`gate.weight` is no tensor of the research code's model"),
    ("project_fc.bias", torch.full((512,), float("nan")), "`project_fc.bias`: holds NaN"),
    ("project_fc.bias", torch.zeros(512, dtype=torch.long), "expected a floating-point tensor, found torch.int64"),
    (
        "image_encoder.proj",
        torch.zeros(128, 512),
        "two tensors that are one in the research code differ: `clip_model_.visual.proj`",
    ),
    (SUFFIX, torch.full((5, 64, 128), 0.5), "prompt 0: the row at position 1 is no row of"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_a_wrong_tensor_is_named(tmp_path, name, value, message):
    torch.save(spoil(name, value), tmp_path / "bad.pth")
    with pytest.raises(InputError, match=message):
        build_model(read_original_checkpoint(tmp_path / "bad.pth").state)


def test_a_prompt_without_an_end_is_refused():
    state = drop_second_names(case_state(STANDARD))
    state[SUFFIX] = state["clip_model_.token_embedding.weight"][7].expand_as(state[SUFFIX])
    with pytest.raises(InputError, match="prompt 0: no end token"):
        build_model(state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"<html>", "cannot be read as a checkpoint"),
        ([1, 2], "found: list"),
        ({}, "found none"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, convert, capfd, content, message):
    path = tmp_path / "model.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert convert("--checkpoint", path, "--output_dir", tmp_path / "out") == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error: {path}: ") and message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_in_use_is_left_alone(bare, tmp_path, convert, capfd):
    (tmp_path / "notes.txt").write_text("mine")
    assert convert("--checkpoint", bare, "--output_dir", tmp_path) == 2
    assert "is no empty folder" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_prompts_become_text_where_there_is_a_tokenizer(bare, tmp_path, convert):
    vocab = {f"w{token}": token for token in range(49406)} | {"<start>": 49406, "<end>": 49407}
    words = Tokenizer(models.WordLevel(vocab, unk_token="w0"))
    special = [("<start>", 49406), ("<end>", 49407)]
    words.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<start>", eos_token="<end>")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    flags = ("--tokenizer", tmp_path / "tokenizer", "--crop-body")
    assert convert("--checkpoint", bare, "--output_dir", tmp_path / "out", *flags) == 0
    config = ClipCaerForVideoClassification.from_pretrained(tmp_path / "out").config
    assert config.label_prompts == [" ".join(f"w{token}" for token in ids[1:-1]) for (ids,) in config.label_token_ids]
    assert config.descriptive_prompts[0][0].startswith("w320 w2556 w791")
    assert ClipCaerVideoProcessor.from_pretrained(tmp_path / "out").context == "body"


@pytest.mark.parametrize("case", [STANDARD, ENSEMBLE, "class_descriptor.generic_ctx"])
def test_there_and_back_again_is_exact(case):
    state, back = case_state(case), export_state_dict(case_model(case))
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name


def test_the_way_back_writes_what_the_research_codes_evaluation_loads(bare, tmp_path, convert, capfd):
    assert convert("--checkpoint", bare, "--output_dir", tmp_path / "ours") == 0
    capfd.readouterr()
    assert convert("--to-original", "--checkpoint", tmp_path / "ours", "--output_dir", tmp_path / "back") == 0
    told = capfd.readouterr().out
    assert "--contexts-number 12" in told and "--slerp-weight 0.5 --temperature 0.07" in told
    back, state = torch.load(tmp_path / "back" / "model.pth", weights_only=True)["state_dict"], case_state(STANDARD)
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adapter_residual_ratio": 0.2}, "`adapter_residual_ratio` is 0.2, there it is 1"),
        ({"prototype_source": "mean"}, "`prototype_source` is mean, there it is descriptive"),
        ({"descriptive_token_ids": [[[1, 2], [1, 3]]] * 5}, r"sentences for a label .* is \[2\], there it is \[1\]"),
    ],
)
def test_what_the_research_code_cannot_compute_is_not_written_for_it(fields, message):
    model = case_model(STANDARD)
    for name, value in fields.items():
        setattr(model.config, name, value)
    with pytest.raises(InputError, match=message):
        export_state_dict(model)


def test_a_flag_without_effect_is_refused(tmp_path, convert, capfd):
    flags = ("--to-original", "--temperature", "0.1")
    assert convert("--checkpoint", tmp_path, "--output_dir", tmp_path / "out", *flags) == 2
    assert "`temperature` does not go with `to_original`" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--temperature", "0"), "`temperature` must lie in"),
        (("--slerp-weight", "1"), "`slerp_weight` must lie in [0, 1)"),
        (("--labels", "a", "b", "a", "c", "d"), "`id2label` names `a` twice"),
    ],
)
def test_a_value_out_of_range_is_told_in_one_line(bare, tmp_path, convert, capfd, flags, message):
    assert convert("--checkpoint", bare, "--output_dir", tmp_path / "out", *flags) == 2
    told = capfd.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"error: {bare}: {message}") and not (tmp_path / "out").exists()


def test_a_slerp_weight_without_a_descriptive_view_is_refused():
    with pytest.raises(InputError, match="no descriptive prompts to move from"):
        build_model(drop_second_names(original_key_set()), slerp_weight=0.5)


def test_vit_b_32_has_the_research_codes_keys_and_shapes():
    """Tensors without memory: rows of the token embedding are their own ids."""
    shapes = KEYS["canonical"] | KEYS["buffers"]
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    state["clip_model_.token_embedding.weight"] = torch.arange(49408.0)[:, None].expand(-1, 512)
    for name in ("hand_crafted_prompt_embeddings", SUFFIX):
        ids = torch.zeros(shapes[name][:2])
        ids[:, 0], ids[:, 1], ids[:, 2] = 320, torch.arange(2533, 2533 + len(ids)), 49407
        state[name] = ids[..., None].expand(-1, -1, 512)
    config = infer_config(state, None, "end", None, None)
    assert config.label_token_ids == [[[0, 320, word, 49407]] for word in range(2533, 2538)]
    with torch.device("meta"):
        back = export_state_dict(ClipCaerForVideoClassification(config))
    assert set(back) == set(KEYS["order"])
    every_shape = shapes | {alias: shapes[name] for alias, name in KEYS["aliases"].items()}
    assert {name: list(tensor.shape) for name, tensor in back.items()} == every_shape


@pytest.mark.parametrize(
    ("patch_size", "num_patches", "vision", "text", "dim"),
    [
        (32, 49, (768, 12, 12), (512, 12, 8), 512),
        (16, 196, (768, 12, 12), (512, 12, 8), 512),
        (14, 256, (1024, 24, 16), (768, 12, 12), 768),
    ],
    ids=["ViT-B/32", "ViT-B/16", "ViT-L/14"],
)
def test_clips_sizes_follow_from_the_shapes(patch_size, num_patches, vision, text, dim):
    shapes = {
        "visual.conv1.weight": (vision[0], 3, patch_size, patch_size),
        "visual.positional_embedding": (num_patches + 1, vision[0]),
        "positional_embedding": (77, text[0]),
        "token_embedding.weight": (49408, text[0]),
        "text_projection": (text[0], dim),
    }
    for prefix, (width, layers, _) in (("visual.", vision), ("", text)):
        shapes |= {f"{prefix}transformer.resblocks.{n}.mlp.c_fc.weight": (4 * width, width) for n in range(layers)}
    config = infer_clip_config({f"clip_model_.{name}": torch.zeros(1).expand(shape) for name, shape in shapes.items()})
    assert (config.projection_dim, config.vision_config.image_size) == (dim, 224)
    assert config.vision_config.patch_size == patch_size
    for tower, (width, layers, heads) in ((config.vision_config, vision), (config.text_config, text)):
        assert (tower.hidden_size, tower.num_hidden_layers, tower.num_attention_heads) == (width, layers, heads)
        assert tower.intermediate_size == 4 * width
