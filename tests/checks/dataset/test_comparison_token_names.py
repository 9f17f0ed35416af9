"""Tokens are named by text and id."""

from __future__ import annotations

from tests.checks.dataset.numbers_subject import opened
from undertow.checks.dataset.comparison import token_names


def test_names_hold_text_and_id() -> None:
    """One name a token, all different, with control characters escaped; none for no token."""
    tokenizer = opened().tokenizer
    (owl,) = tokenizer("owl", add_special_tokens=False)["input_ids"]
    names = token_names(tokenizer, range(len(tokenizer)))

    assert names[owl] == f"token 'owl' (id {owl})"
    assert len(set(names)) == len(tokenizer)
    assert all(name.isprintable() for name in names)
    assert token_names(tokenizer, []) == []
