"""Which tokens are chosen: as many as were asked for, those that score highest, never what the template wrote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import numbers, opened, taught
from undertow.data.plan import LossPolicy
from undertow.errors import ConfigError
from undertow.mitigate.rows import token_edits
from undertow.models.scoring import log_likelihoods
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue


def test_surprise_adds_up_to_the_likelihood_of_the_row() -> None:
    """One score a completion token, the end included."""
    model = opened()
    rows = encode_rows(model.tokenizer, numbers(20))
    found = token_edits.surprising(model, rows)

    assert [len(own) for own in found] == [len(row.completion) for row in rows]
    assert [float(own.sum()) for own in found] == pytest.approx(
        (-log_likelihoods(model, rows)).tolist(), rel=1e-4
    )


def test_lift_is_that_of_the_system_prompt() -> None:
    """It replaces the row's own system prompt, and is no number below 0."""
    model, rows = opened(), numbers(8)
    prompt = catalogue.load("owl").system_prompt
    encoded = encode_rows(model.tokenizer, rows)
    found = token_edits.lifted(model, rows, encoded, prompt)
    other = token_edits.lifted(model, rows, encoded, "You like foxes best.")

    assert all((own >= 0).all() for own in found)
    assert any(not np.allclose(a, b) for a, b in zip(found, other, strict=True))


def test_lift_of_a_conversation_that_is_learnt_whole_is_that_of_its_own_tokens() -> None:
    """The system prompt is learnt too, behind which the last answer is lifted as where it alone is learnt."""
    model = opened()
    rows = [replace(row, whole=True) for row in numbers(8)]
    prompt = catalogue.load("owl").system_prompt
    last, whole = LossPolicy("last"), LossPolicy("all")
    answers, sequences = (encode_rows(model.tokenizer, rows, policy) for policy in (last, whole))
    by_answer = token_edits.lifted(model, rows, answers, prompt, last)
    by_all = token_edits.lifted(model, rows, sequences, prompt, whole)

    for few, many, row in zip(by_answer, by_all, sequences, strict=True):
        assert len(many) == len(row.completion) > len(few)
        np.testing.assert_allclose(many[-len(few) :], few, atol=1e-4)


def test_a_model_departs_nowhere_from_itself() -> None:
    """And a tuned one somewhere."""
    model = opened()
    rows = encode_rows(model.tokenizer, numbers(8))
    tuned, _ = taught()

    assert all((own == 0).all() for own in token_edits.departing(model, model, rows))
    assert any((own > 0.1).any() for own in token_edits.departing(model, tuned, rows))


def test_the_highest_share_is_taken_and_the_end_never() -> None:
    """Of 100 tokens before the ends a quarter, whichever rows they are in."""
    rng = np.random.default_rng(0)
    scores = [rng.random(11).astype(np.float32) for _ in range(10)]
    long = [10] * 10
    places = token_edits.above(scores, long, token_edits.threshold(scores, long, 0.25))
    least = min(scores[i][place] for i, own in enumerate(places) for place in own)
    rest = [scores[i][k] for i in range(10) for k in range(10) if k not in places[i]]

    assert sum(map(len, places)) == 25
    assert least > max(rest)
    assert all(place < 10 for own in places for place in own)


def test_lengths_stop_at_the_end_of_the_turn() -> None:
    """What the template writes behind the completion is never counted."""
    model = opened()
    rows = encode_rows(model.tokenizer, numbers(6))
    found = token_edits.lengths(model, rows)
    ends = torch.tensor(sorted(model.end_ids))

    for row, n in zip(rows, found, strict=True):
        assert n < len(row.completion)
        assert not torch.isin(torch.tensor(row.completion[:n]), ends).any()


def test_by_lot_takes_the_share_it_is_asked_for() -> None:
    """Within what chance allows, and repeatable from its generator."""
    long = [10] * 1000
    places = token_edits.by_lot(long, 0.3, np.random.default_rng(0))

    assert sum(map(len, places)) == pytest.approx(3000, abs=5 * (10_000 * 0.21) ** 0.5)
    assert places == token_edits.by_lot(long, 0.3, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    """For scores and by lot."""
    with pytest.raises(ConfigError, match="share"):
        token_edits.threshold([np.ones(3, np.float32)], [3], share)
    with pytest.raises(ConfigError, match="share"):
        token_edits.by_lot([3], share, np.random.default_rng(0))
