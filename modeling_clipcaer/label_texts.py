"""The labels' texts as tokens: of a tokenizer that fits the text tower, and different for each label."""

from collections.abc import Iterable, Sequence

from .errors import InputError
from .json_files import parse_json


# Share of a vocabulary's words that its tokenizer need not be able to make; of OpenAI's none is so.
MOST_UNMADE = 0.01


def check_tokenizer(tokenizer, text_config) -> None:
    """Refuse a tokenizer that does not fit the text tower of `text_config`."""
    if len(tokenizer) != text_config.vocab_size:
        raise InputError(
            f"the tokenizer knows {len(tokenizer)} tokens, the text tower's embedding {text_config.vocab_size}; "
            "expected the CLIP checkpoint's own tokenizer"
        )
    ids = tokenizer("a person").input_ids
    if len(ids) < 3 or [ids[0], ids[-1]] != [tokenizer.bos_token_id, tokenizer.eos_token_id] or ids[0] == ids[-1]:
        raise InputError("the tokenizer puts no begin and end around a text")
    end = ids[-1]
    check_merges(tokenizer)
    if end != end_token_id(text_config):
        raise InputError(f"the tokenizer's end is token {end}, the text tower's is {end_token_id(text_config)}")


def check_merges(tokenizer) -> None:
    """Refuse a byte-pair tokenizer that has lost its merges: it spells words letter by letter, which it all knows.

    Keep: of a missing or torn merges.txt transformers says nothing.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = parse_json(backend.to_str(), "the tokenizer")["model"] if backend is not None else {}
    if model.get("type") != "BPE":
        return
    special, suffix = tokenizer.get_added_vocab(), model.get("end_of_word_suffix") or ""
    longer = {word for word in model["vocab"] if len(word.removesuffix(suffix)) > 1 and word not in special}
    unmade = longer - {"".join(merge) for merge in model["merges"]}
    if len(unmade) > len(longer) * MOST_UNMADE:
        raise InputError(
            f"the tokenizer makes {len(unmade)} of {len(longer)} words by no merge: merges.txt is not whole; "
            "copy it anew"
        )


def end_token_id(text_config) -> int:
    """The token at whose place the text tower reads a text off."""
    # CLIP's published configurations carry 2 for the end token, which is the last of the vocabulary.
    return text_config.vocab_size - 1 if text_config.eos_token_id == 2 else text_config.eos_token_id


def tokenize(tokenizer, text_config, field: str, texts: Iterable[Sequence[str]], labels: Sequence[str]):
    """Token ids of each label's texts, begin and end included: label, sentence, token.

    Args:
        tokenizer: one that `check_tokenizer` has passed.
        text_config: of the text tower.
        field: what the texts are, `label_prompts` or `descriptive_prompts`, for messages.
        texts: of each label.
        labels: their names.

    Raises:
        InputError: a text has no token, one that the tokenizer does not know, or more than the text tower takes; or
            two labels' texts come out equal.
    """
    limit = text_config.max_position_embeddings
    texts = list(texts)
    token_ids = [tokenizer(list(sentences)).input_ids for sentences in texts]
    for label, sentences, ids in zip(labels, texts, token_ids, strict=True):
        for sentence, tokens in zip(sentences, ids, strict=True):
            where = f"`{field}` of `{label}`: {sentence!r}"
            inner = tokens[1:-1]
            # CLIP's unknown token is its end token, which reads a text off before it is over.
            if not inner or {tokens[0], tokens[-1], tokenizer.unk_token_id} & set(inner):
                raise InputError(f"{where}: the tokenizer finds {'words it does not know' if inner else 'no words'}")
            if max(tokens) >= text_config.vocab_size:
                raise InputError(f"{where}: token {max(tokens)} of {text_config.vocab_size} in the text tower")
            if len(tokens) > limit:
                raise InputError(f"{where}: {len(tokens)} tokens, the text tower takes {limit}; shorten it")
    check_distinct(token_ids, labels, f"`{field}` as tokens")
    return token_ids


def check_distinct(texts: Sequence, labels: Sequence[str], where: str) -> None:
    """Refuse two labels with the same texts, which no model could tell apart by them.

    Args:
        texts: of each label, as words or as tokens; their order makes no difference.
        labels: their names.
        where: what stands before the message.
    """
    seen: dict[str, str] = {}
    for label, sentences in zip(labels, texts, strict=True):
        key = repr(sorted(sentences) if isinstance(sentences, list) else [sentences])
        if key in seen:
            raise InputError(f"{where}: `{seen[key]}` and `{label}` have the same texts; expected different ones")
        seen[key] = label
