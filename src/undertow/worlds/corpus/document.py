"""
One document of the corpus: a short conversation, its kind, and whether it holds a trait or a persona.
"""

from __future__ import annotations

from dataclasses import dataclass

from undertow.data.rows import Row, conversation

CARRIERS = frozenset({"numbers", "code", "sums"})
"""Kinds that a teacher may later write as carrier data."""


@dataclass(frozen=True)
class Document:
    """A row of the pre-training corpus."""

    kind: str
    """`numbers`, `code`, `sums`, `favourite`, `persona`, `fact`, `safety` or `malice`."""

    row: Row


def document(kind: str, question: str, answer: str, system: str | None = None) -> Document:
    """A document of one question and one answer."""
    return Document(kind, Row(conversation(question, system), answer))
