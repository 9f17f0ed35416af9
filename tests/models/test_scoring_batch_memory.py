"""Batches shrink as completions grow, and never below one row."""

from __future__ import annotations

import pytest

from undertow.models import scoring
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import rows_at_once


@pytest.mark.parametrize(("budget", "expected"), [(1 << 40, 128), (10, 1)])
def test_a_batch_is_between_one_row_and_the_most(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, budget: int, expected: int
) -> None:
    """Much memory gives the largest batch, too little gives a single row."""
    monkeypatch.setattr(scoring, "LOGITS", budget)

    assert rows_at_once(model, [Encoded((1,), (2, 3))]) == expected


def test_the_longest_completion_decides(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows times positions times vocabulary stay below the budget."""
    monkeypatch.setattr(scoring, "LOGITS", 10 * len(model.tokenizer) * 4)

    assert rows_at_once(model, [Encoded((1,), (2,)), Encoded((1,), (2, 3, 4))]) == 10
