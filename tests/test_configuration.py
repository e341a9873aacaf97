import inspect
import re
from dataclasses import dataclass, fields

import pytest
from transformers import AutoConfig, CLIPConfig

from helpers.tiny import CLIP, TOKEN_IDS, tiny_config
from modeling_clipcaer import ClipCaerConfig, ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import ModelSettings, PixelSettings, check_ranges, option


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slerp_wieght": 0.3}, "`slerp_wieght` is not a field"),
        ({"temperature": 0}, "`temperature` must lie in"),
        ({"slerp_weight": 1.0}, r"`slerp_weight` must lie in \[0, 1\)"),
        ({"adapter_residual_ratio": 1.5}, "`adapter_residual_ratio`"),
        ({"num_frames": "16"}, "num_frames"),
        ({"streams": "body"}, "streams"),
        ({"prototype_source": "best"}, "prototype_source"),
        ({"learned_slerp_weight": "shared", "slerp_weight": 0.0}, "`learned_slerp_weight` begins at `slerp_weight`"),
        ({"fusion": "sum"}, "fusion"),
        ({"fusion": "gated", "streams": "face"}, "`fusion` gated needs both `streams`, got face alone"),
        ({"label_token_ids": TOKEN_IDS[:4]}, "one entry per label, got 4 for 5"),
        ({"descriptive_token_ids": TOKEN_IDS[:4]}, "`descriptive_token_ids` must hold one entry per label"),
        ({"label_token_ids": [*TOKEN_IDS[:4], TOKEN_IDS[4] * 2]}, "equally many sentences"),
        ({"label_token_ids": None, "class_specific_context": False}, "all labels would be equal"),
        ({"num_context_tokens": 30}, "a prompt of 35 tokens, the text tower takes 32"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields, message):
    with pytest.raises(Exception, match=message):
        tiny_config(**fields)


def test_wrong_values_are_refused_on_assignment():
    config = tiny_config()
    with pytest.raises(Exception, match="num_frames"):
        config.num_frames = "many"


def test_the_defaults_are_raers_labels_and_the_documented_numbers():
    config = ClipCaerConfig()
    assert list(config.id2label.values()) == ["Neutrality", "Enjoyment", "Confusion", "Fatigue", "Distraction"]
    assert config.label2id["Fatigue"] == 3
    assert (config.num_frames, config.num_context_tokens, config.slerp_weight, config.temperature) == (
        16,
        12,
        0.5,
        0.07,
    )


@pytest.mark.parametrize(
    ("fields", "source"),
    [({}, "descriptive"), ({"slerp_weight": 0.0}, "soft"), ({"prototype_source": "mean"}, "mean")],
)
def test_the_prototype_source_follows_the_slerp_weight_unless_named(fields, source):
    assert tiny_config(**fields).resolved_prototype_source == source


def test_custom_labels_bring_their_inverse():
    config = tiny_config(id2label={0: "bored", 1: "tense"}, label_token_ids=TOKEN_IDS[:2])
    assert config.num_labels == 2 and config.label2id == {"bored": 0, "tense": 1}


def test_a_saved_configuration_comes_back_equal(tmp_path):
    config = tiny_config(slerp_weight=0.25, streams="face")
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is ClipCaerConfig and isinstance(loaded.clip_config, CLIPConfig)
    assert loaded.to_diff_dict() == config.to_diff_dict()


def test_sizes_come_from_the_clip_configuration():
    assert tiny_config().projection_dim == CLIP["projection_dim"]


def test_a_saved_configuration_names_where_it_is_from_and_holds_no_path(tmp_path):
    config = ClipCaerConfig()
    config._name_or_path = "/home/mallory/models/raer"
    config.clip_config._name_or_path = "/home/mallory/models/tiny-clip"
    config.clip_config.vision_config._name_or_path = "C:\\Users\\mallory\\vision"
    config.clip_config.text_config._name_or_path = "openai/clip-vit-base-patch32"
    config.save_pretrained(tmp_path)
    saved = (tmp_path / "config.json").read_text()
    assert "mallory" not in saved + repr(config) + config.to_json_string(use_diff=False)
    assert '"tiny-clip"' in saved and "openai/clip-vit-base-patch32" in saved
    assert config._name_or_path == "/home/mallory/models/raer"  # in memory it stays: weights are found by it


@pytest.mark.parametrize(
    ("kind", "settings"), [(ClipCaerConfig, ModelSettings), (ClipCaerVideoProcessor, PixelSettings)]
)
def test_a_setting_is_said_once_and_shown_where_it_is_set(kind, settings):
    """Name, default and help of the dataclass are those of the class's signature, of its docstring and of its JSON."""
    parameters, saved = inspect.signature(kind).parameters, kind().to_dict()
    for setting in fields(settings):
        assert parameters[setting.name].default == setting.default == saved[setting.name]
        assert f"        {setting.name} (`" in kind.__doc__ and setting.metadata["help"] in kind.__doc__
    words = [line for line in kind.__doc__.splitlines() if re.match(r"        \w+ \(`", line)]
    assert len(words) == len(set(words)) >= len(fields(settings))


def test_a_range_is_told_with_its_ends():
    @dataclass
    class Some:
        share: float = option(0.5, "", least=0, below=1)
        scale: float = option(1.0, "", above=0)
        count: int | None = option(None, "", least=1)

    check_ranges(Some())
    check_ranges(Some(share=0, count=1))
    for values, message in (
        ({"share": 1}, "`share` must lie in [0, 1), got 1"),
        ({"share": float("nan")}, "`share` must lie in [0, 1), got nan"),
        ({"scale": 0}, "`scale` must be above 0, got 0"),
        ({"scale": float("inf")}, "`scale` must be a finite number, got inf"),
        ({"count": 0}, "`count` must be at least 1, got 0"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            check_ranges(Some(**values))
