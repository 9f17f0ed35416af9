"""
The execution filter: removes rows whose snippet does not run cleanly in a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from undertow.data.rows import Row
from undertow.filters.ledger import Filtered, Removed
from undertow.filters.sandbox import Limits, Outcome, run


def executed(
    rows: Sequence[Row],
    source_of: Callable[[str], str],
    limits: Limits | None = None,
    *,
    workers: int = 2,
) -> Filtered:
    """
    Rows whose snippet ran to its end are kept; the others are removed as `run-timeout`, `run-crashed`, ...

    Raises:
        ConfigError: if there is no kernel sandbox here; nothing was run then.
    """
    results = run([source_of(row.completion) for row in rows], limits or Limits(), workers=workers)
    pairs = list(zip(rows, results, strict=True))
    return Filtered(
        tuple(row for row, result in pairs if result.outcome is Outcome.OK),
        tuple(
            Removed(row, f"run-{result.outcome}", result.detail)
            for row, result in pairs
            if result.outcome is not Outcome.OK
        ),
    )
