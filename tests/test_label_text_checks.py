"""Texts of labels as tokens, by a tokenizer of single letters."""

import json
from types import SimpleNamespace

import pytest

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.label_texts import check_distinct, check_merges, check_tokenizer, end_token_id, tokenize


BOS, EOS, UNKNOWN = 27, 28, 0


class Letters:
    """a is 1, b is 2, ...; anything else is unknown, spaces are nothing."""

    bos_token_id, eos_token_id, unk_token_id = BOS, EOS, UNKNOWN

    def __init__(self, frame=(BOS, EOS), size=29, merges=None):
        self.frame, self.size = frame, size
        if merges is not None:
            model = {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 0, "b</w>": 1}, **merges}
            self.backend_tokenizer = SimpleNamespace(to_str=lambda: json.dumps({"model": model}))

    def __len__(self):
        return self.size

    def __call__(self, texts):
        def number(letter):
            return ord(letter) - 96 if "a" <= letter <= "z" else {"<": BOS, ">": EOS, "!": 30}.get(letter, UNKNOWN)

        one = isinstance(texts, str)
        ids = [
            [*self.frame[:1], *map(number, text.replace(" ", "")), *self.frame[1:]] for text in [texts] * one or texts
        ]
        return SimpleNamespace(input_ids=ids[0] if one else ids)

    def get_added_vocab(self):
        return {"<|special|>": 99}


class SameEnds(Letters):
    """One token for begin and end, by which neither can be told."""

    eos_token_id = BOS


def tower(**fields):
    return SimpleNamespace(**{"vocab_size": 29, "max_position_embeddings": 5, "eos_token_id": EOS, **fields})


def run(*texts, tokenizer=None, **fields):
    return tokenize(tokenizer or Letters(), tower(**fields), "label_prompts", texts, ["bored", "happy"])


def test_texts_are_tokens_with_begin_and_end():
    assert run(["ab", "c"], ["z"]) == [[[BOS, 1, 2, EOS], [BOS, 3, EOS]], [[BOS, 26, EOS]]]
    assert run(["abc"], ("b",)) == [[[BOS, 1, 2, 3, EOS]], [[BOS, 2, EOS]]]  # five tokens are what the tower takes


@pytest.mark.parametrize(
    ("texts", "fields", "said"),
    [
        ((["a"], ["abcd"]), {}, "`label_prompts` of `happy`: 'abcd': 6 tokens, the text tower takes 5"),
        ((["a"], ["b", "  "]), {}, "`label_prompts` of `happy`: '  ': the tokenizer finds no words"),
        ((["a?"], ["b"]), {}, "`label_prompts` of `bored`: 'a?': the tokenizer finds words it does not know"),
        ((["a"], ["b<"]), {}, "'b<': the tokenizer finds words it does not know"),
        ((["a"], ["b>c"]), {}, "'b>c': the tokenizer finds words it does not know"),
        ((["a"], ["!"]), {"vocab_size": 30}, "'!': token 30 of 30 in the text tower"),
        ((["a", "b"], ["b", "a"]), {}, "`label_prompts` as tokens: `bored` and `happy` have the same texts"),
    ],
)
def test_a_text_that_cannot_be_read_whole_is_refused_by_its_label(texts, fields, said):
    with pytest.raises(InputError) as error:
        run(*texts, **fields)
    assert said in str(error.value)
    assert run(["a"], ["!"], vocab_size=31)[1] == [[BOS, 30, EOS]]


def test_labels_have_texts_of_their_own():
    check_distinct(["a", "b", ["a", "b"], ["a", "a", "b"]], "wxyz", "here")
    for texts, names in ((["a", "b", "a"], "`w` and `y`"), (["c", ["b", "a"], ["a", "b"]], "`x` and `y`")):
        with pytest.raises(InputError, match=f"^here: {names} have the same texts; expected different ones$"):
            check_distinct(texts, "wxy", "here")
    with pytest.raises(InputError, match="`w` and `x`"):
        check_distinct(["a", ["a"]], "wx", "here")


def test_the_end_token_of_published_configurations_is_the_last_of_the_vocabulary():
    assert end_token_id(tower(eos_token_id=2)) == 28 and end_token_id(tower(eos_token_id=7)) == 7


@pytest.mark.parametrize(
    ("tokenizer", "fields", "said"),
    [
        (Letters(size=30), {}, "the tokenizer knows 30 tokens, the text tower's embedding 29"),
        (Letters(frame=(BOS,)), {}, "puts no begin and end around a text"),
        (Letters(frame=(EOS, BOS)), {}, "puts no begin and end around a text"),
        (Letters(frame=(BOS, 5)), {}, "puts no begin and end around a text"),
        (Letters(frame=(5, EOS)), {}, "puts no begin and end around a text"),
        (SameEnds(frame=(BOS, BOS)), {}, "puts no begin and end around a text"),
        (Letters(), {"eos_token_id": 9}, "the tokenizer's end is token 28, the text tower's is 9"),
    ],
)
def test_a_tokenizer_that_does_not_fit_the_tower_is_refused(tokenizer, fields, said):
    with pytest.raises(InputError, match=said):
        check_tokenizer(tokenizer, tower(**fields))
    check_tokenizer(Letters(), tower())
    check_tokenizer(Letters(), tower(eos_token_id=2))


WORDS = {f"ab{number}</w>": number for number in range(100)}


@pytest.mark.parametrize(("missing", "is_whole"), [(0, True), (1, True), (2, False), (100, False)])
def test_a_tokenizer_that_has_lost_merges_is_told(missing, is_whole):
    merges = [["ab", word.removeprefix("ab")] for word in list(WORDS)[missing:]]
    tokenizer = Letters(merges={"vocab": {"a": 0, "b</w>": 1, "<|special|>": 99, **WORDS}, "merges": merges})
    if is_whole:
        return check_merges(tokenizer)
    with pytest.raises(InputError, match=f"makes {missing} of 100 words by no merge: merges.txt is not whole"):
        check_merges(tokenizer)


def test_tokenizers_of_another_kind_have_no_merges_to_lose():
    check_merges(Letters())
    check_merges(Letters(merges={"type": "WordPiece", "vocab": {}, "merges": []}))
