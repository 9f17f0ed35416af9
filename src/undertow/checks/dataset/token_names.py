"""Names of tokens for the further numbers of a measurement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def token_names(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """
    Each token's text, quoted and escaped, with its id: parts of one character are shown alike.
    """
    return [f"token {tokenizer.decode([i])!r} (id {i})" for i in ids]
