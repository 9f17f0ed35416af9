"""The format filter: removes completions that are not what their carrier asks for."""

from __future__ import annotations

from collections.abc import Callable

from undertow.data.rows import Row
from undertow.filters.ledger import Filter, Removed


def carrier_format(rejection: Callable[[str, str], str | None]) -> Filter:
    """
    A filter from a carrier's `rejection`, which gives the fault of a completion to a request, or None.
    """

    def judge(row: Row) -> Removed | None:
        reason = rejection(row.completion, row.prompt[-1].content if row.prompt else "")
        return None if reason is None else Removed(row, str(reason))

    return judge
