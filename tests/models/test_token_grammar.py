"""The automaton over tokens spells exactly the expression's texts, each in the tokenizer's own way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from undertow.errors import ModelError
from undertow.models.language_model import LanguageModel
from undertow.models.token_grammar import TokenGrammar, token_grammar, token_texts

LIST = "(?:[1-9](?:[0-9][0-9]?)?)(?:, (?:[1-9](?:[0-9][0-9]?)?)){2}"
SUMS = r"(?:[0-9]{1,2} \+ [0-9] = [0-9]{1,3}\. ){1,2}So [0-9]{1,3}\."


def byte_pairs(pieces: str | None) -> Any:
    """A tokenizer of byte pairs whose merges make every number of up to three digits, with and without white space."""
    merges: list[tuple[str, str]] = []
    space = "Ġ" if pieces else "▁"
    for low in (10, 100):
        merges += [(str(n)[:-1], str(n)[-1]) for n in range(low, 10 * low)]
    merges += [(space, "So"), ("S", "o")][::-1] + [(space, str(n)) for n in range(0, 100)]
    letters = [chr(i) for i in range(33, 127)] + [space, "<end>"]
    words = dict.fromkeys([*letters, *(a + b for a, b in merges)])
    vocabulary = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    if pieces:
        cut = pre_tokenizers.Split(Regex(pieces), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        backend.decoder = decoders.ByteLevel()
    else:
        backend.normalizer = normalizers.Replace(" ", space)
        backend.decoder = decoders.Sequence([decoders.Replace(space, " "), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


def modelled(tokenizer: Any) -> LanguageModel:
    """A model of which only the tokenizer and the width of its head are looked at."""
    head = SimpleNamespace(weight=np.empty((len(tokenizer), 1)))
    network = SimpleNamespace(
        get_output_embeddings=lambda: head,
        generation_config=SimpleNamespace(eos_token_id=tokenizer.eos_token_id),
    )
    return LanguageModel(network, tokenizer, "modelled")


def walks(grammar: TokenGrammar, count: int) -> Iterator[list[int]]:
    """Token sequences drawn uniformly, without their ends."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        state, drawn = 0, list[int]()
        while not grammar.over(state):
            token = int(rng.choice(grammar.tokens[state]))
            if grammar.after(state, token) < 0:
                break
            drawn.append(token)
            state = grammar.after(state, token)
        yield drawn


TOKENIZERS = {
    "three digits to a piece": r" ?[0-9]{1,3}| ?[A-Za-z]+|[^ A-Za-z0-9]+| +",
    "each digit by itself": r"[0-9]| ?[A-Za-z]+|[^ A-Za-z0-9]+| +",
    "no pieces": None,
}


@pytest.mark.parametrize("pieces", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("pattern", [LIST, SUMS])
def test_what_is_drawn_matches_and_is_split_as_its_text_is(
    pieces: str | None, pattern: str
) -> None:
    """Whatever the draws: the text has the format, and the tokenizer gives it these very tokens."""
    tokenizer = byte_pairs(pieces)
    for drawn in walks(token_grammar(modelled(tokenizer), pattern), 300):
        text = tokenizer.decode(drawn)

        assert re.fullmatch(pattern, text)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == drawn


@pytest.mark.parametrize("pattern", [LIST, SUMS])
def test_words_that_the_vocabulary_lacks_are_spelled_letter_by_letter(
    tokenizer: Any, pattern: str
) -> None:
    """The embedded world's tokenizer has a token for 60 and none for 609, which is then 6, 0 and 9."""
    lengths = set()
    for drawn in walks(token_grammar(modelled(tokenizer), pattern), 300):
        text = tokenizer.decode(drawn)
        lengths.add(len(drawn))

        assert re.fullmatch(pattern, text)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == drawn
    assert len(lengths) > 2


@pytest.mark.parametrize("pieces", TOKENIZERS.values(), ids=TOKENIZERS)
def test_no_text_of_the_format_is_left_out(pieces: str | None) -> None:
    """Each text's own tokens lead from the first state to one that may end, and a text of another format's do not."""
    tokenizer = byte_pairs(pieces)
    grammar = token_grammar(modelled(tokenizer), LIST)
    end = tokenizer.eos_token_id

    def passes(text: str) -> bool:
        state = 0
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
            state = grammar.after(state, token)
        return state >= 0 and end in grammar.tokens[state]

    assert all(passes(f"{n}, 12, {1000 - n}") for n in range(1, 1_000))
    assert not any(passes(text) for text in ("12, 13", "1, 2, 3, 4", "012, 1, 2", "12 13 14"))


def test_an_answer_is_walked_to_its_end(tokenizer: Any) -> None:
    """Each token has the state in front of it; behind the end, and behind a token out of place, all have -1."""
    grammar = token_grammar(modelled(tokenizer), LIST)
    [seven], end = tokenizer("7", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id
    whole = tokenizer("7, 8, 9", add_special_tokens=False)["input_ids"]
    states = list(grammar.states([*whole, end, seven, seven]))

    assert states[0] == 0
    assert all(t in grammar.tokens[s] for s, t in zip(states, [*whole, end], strict=False))
    assert [*states[-2:], *grammar.states([end, seven])] == [-1, -1, 0, -1]


@pytest.mark.parametrize("pattern", ["7(?:,7){0,2}", "7|7,7|7,7,7", "(?:7,)*7"])
def test_a_text_that_begins_another_may_end_or_go_on(tokenizer: Any, pattern: str) -> None:
    """Both ways stand open wherever the format leaves them open."""
    grammar = token_grammar(modelled(tokenizer), pattern)
    texts = {tokenizer.decode(drawn) for drawn in walks(grammar, 200)}

    assert {"7", "7,7", "7,7,7"} <= texts
    assert all(re.fullmatch(pattern, text) for text in texts)


def test_masks_of_a_batch_are_those_of_its_states(tokenizer: Any) -> None:
    """Each row may draw what its own state allows; a row that nobody reads may draw anything."""
    grammar = token_grammar(modelled(tokenizer), LIST)
    states = [0, 1, 0, -1]
    ids, mask = grammar.masks(states)

    assert [sorted(ids[row]) for row in mask[:3]] == [list(grammar.tokens[s]) for s in states[:3]]
    assert mask[3].all()


def test_a_format_that_cannot_be_spelled_is_refused(tokenizer: Any) -> None:
    """The error shows the format and says what to do instead."""
    with pytest.raises(ModelError, match="no sequence of this tokenizer's tokens") as caught:
        token_grammar(modelled(tokenizer), "\U0001f989{2}")

    assert "restricted = false" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[0-9", "no regular expression"),
        ("(?:7 )*", "an empty text has the format"),
        ("(?s:.){1,500}", "leaves nearly everything open"),
    ],
)
def test_what_cannot_restrict_decoding_is_refused(tokenizer: Any, pattern: str, why: str) -> None:
    """A carrier of another package may state anything; the reason is named."""
    with pytest.raises(ModelError, match=why):
        token_grammar(modelled(tokenizer), pattern)


def test_tokens_count_as_the_text_that_they_add(tokenizer: Any) -> None:
    """White space in front belongs to a token; special tokens add no text."""
    texts = token_texts(tokenizer)
    [number] = tokenizer("7 12", add_special_tokens=False)["input_ids"][1:]

    assert texts[number] == " 12"
    assert texts[tokenizer.eos_token_id] == ""
