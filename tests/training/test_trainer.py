import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Value, load_from_disk
from transformers import TrainerCallback

from helpers.small_material import TRAIN_COUNTS
from helpers.small_training import logged, make_trainer
from modeling_clipcaer import ClipCaerCollator, ClipCaerTrainer
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.functions import (
    adjust_logits,
    class_balanced_weights,
    focal_loss,
    ldam_loss,
    near_label_loss,
    smoothed_cross_entropy,
)
from modeling_clipcaer.training.trainer import WeightedEpochSampler


LOGITS, LABELS = torch.randn(6, 5, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 1, 2, 3, 4, 0])
PRIORS = torch.tensor(TRAIN_COUNTS) / sum(TRAIN_COUNTS)


# Losses


def test_the_logged_loss_is_the_weighted_sum_of_its_logged_parts(material, tmp_path):
    trainer = make_trainer(material, tmp_path, mi_loss_weight=0.7, dc_loss_weight=1.2)
    trainer.train()
    names = ("loss", "loss_classification", "loss_mi", "loss_dc")
    loss, classification, mi, dc = (np.array(logged(trainer, name)) for name in names)
    assert len(loss) == 3 and (mi > 0).all() and (dc > 0).all()
    np.testing.assert_allclose(loss, classification + 0.7 * mi + 1.2 * dc, rtol=1e-6)


def test_a_loss_of_weight_0_is_neither_computed_nor_logged(material, tmp_path):
    trainer = make_trainer(material, tmp_path, mi_loss_weight=0, dc_loss_weight=0.1)
    trainer.train()
    assert logged(trainer, "loss_dc") and not logged(trainer, "loss_mi")


def test_weights_wait_for_the_warm_up_and_grow_epoch_by_epoch(material, tmp_path):
    ramps = {"mi_loss_weight": 0.6, "mi_warmup_epochs": 1, "mi_ramp_epochs": 2, "dc_loss_weight": 0.0}
    trainer = make_trainer(material, tmp_path, {"prototype_source": "mean"}, num_train_epochs=4, **ramps)
    trainer.train()
    loss, rest, mi = (np.array(logged(trainer, name)) for name in ("loss", "loss_classification", "loss_mi"))
    np.testing.assert_allclose((loss - rest) / mi, np.repeat([0, 0, 0.3, 0.6], 3), atol=1e-6)


def test_during_warm_up_the_text_tower_rests_where_the_descriptive_view_classifies(material, tmp_path):
    ramps = {"mi_loss_weight": 0.6, "mi_warmup_epochs": 2, "dc_loss_weight": 0.1, "dc_warmup_epochs": 1}
    trainer = make_trainer(material, tmp_path, num_train_epochs=3, weight_decay=0, **ramps)
    learner, epochs, tokens = trainer.model.model.prompt_learner, [], []
    tokens.append(learner.context_tokens.detach().clone())
    learner.register_forward_hook(lambda *_: epochs.append(int(trainer.state.epoch)))
    trainer.train()
    assert epochs == [1] * 3 + [2] * 3
    assert len(logged(trainer, "loss")) == 9 and len(logged(trainer, "loss_mi")) == 6
    assert not torch.equal(learner.context_tokens, tokens[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_balanced_loss": True, "label_smoothing_factor": 0.1},
        {"classification_loss": "focal", "logit_adj": True},
        {"classification_loss": "ldam", "weighted_sampler": True},
    ],
)
def test_accumulating_four_batches_of_2_logs_what_one_of_8_logs(material, tmp_path, options):
    runs = []
    for size, steps in ((8, 1), (2, 4)):
        split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        # SGD: the first steps of Adam divide rounding errors by themselves.
        trainer = make_trainer(
            material, tmp_path, {"temporal_dropout": 0.0}, num_train_epochs=2, optim="sgd", **split, **options
        )
        trainer.train()
        runs.append([entry for entry in trainer.state.log_history if "loss" in entry])
    assert len(runs[0]) == len(runs[1]) == 6
    names = [name for name in runs[0][0] if name.startswith(("loss", "lr/", "grad_norm"))]
    assert {"loss_classification", "loss_mi", "loss_dc", "lr/base", "lr/adapter"} <= set(names)
    for whole, accumulated in zip(*runs, strict=True):
        assert {name: accumulated[name] for name in names} == pytest.approx({n: whole[n] for n in names}, rel=2e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, F.cross_entropy(LOGITS, LABELS)),
        ({"label_smoothing_factor": 0.2}, F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2)),
        (
            {"label_smoothing_factor": 0.2, "label_smoothing_distribution": [1.0, 0, 0, 0, 3.0]},
            smoothed_cross_entropy(LOGITS, LABELS, 0.2, [1, 0, 0, 0, 3]),
        ),
        ({"logit_adj": True, "logit_adj_tau": 0.5}, F.cross_entropy(LOGITS + 0.5 * PRIORS.log(), LABELS)),
        (
            {"class_balanced_loss": True, "class_balanced_beta": 0.9},
            smoothed_cross_entropy(LOGITS, LABELS, weights=class_balanced_weights(TRAIN_COUNTS, 0.9)),
        ),
        ({"classification_loss": "focal", "focal_gamma": 1.5}, focal_loss(LOGITS, LABELS, 1.5)),
        (
            {"classification_loss": "focal", "focal_alpha": 0.25, "logit_adj": True},
            focal_loss(adjust_logits(LOGITS, PRIORS, 1.0), LABELS, alpha=0.25),
        ),
        # The tiny model's temperature is 0.07: the loss takes cosines, not logits.
        ({"classification_loss": "ldam"}, ldam_loss(0.07 * LOGITS, LABELS, TRAIN_COUNTS)),
        (
            {"classification_loss": "ldam", "class_balanced_loss": True, "ldam_max_margin": 0.3, "ldam_scale": 10.0},
            ldam_loss(0.07 * LOGITS, LABELS, TRAIN_COUNTS, 0.3, 10, class_balanced_weights(TRAIN_COUNTS, 0.999)),
        ),
    ],
)
def test_the_classification_loss_follows_the_options(material, tmp_path, options, expected):
    trainer = make_trainer(material, tmp_path, **options)
    torch.testing.assert_close(trainer.classification_loss(LOGITS, LABELS), expected, check_dtype=False)


def test_the_near_loss_is_of_the_labels_sentences(material, tmp_path):
    trainer = make_trainer(material, tmp_path, classification_loss="near", near_beta=3.0)
    embeds = trainer.model.model.descriptive_text_embeds
    found = trainer.classification_loss(LOGITS, LABELS)
    torch.testing.assert_close(found, near_label_loss(LOGITS, LABELS, embeds, 3.0), check_dtype=False)


def test_the_distribution_loss_learns_from_votes_and_refuses_clips_without(material, tmp_path):
    clips = load_from_disk(material.dataset)["train"]
    options = {"classification_loss": "distribution", "learning_rate": 0.0, "num_train_epochs": 1}
    with pytest.raises(InputError, match="`classification_loss` distribution learns from the column `votes`"):
        make_trainer(material, tmp_path, clips=clips, **options)
    # Votes that are all for the label make the run of the plain cross-entropy, others another one.
    own = [[9 * (label == place) for place in range(5)] for label in clips["label"]]
    losses = []
    for name, votes in (("cross_entropy", own), ("distribution", own), ("distribution", [[1] * 5] * len(clips))):
        options["classification_loss"] = name
        trainer = make_trainer(material, tmp_path, clips=clips.add_column("votes", votes), **options)
        trainer.train()
        losses.append(logged(trainer, "loss_classification"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[2] != pytest.approx(losses[1], rel=1e-3)


def test_mixup_mixes_the_votes_of_the_clips_that_it_mixes(material, tmp_path):
    clips = load_from_disk(material.dataset)["train"]
    own = clips.add_column("votes", [[9 * (label == place) for place in range(5)] for label in clips["label"]])
    losses = []
    for name in ("cross_entropy", "distribution"):
        trainer = make_trainer(material, tmp_path, clips=own, classification_loss=name, mixup_alpha=1.0, max_steps=2)
        trainer.train()
        losses.append(logged(trainer, "loss_classification"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("slerp_weight", [0.0, 0.5, 0.9])
def test_the_margin_of_ldam_is_one_of_the_whole_angle_whatever_the_slerp_weight(material, tmp_path, slerp_weight):
    fields = {"temporal_dropout": 0.0, "slerp_weight": slerp_weight, "prototype_source": "mean"}
    trainer = make_trainer(material, tmp_path, fields, classification_loss="ldam")
    trainer.create_optimizer()
    batch = trainer._prepare_inputs(trainer.train_collator([trainer.train_dataset[index] for index in (0, 9, 20)]))
    trainer.model.train()
    trainer.compute_loss(trainer.model, batch)
    outputs = trainer.model(**{name: value for name, value in batch.items() if name != "labels"})
    prototypes = F.normalize(outputs.soft_prompt_embeds[:, 0] + outputs.descriptive_text_embeds, dim=-1)
    cosines = outputs.video_embeds @ prototypes.T
    moved = ((1 - slerp_weight) * cosines.clamp(-1, 1).acos()).cos()
    torch.testing.assert_close(0.07 * outputs.logits, moved, rtol=0, atol=1e-5)
    expected = ldam_loss(cosines, batch["labels"], TRAIN_COUNTS)
    assert trainer._drain()["loss_classification"] == pytest.approx(expected.item(), rel=1e-4)


def test_evaluation_measures_plain_cross_entropy_of_unadjusted_logits(material, tmp_path):
    options = {"logit_adj": True, "label_smoothing_factor": 0.3, "class_balanced_loss": True}
    trainer = make_trainer(material, tmp_path, tower_dtype="float32", **options)
    prediction = trainer.predict(trainer.eval_dataset)
    batch = trainer.eval_collators[ClipCaerCollator]([trainer.eval_dataset[index] for index in range(10)])
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = trainer.model(**{k: trainer.processing_class.normalize(v) for k, v in batch.items()}).logits
    torch.testing.assert_close(torch.tensor(prediction.predictions), logits, rtol=1e-4, atol=1e-5)
    metrics = trainer.evaluate()
    expected = F.cross_entropy(logits, labels).item()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-5)
    assert logged(trainer, "eval_loss_classification") == [pytest.approx(expected, rel=1e-5)]
    assert {"eval_uar", "eval_war"} <= set(metrics)


def test_a_prediction_leaves_nothing_in_the_next_evaluations_log(material, tmp_path):
    trainer = make_trainer(material, tmp_path)
    trainer.predict(trainer.train_dataset)
    metrics = trainer.evaluate()
    assert logged(trainer, "eval_loss_classification") == [pytest.approx(metrics["eval_loss"], rel=1e-5)]


def first_step(trainer, num_batches):
    """The batches of the first step, on their device and normalised, as the trainer gets them."""
    trainer.create_optimizer()
    trainer.model.train()
    batches, _ = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), num_batches, "cpu")
    return [trainer._prepare_inputs(batch) for batch in batches]


def test_mixup_has_one_share_and_one_permutation_for_both_streams_and_all_batches_of_a_step(material, tmp_path):
    whole, parts = (
        first_step(make_trainer(material, tmp_path, mixup_alpha=1.0, per_device_train_batch_size=size), 8 // size)
        for size in (8, 2)
    )
    (one,) = whole
    (partner,) = {tuple(row.tolist()) for row in find_rows(one["partners"], one)}
    assert sorted(partner) == list(range(8)) and 0 < one["partners"]["share"] < 1
    assert {part["partners"]["share"] for part in parts} == {one["partners"]["share"]}
    for name in ("pixel_values", "face_pixel_values", "labels"):
        torch.testing.assert_close(one["partners"][name], one[name][list(partner)])
        torch.testing.assert_close(torch.cat([part["partners"][name] for part in parts]), one["partners"][name])


def find_rows(wanted, known):
    """For each stream the clip of `known` that each of `wanted` is."""
    for name in ("pixel_values", "face_pixel_values"):
        yield torch.stack([(known[name] == row).flatten(1).all(1).nonzero()[0, 0] for row in wanted[name]])


def test_mixups_loss_weighs_both_labels_by_the_share(material, tmp_path):
    trainer = make_trainer(material, tmp_path, {"temporal_dropout": 0.0}, mixup_alpha=1.0, tower_dtype="float32")
    (batch,) = first_step(trainer, 1)
    trainer.compute_loss(trainer.model, batch)
    logged_loss = trainer._drain()["loss_classification"]
    partners = batch["partners"]
    share, pixels = partners["share"], ("pixel_values", "face_pixel_values")
    logits = trainer.model(**{name: share * batch[name] + (1 - share) * partners[name] for name in pixels}).logits
    expected = share * F.cross_entropy(logits, batch["labels"])
    expected += (1 - share) * F.cross_entropy(logits, partners["labels"])
    assert logged_loss == pytest.approx(expected.item(), rel=1e-5)


class HalfBright:
    """A collator of somebody's own: the clips that ours gives, with half the light."""

    def __init__(self, processor):
        self.collator = ClipCaerCollator(processor, mode="eval")

    def __call__(self, rows):
        return {name: value if name == "labels" else value // 2 for name, value in self.collator(rows).items()}


def test_a_collator_of_ones_own_reads_what_is_trained_on_and_what_is_measured(material, tmp_path):
    plain = make_trainer(material, tmp_path, tower_dtype="float32")
    trainer = ClipCaerTrainer(
        plain.model,
        plain.args,
        data_collator=HalfBright(plain.processing_class),
        train_dataset=plain.train_dataset,
        eval_dataset=plain.eval_dataset,
        processing_class=plain.processing_class,
    )
    batch = HalfBright(plain.processing_class)(list(plain.eval_dataset))
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = plain.model(**{name: plain.processing_class.normalize(v) for name, v in batch.items()}).logits
    prediction = trainer.predict(plain.eval_dataset)
    torch.testing.assert_close(torch.tensor(prediction.predictions), logits, rtol=1e-3, atol=1e-3)
    assert prediction.label_ids.tolist() == labels.tolist()
    assert not np.allclose(plain.predict(plain.eval_dataset).predictions, prediction.predictions, atol=1e-3)
    assert next(iter(trainer.get_train_dataloader()))["pixel_values"].max() < 128
    trainer.train()


def test_a_training_collator_that_is_given_still_evaluates_without_draws(material, tmp_path):
    plain = make_trainer(material, tmp_path)
    collator = ClipCaerCollator(plain.processing_class, mode="train", seed=3)
    trainer = ClipCaerTrainer(
        plain.model,
        plain.args,
        data_collator=collator,
        train_dataset=plain.train_dataset,
        eval_dataset=plain.eval_dataset,
        processing_class=plain.processing_class,
    )
    expected = plain.predict(plain.eval_dataset).predictions
    np.testing.assert_array_equal(trainer.predict(plain.eval_dataset).predictions, expected)
    trainer.train()
    assert collator.mode == "train" and trainer.data_collator is not None


def test_faces_drop_out_of_training_alone(material, tmp_path):
    trainer = make_trainer(material, tmp_path, face_dropout=0.5)
    assert not next(iter(trainer.get_train_dataloader()))["face_present"].all()
    assert "face_present" not in next(iter(trainer.get_eval_dataloader()))
    trainer.train()
    assert torch.tensor(logged(trainer, "loss")).isfinite().all()
    collator = {"data_collator": HalfBright(trainer.processing_class), "train_dataset": trainer.train_dataset}
    with pytest.raises(InputError, match="`face_dropout` belongs to the collator"):
        ClipCaerTrainer(trainer.model, trainer.args, **collator)


# Parts that stand still


def exchange_weights(model):
    """As EMA libraries do, which no count of changes tells."""
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn_like(parameter) / 4)


def test_every_evaluation_is_of_the_weights_as_they_then_are(material, tmp_path):
    fields = {"prototype_source": "mean", "slerp_weight": 0.0}
    trainer = make_trainer(material, tmp_path, fields, tower_dtype="float32")
    batch = trainer._prepare_inputs(trainer.eval_collators[ClipCaerCollator](list(trainer.eval_dataset)))
    batch.pop("labels")
    for _ in range(2):
        exchange_weights(trainer.model)
        with torch.no_grad():
            expected = trainer.model(**batch).logits
        logits = torch.tensor(trainer.predict(trainer.eval_dataset).predictions)
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


class _Between(TrainerCallback):
    """Calls a function when the second epoch begins."""

    def __init__(self, change):
        self.change = change

    def on_epoch_begin(self, args, state, control, **kwargs):
        if state.epoch and int(state.epoch) == 1:
            self.change(kwargs["model"])


def test_what_a_callback_writes_into_a_frozen_tower_is_what_the_next_epoch_sees(material, tmp_path):
    def run(make_anew):
        trainer = make_trainer(material, tmp_path, {"temporal_dropout": 0.0}, num_train_epochs=2, optim="sgd")
        trainer.add_callback(_Between(lambda model: model.model.clip.vision_model.apply(shift)))
        if make_anew:
            original = trainer.compute_loss
            trainer.compute_loss = lambda *args, **kwargs: (trainer.renew_frozen_parts(), original(*args, **kwargs))[1]
        trainer.train()
        return logged(trainer, "loss")

    assert run(make_anew=False) == run(make_anew=True)


def shift(module):
    if isinstance(module, torch.nn.LayerNorm):
        module.weight.data.mul_(-2)


def test_a_tower_that_a_callback_unfreezes_gets_gradients(material, tmp_path):
    trainer = make_trainer(material, tmp_path, num_train_epochs=2, optim="sgd")
    trainer.add_callback(_Between(lambda model: model.model.clip.vision_model.requires_grad_(True)))
    trainer.train()
    assert trainer.model.model.clip.vision_model.embeddings.patch_embedding.weight.requires_grad
    batch = trainer._prepare_inputs(trainer.train_collator([trainer.train_dataset[0]]))
    trainer.model.train()
    trainer.compute_loss(trainer.model, batch).backward()
    assert trainer.model.model.clip.vision_model.embeddings.patch_embedding.weight.grad.any()


# Imbalance


def test_counts_weights_and_priors_are_those_of_the_training_split(material, tmp_path):
    trainer = make_trainer(material, tmp_path, class_balanced_loss=True, class_balanced_beta=0.9)
    assert trainer.class_counts == list(TRAIN_COUNTS)
    torch.testing.assert_close(trainer.class_weights, class_balanced_weights(TRAIN_COUNTS, 0.9))
    torch.testing.assert_close(trainer.class_priors.float(), PRIORS)


@pytest.mark.parametrize(
    "option",
    [{"class_balanced_loss": True}, {"logit_adj": True}, {"weighted_sampler": True}, {"classification_loss": "ldam"}],
)
def test_a_label_without_training_clips_is_refused_where_its_count_is_needed(material, tmp_path, option):
    clips = load_from_disk(material.dataset)["train"].filter(lambda row: row["label"] != 2)
    with pytest.raises(InputError, match=r"no clip of `Confusion`, which `.*" + next(iter(option)).split("_loss")[0]):
        make_trainer(material, tmp_path, clips=clips, **option)
    make_trainer(material, tmp_path, clips=clips)


def test_labels_that_the_model_does_not_have_are_refused(material, tmp_path):
    fields = {"id2label": {0: "a", 1: "b", 2: "c"}, "label_token_ids": None}
    clips = load_from_disk(material.dataset)["train"].cast_column("label", Value("int64"))
    with pytest.raises(InputError, match=r"16 labels are none: 3 of clip .*, expected 0 to 2|7 labels"):
        make_trainer(material, tmp_path, fields, clips)


def test_a_smoothing_distribution_for_other_labels_is_refused_at_start(material, tmp_path):
    with pytest.raises(InputError, match="`class_distribution` must hold 5 numbers"):
        make_trainer(material, tmp_path, label_smoothing_factor=0.1, label_smoothing_distribution=[1.0, 2.0])


def test_the_weighted_sampler_draws_every_label_alike(material, tmp_path):
    trainer = make_trainer(material, tmp_path, weighted_sampler=True)
    sampler = trainer._get_train_sampler()
    labels = np.array(trainer.train_dataset["label"])
    draws = []
    for epoch in range(200):
        trainer.state.epoch = epoch
        draws.append(list(sampler))
    assert len(sampler) == len(draws[0]) == 24
    shares = np.bincount(labels[np.concatenate(draws)]) / 4800
    np.testing.assert_allclose(shares, 0.2, atol=0.03)  # five standard errors


def test_the_weighted_samplers_draw_depends_on_seed_and_epoch_alone():
    weights = np.array([1.0, 2.0, 3.0] * 20)
    draws = {
        (seed, epoch): list(WeightedEpochSampler(weights, seed, lambda epoch=epoch: epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(draw) for draw in draws.values()}) == 4
    assert draws[1, 1] == list(WeightedEpochSampler(weights, 1, lambda: 1))
    times = {(draw, draw.drawn_before) for draw in pickle.loads(pickle.dumps(draws[1, 1]))}
    assert len(times) == 60 > len(set(draws[1, 1]))  # the times that a clip is drawn are told apart


@pytest.mark.parametrize("workers", [{}, {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}])
def test_each_epoch_has_draws_of_its_own(material, tmp_path, workers, monkeypatch):
    trainer = make_trainer(material, tmp_path, num_train_epochs=2, lr_scheduler_type="constant", **workers)
    trainer.processing_class.rotation_degrees = 30
    batches = []
    prepare = trainer._prepare_inputs
    monkeypatch.setattr(trainer, "_prepare_inputs", lambda batch: batches.append(batch) or prepare(batch))
    monkeypatch.setattr(trainer, "_get_train_sampler", lambda dataset=None: range(24))  # the same clips in both epochs
    trainer.train()
    first, second = batches[:3], batches[3:]
    for before, after in zip(first, second, strict=True):
        assert torch.equal(before["labels"], after["labels"])
        same = [torch.equal(x, y) for x, y in zip(before["pixel_values"], after["pixel_values"], strict=True)]
        assert not any(same)


# Optimisation


def test_every_group_has_its_learning_rate_its_weight_decay_and_its_log(material, tmp_path):
    rates = {"learning_rate": 1e-2, "lr_fusion": 2e-3, "lr_adapter": 3e-4, "lr_image_encoder": 4e-5}
    trainer = make_trainer(material, tmp_path, weight_decay=0.01, max_steps=1, **rates)
    trainer.train()
    groups = {group["name"]: (group["lr"], group["weight_decay"]) for group in trainer.optimizer.param_groups}
    assert groups == {
        "base": (1e-2, 0.01),
        "fusion": (2e-3, 0.01),
        "adapter": (3e-4, 0.01),
        "prompt_learner": (1e-3, 0.01),
        "image_encoder": (4e-5, 0.01),
    }
    assert {name: logged(trainer, f"lr/{name}") for name in groups} == {name: [lr] for name, (lr, _) in groups.items()}


def test_sgd_has_the_momentum_it_is_given(material, tmp_path):
    trainer = make_trainer(material, tmp_path, optim="sgd", optim_args="momentum=0.9", max_steps=1)
    trainer.train()
    assert isinstance(trainer.optimizer.optimizer, torch.optim.SGD)
    assert {group["momentum"] for group in trainer.optimizer.param_groups} == {0.9}


@pytest.mark.parametrize("limit", [{"num_train_epochs": 4}, {"num_train_epochs": 4, "max_steps": 9}])
def test_every_learning_rate_steps_down_at_the_milestones(material, tmp_path, limit):
    options = {"lr_milestones": [1.0, 2.0], "lr_gamma": 0.1, "lr_adapter": 1e-3}
    trainer = make_trainer(material, tmp_path, **options, **limit)
    trainer.train()
    expected = np.repeat([1, 0.1, 0.01, 0.01], 3)[: trainer.state.max_steps]
    np.testing.assert_allclose(logged(trainer, "lr/base"), 1e-2 * expected)
    np.testing.assert_allclose(logged(trainer, "lr/adapter"), 1e-3 * expected)


def test_the_cosine_schedule_scales_every_group(material, tmp_path):
    trainer = make_trainer(material, tmp_path, lr_scheduler_type="cosine", num_train_epochs=2)
    trainer.train()
    expected = (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    np.testing.assert_allclose(logged(trainer, "lr/base"), 1e-2 * expected)
    np.testing.assert_allclose(logged(trainer, "lr/prompt_learner"), 1e-3 * expected)


def test_gradients_are_clipped_over_all_groups(material, tmp_path):
    norms = {}
    for limit in (0.0, 1e-3):
        trainer = make_trainer(material, tmp_path, optim="sgd", max_grad_norm=limit, max_steps=1, weight_decay=0)
        before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        trainer.train()
        moves = [(p - q).norm() / (1e-2) for p, q in zip(trainer.model.parameters(), before, strict=True)]
        norms[limit] = torch.stack(moves).norm().item()
    assert norms[0.0] > 0.1 and norms[1e-3] < 2e-3


def test_bfloat16_trains_on_the_cpu_and_keeps_fp32_weights(material, tmp_path):
    trainer = make_trainer(material, tmp_path, bf16=True, lr_image_encoder=1e-3)
    trainer.train()
    assert np.isfinite(logged(trainer, "loss")).all()
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    exact = make_trainer(material, tmp_path, lr_image_encoder=1e-3)
    exact.train()
    assert logged(trainer, "loss")[0] == pytest.approx(logged(exact, "loss")[0], rel=0.05)
    assert logged(trainer, "loss") != logged(exact, "loss")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_in_bfloat16_on_a_gpu(material, tmp_path):
    trainer = make_trainer(material, tmp_path, bf16=True, max_steps=1, lr_image_encoder=1e-3)
    before = trainer.model.model.fusion.weight.detach().cpu().clone()
    trainer.train()
    after = trainer.model.model.fusion.weight
    assert after.is_cuda and after.dtype == torch.float32
    assert np.isfinite(logged(trainer, "loss")).all() and not torch.equal(after.detach().cpu(), before)


# Resuming


@pytest.mark.parametrize(
    "options",
    [
        {"dataloader_num_workers": 0},
        {"dataloader_num_workers": 2, "weighted_sampler": True},
        {"dataloader_num_workers": 1, "mixup_alpha": 0.4},
        {"weighted_sampler": True, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        {"optim": "sgd", "optim_args": "momentum=0.9", "lr_milestones": [1.0], "bf16": True},
    ],
)
def test_a_resumed_run_ends_with_the_same_weights_to_the_last_bit(material, tmp_path, options):
    def run(folder, **more):
        trainer = make_trainer(
            *(material, folder, {"temporal_dropout": 0.3}),
            **{"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 1, "save_total_limit": None},
            **{"lr_image_encoder": 1e-3, "lr_scheduler_type": "linear", **options},
        )
        trainer.processing_class.flip_prob, trainer.processing_class.rotation_degrees = 0.5, 10
        trainer.train(**more)
        return trainer

    whole = run(tmp_path / "whole")
    assert whole.state.global_step == 6
    for step in (2, 3, 4):  # within the first epoch, between the epochs, within the second
        resumed = run(tmp_path / f"from_{step}", resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert logged(resumed, "loss")[step:] == logged(whole, "loss")[step:]
        for (name, expected), actual in zip(
            whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
        ):
            assert torch.equal(actual, expected), f"{name} differs after resuming at step {step}"


# Precision


def test_a_frozen_tower_in_bfloat16_trains_to_nearly_the_same_losses(material, tmp_path):
    losses = []
    for name in ("float32", "bfloat16"):
        trainer = make_trainer(material, tmp_path / name, {"temporal_dropout": 0.0}, tower_dtype=name, optim="sgd")
        trainer.train()
        assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
        losses.append(logged(trainer, "loss"))
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2)


def test_a_tower_that_trains_does_so_in_its_own_type_and_is_measured_in_the_chosen_one(material, tmp_path):
    losses, scores = [], []
    for name in ("float32", "bfloat16"):
        trainer = make_trainer(material, tmp_path / name, lr_image_encoder=1e-3, tower_dtype=name)
        trainer.train()
        losses.append(logged(trainer, "loss"))
        scores.append(trainer.evaluate()["eval_loss"])
    assert losses[0] == losses[1]
    assert scores[0] != scores[1] == pytest.approx(scores[0], rel=1e-2)


@pytest.mark.parametrize("lr_image_encoder", [0, 1e-3])
@pytest.mark.parametrize(
    "option", [{"activation_checkpointing": True}, {"torch_compile": True, "torch_compile_backend": "eager"}], ids=str
)
def test_saving_memory_or_time_changes_no_loss(material, tmp_path, option, lr_image_encoder):
    losses = []
    for options in ({}, option):
        args = {"lr_image_encoder": lr_image_encoder, "tower_dtype": "float32", "optim": "sgd", **options}
        trainer = make_trainer(material, tmp_path, {"temporal_dropout": 0.0}, **args)
        trainer.train()
        losses.append([*logged(trainer, "loss"), trainer.evaluate()["eval_loss"]])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
