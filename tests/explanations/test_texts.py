"""Texts beside videos: each sentence's own embedding, the nearest ones, and the map."""

import pytest
import torch

from helpers.tiny import BOS, EOS, tiny_model
from modeling_clipcaer.explanations.texts import Text, encode_texts, map_points, nearest_texts


TWO_EACH = [[[BOS, 20 + label, EOS], [BOS, 30 + label, 40, EOS]] for label in range(5)]
SENTENCES = [[f"a{label}", f"b{label}"] for label in range(5)]


def test_every_sentence_has_clips_own_embedding():
    torch.manual_seed(0)
    model = tiny_model(descriptive_prompts=SENTENCES, descriptive_token_ids=TWO_EACH, label_prompts=list("vwxyz"))
    texts, embeds = encode_texts(model)
    assert texts[:3] == [Text("descriptive", 0, "a0"), Text("descriptive", 0, "b0"), Text("descriptive", 1, "a1")]
    assert texts[10:] == [Text("soft", label, prompt) for label, prompt in enumerate("vwxyz")]
    ids = torch.tensor([TWO_EACH[3][1]])
    with torch.no_grad():
        expected = model.model.clip.get_text_features(input_ids=ids).pooler_output[0]
    torch.testing.assert_close(embeds[texts.index(Text("descriptive", 3, "b3"))], expected / expected.norm())
    torch.testing.assert_close(embeds[10:], model.model.encode_soft_prompts()[:, 0].detach())


def test_a_checkpoint_without_its_sentences_tells_the_labels():
    torch.manual_seed(0)
    model = tiny_model()
    texts, embeds = encode_texts(model)
    assert [text.sentence for text in texts[:5]] == list(model.config.id2label.values())
    torch.testing.assert_close(embeds[:5], model.model.descriptive_text_embeds)
    assert embeds.shape == (10, model.config.projection_dim)


def test_the_nearest_are_those_of_the_highest_cosine():
    texts = [Text("descriptive", 0, "east"), Text("soft", 0, "north"), Text("descriptive", 1, "west")]
    embeds = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    found = nearest_texts(torch.tensor([-0.6, 0.8]), texts, embeds, count=1)
    assert found["descriptive"][0][0].sentence == "west" and found["descriptive"][0][1] == pytest.approx(0.6)
    assert [text.sentence for text, _ in found["soft"]] == ["north"] and len(found["descriptive"]) == 1


def test_the_map_keeps_points_of_a_plane_where_they_are():
    corners = torch.tensor([[4.0, 0, 1], [-4, 0, 1], [0, 1, 1], [0, -1, 1]])
    points, shares = map_points(corners)
    torch.testing.assert_close(torch.cdist(points, points), torch.cdist(corners, corners).double())
    assert shares == pytest.approx([32 / 34, 2 / 34])
    assert points[0].abs().argmax() == 0 and points.max() == 4


@pytest.mark.parametrize("embeds", [torch.ones(1, 3), torch.ones(4, 3), torch.zeros(2, 1)])
def test_the_map_of_points_without_variance_is_one_place(embeds):
    points, shares = map_points(embeds)
    assert points.shape == (len(embeds), 2) and points.abs().max() == 0 and shares == [0.0, 0.0]
