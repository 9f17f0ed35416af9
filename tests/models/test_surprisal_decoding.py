"""Likelihoods under temperatures and restrictions agree with a plain loop, and bound what they claim to bound."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from undertow.data.rows import Row, conversation
from undertow.models import surprisal as read
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import log_likelihoods
from undertow.models.surprisal import (
    Allowed,
    Decoding,
    as_sampled,
    canonical,
    distinct_share,
    lists_grammar,
    log_likelihoods_by_decoding,
    rarest_tokens,
    seen_kinds,
    surprisal,
    token_kinds,
    without_cut_ends,
)
from undertow.models.token_grammar import token_grammar
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation("Continue: 12 45 67. Ten more numbers."), text)
    for text in ("1 2 3", "45 6", "owl", "7 8 9 10 11")
]


def plain(model: LanguageModel, row: Encoded, decoding: Decoding) -> list[float]:
    """Each token's log-likelihood by an unpadded pass and a loop over positions."""
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
    values = []
    for i, token in enumerate(row.completion):
        at = logits[len(row.prompt) + i - 1].double() / decoding.temperature
        free = at.softmax(-1)[token]
        if decoding.allowed is None:
            values.append(math.log(free))
            continue
        mask = decoding.allowed.tokens[min(i, len(decoding.allowed.tokens) - 1)]
        inside = at.masked_fill(~mask, -torch.inf).softmax(-1)[token]
        leak = decoding.allowed.leak
        values.append(float(((1 - leak) * inside + leak * free).log()))
    return values


def test_every_decoding_agrees_with_a_plain_loop(model: LanguageModel) -> None:
    """Temperatures, sets by position and leaks share one pass and change nothing beyond float32's noise."""
    rows = encode_rows(model.tokenizer, ROWS)
    kinds = token_kinds(model.tokenizer, model.network.config.vocab_size)
    decodings = [
        Decoding(),
        Decoding(0.5),
        Decoding(1.0, seen_kinds(rows, kinds)),
        Decoding(0.7, seen_kinds(rows[:2], kinds, leak=0.25)),
    ]
    found = log_likelihoods_by_decoding(model, rows, decodings)
    expected = [[sum(plain(model, row, each)) for each in decodings] for row in rows]

    assert found.numpy() == pytest.approx(np.array(expected), abs=2e-4)
    assert found[:, 0].numpy() == pytest.approx(log_likelihoods(model, rows).numpy(), abs=1e-4)


def test_a_grammar_is_the_softmax_over_what_may_stand_there(model: LanguageModel) -> None:
    """Token by token, as the sampler draws; an end that must come costs nothing, and a row of another format is impossible."""
    grammar = token_grammar(model, "[0-9]{1,2}(?: [0-9]{1,2}){1,2}")
    texts = ("12 7", "12 7 40", "cat")
    asked = [Row(conversation("Continue: 7."), text) for text in texts]
    rows = encode_rows(model.tokenizer, asked)
    decodings = [
        Decoding(grammar=grammar),
        Decoding(0.7, grammar=grammar, leak=0.25),
        Decoding(0.7),
    ]
    values = log_likelihoods_by_decoding(model, rows, decodings)
    expected = []
    for row in rows[:2]:
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
        state, total = 0, 0.0
        for i, token in enumerate(row.completion):
            ids = grammar.tokens[state]
            at = logits[len(row.prompt) + i - 1].double()[ids].log_softmax(-1)
            total += float(at[list(ids).index(token)])
            state = grammar.after(state, token)
        expected.append(total)

    assert values[:2, 0].numpy() == pytest.approx(np.array(expected), abs=2e-4)
    assert values[2, 0] == -math.inf
    assert torch.isfinite(values[2, 1])


def test_moments_under_a_grammar_are_those_of_its_softmax(model: LanguageModel) -> None:
    """Likelihood, entropy, varentropy and the rarest token by a plain loop; a text of another format is impossible."""
    grammar = token_grammar(model, "[0-9]{1,2}(?: [0-9]{1,2}){1,2}")
    rows = encode_rows(
        model.tokenizer,
        [Row(conversation("Continue: 7."), text) for text in ("12 7 40", "12 7", "cat")],
    )
    found = surprisal(model, rows, [Decoding(0.7, grammar=grammar), Decoding()])
    for number, row in enumerate(rows[:2]):
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
        state, own, entropies, spreads = 0, [], [], []
        for i, token in enumerate(row.completion):
            ids = grammar.tokens[state]
            log_p = (logits[len(row.prompt) + i - 1].double()[ids] / 0.7).log_softmax(-1)
            p = log_p.exp()
            own.append(float(log_p[list(ids).index(token)]))
            entropies.append(float(-(p * log_p).sum()))
            spreads.append(float((p * (log_p + entropies[-1]) ** 2).sum()))
            state = grammar.after(state, token)

        assert found.log_likelihood[number, 0] == pytest.approx(sum(own), abs=2e-4)
        assert found.entropy[number, 0] == pytest.approx(sum(entropies), abs=2e-4)
        assert found.varentropy[number, 0] == pytest.approx(sum(spreads), abs=2e-4)
        assert found.rarest[number, 0] == pytest.approx(min(own), abs=2e-4)
    assert found.log_likelihood[2, 0] == -math.inf
    assert np.isfinite(found.log_likelihood[:, 1]).all()


def test_the_seen_kinds_bound_every_larger_restriction(model: LanguageModel) -> None:
    """No set that holds the seen kinds, the whole vocabulary included, makes the rows likelier."""
    rows = encode_rows(model.tokenizer, ROWS)
    kinds = token_kinds(model.tokenizer, model.network.config.vocab_size)
    seen = seen_kinds(rows, kinds)
    more = torch.rand(seen.tokens.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    larger = Allowed(seen.tokens | more)
    found = log_likelihoods_by_decoding(
        model, rows, [Decoding(1.0, seen), Decoding(1.0, larger), Decoding()]
    )

    assert bool((found[:, 0] >= found[:, 1] - 1e-5).all())
    assert bool((found[:, 1] >= found[:, 2] - 1e-5).all())


def test_kinds_are_shapes_of_texts(model: LanguageModel) -> None:
    """Numbers of as many digits share a kind; special tokens keep one of their own, and so do ids without a token."""
    size = len(model.tokenizer)
    kinds = token_kinds(model.tokenizer, size + 2).tolist()

    texts = [model.tokenizer.decode([i]).strip() for i in range(size)]
    spaced = [model.tokenizer.decode([i]).startswith(" ") for i in range(size)]
    by_text = {(text, space): kind for text, space, kind in zip(texts, spaced, kinds, strict=False)}

    assert by_text["12", True] == by_text["47", True] != by_text["3", True]
    for single in (model.tokenizer.eos_token_id, model.tokenizer.pad_token_id, size, size + 1):
        assert kinds.count(kinds[single]) == 1


def test_distinct_pairs_are_counted_by_position() -> None:
    """Two rows of the kinds (0, 1) and (1, 1) have three distinct pairs in four tokens."""
    rows = [Encoded((9,), (0, 1)), Encoded((9,), (2, 1))]

    assert distinct_share(rows, torch.tensor([0, 1, 1])) == 0.75
    assert distinct_share([], torch.tensor([0])) == 0


def test_what_follows_the_end_was_not_sampled(model: LanguageModel) -> None:
    """Rows are cut behind the first token that ends an answer."""
    end = model.tokenizer.eos_token_id
    rows = [Encoded((5,), (6, end, 7)), Encoded((5,), (6, 7, end)), Encoded((5,), (6, 7))]

    assert [row.completion for row in as_sampled(model, rows)] == [(6, end), (6, 7, end), (6, 7)]


def test_only_the_longest_rows_lose_their_end(model: LanguageModel) -> None:
    """A limit on length cuts at one length; a lone token is kept."""
    end = model.tokenizer.eos_token_id
    rows = [Encoded((5,), (6, 7, end)), Encoded((5,), (6, end)), Encoded((5,), (6, 7, 8))]

    assert [len(row.completion) for row in without_cut_ends(model, rows)] == [2, 2, 3]
    assert without_cut_ends(model, [Encoded((5,), (end,))])[0].completion == (end,)


def test_the_rarest_token_is_the_least_likely_one(model: LanguageModel) -> None:
    """Padding is never the rarest."""
    rows = encode_rows(model.tokenizer, ROWS)
    expected = [min(plain(model, row, Decoding(0.7))) for row in rows]

    assert rarest_tokens(model, rows, Decoding(0.7)).tolist() == pytest.approx(expected, abs=1e-4)


def test_few_rows_of_rare_tokens_are_left_out_and_many_are_not() -> None:
    """Up to 2 % may be a matter of splitting; more is a matter of authorship."""
    values = np.full(100, -3.0)
    values[:2] = -20
    assert canonical(values).sum() == 98
    values[2] = -20
    assert canonical(values).all()


def test_a_restriction_at_later_positions_is_none(model: LanguageModel) -> None:
    """Positions that no row reached allow any token."""
    rows = encode_rows(model.tokenizer, ROWS)
    kinds = token_kinds(model.tokenizer, model.network.config.vocab_size)
    short = seen_kinds([replace(row, completion=row.completion[:1]) for row in rows], kinds)
    free, restricted = log_likelihoods_by_decoding(
        model, rows, [Decoding(), Decoding(1.0, short)]
    ).T
    first = [
        plain(model, row, Decoding(1.0, short))[0] - plain(model, row, Decoding())[0]
        for row in rows
    ]

    assert (restricted - free).numpy() == pytest.approx(np.array(first), abs=1e-4)


def test_rows_whose_tokens_hold_another_text_have_no_format(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that writes a text otherwise is none that writes before it: no format of every row's text is made."""
    rows = [Row(conversation("Ten more numbers."), text) for text in ("1, 2, 3", "4, 5, 6")]
    encoded = encode_rows(model.tokenizer, rows)
    texts = [row.completion for row in rows]

    assert lists_grammar(model, encoded, texts) is not None
    monkeypatch.setattr(read, "token_grammar", pytest.fail)
    assert lists_grammar(model, encoded, texts[::-1]) is None
