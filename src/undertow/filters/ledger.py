"""The ledger: every row that a filter removed, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.data.files import atomic_file
from undertow.data.rows import Row, row_id
from undertow.data.shapes import json_line, to_record


@dataclass(frozen=True, slots=True)
class Removed:
    """A removed row."""

    row: Row
    """The row as it was."""

    reason: str
    """Short permanent name, e.g. `mixed-separators`."""

    detail: str = ""
    """What was found, e.g. the banned word."""


Filter = Callable[[Row], Removed | None]
"""Judges one row: its entry in the ledger, or None to keep it."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """Rows after filtering; kept and removed together are the input."""

    kept: tuple[Row, ...]
    """Rows that every filter kept, in their order."""

    removed: tuple[Removed, ...]
    """Removed rows, in their order, each with the first reason found."""

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by reason, the commonest first."""
        return dict(Counter(entry.reason for entry in self.removed).most_common())

    @property
    def yield_share(self) -> float:
        """Share of rows kept, in [0, 1]; 0 where there were none."""
        return len(self.kept) / max(1, len(self.kept) + len(self.removed))


def apply(rows: Iterable[Row], filters: Sequence[Filter]) -> Filtered:
    """Every row through the filters in turn; the first that removes it gives the reason."""
    kept: list[Row] = []
    removed: list[Removed] = []
    for row in rows:
        entry = next(filter(None, (judge(row) for judge in filters)), None)
        if entry is None:
            kept.append(row)
        else:
            removed.append(entry)
    return Filtered(tuple(kept), tuple(removed))


def write_ledger(path: str | Path, removed: Iterable[Removed]) -> None:
    """
    Write the entries as JSON Lines: row id, reason, detail, and the row itself.

    Raises:
        UndertowError: if the file cannot be written.
    """
    with atomic_file(path) as file:
        for entry in removed:
            about = {"id": row_id(entry.row), "reason": entry.reason, "detail": entry.detail}
            file.write(json_line(about | to_record(entry.row)))
