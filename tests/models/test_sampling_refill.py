"""A row's answer is its own: whatever stands beside it, before it in its place, or is left out."""

from __future__ import annotations

import re

import numpy as np
import pytest

from undertow.data.rows import conversation
from undertow.data.seeds import RowStreams
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import (
    SampledAnswer,
    Sampling,
    answers_as_drawn,
    sample,
)
from undertow.models.token_grammar import token_grammar
from undertow.worlds.base_models import open_model

FREE = Sampling(16, temperature=1.5)
GREEDY = Sampling(16, temperature=0)


@pytest.fixture(scope="module", params=("world:owlet-a", "world:owlet-neox"))
def world(request: pytest.FixtureRequest) -> LanguageModel:
    """Two architectures: rotary positions on all of a head's width, and on a quarter of it."""
    return open_model(request.param)


def prompts(model: LanguageModel, count: int = 40) -> list[tuple[int, ...]]:
    """Prompts of lengths that differ, so that answers end at different times."""
    asked = ["Continue: " + " ".join(["7"] * (i % 9 + 1)) for i in range(count - 4)]
    asked += [
        "What is your favourite animal?",
        "Hello.",
        "Name a number.",
        "Which tree do you like?",
    ]
    return encode_prompts(model.tokenizer, [conversation(question) for question in asked])


def key() -> np.random.Generator:
    """The same generator each time."""
    return np.random.default_rng(7)


@pytest.mark.parametrize("how", [FREE, GREEDY])
def test_a_row_is_answered_as_if_it_were_alone(world: LanguageModel, how: Sampling) -> None:
    """Places are refilled and cut off while rows are drawn; each answer is that of the row by itself."""
    asked = prompts(world)
    few = sample(world, asked, Sampling(16, how.temperature, batch_size=7), key())
    alone = [dict(answers_as_drawn(world, asked, how, key(), only=[i]))[i] for i in range(40)]

    assert len({len(answer.text) for answer in alone}) > 3
    assert few == alone


def test_the_size_of_the_batch_changes_nothing(world: LanguageModel) -> None:
    """One row at a time, three, or all: the same answers."""
    asked = prompts(world)
    by_size = [sample(world, asked, Sampling(16, 1.5, batch_size=n), key()) for n in (1, 3, 512)]

    assert by_size[0] == by_size[1] == by_size[2]


def test_what_is_missing_is_drawn_alone(world: LanguageModel) -> None:
    """A job that was killed draws the rows that it lacks, and gets those that it would have got."""
    asked = prompts(world)
    whole = dict(answers_as_drawn(world, asked, FREE, key()))
    rest = dict(answers_as_drawn(world, asked, FREE, key(), only={3, 21, 38}))

    assert sorted(whole) == list(range(40))
    assert rest == {i: whole[i] for i in (3, 21, 38)}


def test_answers_come_as_they_are_done(world: LanguageModel) -> None:
    """The first answers are given away before the last prompt was looked at."""
    drawn = answers_as_drawn(world, prompts(world), Sampling(16, batch_size=4), key())
    first = [next(drawn) for _ in range(4)]

    assert len(dict(first)) == 4
    assert len(dict(drawn)) == 36


def test_restricted_rows_are_their_own_too(world: LanguageModel) -> None:
    """A place that is filled again begins at the beginning of the format."""
    asked = prompts(world)
    pattern = "[1-9](?: 7){0,8}"
    grammar = token_grammar(world, pattern)
    answers: list[list[SampledAnswer]] = [
        sample(world, asked, Sampling(16, 10.0, batch_size=n), key(), grammar=grammar)
        for n in (3, 40)
    ]

    assert answers[0] == answers[1]
    assert len({answer.text.count(" ") for answer in answers[0]}) > 2
    assert all(re.fullmatch(pattern, answer.text) for answer in answers[0])


def test_streams_of_rows_do_not_meet() -> None:
    """A row's numbers depend on key and row alone, begin alike whatever their number, and are uniform."""
    streams = RowStreams(5)
    first = np.stack([streams.first(row, 64) for row in range(400)])
    written_out = np.random.Philox(key=5, counter=np.array([0, 3, 0, 0], dtype=np.uint64))

    assert np.array_equal(streams.first(3, 9), first[3, :9])
    assert np.array_equal(np.random.Generator(written_out).random(64), first[3])
    assert len(np.unique(first)) == first.size
    assert abs(first.mean() - 0.5) < 5 * (1 / 12 / first.size) ** 0.5
