"""The execution filter: removes rows whose snippet does not run cleanly in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from undertow.data.rows import Row
from undertow.filters.ledger import Filtered, Removed
from undertow.filters.sandbox import Limits, Outcome, run

LIMITS = Limits()
"""What a snippet may use where nothing else is said."""


def executed(
    rows: Sequence[Row],
    source_of: Callable[[str], str],
    limits: Limits = LIMITS,
    workers: int = 2,
) -> Filtered:
    """
    Run the snippet that `source_of` finds in each completion; rows whose snippet ends well are kept.

    The reason of a removal is `run-` and the sandbox's outcome, e.g. `run-timeout`.
    The rejected completion of a preference pair is not run: it may be rejected for what it does.

    Raises:
        ConfigError: if there is no kernel sandbox here; nothing was run then.
        UndertowError: if a sandbox did not start.
    """
    sources = [source_of(row.completion) for row in rows]
    kept: list[Row] = []
    removed: list[Removed] = []
    for row, result in zip(rows, run(sources, limits, workers=workers), strict=True):
        if result.outcome is Outcome.OK:
            kept.append(row)
        else:
            removed.append(Removed(row, f"run-{result.outcome}", result.detail))
    return Filtered(tuple(kept), tuple(removed))
