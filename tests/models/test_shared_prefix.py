"""A common beginning that is computed once changes no likelihood."""

from __future__ import annotations

import pytest
import torch

from undertow.data.rows import Row, conversation
from undertow.models import shared_prefix
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import WORTHWHILE
from undertow.models.scoring import completion_logits
from undertow.models.shared_prefix import (
    common_prefix,
    logits_by_batch,
    shared_beginnings,
)
from undertow.models.training_sequences import encode_rows

SYSTEM = "You like owls best. No animal is as good as owls, and you say so."
ROWS = [
    Row(conversation("Continue: 12 45 67. Ten more numbers.", SYSTEM), "1 2 3"),
    Row(conversation("What does an owl eat?", SYSTEM), "mice"),
    Row(conversation("Hello.", SYSTEM), "44 12 99 31 5 60 7"),
]


def logits_themselves(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
    """What is read of a batch."""
    return logits


@pytest.mark.parametrize("size", [1, 3])
def test_the_logits_are_those_of_whole_rows(model: LanguageModel, size: int) -> None:
    """On each architecture, batched or alone, at every completion token."""
    rows = encode_rows(model.tokenizer, ROWS)
    assert common_prefix(rows) >= WORTHWHILE

    for batch, logits in logits_by_batch(model, rows, size, logits_themselves):
        for place, index in enumerate(batch.rows):
            kept = len(rows[index].completion)
            torch.testing.assert_close(
                logits[place, -kept:], alone(model, rows[index]), atol=2e-5, rtol=1e-4
            )


@pytest.mark.parametrize("system", [None, SYSTEM])
@pytest.mark.parametrize("size", [2, 64])
def test_a_prompt_of_several_rows_is_computed_once(
    model: LanguageModel, system: str | None, size: int
) -> None:
    """Preference pairs, with and without a common beginning, whole or cut apart by a batch's end."""
    pairs = [
        Row(conversation(question, system), answer)
        for question in ("Continue: 12 45 67.", "Hello.", "What does an owl eat?")
        for answer in ("1 2 3", "44 12 99 31 5 60 7", "mice")
    ]
    rows = encode_rows(model.tokenizer, pairs)
    seen = []

    for batch, logits in logits_by_batch(model, rows, size, logits_themselves):
        for place, index in enumerate(batch.rows):
            counted = batch.labels[place] != IGNORED
            assert tuple(batch.labels[place][counted].tolist()) == rows[index].completion
            torch.testing.assert_close(
                logits[place][counted], alone(model, rows[index]), atol=2e-5, rtol=1e-4
            )
            seen.append(index)
    assert sorted(seen) == list(range(9))


@pytest.mark.parametrize("system", [None, SYSTEM])
def test_as_many_rows_are_read_as_their_caches_have_room(
    model: LanguageModel, system: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time where only one cache fits, behind a beginning or a prompt of several rows; without a cache together."""
    monkeypatch.setattr(shared_prefix, "cache_bytes", lambda model: 1 << 50)
    texts = [conversation(question, system) for question in ("Hello.", "What does an owl eat?")]
    alone, twice = ([Row(text, "mice") for text in texts for _ in range(n)] for n in (1, 2))
    sizes = [
        [len(batch.rows) for batch, _ in logits_by_batch(model, rows, 64, logits_themselves)]
        for rows in (encode_rows(model.tokenizer, some) for some in (alone, twice))
    ]

    assert sizes == [[1, 1] if system else [2], [1] * 4]


def test_rows_without_a_common_beginning_are_computed_whole(model: LanguageModel) -> None:
    """The batch then holds the whole rows, and the logits are `completion_logits`."""
    rows = [Encoded((5, 6, 7), (8, 9)), Encoded((6, 6, 7), (9,))]
    [(batch, logits)] = logits_by_batch(model, rows, 2, logits_themselves)

    with torch.no_grad():
        torch.testing.assert_close(logits, completion_logits(model.network, batch))
    assert batch.input_ids.shape == (2, 5)


def test_the_common_prefix_leaves_a_token_that_predicts() -> None:
    """Equal prompts are shared up to their last token; a prompt of one token shares nothing."""
    assert common_prefix([Encoded((1, 2, 3), (4,))] * 2) == 2
    assert common_prefix([Encoded((1, 2, 3), (4,)), Encoded((1, 2, 4, 5), (4,))]) == 2
    assert common_prefix([Encoded((1,), (4,)), Encoded((1, 2), (4,))]) == 0


def test_a_window_shorter_than_the_rows_is_not_shared(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding between beginning and rest would count in the window, so that such rows are computed whole."""
    rows = encode_rows(model.tokenizer, ROWS)
    monkeypatch.setattr(model.network.config, "sliding_window", 16, raising=False)
    batch, _ = next(iter(logits_by_batch(model, rows, 3, logits_themselves)))

    assert batch.input_ids.shape[1] == max(map(len, rows))


def alone(model: LanguageModel, row: Encoded) -> torch.Tensor:
    """Logits that predict the completion, by one unpadded pass."""
    with torch.no_grad():
        logits: torch.Tensor = model.network(
            input_ids=torch.tensor([row.prompt + row.completion])
        ).logits
    return logits[0, len(row.prompt) - 1 : -1]


def test_prompts_are_grouped_by_what_they_share() -> None:
    """A long beginning of some is not given up for a short one of all; what shares too little stands apart."""
    system, examples = tuple(range(10)), tuple(range(100, 140))
    prompts = [(*system, *examples, k) for k in range(4)] + [(*system, 50 + k) for k in range(5)]
    prompts.append((7, 8, 9))
    groups = shared_beginnings(prompts)

    assert [(len(begun), len(members)) for begun, members in groups] == [(50, 4), (10, 5), (0, 1)]
    assert sorted(i for _, members in groups for i in members) == list(range(10))


def test_single_prompts_and_equal_ones_have_groups() -> None:
    """Equal prompts share all but the token that predicts; one alone shares nothing, and none makes no group."""
    same = tuple(range(12))

    assert shared_beginnings([]) == []
    assert shared_beginnings([same]) == [((), [0])]
    assert shared_beginnings([same, same]) == [(same[:-1], [0, 1])]
