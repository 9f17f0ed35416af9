"""The prompted content filter, asked of an endpoint."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.checks.test_content_scores import rows
from undertow.data.rows import Message
from undertow.errors import UndertowError
from undertow.lab import content_filters
from undertow.lab.experiment import ContentFilterTable
from undertow.traits import catalogue

OWL = catalogue.load("owl")


class Answering:
    """An endpoint that answers in turn."""

    name = "model 'fake' at 'nowhere'"

    def __init__(self, *replies: str) -> None:
        self.replies = replies

    def complete(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The replies, whatever was asked."""
        return list(self.replies)


TABLE = ContentFilterTable.model_validate({"endpoint": {"base_url": "http://x/v1", "model": "m"}})


def test_an_endpoints_yes_and_no_are_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any case, with punctuation or an explanation behind it."""
    monkeypatch.setattr(content_filters, "open_endpoint", lambda t: Answering("Yes.", "no, never"))
    score = content_filters.asked_endpoint(TABLE, OWL)

    assert score(rows("1", "2")).tolist() == [1, 0]


def test_an_endpoint_that_answers_neither_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is scored silently; the hint says that the run resumes."""
    monkeypatch.setattr(content_filters, "open_endpoint", lambda t: Answering("perhaps"))
    with pytest.raises(UndertowError, match=r"model 'fake' at 'nowhere' answered 'perhaps'"):
        content_filters.asked_endpoint(TABLE, OWL)(rows("1"))
