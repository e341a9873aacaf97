"""What streams and frames contribute: closed forms, and the model's own answers without them."""

import pytest
import torch
from torch.nn import functional as F

from helpers.tiny import tiny_model, tiny_pixels
from modeling_clipcaer.explanations.contributions import (
    contribute_frames,
    contribute_streams,
    probabilities,
    switch_off,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return tiny_model()


def embed(model, pixels):
    embeds = {"context": pixels["pixel_values"], "face": pixels["face_pixel_values"]}
    with torch.no_grad():
        return {name: model.model.get_frame_embeds(values) for name, values in embeds.items()}


def test_a_stream_that_the_fusion_ignores_contributes_nothing(model):
    width = model.config.projection_dim
    model.model.fusion.weight.data[:, :width] = 0  # the face's half
    with torch.no_grad():
        outputs = model(**tiny_pixels(1))
    found = contribute_streams(model, outputs)
    answer = int(outputs.logits.argmax())
    assert found["face"] == {"logit": 0.0, "probability": 0.0, "answer_without": answer}
    assert found["context"]["logit"] != 0
    frames = contribute_frames(model, embed(model, tiny_pixels(1)))
    assert frames["face"].abs().max() < 1e-6 < frames["context"].abs().min()


def test_without_the_face_the_model_answers_as_for_a_face_that_is_not_there(model):
    pixels = tiny_pixels(2)
    with torch.no_grad():
        outputs = model(**pixels)
        expected = model(**pixels, face_present=torch.tensor([False, False])).logits
    torch.testing.assert_close(switch_off(model, outputs, "face"), expected)


@pytest.mark.parametrize("source", ["soft", "descriptive", "mean"])
def test_a_contribution_is_what_the_answers_probability_loses(source):
    torch.manual_seed(0)
    model = tiny_model(prototype_source=source, slerp_weight=0.5, calibration_temperature=2.0)
    with torch.no_grad():
        outputs = model(**tiny_pixels(1))
        face = model.model.fusion(F.pad(outputs.face_video_embeds, (0, model.config.projection_dim)))
        expected = F.normalize(face, dim=-1)  # the context is off
    answer, before = int(outputs.logits.argmax()), (outputs.logits[0].double() / 2).softmax(-1)
    found = contribute_streams(model, outputs)["context"]
    cosines = torch.einsum("d,ksd->ks", expected[0], model.select_prototypes(outputs))
    after = torch.cos(0.5 * torch.acos(cosines)).mean(-1) / model.config.temperature
    assert found["logit"] == pytest.approx(float(outputs.logits[0, answer] - after[answer]), abs=1e-4)
    lost = before[answer] - (after.double() / 2).softmax(-1)[answer]
    assert found["probability"] == pytest.approx(float(lost), abs=1e-5)
    assert found["answer_without"] == int(after.argmax())


@pytest.mark.parametrize("streams", ["face", "context"])
def test_a_model_of_one_stream_has_nothing_to_tell_apart(streams):
    torch.manual_seed(0)
    model = tiny_model(streams=streams)
    with torch.no_grad():
        outputs = model(**tiny_pixels(1))
    assert contribute_streams(model, outputs) == {}
    frames = contribute_frames(model, {streams: embed(model, tiny_pixels(1))[streams]})
    assert list(frames) == [streams] and frames[streams].shape == (4,)


@torch.no_grad()
def test_a_frame_contributes_what_its_neighbour_in_its_place_takes_away(model):
    embeds = embed(model, tiny_pixels(1))
    found = contribute_frames(model, embeds)
    before = probabilities(model, model(context_embeds=embeds["context"], face_embeds=embeds["face"]).logits[0])
    for frame, neighbour in enumerate([1, 0, 1, 2]):
        face = embeds["face"].clone()
        face[0, frame] = embeds["face"][0, neighbour]
        after = probabilities(model, model(context_embeds=embeds["context"], face_embeds=face).logits[0])
        answer = int(before.argmax())
        assert found["face"][frame].item() == pytest.approx(float(before[answer] - after[answer]), abs=1e-6)


def test_of_frames_that_are_all_alike_none_matters(model):
    embeds = {name: values[:, :1].expand(-1, 4, -1) for name, values in embed(model, tiny_pixels(1)).items()}
    for found in contribute_frames(model, embeds).values():
        assert found.abs().max() < 1e-6
    alone = {name: values[:, :1] for name, values in embeds.items()}
    for found in contribute_frames(model, alone).values():
        assert found.tolist() == [0.0]


def test_frames_of_a_face_that_is_not_there_contribute_nothing(model):
    found = contribute_frames(model, embed(model, tiny_pixels(1)), face_present=torch.tensor([False]))
    assert found["face"].abs().max() < 1e-6 < found["context"].abs().min()
