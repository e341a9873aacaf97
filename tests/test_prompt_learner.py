import pytest
import torch

from helpers.tiny import BOS, EOS, TOKEN_IDS, tiny_model
from modeling_clipcaer.prompt_learner import encode_token_embeds, layout_prompt, pad_token_ids


@pytest.mark.parametrize(
    ("position", "expected"),
    [("end", "S 1 2 3 a b E"), ("front", "S a b 1 2 3 E"), ("middle", "S 1 a b 2 3 E")],
)
def test_the_label_stands_where_its_position_says(position, expected):
    names = ["S", "a", "b", "E", "-", "1", "2", "3"]  # a text of 4 tokens padded to 5, and 3 context tokens
    layout = layout_prompt(num_tokens=4, longest=5, num_context_tokens=3, position=position)
    assert " ".join(names[i] for i in layout) == expected + " -"


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("class_specific", [True, False])
def test_soft_prompts_of_real_tokens_equal_get_text_features(position, class_specific):
    model = tiny_model(class_token_position=position, class_specific_context=class_specific).model
    context = [20, 21, 22]
    embedding = model.clip.text_model.embeddings.token_embedding.weight
    with torch.no_grad():
        model.prompt_learner.context_tokens.copy_(embedding[context])
    before = {"end": 3, "middle": 1, "front": 0}[position]
    prompts = []
    for [ids] in TOKEN_IDS:
        prompts.append([BOS, *context[:before], *ids[1:-1], *context[before:], EOS])
        prompts[-1] += [EOS] * (32 - len(prompts[-1]))
    expected = model.clip.get_text_features(torch.tensor(prompts)).pooler_output
    torch.testing.assert_close(model.prompt_learner(model.clip), expected, rtol=1e-5, atol=1e-6)


def test_tokens_behind_the_end_token_are_never_looked_at():
    model = tiny_model().model
    tokens = torch.randn(2, 8, 16)
    changed = torch.cat([tokens[:, :6], torch.randn(2, 2, 16)], dim=1)
    ends = torch.tensor([4, 5])
    torch.testing.assert_close(
        encode_token_embeds(model.clip, tokens, ends), encode_token_embeds(model.clip, changed, ends)
    )


def test_without_label_texts_the_prompts_hold_context_alone():
    model = tiny_model(label_token_ids=None).model
    assert model.prompt_learner.token_ids.tolist() == [[BOS, EOS]] * 5
    assert model.encode_soft_prompts().shape == (5, 1, 24)


def test_padding_fills_behind_the_longest_prompt():
    assert pad_token_ids([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]
