import itertools

import pytest
import torch

from helpers.small_training import make_trainer
from helpers.tiny import TOKEN_IDS, tiny_config, tiny_model
from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.trainable import add_lora
from modeling_clipcaer.training.parameter_groups import (
    check_gradient_paths,
    find_parameter_group,
    freeze_parameters,
    group_learning_rates,
)


GROUP_FLAGS = {
    "base": "learning_rate",
    "fusion": "lr_fusion",
    "adapter": "lr_adapter",
    "prompt_learner": "lr_prompt_learner",
    "image_encoder": "lr_image_encoder",
}
ALL_TRAIN = dict.fromkeys(GROUP_FLAGS.values(), 1e-2)
ENSEMBLE = [[ids[0], [*ids[0][:-1], 20, ids[0][-1]]] for ids in TOKEN_IDS]


def make_args(**fields):
    return ClipCaerTrainingArguments("unused", **fields)


def test_every_weight_has_its_group_and_the_text_tower_none():
    names = {name for name, _ in tiny_model().named_parameters()}
    groups = {name: find_parameter_group(name) for name in names}
    assert set(groups.values()) == {*GROUP_FLAGS, None}
    without = {name for name, group in groups.items() if group is None}
    assert all(name.startswith(("model.clip.text_", "model.clip.logit_scale")) for name in without)
    assert {name for name in names if name.startswith("model.clip.text_")} <= without
    assert find_parameter_group("module.model.fusion.weight") == "fusion"


def test_the_fusion_learns_at_the_rate_of_the_temporal_encoders_unless_it_has_its_own():
    assert group_learning_rates(make_args(learning_rate=0.5))["fusion"] == 0.5
    assert group_learning_rates(make_args(learning_rate=0.5, lr_fusion=0.0))["fusion"] == 0.0


@pytest.mark.parametrize("frozen", [*GROUP_FLAGS, None])
def test_a_group_moves_unless_its_learning_rate_is_0(material, tmp_path, frozen):
    rates = ALL_TRAIN | ({GROUP_FLAGS[frozen]: 0.0} if frozen else {})
    weights = {"mi_loss_weight": 0.0, "dc_loss_weight": 0.0} if frozen == "prompt_learner" else {}
    trainer = make_trainer(material, tmp_path, {"prototype_source": "mean"}, max_steps=2, **rates, **weights)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    still = {name for name, value in trainer.model.state_dict().items() if torch.equal(value, before[name])}
    parameters = dict(trainer.model.named_parameters())
    expected_still = {name for name in parameters if find_parameter_group(name) in (frozen, None)}
    assert still & set(parameters) == expected_still
    assert set(before) - set(parameters) <= still  # buffers: the descriptive view
    assert {group["name"] for group in trainer.optimizer.param_groups} == set(GROUP_FLAGS) - {frozen}


@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
def test_what_goes_beyond_the_method_trains_and_is_frozen_by_its_learning_rates(material, tmp_path, fusion):
    fields = {"prototype_source": "classifier", "learned_slerp_weight": "per_label", "fusion": fusion}
    for frozen in ("fusion", "classifier"):
        trainer = make_trainer(material, tmp_path, fields, max_steps=1, face_dropout=0.3, **{f"lr_{frozen}": 0.0})
        before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
        trainer.train()
        moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
        groups = {name: find_parameter_group(name) for name in before}
        assert {groups[name] for name in moved} == {"base", "adapter", "prompt_learner", "fusion", "classifier"} - {
            frozen
        }
        assert moved == {name for name, group in groups.items() if group not in (None, "image_encoder", frozen)}


@pytest.mark.parametrize(
    ("streams", "source", "pooling", "prompts"),
    [
        *itertools.product(["both", "face", "context"], ["descriptive", "soft", "mean"], ["cls"], [TOKEN_IDS]),
        ("both", "soft", "attention", ENSEMBLE),
        ("both", "descriptive", "attention", ENSEMBLE),
        ("context", "mean", "attention", None),
    ],
)
@pytest.mark.parametrize("text_loss", ["mi_loss_weight", "dc_loss_weight"])
def test_every_trainable_weight_receives_a_gradient(material, tmp_path, streams, source, pooling, prompts, text_loss):
    fields = {"streams": streams, "prototype_source": source, "temporal_pooling": pooling, "label_token_ids": prompts}
    weights = {"mi_loss_weight": 0.0, "dc_loss_weight": 0.0, text_loss: 0.5}
    trainer = make_trainer(material, tmp_path, fields, **ALL_TRAIN, **weights)
    trainer.create_optimizer()
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch)).backward()
    without = {
        name
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    }
    # A softmax does not change when all its inputs shift: the bias of the keys moves nothing, in any transformer.
    assert {name for name in without if not name.endswith("k_proj.bias")} == set()


@pytest.mark.parametrize(
    ("fields", "args", "reason"),
    [
        ({}, {"mi_loss_weight": 0, "dc_loss_weight": 0}, "soft prompts can receive no gradient"),
        (
            {"prototype_source": "descriptive", "slerp_weight": 0.0},
            {"mi_loss_weight": 0, "dc_loss_weight": 0},
            "soft prompts can receive no gradient",
        ),
        ({}, {"mi_warmup_epochs": 20, "dc_loss_weight": 0}, "soft prompts can receive no gradient.*warm-up"),
        ({}, {"mi_warmup_epochs": 19, "mi_ramp_epochs": 1, "dc_loss_weight": 0}, "warm-up"),
        ({"prototype_source": "soft"}, {"lr_prompt_learner": 0}, "`lr_prompt_learner` is 0"),
        ({"adapter_residual_ratio": 0.0}, {}, "face adapter can receive no gradient"),
        ({"prototype_source": "classifier"}, {"mi_loss_weight": 0, "dc_loss_weight": 0}, "classifier classifies"),
        ({"learned_slerp_weight": "shared"}, {"classification_loss": "ldam"}, "`learned_slerp_weight` can receive no"),
        ({"num_frames": 1, "temporal_pooling": "attention"}, {}, "attention pooling can receive no gradient"),
        (
            {"prototype_source": "soft"},
            {**dict.fromkeys(ALL_TRAIN, 0.0), "mi_loss_weight": 0, "dc_loss_weight": 0},
            "every learning rate is 0",
        ),
        (
            {"prototype_source": "soft", "streams": "context"},
            {**dict.fromkeys(ALL_TRAIN, 0.0), "lr_adapter": 1e-4, "mi_loss_weight": 0, "dc_loss_weight": 0},
            "every learning rate is 0",
        ),
    ],
)
def test_a_part_that_can_receive_no_gradient_is_refused_with_the_reason(fields, args, reason):
    with pytest.raises(InputError, match=reason):
        check_gradient_paths(tiny_config(**fields), make_args(**args))


@pytest.mark.parametrize(
    ("fields", "args"),
    [
        ({"prototype_source": "soft"}, {"mi_loss_weight": 0, "dc_loss_weight": 0}),
        ({"prototype_source": "mean"}, {"mi_loss_weight": 0, "dc_loss_weight": 0}),
        ({"slerp_weight": 0.0}, {"mi_loss_weight": 0, "dc_loss_weight": 0}),  # the soft view then classifies
        ({}, {"mi_loss_weight": 0}),
        ({}, {"dc_loss_weight": 0}),
        ({}, {"mi_warmup_epochs": 30}),  # the DC loss trains the prompts
        ({}, {"mi_warmup_epochs": 18, "mi_ramp_epochs": 1, "dc_loss_weight": 0}),
        ({}, {"mi_warmup_epochs": 30, "dc_warmup_epochs": 30, "max_steps": 5}),  # a trial run of a few steps
        ({}, {"lr_prompt_learner": 0, "mi_loss_weight": 0, "dc_loss_weight": 0}),
        ({"streams": "context", "adapter_residual_ratio": 0.0}, {}),
        ({"use_face_adapter": False, "adapter_residual_ratio": 0.0}, {}),
        ({"adapter_residual_ratio": 0.0}, {"lr_adapter": 0}),
        ({"num_frames": 1}, {}),
        ({"learned_slerp_weight": "shared"}, {"classification_loss": "ldam", "lr_classifier": 0.0}),
        ({"num_frames": 1, "temporal_pooling": "attention"}, {"learning_rate": 0, "lr_fusion": 1e-3}),
        ({"prototype_source": "soft"}, dict.fromkeys(GROUP_FLAGS.values(), 0.0) | {"lr_prompt_learner": 1e-3}),
    ],
)
def test_settings_that_train_are_not_refused(fields, args):
    check_gradient_paths(tiny_config(**fields), make_args(**args))


def test_freezing_is_by_learning_rate_and_can_be_undone():
    model = tiny_model()
    freeze_parameters(model, dict.fromkeys(GROUP_FLAGS, 0.0))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    freeze_parameters(model, dict.fromkeys(GROUP_FLAGS, 1.0))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if find_parameter_group(name) is None}


def test_a_tower_with_lora_trains_by_it_alone():
    model = tiny_model()
    add_lora(model, rank=2, alpha=4)
    freeze_parameters(model, dict.fromkeys(GROUP_FLAGS, 1.0))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    tower = {name for name, _ in model.named_parameters() if ".clip.vision_model." in name}
    assert trained & tower == {name for name in tower if ".lora_" in name} != set()
    assert not any(".clip.visual_projection." in name for name in trained)
    assert any(".fusion." in name for name in trained)


@pytest.mark.parametrize(
    ("args", "warned"),
    [
        ({"class_balanced_loss": True, "logit_adj": True}, "class_balanced_loss, logit_adj"),
        ({"weighted_sampler": True, "logit_adj": True}, "logit_adj, weighted_sampler"),
        ({"weighted_sampler": True, "classification_loss": "ldam"}, "weighted_sampler, classification_loss ldam"),
        ({"weighted_sampler": True}, None),
        ({"logit_adj": True}, None),
        ({}, None),
    ],
)
def test_correcting_twice_for_imbalance_is_warned_of(material, tmp_path, caplog, args, warned):
    make_trainer(material, tmp_path, **args)
    warnings = [record.message for record in caplog.records if "imbalance" in record.message]
    assert len(warnings) == (warned is not None)
    assert warned is None or warned in warnings[0]
