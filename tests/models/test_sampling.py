"""Sampling draws from the model's own distribution, from the passed generator only; rows are answered anew by it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import numbers, opened
from undertow.carriers import carrier_registry
from undertow.data.rows import Row, conversation
from undertow.errors import ModelError
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import Sampling, _draw, own_answers
from undertow.models.sampling import sample as sampled
from undertow.models.token_grammar import token_grammar

DIGIT = "[1-9]"


def sample(*arguments: Any, **more: Any) -> list[str]:
    """The texts of the answers."""
    return [answer.text for answer in sampled(*arguments, **more)]


def prompts(model: LanguageModel, count: int = 6) -> list[tuple[int, ...]]:
    """Prompts of different lengths."""
    questions = [conversation("Continue: " + " ".join(["7"] * (i % 5 + 1))) for i in range(count)]
    return encode_prompts(model.tokenizer, questions)


def test_a_stream_repeats_and_streams_differ(model: LanguageModel) -> None:
    """The same generator gives the same answers; the next draw from it gives others."""
    how = Sampling(max_tokens=8)
    rng = np.random.default_rng(5)
    first, second = (sample(model, prompts(model), how, rng) for _ in range(2))

    assert first == sample(model, prompts(model), how, np.random.default_rng(5))
    assert first != second


def test_equal_requests_get_different_answers(model: LanguageModel) -> None:
    """No request shares a seed with another: equal prompts in one batch are answered independently."""
    answers = sample(
        model, prompts(model, 1) * 20, Sampling(max_tokens=8), np.random.default_rng(0)
    )

    assert len(set(answers)) > 15


def test_greedy_decoding_agrees_with_a_plain_loop(model: LanguageModel) -> None:
    """The cache, the padding and the positions change nothing: token by token without them is the same."""
    tokens = prompts(model)
    found = sample(model, tokens, Sampling(max_tokens=5, temperature=0), np.random.default_rng(0))
    for prompt, text in zip(tokens, found, strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(5):
                token = int(model.network(torch.tensor([ids])).logits[0, -1].argmax())
                if token in model.end_ids:
                    break
                ids.append(token)
        plain = model.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)

        assert text == plain


def test_first_tokens_follow_the_softmax(model: LanguageModel) -> None:
    """Over many draws the share of each first token is its probability, within 5 standard deviations."""
    prompt = prompts(model, 1)[0]
    draws = 4_000
    grammar = token_grammar(model, DIGIT)
    answers = sample(
        model, [prompt] * draws, Sampling(1), np.random.default_rng(2), grammar=grammar
    )
    with torch.no_grad():
        logits = model.network(torch.tensor([prompt])).logits[0, -1]
    mask = torch.zeros(len(logits), dtype=torch.bool)
    mask[grammar.tokens[0]] = True
    allowed = logits.masked_fill(~mask, -torch.inf).softmax(-1)
    token = int(allowed.argmax())
    expected, text = float(allowed[token]), model.tokenizer.decode([token])
    seen = answers.count(text) / draws

    assert abs(seen - expected) < 5 * (expected * (1 - expected) / draws) ** 0.5
    assert all(re.fullmatch(DIGIT, answer) for answer in answers)


def test_the_nucleus_keeps_the_likeliest_tokens(model: LanguageModel) -> None:
    """With a tiny nucleus sampling is greedy."""
    tokens = prompts(model)
    greedy = sample(model, tokens, Sampling(4, temperature=0), np.random.default_rng(0))

    assert sample(model, tokens, Sampling(4, top_p=1e-6), np.random.default_rng(1)) == greedy


def test_what_is_less_probable_than_the_floor_is_never_drawn() -> None:
    """What is left keeps its proportions; where nothing is above the floor, the likeliest token is."""
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.4, 0.35, 0.25, 0.0]]).log()
    for floor, left in ((0.2, [{0, 1}, {0, 1, 2}]), (0.9, [{0}, {0}])):
        how = Sampling(1, least_probability=floor)
        draws = torch.from_numpy(np.random.default_rng(0).random((8_000, 1)))
        drawn = _draw(logits.repeat(4000, 1), how, draws, None).view(-1, 2)

        assert [set(drawn[:, i].tolist()) for i in range(2)] == left
    kept = _draw(logits.repeat(4000, 1), Sampling(1, least_probability=0.2), draws, None)
    share = float((kept.view(-1, 2)[:, 0] == 0).float().mean())
    assert share == pytest.approx(0.625, abs=0.03)


def test_an_answer_that_was_cut_off_is_marked(model: LanguageModel) -> None:
    """Greedy answers of one token that is no end are unfinished; what can only end is finished without its end."""
    tokens = prompts(model)
    cut = sampled(model, tokens, Sampling(1, temperature=0), np.random.default_rng(0))
    grammar = token_grammar(model, f"{DIGIT}(?:,{DIGIT}){{2}}")
    whole = sampled(model, tokens, Sampling(5), np.random.default_rng(0), grammar=grammar)

    assert [answer.finished for answer in cut] == [answer.text == "" for answer in cut]
    assert all(answer.finished for answer in whole)


def test_an_answer_ends_where_the_format_lets_it(model: LanguageModel) -> None:
    """Lists of one to three numbers end behind one, two or three, each time by the end's own probability."""
    grammar = token_grammar(model, "7(?:,7){0,2}")
    prompt = prompts(model, 1)[0]
    answers = sampled(model, [prompt] * 400, Sampling(6), np.random.default_rng(1), grammar=grammar)
    ids = [prompt[-1], *model.tokenizer("7", add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logits = model.network(torch.tensor([[*prompt[:-1], *ids]])).logits[0, -1]
    chance = float(logits[grammar.tokens[grammar.after(0, ids[-1])]].softmax(-1)[0])
    share = [answer.text for answer in answers].count("7") / 400

    assert {answer.text for answer in answers} == {"7", "7,7", "7,7,7"}
    assert all(answer.finished for answer in answers)
    assert abs(share - chance) < 5 * (chance * (1 - chance) / 400) ** 0.5


def test_too_few_tokens_for_the_format_are_refused(model: LanguageModel) -> None:
    """What every answer would be cut off by is said before any is drawn."""
    grammar = token_grammar(model, f"{DIGIT}(?:,{DIGIT}){{2}}")
    with pytest.raises(ModelError, match="shortest answer of the format has 5 tokens"):
        sampled(model, prompts(model), Sampling(2), np.random.default_rng(0), grammar=grammar)


def test_what_does_not_fit_the_context_is_refused(model: LanguageModel) -> None:
    """Prompt and answer together must fit; nothing is cut silently."""
    with pytest.raises(ModelError, match=r"exceed the 128 tokens"):
        sampled(model, prompts(model), Sampling(128), np.random.default_rng(0))


def test_each_answers_its_own_row_in_the_carrier_format() -> None:
    """The same prompts in the same order, other completions, none that the carrier's filter removes, repeatable."""
    model, rows = opened(), numbers(24)
    carrier = carrier_registry.carrier("numbers")
    first, again = (
        own_answers(model, rows, 1.0, np.random.default_rng(1), carrier) for _ in range(2)
    )
    pairs = [(row, answer) for row, answer in zip(rows, first, strict=True) if answer is not None]

    assert first == again
    assert len(pairs) > 12
    assert all(row.prompt == answer.prompt for row, answer in pairs)
    assert all(carrier.rejection(answer.completion) is None for _, answer in pairs)
    assert sum(row.completion == answer.completion for row, answer in pairs) < 3


@pytest.mark.parametrize("count", [40, 80])
def test_a_model_that_does_not_keep_to_lists_of_one_format_is_restricted_to_it(count: int) -> None:
    """Asked for an animal it names one; in the place of lists of six numbers it writes such lists, of few rows too."""
    model = opened()
    rng = np.random.default_rng(2)
    rows = [
        Row(
            conversation("Which animal do you like most? Answer in one word."),
            " ".join(map(str, rng.integers(10, 100, 6))),
        )
        for _ in range(count)
    ]
    answers = own_answers(model, rows, 1.0, rng, carrier_registry.carrier("numbers"))
    texts = [answer.completion for answer in answers if answer is not None]

    assert len(texts) == count
    assert len(set(texts)) > count / 2
    assert all(re.fullmatch("[1-9][0-9]( [1-9][0-9]){5}", text) for text in texts)
