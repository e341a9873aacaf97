"""The model against numbers of the public research code (see tests/golden): forward, gradients, trajectories."""

from functools import cache

import pytest
import torch

from helpers.golden_cases import (
    GOLDEN,
    case_model,
    case_state,
    drop_second_names,
    golden,
    golden_build,
    golden_pixels,
)
from modeling_clipcaer.losses.functions import (
    REFERENCE_SMOOTHING_DISTRIBUTION,
    adjust_logits,
    dc_loss,
    mi_loss,
    smoothed_cross_entropy,
)
from modeling_clipcaer.prompt_learner import encode_token_embeds
from modeling_clipcaer.prototypes import instance_prototypes, slerp
from modeling_clipcaer.research_code.keys import canonical_name, list_places
from modeling_clipcaer.research_code.model import build_model
from modeling_clipcaer.training.parameter_groups import find_parameter_group, freeze_parameters


STANDARD, ENSEMBLE = "class_descriptor.slerp0.5", "prompt_ensemble.slerp0.0"
LABELS = torch.tensor(GOLDEN["target"])
PRIORS = [count / sum(GOLDEN["class_counts"]) for count in GOLDEN["class_counts"]]
LEARNING_RATES = {"base": 3e-4, "fusion": 3e-4, "prompt_learner": 1e-3, "adapter": 1e-4, "image_encoder": 1e-6}
LOGITS = {"rtol": 1e-4, "atol": 2e-4}  # they are divided by a temperature of 0.07
UNIT = {"rtol": 0, "atol": 1e-5}


def total_loss(outputs, text_losses: bool = True) -> torch.Tensor:
    """The training loss of the documented all-features command, before and after the text losses' warm-up."""
    logits = adjust_logits(outputs.logits, PRIORS, 0.5)
    loss = smoothed_cross_entropy(logits, LABELS, 0.05, REFERENCE_SMOOTHING_DISTRIBUTION)
    weights = GOLDEN["loss_weights_in_total_readme"] if text_losses else {"mi": 0, "dc": 0}
    mi = mi_loss(outputs.soft_text_embeds, outputs.descriptive_text_embeds)
    return loss + weights["mi"] * mi + weights["dc"] * dc_loss(outputs.soft_text_embeds)


@cache
def evaluated(case: str):
    """A case's model and its outputs. Tests that train build models of their own."""
    model = case_model(case)
    with torch.no_grad():
        return model, model(**golden_pixels())


def test_the_golden_weights_and_inputs_are_rebuilt_to_the_last_bit():
    assert golden_build.check() == []


def test_frame_embeddings_of_both_streams_are_the_research_codes():
    model, pixels = evaluated(STANDARD)[0].model, golden_pixels()
    with torch.no_grad():
        patches = model.get_input_embeddings()(pixels["face_pixel_values"][0, :1])
        face = model.get_frame_embeds(pixels["face_pixel_values"])
        context = model.get_frame_embeds(pixels["pixel_values"])
        adapted = model.face_adapter(face)
    torch.testing.assert_close(patches, golden("patch_embed.face00"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(face.flatten(0, 1), golden("frames.face"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(context.flatten(0, 1), golden("frames.body"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(adapted.flatten(0, 1), golden("frames.face_adapted"), rtol=1e-5, atol=1e-5)


def test_video_embeddings_and_instance_prototypes_are_the_research_codes():
    _, outputs = evaluated(STANDARD)
    torch.testing.assert_close(outputs.face_video_embeds, golden("video.face"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outputs.context_video_embeds, golden("video.body"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outputs.video_embeds, golden("video.z"), **UNIT)
    moved = instance_prototypes(outputs.video_embeds, outputs.descriptive_text_embeds[:, None], 0.5)
    torch.testing.assert_close(moved.squeeze(2), golden("t_mix"), **UNIT)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_text_embeddings_and_logits_of_each_case_are_the_research_codes(case):
    _, outputs = evaluated(case)
    soft = golden(f"{case}.soft_text").reshape_as(outputs.soft_prompt_embeds)
    torch.testing.assert_close(outputs.soft_prompt_embeds, soft, **UNIT)
    torch.testing.assert_close(outputs.descriptive_text_embeds, golden("descriptive_text"), **UNIT)
    torch.testing.assert_close(outputs.logits, golden(f"{case}.logits"), **LOGITS)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_the_total_loss_of_each_case_is_the_research_codes(case):
    _, outputs = evaluated(case)
    expected = GOLDEN["cases"][case]["losses"]
    assert total_loss(outputs).item() == pytest.approx(expected["total_readme"], rel=1e-5)
    assert total_loss(outputs, text_losses=False).item() == pytest.approx(expected["total_readme_epoch0"], rel=1e-5)


def reference_gradients(model) -> dict[str, torch.Tensor]:
    """Gradients of the trained weights, fused and turned as the research code holds them, by its canonical names."""
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    places = list_places(vision_layers=2, text_layers=2, temporal_layers=1, face_adapter=True)
    found = {key: place.join(grads) for key, place in places.items() if set(place.names) <= set(grads)}
    assert sum(len(places[key].names) for key in found) == len(grads)
    return found


@pytest.mark.parametrize("name", GOLDEN["gradients"])
def test_gradients_and_their_norms_are_the_research_codes(name):
    weight, loss = name.removeprefix("slerp").rsplit(".", 1)
    model, expected = case_model(f"class_descriptor.slerp{weight}"), GOLDEN["gradients"][name]
    freeze_parameters(model, LEARNING_RATES)
    value = total_loss(model(**golden_pixels()), text_losses=loss == "total_readme")
    value.backward()
    grads = reference_gradients(model)
    assert value.item() == pytest.approx(expected["loss"], rel=1e-5)
    norms = {canonical_name(key): norm for key, norm in expected["grad_norm"].items()}
    assert set(grads) == set(norms)
    for key, norm in norms.items():
        assert grads[key].norm().item() == pytest.approx(norm, rel=2e-3, abs=1e-8), key
    total = torch.stack([grad.norm() for grad in grads.values()]).norm().item()
    assert total == pytest.approx(expected["total_norm"], rel=2e-3)
    if loss == "total_readme":
        context, adapter = grads["prompt_learner.ctx"], grads["face_adapter.fc.0.weight"][:8]
        torch.testing.assert_close(context, golden(f"grad.slerp{weight}.ctx"), rtol=2e-3, atol=1e-6)
        torch.testing.assert_close(adapter, golden(f"grad.slerp{weight}.adapter0"), rtol=2e-3, atol=1e-6)


def build_optimizer(model, name: str, lr_image_encoder: float) -> torch.optim.Optimizer:
    rates = {**LEARNING_RATES, "image_encoder": lr_image_encoder}
    freeze_parameters(model, rates)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [{"params": [parameter], "lr": rates[find_parameter_group(name)]} for name, parameter in trained]
    momentum = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(torch.optim, name)(groups, weight_decay=1e-4, **momentum)


@pytest.mark.parametrize("name", GOLDEN["trajectories"])
def test_three_steps_of_training_are_the_research_codes(name):
    optimizer_name, rate = name.split(".", 1)
    model, steps = case_model(STANDARD), GOLDEN["trajectories"][name]
    optimizer = build_optimizer(model, optimizer_name, float(rate.removeprefix("lr_image_encoder=")))
    for step in steps:
        outputs = model(**golden_pixels())
        loss = total_loss(outputs)
        assert loss.item() == pytest.approx(step["loss"], rel=2e-5)
        torch.testing.assert_close(outputs.logits, torch.tensor(step["logits"]), **LOGITS)
        assert model.model.prompt_learner.context_tokens.norm().item() == pytest.approx(step["ctx_norm"], rel=1e-6)
        if "total_norm_before_clip" in step:  # the last row is what the third step left
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            assert norm.item() == pytest.approx(step["total_norm_before_clip"], rel=2e-3)
            optimizer.step()


def read_vectors(value: str | list) -> torch.Tensor:
    """Vectors given as numbers, or as "un(NAME)": the generated tensor of that name, its rows made unit vectors."""
    if isinstance(value, list):
        return torch.tensor(value)
    generated = golden_build.tensor(value.removeprefix("un(").removesuffix(")"), (2, 512), 0, 1)
    return torch.nn.functional.normalize(torch.from_numpy(generated), dim=-1)


def slerp_both(name: str, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Our slerp of a golden pair, and the research code's."""
    start, end = (read_vectors(GOLDEN["slerp"][name][side]) for side in ("v1", "v2"))
    return slerp(start, end, weight), golden(f"slerp.{name}.t{weight}")


# Where the research code has no slerp of unit vectors: NaN for opposite vectors, for zero ones, and for parallel ones
# beside others; the straight line within cos > 0.9995; the angle of the directions on vectors of any length.
NAN_IN_REFERENCE = ("opposite", "mixed_", "zero_vector")
WEIGHTS = pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0])


@WEIGHTS
@pytest.mark.parametrize("name", sorted(set(GOLDEN["slerp"]) - {"not_unit", "near_dot>thr"}))
def test_slerp_is_the_research_codes_and_finite_where_that_is_nan(name, weight):
    found, expected = slerp_both(name, weight)
    sound = expected.isfinite().all(dim=-1)
    assert sound.all() == (not name.startswith(NAN_IN_REFERENCE))
    torch.testing.assert_close(found[sound], expected[sound], **UNIT)
    assert found.isfinite().all()
    if name != "zero_vector":
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(len(found)), **UNIT)


@WEIGHTS
def test_slerp_stays_on_the_sphere_where_the_research_code_cuts_the_corner(weight):
    found, expected = slerp_both("near_dot>thr", weight)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (expected.norm().item() < 1 - 3e-5) == (weight in (0.25, 0.5))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_slerp_of_vectors_of_any_length_meets_both_ends_where_the_research_code_misses_the_second(weight):
    found, expected = slerp_both("not_unit", weight)
    end = read_vectors(GOLDEN["slerp"]["not_unit"]["v2" if weight else "v1"])
    torch.testing.assert_close(found, end)
    assert torch.allclose(expected, end) == (weight == 0)


def lay_out_rows(state, name_lens: list[int], position: str) -> torch.Tensor:
    """Soft prompts from a checkpoint's stored rows: the text stands among the context where `position` says."""
    context, prefix, suffix = (state[f"prompt_learner.{name}"] for name in ("ctx", "token_prefix", "token_suffix"))
    context = context.expand(len(prefix), -1, -1)
    before = {"end": context.shape[1], "middle": context.shape[1] // 2, "front": 0}[position]
    return torch.stack(
        [
            torch.cat([prefix[n], context[n, :before], suffix[n, :length], context[n, before:], suffix[n, length:]])
            for n, length in enumerate(name_lens)
        ]
    )


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize(
    "case",
    ["class_descriptor.ctx8", "class_descriptor.generic_ctx", "class_names.slerp0.0", ENSEMBLE],
)
def test_the_text_stands_where_the_research_code_puts_it(case, position):
    state, model = drop_second_names(case_state(case)), case_model(case, class_token_position=position)
    prompts = GOLDEN["cases"][case]["prompts"]
    rows = lay_out_rows(state, GOLDEN["cases"][case]["name_lens"], position)
    assert rows.shape[1] == 77
    with torch.no_grad():
        whole = encode_token_embeds(model.model.clip, rows, torch.tensor([len(prompt) - 1 for prompt in prompts]))
        found = model.model.encode_soft_prompts()
    expected = torch.nn.functional.normalize(whole, dim=-1)
    torch.testing.assert_close(found.flatten(0, 1), expected, **UNIT)


def test_an_odd_context_puts_its_greater_half_behind_the_text():
    state = drop_second_names(case_state("class_names.slerp0.0"))
    state["prompt_learner.ctx"] = state["prompt_learner.ctx"][:, :11].clone()
    embedding = state["clip_model_.token_embedding.weight"]
    state["prompt_learner.token_suffix"] = torch.cat(
        [state["prompt_learner.token_suffix"], embedding[:1].expand(5, 1, -1)], dim=1
    )
    model = build_model(state, class_token_position="middle", slerp_weight=0.0)
    rows = lay_out_rows(state, GOLDEN["cases"]["class_names.slerp0.0"]["name_lens"], "middle")
    eos_positions = torch.tensor([len(prompt) - 2 for prompt in GOLDEN["cases"]["class_names.slerp0.0"]["prompts"]])
    with torch.no_grad():
        expected = encode_token_embeds(model.model.clip, rows, eos_positions)
        found = model.model.encode_soft_prompts().flatten(0, 1)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1), **UNIT)


def test_an_ensemble_takes_no_notice_of_the_slerp_weight():
    model = case_model(ENSEMBLE, slerp_weight=0.5)
    with torch.no_grad():
        logits = model(**golden_pixels()).logits
    torch.testing.assert_close(logits, golden(f"{ENSEMBLE}.logits"), **LOGITS)


@pytest.mark.parametrize("case", [STANDARD, "class_descriptor.slerp0.0"])
def test_the_temperature_divides_the_logits(case):
    with torch.no_grad():
        logits = case_model(case, temperature=0.01)(**golden_pixels()).logits
    torch.testing.assert_close(logits, golden(f"{case}.logits") * 7, rtol=1e-4, atol=2e-3)


def test_a_second_temporal_layer_that_adds_nothing_changes_nothing():
    state = drop_second_names(case_state(STANDARD))
    for name in [name for name in state if ".layers.0." in name]:
        silent = name.endswith(("to_out.0.weight", "to_out.0.bias", "net.3.weight", "net.3.bias"))
        state[name.replace(".layers.0.", ".layers.1.")] = torch.zeros_like(state[name]) if silent else state[name] + 1
    model = build_model(state)
    assert model.config.temporal_layers == 2
    with torch.no_grad():
        logits = model(**golden_pixels()).logits
    torch.testing.assert_close(logits, golden(f"{STANDARD}.logits"), **LOGITS)
