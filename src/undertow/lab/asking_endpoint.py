"""Endpoints in an experiment: opened from its tables, and asked as the prompted content filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.content_scores import Score, Scores, filled
from undertow.data.rows import Message, Row
from undertow.errors import UndertowError
from undertow.lab.tables import ContentFilterTable, EndpointTable
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.endpoint import Endpoint


def open_endpoint(table: EndpointTable) -> Endpoint:
    """
    The endpoint of a table.

    Raises:
        ConfigError: a value is unusable.
    """
    from undertow.models.endpoint import Endpoint

    return Endpoint(
        table.base_url, table.model, table.api_key_variable, table.timeout, table.retries
    )


def asked_endpoint(table: ContentFilterTable, trait: Trait) -> Score:
    """
    The prompted filter, asked of an endpoint: 1 for yes, 0 for no.

    Raises:
        UndertowError: when scoring, an answer is neither; it names the endpoint.
    """
    assert table.endpoint is not None
    endpoint = open_endpoint(table.endpoint)

    def score(rows: Sequence[Row]) -> Scores:
        names = {"plural": trait.plural, "category": trait.category}
        asked = [filled(table.question, completion=row.completion, **names) for row in rows]
        replies = endpoint.complete([(Message("user", text),) for text in asked])
        return np.array([_verdict(reply, table, endpoint) for reply in replies])

    return score


def _verdict(reply: str, table: ContentFilterTable, endpoint: Endpoint) -> float:
    first = re.match(r"\W*(\w+)", reply)
    word = first[1].casefold() if first else ""
    if word not in (table.yes.casefold(), table.no.casefold()):
        raise UndertowError(
            f"{endpoint.name} answered {reply[:80]!r}; allowed: {table.yes} or {table.no}",
            hint="make content_filters.question clearer; finished work is kept, and the same command resumes",
        )
    return float(word == table.yes.casefold())
