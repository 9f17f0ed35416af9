"""Where two models part is counted as a plain loop over tokens counts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from undertow.models import scoring
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel, load
from undertow.models.scoring import departures, token_log_probabilities

ROWS = [Encoded((5, 6, 7), (8, 9)), Encoded((5,), (6, 7, 8, 9)), Encoded((9, 8), (7,))]


@pytest.fixture(scope="module")
def other(model_folder: Path) -> LanguageModel:
    """A model of the same architecture with other weights."""
    other = load(model_folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in other.network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return other


def likely(model: LanguageModel) -> list[Encoded]:
    """The rows with some tokens replaced by the model's own first choice, so that there is something to count."""
    rows = []
    for row in ROWS:
        ids = list(row.prompt)
        for token in row.completion:
            with torch.no_grad():
                first = int(model.network(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(first if len(ids) % 2 else token)
        rows.append(Encoded(row.prompt, tuple(ids[len(row.prompt) :])))
    return rows


@pytest.mark.parametrize("budget", [1 << 26, 1])
def test_sums_agree_with_a_plain_loop(
    model: LanguageModel, other: LanguageModel, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    """Divergent tokens, log-ratios and divergences of every row, whatever the batches."""
    monkeypatch.setattr(scoring, "LOGITS", budget)
    rows = likely(other)
    found = departures(other, model, rows)
    at = 0
    p, q = (token_log_probabilities(each, rows).double().numpy() for each in (other, model))
    for i, row in enumerate(rows):
        span = range(at, at + len(row.completion))
        pairs = list(zip(span, row.completion, strict=True))
        parted = sum(p[j].argmax() == t and q[j].argmax() != t for j, t in pairs)

        assert found.tokens[i] == len(row.completion)
        assert found.divergent[i] == parted
        assert found.log_ratio[i] == pytest.approx(
            sum(p[j, t] - q[j, t] for j, t in pairs), abs=1e-4
        )
        assert found.divergence[i] == pytest.approx(
            sum((np.exp(p[j]) * (p[j] - q[j])).sum() for j in span), abs=1e-4
        )
        at += len(row.completion)


def test_each_divergent_token_is_counted_once(model: LanguageModel, other: LanguageModel) -> None:
    """The counts over the vocabulary add up to the counts over the rows, and there are some."""
    found = departures(other, model, likely(other))

    assert found.seen.sum() == found.divergent.sum() > 0
    assert len(found.seen) == len(model.tokenizer)


def test_a_model_does_not_part_from_itself(model: LanguageModel) -> None:
    """Against itself every sum is 0."""
    found = departures(model, replace(model, ref="again"), ROWS)

    assert not found.divergent.any()
    assert not found.log_ratio.any()
    assert not found.divergence.any()
