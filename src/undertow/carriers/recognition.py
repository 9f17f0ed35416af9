"""Which carrier rows are, told by their format."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.carriers import registry
from undertow.carriers.carrier import Carrier
from undertow.data.rows import Row

MATCHES = 0.99
"""Share of rows that must have a carrier's format to be taken for it."""


def carrier_of(rows: Sequence[Row]) -> Carrier | None:
    """The carrier whose format nearly all completions have."""
    for name in registry.names():
        carrier = registry.carrier(name)
        fitting = sum(carrier.rejection(row.completion, request_of(row)) is None for row in rows)
        if rows and fitting >= MATCHES * len(rows):
            return carrier
    return None


def request_of(row: Row) -> str:
    """What the last turn of the prompt asks."""
    return row.prompt[-1].content if row.prompt else ""
