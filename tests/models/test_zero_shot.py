"""A plain CLIP checkpoint in the place of a trained model."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from helpers.small_material import make_material
from modeling_clipcaer.commands.zero_shot import ZeroShotArguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model
from modeling_clipcaer.models.zero_shot import ZeroShotModel
from modeling_clipcaer.raer_labels import RAER_LABELS


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    material = make_material(tmp_path_factory.getbasetemp())
    args = ModelArguments(clip_model=str(material.clip), num_frames=3, num_context_tokens=2)
    return build_model(args, list(RAER_LABELS), ZeroShotModel).eval()


@torch.no_grad()
def test_the_answer_is_the_cosine_of_the_frames_mean_with_the_sentences_in_clips_scale(model):
    context, face = torch.randn(2, 4, 3, 24)
    frames = torch.cat([context, face], dim=1)
    mean = (frames / frames.norm(dim=-1, keepdim=True)).mean(dim=1)
    expected = cosine_similarity(mean[:, None], model.model.descriptive_text_embeds[None], dim=-1)
    logits = model(context_embeds=context, face_embeds=face).logits
    torch.testing.assert_close(logits, model.model.clip.logit_scale.exp() * expected)


@torch.no_grad()
def test_without_a_face_the_context_answers_alone(model):
    context, face = torch.randn(2, 4, 3, 24)
    present = torch.tensor([True, False, True, False])
    logits = model(context_embeds=context, face_embeds=face, face_present=present).logits
    both, alone = model(context_embeds=context, face_embeds=face).logits, model(context_embeds=context).logits
    torch.testing.assert_close(logits, torch.where(present[:, None], both, alone))
    assert not torch.allclose(both, alone)


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("num_workers", -1), ("seed", -1)])
def test_a_number_out_of_range_is_named_before_any_work(name, value):
    with pytest.raises(InputError, match=rf"`{name}` must be at least .*, got {value}"):
        ZeroShotArguments(dataset="data", output_dir="out", **{name: value})
